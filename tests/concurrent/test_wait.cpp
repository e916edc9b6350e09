// wait(), as CPython's test_concurrent_futures/test_wait.py maps it.
#include <concurrent/futures/thread.hpp>
#include <list>
#include <string>
#include <thread>

#include "futures_fixture.hpp"

using namespace concurrent::futures;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

namespace {

class Wait : public ::testing::Test {
  protected:
    // A call that ends when the test does.
    Future<int> held() {
        return pool.submit([this] {
            gate.wait();
            return 0;
        });
    }
    Gate gate;
    ThreadPoolExecutor pool{5};
    Opener opener{gate};
};

int divide(int a, int b) {
    if (b == 0) throw asyncio::ValueError("division by zero");
    return a / b;
}

}  // namespace

TEST_F(Wait, TakesAFutureOnceHoweverOftenItIsGiven) {
    const Future<int> future = pool.submit(divide, 4, 2);
    const auto [done, not_done] = wait({future, future, future});
    EXPECT_THAT(done, ElementsAre(future));
    EXPECT_THAT(not_done, IsEmpty());
}

TEST_F(Wait, FirstCompletedReturnsWithTheFirst) {
    const Future<int> first = pool.submit(divide, 4, 2);
    const Future<int> second = held();
    const Future<int> unnoticed = cancelled();
    const auto [done, not_done] =
        wait({unnoticed, first, second}, {.return_when = FIRST_COMPLETED});
    EXPECT_THAT(done, ElementsAre(first));
    EXPECT_THAT(not_done, ElementsAre(unnoticed, second));
}

TEST_F(Wait, FirstCompletedReturnsAtOnceWhenSomeHaveEnded) {
    const std::vector all{cancelled_and_notified(), successful(), held()};
    const auto [done, not_done] = wait(all, {.return_when = FIRST_COMPLETED});
    EXPECT_THAT(done, ElementsAre(all[0], all[1]));
    EXPECT_THAT(not_done, ElementsAre(all[2]));
}

TEST_F(Wait, FirstExceptionReturnsWithTheFirstThatThrew) {
    const Future<int> value = pool.submit(divide, 4, 2);
    (void)value.result();
    const Future<int> error = pool.submit(divide, 4, 0);
    const Future<int> later = held();
    const auto [done, not_done] = wait({value, error, later}, {.return_when = FIRST_EXCEPTION});
    EXPECT_THAT(done, ElementsAre(value, error));
    EXPECT_THAT(not_done, ElementsAre(later));
}

TEST_F(Wait, FirstExceptionReturnsAtOnceWhenOneHasThrown) {
    const std::vector all{successful(), cancelled(), cancelled_and_notified(), failed(), held()};
    const auto [done, not_done] = wait(all, {.return_when = FIRST_EXCEPTION});
    EXPECT_THAT(done, ElementsAre(all[0], all[2], all[3]));
    EXPECT_THAT(not_done, ElementsAre(all[1], all[4]));
}

TEST_F(Wait, FirstExceptionWaitsForAllWhenNoneThrows) {
    const std::vector all{pool.submit(divide, 4, 2), pool.submit(divide, 6, 2),
                          cancelled_and_notified()};
    EXPECT_THAT(wait(all, {.return_when = FIRST_EXCEPTION}).done, SizeIs(3));
}

TEST_F(Wait, AllCompletedWaitsForAll) {
    const std::vector all{successful(), cancelled_and_notified(), failed(),
                          pool.submit(divide, 4, 0), pool.submit(divide, 42, 1)};
    const auto [done, not_done] = wait(all);
    EXPECT_EQ(done, all);
    EXPECT_THAT(not_done, IsEmpty());
}

