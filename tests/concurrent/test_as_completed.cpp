// as_completed(), as CPython's test_concurrent_futures/test_as_completed.py maps it.
#include <algorithm>
#include <concurrent/futures/thread.hpp>
#include <memory>
#include <ranges>
#include <thread>
#include <unordered_set>

#include "futures_fixture.hpp"

using namespace concurrent::futures;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAreArray;

namespace {

using Range = AsCompleted<Future<int>>;
static_assert(std::ranges::input_range<Range>);
static_assert(std::movable<Range>);

template <class R>
auto all_of(R&& range) {
    std::vector<typename std::remove_cvref_t<R>::value_type> all;
    for (auto& future : range) all.push_back(future);
    return all;
}

}  // namespace

TEST(AsCompleted, GivesEachFutureOnce) {
    ThreadPoolExecutor pool(2);
    const std::vector all{cancelled_and_notified(), failed(), successful(),
                          pool.submit([] { return 1; }), pool.submit([] { return 2; })};
    EXPECT_THAT(all_of(as_completed(all)), UnorderedElementsAreArray(all));
    const Future<int> one = pool.submit([] { return 1; });
    EXPECT_THAT(all_of(as_completed(std::vector(3, one))), ElementsAre(one));
    EXPECT_THAT(all_of(as_completed({one, one})), ElementsAre(one));
    EXPECT_THAT(all_of(as_completed(std::vector<Future<int>>())), SizeIs(0));
}

// rule 164
TEST(AsCompleted, GivesWhatHasEndedBeforeItTimesOut) {
    const std::vector ended{cancelled_and_notified(), failed(), successful()};
    std::vector all = ended;
    all.insert(all.begin(), pending());
    for (const auto timeout : {0ms, 2ms}) {
        std::vector<Future<int>> given;
        EXPECT_THROW(for (auto& future : as_completed(all, timeout)) given.push_back(future),
                     TimeoutError);
        EXPECT_THAT(given, UnorderedElementsAreArray(ended));
    }
}

TEST(AsCompleted, SaysHowManyAreUnfinishedWhenItTimesOut) {
    const std::vector all{cancelled_and_notified(), pending(), running(), successful()};
    EXPECT_EQ(text_thrown<TimeoutError>([&] { all_of(as_completed(all, 0s)); }),
              "2 (of 4) futures unfinished");
}

TEST(AsCompleted, CountsItsTimeFromTheCall) {
    auto range = as_completed({pending()}, 1ms);
    const auto begin = range.begin();
    EXPECT_THROW((void)*begin, TimeoutError);
    EXPECT_THROW((void)*begin, TimeoutError);
}

TEST(AsCompleted, GivesTheFuturesInTheOrderInWhichTheyEnd) {
    std::vector<Future<int>> all(4);
    auto range = as_completed(all);
    auto at = range.begin();
    for (const int next : {2, 0, 3, 1}) {
        std::thread ender([&] { all[static_cast<std::size_t>(next)].set_result(next); });
        EXPECT_EQ(at->result(), next);
        ender.join();
        ++at;
    }
    EXPECT_TRUE(at == range.end());
}

TEST(AsCompleted, WaitsOnlyWhereAnElementIsLookedAt) {
    const Future<int> future;
    auto range = as_completed({future});
    const auto at = range.begin();
    EXPECT_FALSE(at == range.end());
    future.set_result(1);
    EXPECT_EQ(*at, future);
    EXPECT_EQ(*at, future);  // and may be looked at again
}

TEST(AsCompleted, GivesACancelledFutureOnceItsExecutorHasNoticed) {
    const Future<int> future = cancelled();
    EXPECT_THROW(all_of(as_completed({future}, 0s)), TimeoutError);
    std::thread executor([&] { future.set_running_or_notify_cancel(); });
    EXPECT_THAT(all_of(as_completed({future})), ElementsAre(future));
    executor.join();
}

// test_as_completed.py::test_free_reference_yielded_future
TEST(AsCompleted, LetsGoOfAFutureWithTheStepToTheNext) {
    std::vector<Future<std::shared_ptr<int>>> all(3);
    auto range = as_completed(all);
    for (int i = 0; i < 3; ++i)
        all[static_cast<std::size_t>(i)].set_result(std::make_shared<int>(i));
    all.clear();
    std::weak_ptr<int> before;
    int seen = 0;
    for (const auto& future : range) {
        EXPECT_TRUE(before.expired());
        before = future.result();
        ++seen;
    }
    EXPECT_TRUE(before.expired());
    EXPECT_EQ(seen, 3);
}

TEST(AsCompleted, MayBeLeftOnTheWay) {
    const std::vector all{successful(1), pending(), pending()};
    for (const auto& future : as_completed(all)) {
        EXPECT_EQ(future.result(), 1);
        break;
    }
    all[1].set_result(1);
}

TEST(AsCompleted, WorksWithRangeAdaptorsAndSeveralTypes) {
    const std::vector all{successful(1), failed(), successful(2)};
    std::vector<int> results;
    for (const auto& future : as_completed(all) | std::views::filter([](const auto& done) {
                                  return done.exception() == nullptr;
                              })) {
        results.push_back(future.result());
    }
    EXPECT_THAT(results, ElementsAre(1, 2));

    Future<void> nothing;
    nothing.set_result();
    EXPECT_THAT(all_of(as_completed({AnyFuture(all[0]), AnyFuture(nothing)})), SizeIs(2));
}

TEST(AsCompleted, SeesAllWhileThreadsEndThem) {
    ThreadPoolExecutor pool(4);
    for (int round = 0; round < 20; ++round) {
        std::vector<Future<int>> all;
        for (int i = 0; i < 100; ++i) all.push_back(pool.submit([i] { return i; }));
        int sum = 0;
        for (const auto& future : as_completed(all)) sum += future.result();
        EXPECT_EQ(sum, 4950);
    }
}
