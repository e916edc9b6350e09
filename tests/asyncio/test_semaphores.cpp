// Semaphore and BoundedSemaphore, as CPython's test_locks.py maps them.
#include <memory>

#include "support/simulate.hpp"
#include "support/turns.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

}  // namespace

TEST(Semaphore, ReprTellsValueAndWaiters) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore;
        EXPECT_EQ(semaphore.repr(), "<Semaphore [unlocked, value:1]>");
        semaphore.release();
        EXPECT_EQ(semaphore.repr(), "<Semaphore [unlocked, value:2]>");
        co_await semaphore.acquire();
        co_await semaphore.acquire();
        EXPECT_EQ(semaphore.repr(), "<Semaphore [locked]>");
        auto a = create_task(semaphore.acquire());
        auto b = create_task(semaphore.acquire());
        co_await turns();
        EXPECT_EQ(semaphore.repr(), "<Semaphore [locked, waiters:2]>");
        semaphore.release();
        semaphore.release();
        co_await gather(a, b);
        EXPECT_EQ(BoundedSemaphore(4).repr(), "<BoundedSemaphore [unlocked, value:4]>");
    });
}

TEST(Semaphore, MayBeginWithNothing) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(0);
        EXPECT_TRUE(semaphore.locked());
        auto waiter = create_task(semaphore.acquire());
        co_await turns();
        EXPECT_FALSE(waiter.done());
        semaphore.release();
        EXPECT_TRUE(co_await waiter);
        EXPECT_TRUE(semaphore.locked());
    });
}

TEST(Semaphore, NegativeValueIsAnError) {
    EXPECT_THROW(Semaphore(-1), ValueError);
    EXPECT_THROW(BoundedSemaphore(-1), ValueError);
}

TEST(Semaphore, AsManyAsItsValueEnterAtOnce) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(3);
        int inside = 0;
        int most = 0;
        std::vector<Task<void>> tasks;
        for (int i = 0; i < 10; ++i) {
            tasks.push_back(create_task([&]() -> Coroutine<void> {
                auto permit = co_await semaphore.scoped();
                most = std::max(most, ++inside);
                co_await turns(3);
                --inside;
            }));
        }
        co_await gather(tasks);
        EXPECT_EQ(most, 3);
        EXPECT_EQ(semaphore.repr(), "<Semaphore [unlocked, value:3]>");
    });
}

// rule 88: a newcomer does not take what a release reserved
TEST(Semaphore, ReleaseReservesThePermitForTheFirstInLine) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(0);
        Names log;
        const auto worker = [&](std::string name) -> Coroutine<void> {
            co_await semaphore.acquire();
            log.push_back(name);
        };
        auto first = create_task(worker, "first");
        co_await turns();
        semaphore.release();
        EXPECT_TRUE(semaphore.locked());
        auto second = create_task(worker, "second");
        co_await turns(2);
        EXPECT_EQ(log, Names({"first"}));
        semaphore.release();
        co_await second;
        EXPECT_EQ(log, Names({"first", "second"}));
        co_await first;
    });
}

// rule 88: locked() while somebody who was woken has not run, even with permits left
TEST(Semaphore, IsLockedWhileSomebodyIsBeforeUs) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(0);
        auto waiter = create_task(semaphore.acquire());
        co_await turns();
        semaphore.release();
        semaphore.release();
        EXPECT_TRUE(semaphore.locked());
        auto newcomer = create_task([&]() -> Coroutine<void> { co_await semaphore.acquire(); });
        co_await turns(2);
        EXPECT_TRUE(waiter.done() && newcomer.done());
        EXPECT_TRUE(semaphore.locked());
        co_await gather(waiter, newcomer);
    });
}

// rule 88: test_acquire_fifo_order
TEST(Semaphore, GrantsInOrderOfArrival) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(1);
        Names log;
        const auto worker = [&](std::string tag) -> Coroutine<void> {
            co_await semaphore.acquire();
            log.push_back(tag + "_1");
            co_await sleep(10ms);
            semaphore.release();
            co_await semaphore.acquire();
            log.push_back(tag + "_2");
            semaphore.release();
        };
        auto a = create_task(worker, "c1");
        auto b = create_task(worker, "c2");
        auto c = create_task(worker, "c3");
        co_await gather(a, b, c);
        EXPECT_EQ(log, Names({"c1_1", "c2_1", "c3_1", "c1_2", "c2_2", "c3_2"}));
    });
}

