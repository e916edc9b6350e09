// Executor.map(), as CPython's executor.py and test_thread_pool.py map it.
#include <algorithm>
#include <atomic>
#include <concurrent/futures/thread.hpp>
#include <list>
#include <memory>
#include <ranges>
#include <string>

#include "futures_fixture.hpp"

using namespace concurrent::futures;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

namespace {

int square(int x) {
    return x * x;
}
int divide(int a, int b) {
    if (b == 0) throw asyncio::ValueError("division by zero");
    return a / b;
}

template <class R>
auto all_of(R&& range) {
    std::vector<typename std::remove_cvref_t<R>::value_type> all;
    for (auto& result : range) all.push_back(std::move(result));
    return all;
}

class ThreadPoolMap : public ::testing::Test {
  protected:
    ThreadPoolExecutor pool{3};
};

using Results =
    decltype(std::declval<ThreadPoolExecutor&>().map(square, std::declval<std::vector<int>&>()));
static_assert(std::ranges::input_range<Results>);
static_assert(std::movable<Results>);
static_assert(std::is_same_v<std::ranges::range_reference_t<Results>, int&>);

}  // namespace

TEST_F(ThreadPoolMap, GivesResultsInTheOrderOfTheInput) {
    EXPECT_THAT(all_of(pool.map(square, std::vector{1, 2, 3})), ElementsAre(1, 4, 9));
    EXPECT_THAT(all_of(pool.map(divide, std::list{8, 9}, std::vector{2, 3})), ElementsAre(4, 3));
    EXPECT_THAT(all_of(pool.map(square, std::vector<int>())), IsEmpty());
    EXPECT_THAT(all_of(pool.map({.chunksize = 3}, square, std::views::iota(0, 5))),
                ElementsAre(0, 1, 4, 9, 16));
}

TEST_F(ThreadPoolMap, StopsWithTheShortestRange) {
    EXPECT_THAT(all_of(pool.map(divide, std::views::iota(10), std::vector{1, 2})),
                ElementsAre(10, 5));
}

TEST_F(ThreadPoolMap, ThrowsWhereACallThatFailedIsReached) {
    auto results = pool.map(divide, std::vector{1, 1, 1, 1}, std::vector{1, 1, 0, 1});
    auto at = results.begin();
    EXPECT_EQ(*at, 1);
    EXPECT_EQ(*++at, 1);
    EXPECT_THROW((void)*++at, asyncio::ValueError);
    EXPECT_TRUE(at == results.end());
}

// rule 164
TEST_F(ThreadPoolMap, SubmitsEverythingWithoutIteration) {
    std::atomic<int> ran = 0;
    (void)pool.map([&](int) { ++ran; }, std::views::iota(0, 10));
    pool.shutdown();
    EXPECT_EQ(ran, 10);
}

// executor.py::test_map_timeout
TEST_F(ThreadPoolMap, TimesOutCountingFromTheCall) {
    Gate gate;
    const Opener opener(gate);
    std::vector<int> seen;
    auto results = pool.map(
        {.timeout = 20ms},
        [&](int i) {
            if (i == 2) gate.wait();
            return i;
        },
        std::views::iota(0, 3));
    EXPECT_THROW(for (const int result : results) seen.push_back(result), TimeoutError);
    // Those two have had 20 ms; on a machine that stands still it may be fewer.
    EXPECT_LE(seen.size(), 2u);
    gate.open();
    pool.shutdown();
}

// test_thread_pool.py::test_executor_map_current_future_cancel
TEST_F(ThreadPoolMap, ThatTimesOutCancelsTheRest) {
    Gate gate;
    std::atomic<int> ran = 0;
    ThreadPoolExecutor one(1);
    const Opener opener(gate);
    const auto first = one.submit([&] { gate.wait(); });
    auto results = one.map({.timeout = 0s}, [&](int) { ++ran; }, std::views::iota(0, 2));
    EXPECT_THROW((void)*results.begin(), TimeoutError);
    gate.open();
    first.result();
    one.shutdown();
    EXPECT_EQ(ran, 0);
}

TEST_F(ThreadPoolMap, DroppedOnTheWayCancelsTheRest) {
    Gate gate;
    std::atomic<int> ran = 0;
    ThreadPoolExecutor one(1);
    const Opener opener(gate);
    {
        auto results = one.map(
            [&](int i) {
                if (i == 1) gate.wait();
                return ++ran, i;
            },
            std::views::iota(0, 5));
        EXPECT_EQ(*results.begin(), 0);
    }
    gate.open();
    one.shutdown();
    EXPECT_LE(ran, 2);  // the second may have been running
}

