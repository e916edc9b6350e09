// The loop's timer queue against a model: whatever is armed and cancelled, timers come out in
// order of deadline and, among equals, of arming.
#include <map>
#include <random>

#include "asyncio/timer_queue.hpp"

#include "support/simulate.hpp"

using namespace asyncio;
using asyncio::detail::TimerNode;
using asyncio::detail::TimerQueue;

namespace {

// A multimap keeps equal keys in the order they came.
class Model {
  public:
    explicit Model(std::uint64_t seed) : random_(seed) {}

    std::int64_t draw(std::int64_t most) {
        return std::uniform_int_distribution<std::int64_t>(0, most)(random_);
    }

    void arm(std::int64_t deadline) {
        if (free_.empty()) {
            nodes_.push_back(std::make_unique<TimerNode>());
            free_.push_back(nodes_.back().get());
        }
        TimerNode* node = free_.back();
        free_.pop_back();
        node->deadline = deadline;
        queue_.arm(*node, now_);
        expected_.emplace(deadline, node);
    }

    void cancel_one() {
        if (expected_.empty()) return;
        auto victim = expected_.begin();
        std::advance(victim, draw(std::min<std::int64_t>(
                                 50, static_cast<std::int64_t>(expected_.size()) - 1)));
        queue_.cancel(*victim->second);
        EXPECT_FALSE(victim->second->armed());
        free_.push_back(victim->second);
        expected_.erase(victim);
    }

    void advance(std::int64_t by) {
        now_ += by;
        while (TimerNode* node = queue_.pop_due(now_)) {
            ASSERT_FALSE(expected_.empty());
            ASSERT_EQ(node, expected_.begin()->second) << "out of order at " << now_;
            ASSERT_LE(node->deadline, now_);
            free_.push_back(node);
            expected_.erase(expected_.begin());
        }
        ASSERT_TRUE(expected_.empty() || expected_.begin()->first > now_) << "one is overdue";
    }

    void check() {
        ASSERT_EQ(queue_.size(), expected_.size());
        const std::int64_t next = queue_.next_deadline();
        if (expected_.empty()) {
            ASSERT_EQ(next, TimerQueue::never);
        } else {
            ASSERT_LE(next, expected_.begin()->first);
            ASSERT_LE(queue_.earliest(), expected_.begin()->first);
        }
    }

    [[nodiscard]] std::int64_t now() const { return now_; }
    [[nodiscard]] std::size_t size() const { return expected_.size(); }
    void take_all() {
        auto taken = queue_.take_all();
        EXPECT_EQ(taken.size(), expected_.size());
        for (const auto& [deadline, node] : expected_) {
            EXPECT_EQ(std::count(taken.begin(), taken.end(), node), 1);
        }
        expected_.clear();
        EXPECT_TRUE(queue_.empty());
    }

  private:
    std::mt19937_64 random_;
    TimerQueue queue_;
    std::multimap<std::int64_t, TimerNode*> expected_;
    std::vector<std::unique_ptr<TimerNode>> nodes_;
    std::vector<TimerNode*> free_;
    std::int64_t now_ = 1'000'000'000;
};

// From nanoseconds to months: within a bucket, over the ring, and past it.
constexpr std::int64_t spans[] = {
    10, 1'000'000, 100'000'000, 60'000'000'000, 3'600'000'000'000, 5'000'000'000'000'000};

void play(std::uint64_t seed) {
    Model model(seed);
    for (int step = 0; step < 4000; ++step) {
        const std::int64_t action = model.draw(99);
        const std::int64_t span = spans[model.draw(std::size(spans) - 1)];
        if (action < 55) {
            model.arm(model.now() + model.draw(span) - span / 16);
        } else if (action < 60) {
            const std::int64_t same = model.now() + model.draw(span);
            for (int i = 0; i < 20; ++i) model.arm(same);
        } else if (action < 85) {
            model.cancel_one();
        } else {
            model.advance(model.draw(span));
        }
        if (step % 16 == 0) model.check();
        if (::testing::Test::HasFatalFailure()) return;
    }
    while (model.size() > 0) model.advance(5'000'000'000'000'000);
    model.check();
}

}  // namespace

TEST(TimerQueue, BehavesLikeAMultimap) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE(seed);
        play(seed);
        if (HasFatalFailure()) return;
    }
}

// semantics: equal deadlines fire in the order they were made
TEST(TimerQueue, EqualDeadlinesComeInOrderOfArming) {
    Model model(1);
    for (int i = 0; i < 1000; ++i) model.arm(model.now() + 5);
    model.advance(5);
    EXPECT_EQ(model.size(), 0u);
}

TEST(TimerQueue, MassCancellationLeavesNothing) {
    Model model(2);
    for (int i = 0; i < 100'000; ++i) model.arm(model.now() + model.draw(10'000'000'000));
    while (model.size() > 0) model.cancel_one();
    model.check();
    model.advance(20'000'000'000);
    model.arm(model.now() + 1);
    model.check();
    model.advance(1);
}

TEST(TimerQueue, GivesEverythingBackAtOnce) {
    Model model(3);
    for (std::int64_t span : spans) {
        for (int i = 0; i < 10; ++i) model.arm(model.now() + model.draw(span));
    }
    model.take_all();
}

TEST(TimerQueue, TheFarthestDeadlinesDoNotOverflow) {
    Model model(4);
    model.arm(INT64_MAX - 1);
    model.arm(model.now() + 1);
    model.arm(INT64_MIN + 1);
    model.check();
    model.advance(1);
    EXPECT_EQ(model.size(), 1u);
    model.cancel_one();
    model.check();
}