// rule 88: test_acquire_fifo_order_3
TEST(Semaphore, ACancelledFirstWaiterDoesNotLetLatecomersPass) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(0);
        Names log;
        const auto worker = [&](std::string name) -> Coroutine<void> {
            co_await semaphore.acquire();
            log.push_back(name);
        };
        auto a = create_task(worker, "a");
        co_await turns();
        auto b = create_task(worker, "b");
        co_await turns();
        a.cancel();
        auto c = create_task(worker, "c");
        semaphore.release();
        co_await turns(2);
        EXPECT_EQ(log, Names({"b"}));
        semaphore.release();
        co_await gather(b, c);
        EXPECT_EQ(log, Names({"b", "c"}));
        EXPECT_THROW(co_await a, CancelledError);
    });
}

TEST(Semaphore, CancelledWaiterLeavesTheLine) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(1);
        co_await semaphore.acquire();
        auto waiter = create_task(semaphore.acquire());
        co_await turns();
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_EQ(semaphore.repr(), "<Semaphore [locked]>");
        semaphore.release();
        EXPECT_FALSE(semaphore.locked());
    });
}

// rule 89: test_acquire_cancel_before_awoken
TEST(Semaphore, GrantsPassOverCancelledWaiters) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(0);
        std::vector<Task<bool>> tasks;
        for (int i = 0; i < 4; ++i) tasks.push_back(create_task(semaphore.acquire()));
        co_await turns();
        tasks[0].cancel();
        tasks[1].cancel();
        semaphore.release();
        semaphore.release();
        co_await turns();
        EXPECT_TRUE(tasks[0].cancelled() && tasks[1].cancelled());
        EXPECT_TRUE(tasks[2].done() && tasks[3].done());
    });
}

// rule 89: test_acquire_hang, test_acquire_no_hang
TEST(Semaphore, WaiterCancelledAfterItsGrantReturnsThePermit) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(0);
        auto a = create_task(semaphore.acquire());
        auto b = create_task(semaphore.acquire());
        co_await turns();
        semaphore.release();
        a.cancel();
        EXPECT_TRUE(co_await b);
        EXPECT_TRUE(a.cancelled());
        EXPECT_TRUE(semaphore.locked());
        semaphore.release();
        EXPECT_EQ(semaphore.repr(), "<Semaphore [unlocked, value:1]>");
    });
}

TEST(Semaphore, LastWaiterCancelledAfterItsGrantLeavesThePermit) {
    simulate([]() -> Coroutine<void> {
        Semaphore semaphore(0);
        auto a = create_task(semaphore.acquire());
        co_await turns();
        semaphore.release();
        a.cancel();
        EXPECT_THROW(co_await a, CancelledError);
        EXPECT_EQ(semaphore.repr(), "<Semaphore [unlocked, value:1]>");
    });
}

TEST(Semaphore, ReleaseMayExceedTheFirstValue) {
    Semaphore semaphore;
    semaphore.release();
    semaphore.release();
    EXPECT_EQ(semaphore.repr(), "<Semaphore [unlocked, value:3]>");
}

// rule 90
TEST(BoundedSemaphore, ReleaseAboveTheFirstValueIsAnError) {
    simulate([]() -> Coroutine<void> {
        BoundedSemaphore semaphore(2);
        EXPECT_THROW(semaphore.release(), ValueError);
        co_await semaphore.acquire();
        semaphore.release();
        Semaphore& base = semaphore;
        EXPECT_THROW(base.release(), ValueError);
        EXPECT_EQ(semaphore.repr(), "<BoundedSemaphore [unlocked, value:2]>");
    });
}

TEST(BoundedSemaphore, IsAManagerAndHasGuards) {
    simulate([]() -> Coroutine<void> {
        BoundedSemaphore semaphore(1);
        co_await with(semaphore, [&]() -> Coroutine<void> {
            EXPECT_TRUE(semaphore.locked());
            co_return;
        });
        EXPECT_FALSE(semaphore.locked());
        {
            auto permit = co_await semaphore.scoped();
            EXPECT_TRUE(semaphore.locked());
        }
        EXPECT_FALSE(semaphore.locked());
    });
}

// rule 95
TEST(Semaphore, BelongsToTheFirstLoopOnWhichATaskWaited) {
    Semaphore semaphore(0);
    const auto wait_once = [&]() -> Coroutine<void> {
        auto waiter = create_task(semaphore.acquire());
        co_await turns();
        semaphore.release();
        co_await waiter;
    };
    asyncio::run(wait_once);
    asyncio::run(
        [&]() -> Coroutine<void> { EXPECT_THROW(co_await semaphore.acquire(), RuntimeError); });
}

TEST(Semaphore, MayBeDestroyedUnderItsWaiters) {
    simulate([]() -> Coroutine<void> {
        auto semaphore = std::make_unique<Semaphore>(0);
        auto woken = create_task(semaphore->acquire());
        auto waiting = create_task(semaphore->acquire());
        co_await turns();
        semaphore->release();
        semaphore.reset();
        EXPECT_THROW(co_await woken, RuntimeError);
        waiting.cancel();
        EXPECT_THROW(co_await waiting, CancelledError);
    });
}