TEST_F(Wait, ReturnsWhatThereIsWhenTheTimeIsUp) {
    const std::vector all{cancelled_and_notified(), failed(), successful(), held()};
    for (const auto timeout : {0ms, 5ms}) {
        const auto [done, not_done] = wait(all, {.timeout = timeout});
        EXPECT_THAT(done, ElementsAre(all[0], all[1], all[2]));
        EXPECT_THAT(not_done, ElementsAre(all[3]));
    }
}

TEST_F(Wait, OfNothingReturnsAtOnce) {
    for (const ReturnWhen when : {FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED}) {
        const auto [done, not_done] = wait(std::vector<Future<int>>(), {.return_when = when});
        EXPECT_THAT(done, IsEmpty());
        EXPECT_THAT(not_done, IsEmpty());
    }
}

TEST_F(Wait, RefusesAnotherCondition) {
    EXPECT_THROW(wait({successful()}, {.return_when = static_cast<ReturnWhen>(9)}),
                 asyncio::ValueError);
}

TEST_F(Wait, CountsACancelledFutureOnceItsExecutorHasNoticed) {
    const Future<int> future = cancelled();
    EXPECT_THAT(wait({future}, {.timeout = 0s}).not_done, SizeIs(1));
    std::thread executor([&] { future.set_running_or_notify_cancel(); });
    EXPECT_THAT(wait({future}).done, SizeIs(1));
    executor.join();
}

// CPython's hangs here.
TEST_F(Wait, ReturnsWhenAShutdownCancelledAll) {
    std::latch started(1);
    ThreadPoolExecutor one(1);
    const Opener at_end(gate);
    std::vector<Future<void>> futures{one.submit([&] {
        started.count_down();
        gate.wait();
    })};
    started.wait();
    for (int i = 0; i < 5; ++i) futures.push_back(one.submit([] {}));
    one.shutdown({.wait = false, .cancel_futures = true});
    gate.open();
    EXPECT_THAT(wait(futures).done, SizeIs(6));
    one.shutdown();
}

TEST_F(Wait, TakesFuturesOfSeveralTypes) {
    const Future<int> number = pool.submit([] { return 1; });
    const Future<std::string> text = pool.submit([] { return std::string("x"); });
    const Future<void> nothing = pool.submit([] {});
    const auto [done, not_done] = wait({number, text, nothing});
    EXPECT_THAT(done, ElementsAre(number, text, nothing));
    EXPECT_THAT(not_done, IsEmpty());
}

TEST_F(Wait, TakesAnyRange) {
    const std::list<Future<int>> list{successful(), successful()};
    EXPECT_THAT(wait(list).done, SizeIs(2));
    const Future<int> array[]{successful(), successful()};
    EXPECT_THAT(wait(array).done, SizeIs(2));
}

// test_wait.py::test_pending_calls_race
TEST_F(Wait, SeesAllOfManyThatEndAtOnce) {
    for (int round = 0; round < 20; ++round) {
        Gate start;
        std::vector<Future<void>> futures;
        for (int i = 0; i < 100; ++i) futures.push_back(pool.submit([&] { start.wait(); }));
        start.open();
        EXPECT_THAT(wait(futures).done, SizeIs(100));
    }
}

TEST_F(Wait, ManyWaitForTheSameFutures) {
    const std::vector all{held(), held()};
    std::vector<std::thread> threads;
    std::latch waiting(4);
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            waiting.count_down();
            const auto when = i % 2 == 0 ? ALL_COMPLETED : FIRST_COMPLETED;
            EXPECT_FALSE(wait(all, {.return_when = when}).done.empty());
        });
    }
    waiting.wait();
    EXPECT_THAT(wait(all, {.timeout = 1ms}).not_done, SizeIs(2));
    gate.open();
    for (std::thread& thread : threads) thread.join();
}

TEST_F(Wait, LargeNumbersTakeNoQuadraticTime) {
    std::vector<Future<int>> all;
    for (int i = 0; i < 50'000; ++i) all.push_back(successful(i));
    EXPECT_THAT(wait(all).done, SizeIs(50'000));
}