TEST_F(ThreadPoolMap, WithABufferPullsItsInputLazily) {
    int pulled = 0;
    const auto counting = std::views::iota(0) | std::views::transform([&](int i) {
                              ++pulled;
                              return i;
                          });
    auto results = pool.map({.buffersize = 3}, square, counting);
    EXPECT_EQ(pulled, 3);
    auto at = results.begin();
    for (int i = 0; i < 10; ++i, ++at) {
        EXPECT_EQ(*at, i * i);
        EXPECT_EQ(pulled, 3 + i + 1);
    }
    EXPECT_THAT(all_of(pool.map({.buffersize = 4}, square, std::vector{1, 2})), ElementsAre(1, 4));
    EXPECT_THROW((void)pool.map({.buffersize = 0}, square, std::vector{1}), asyncio::ValueError);
}

TEST_F(ThreadPoolMap, WithABufferRefusesToGoOnAfterShutdown) {
    auto results = pool.map({.buffersize = 1}, square, std::views::iota(0));
    pool.shutdown();
    EXPECT_THROW((void)*results.begin(), asyncio::RuntimeError);
    EXPECT_TRUE(results.begin() == results.end());
}

TEST_F(ThreadPoolMap, GivesReferencesMoveOnlyResultsAndNothing) {
    static std::vector<int> numbers{1, 2, 3};
    for (int& number :
         pool.map([](std::size_t i) -> int& { return numbers[i]; }, std::views::iota(0u, 3u))) {
        number *= 10;
    }
    EXPECT_THAT(numbers, ElementsAre(10, 20, 30));

    int sum = 0;
    for (auto& pointer :
         pool.map([](int i) { return std::make_unique<int>(i); }, std::vector{1, 2})) {
        sum += *std::unique_ptr<int>(std::move(pointer));
    }
    EXPECT_EQ(sum, 3);
    EXPECT_THAT(all_of(pool.map([](int) {}, std::vector{1, 2})), SizeIs(2));
}

TEST_F(ThreadPoolMap, ItsResultsMayBeLookedAtTwiceAndFiltered) {
    auto results = pool.map([](int i) { return std::to_string(i); }, std::views::iota(0, 6));
    auto even =
        results | std::views::filter([](const std::string& text) { return text.front() % 2 == 0; });
    std::vector<std::string> seen;
    for (const std::string& text : even) seen.push_back(text);
    EXPECT_THAT(seen, ElementsAre("0", "2", "4"));
}

TEST_F(ThreadPoolMap, ItsResultsMayBeMovedAndPiped) {
    auto results = pool.map(square, std::vector{1, 2, 3});
    auto moved = std::move(results);
    EXPECT_THAT(all_of(moved), ElementsAre(1, 4, 9));
    std::vector<int> first;
    for (const int result : pool.map(square, std::vector{1, 2, 3}) | std::views::take(2)) {
        first.push_back(result);
    }
    EXPECT_THAT(first, ElementsAre(1, 4));
}

// executor.py::test_free_reference
TEST_F(ThreadPoolMap, KeepsNoResultItHasGiven) {
    std::weak_ptr<int> before;
    for (const auto& object :
         pool.map([](int i) { return std::make_shared<int>(i); }, std::views::iota(0, 10))) {
        EXPECT_TRUE(before.expired());
        before = object;
    }
    EXPECT_TRUE(before.expired());
}

TEST_F(ThreadPoolMap, SharesOneCallable) {
    struct Counting {
        Counting() = default;
        Counting(const Counting& other) : copies(other.copies) { ++*copies; }
        Counting(Counting&& other) noexcept = default;
        int operator()(int i) const { return i; }
        std::shared_ptr<std::atomic<int>> copies = std::make_shared<std::atomic<int>>(0);
    };
    Counting call;
    EXPECT_THAT(all_of(pool.map(call, std::views::iota(0, 20))), SizeIs(20));
    EXPECT_EQ(*call.copies, 1);  // into map()

    const auto move_only = [held = std::make_unique<int>(2)](int i) { return i * *held; };
    EXPECT_THAT(all_of(pool.map([held = std::make_unique<int>(2)](int i) { return i * *held; },
                                std::vector{1, 2})),
                ElementsAre(2, 4));
    static_assert(!std::copyable<decltype(move_only)>);
}

TEST_F(ThreadPoolMap, GivesEachCallItsOwnOfACallableThatChanges) {
    const auto counter = [n = 0, padding = std::string()](int) mutable { return ++n; };
    EXPECT_THAT(all_of(pool.map(counter, std::views::iota(0, 3))), ElementsAre(1, 1, 1));
}
