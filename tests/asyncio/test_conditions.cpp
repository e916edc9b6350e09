// Condition, as CPython's test_locks.py maps it.
#include <memory>

#include "support/simulate.hpp"
#include "support/turns.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

// Acquires, waits once, and writes its number down while it holds the lock.
Coroutine<void> wait_once(Condition& condition, std::vector<int>& log, int number) {
    auto guard = co_await condition.scoped();
    co_await condition.wait();
    log.push_back(number);
}

}  // namespace

TEST(Condition, ReprTellsStateAndWaiters) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        EXPECT_EQ(condition.repr(), "<Condition [unlocked]>");
        std::vector<int> log;
        auto waiter = create_task(wait_once(condition, log, 1));
        co_await turns();
        EXPECT_EQ(condition.repr(), "<Condition [unlocked, waiters:1]>");
        auto guard = co_await condition.scoped();
        EXPECT_EQ(condition.repr(), "<Condition [locked, waiters:1]>");
        condition.notify();
        guard.release();
        co_await waiter;
    });
}

TEST(Condition, WaitReleasesAndTakesTheLockAgain) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        std::vector<int> log;
        auto a = create_task(wait_once(condition, log, 1));
        auto b = create_task(wait_once(condition, log, 2));
        auto c = create_task(wait_once(condition, log, 3));
        co_await turns(2);
        EXPECT_FALSE(condition.locked());
        EXPECT_TRUE(co_await condition.acquire());
        condition.notify();
        co_await turns(2);
        EXPECT_EQ(log, std::vector<int>());  // rule 94: a notify() does not release
        condition.release();
        co_await turns(2);
        EXPECT_EQ(log, std::vector<int>({1}));
        co_await condition.acquire();
        condition.notify(2);
        condition.release();
        co_await gather(a, b, c);
        EXPECT_EQ(log, std::vector<int>({1, 2, 3}));
        EXPECT_FALSE(condition.locked());
    });
}

// rule 94
TEST(Condition, WaitingOrNotifyingWithoutTheLockIsAnError) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        EXPECT_THROW(co_await condition.wait(), RuntimeError);
        EXPECT_THROW(condition.notify(), RuntimeError);
        EXPECT_THROW(condition.notify_all(), RuntimeError);
        EXPECT_THROW(condition.release(), RuntimeError);
    });
}

TEST(Condition, CancelledWaitHoldsTheLockWhenItEnds) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        co_await condition.acquire();
        auto waiter = create_task([&]() -> Coroutine<void> {
            co_await condition.acquire();
            try {
                co_await condition.wait();
            } catch (const CancelledError&) {
                EXPECT_TRUE(condition.locked());
                condition.release();
                throw;
            }
        });
        condition.release();
        co_await turns(2);
        waiter.cancel("stop");
        const auto outcome = co_await try_(waiter);
        EXPECT_EQ(describe_exception(outcome.exception()), "CancelledError: stop");
        EXPECT_EQ(condition.repr(), "<Condition [unlocked]>");
    });
}

// rule 92: test_wait_cancel_contested
TEST(Condition, CancelledWaitTakesTheLockEvenWhenItIsContested) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        auto waiter = create_task([&]() -> Coroutine<void> {
            auto guard = co_await condition.scoped();
            EXPECT_THROW(co_await condition.wait(), CancelledError);
            EXPECT_TRUE(condition.locked());
        });
        co_await turns();
        co_await condition.acquire();
        waiter.cancel();
        co_await turns(3);
        EXPECT_FALSE(waiter.done());
        condition.release();
        co_await waiter;
        EXPECT_FALSE(condition.locked());
    });
}

// rule 92: test_cancelled_error_re_aquire
TEST(Condition, CancelWhileTakingTheLockAgainStillTakesItFirst) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        std::string message;
        auto waiter = create_task([&]() -> Coroutine<void> {
            auto guard = co_await condition.scoped();
            try {
                co_await condition.wait();
            } catch (const CancelledError& error) {
                message = error.message();
                EXPECT_TRUE(condition.locked());
                throw;
            }
        });
        co_await turns();
        co_await condition.acquire();
        condition.notify();
        co_await turns();
        waiter.cancel("foo1");
        co_await turns();
        waiter.cancel("foo2");
        co_await turns();
        waiter.cancel("foo3");
        co_await turns();
        EXPECT_FALSE(waiter.done());
        condition.release();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_EQ(message, "foo3");  // the latest, as in CPython
        EXPECT_FALSE(condition.locked());
    });
}

TEST(Condition, WaiterCancelledAfterItsNotificationKeepsTheLockRules) {
    simulate([]() -> Coroutine<void> {  // test_wait_cancel_after_notify
        Condition condition;
        bool waited = false;
        auto waiter = create_task([&]() -> Coroutine<void> {
            auto guard = co_await condition.scoped();
            try {
                co_await condition.wait();
            } catch (...) {
                EXPECT_TRUE(condition.locked());
                throw;
            }
            waited = true;
        });
        co_await turns();
        co_await condition.acquire();
        condition.notify();
        waiter.cancel();
        condition.release();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_FALSE(waited);
    });
}

// rule 93: test_cancelled_wakeup
TEST(Condition, NotifiedWaiterThatIsCancelledPassesTheNotificationOn) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        int state = 0;
        const auto consumer = [&]() -> Coroutine<void> {
            auto guard = co_await condition.scoped();
            while (true) {
                co_await condition.wait_for([&] { return state != 0; });
                if (state < 0) co_return;
                --state;
            }
        };
        std::vector<Task<void>> tasks;
        for (int i = 0; i < 10; ++i) tasks.push_back(create_task(consumer));
        co_await turns(2);
        {
            auto guard = co_await condition.scoped();
            state += 2;
            condition.notify(2);
            tasks[0].cancel();
            tasks[1].cancel();
        }
        for (int i = 0; i < 20; ++i) co_await turns();
        EXPECT_EQ(state, 0);
        {
            auto guard = co_await condition.scoped();
            state = -1;
            condition.notify_all();
        }
        static_cast<void>(co_await gather(return_exceptions, tasks));
        EXPECT_TRUE(tasks[0].cancelled() && tasks[1].cancelled());
    });
}

// rule 93: test_cancelled_wakeup_relock
TEST(Condition, WaiterCancelledWhileTakingTheLockPassesTheNotificationOn) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        std::vector<int> log;
        auto a = create_task(wait_once(condition, log, 1));
        auto b = create_task(wait_once(condition, log, 2));
        co_await turns(2);
        co_await condition.acquire();
        condition.notify();
        co_await turns();  // a waits for the lock now
        a.cancel();
        co_await turns();
        condition.release();
        co_await b;
        EXPECT_EQ(log, std::vector<int>({2}));
        EXPECT_TRUE((co_await try_(a)).exception() != nullptr);
    });
}

TEST(Condition, WaitForGivesWhatThePredicateGave) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        int value = 0;
        auto waiter = create_task([&]() -> Coroutine<int> {
            auto guard = co_await condition.scoped();
            co_return co_await condition.wait_for([&] {
                EXPECT_TRUE(condition.locked());
                return value > 1 ? value : 0;
            });
        });
        for (int i = 1; i <= 2; ++i) {
            co_await turns(2);
            EXPECT_FALSE(waiter.done());
            auto guard = co_await condition.scoped();
            value = i;
            condition.notify();
        }
        EXPECT_EQ(co_await waiter, 2);
    });
}

TEST(Condition, WaitForNeedsTheLockOnlyWhenItWaits) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        EXPECT_TRUE(co_await condition.wait_for([] { return true; }));
        EXPECT_THROW(co_await condition.wait_for([] { return false; }), RuntimeError);
        const auto text = co_await condition.wait_for([] { return std::optional<int>(5); });
        EXPECT_EQ(text, 5);
    });
}

TEST(Condition, NotifyWakesUpToNInOrder) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        std::vector<int> log;
        std::vector<Task<void>> tasks;
        for (int i = 0; i < 5; ++i) tasks.push_back(create_task(wait_once(condition, log, i)));
        co_await turns(2);
        const auto notify = [&](std::ptrdiff_t n) -> Coroutine<void> {
            {
                auto guard = co_await condition.scoped();
                condition.notify(n);
            }
            co_await turns(10);
        };
        co_await notify(0);
        co_await notify(-1);
        EXPECT_EQ(log, std::vector<int>());
        co_await notify(1);
        EXPECT_EQ(log, std::vector<int>({0}));
        co_await notify(2);
        EXPECT_EQ(log, std::vector<int>({0, 1, 2}));
        co_await notify(2048);
        EXPECT_EQ(log, std::vector<int>({0, 1, 2, 3, 4}));
        co_await gather(tasks);
    });
}

TEST(Condition, NotifyAllWakesEveryWaiterOfThisMoment) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        std::vector<int> log;
        auto a = create_task(wait_once(condition, log, 1));
        auto b = create_task(wait_once(condition, log, 2));
        co_await turns(2);
        auto late = create_task(wait_once(condition, log, 3));
        {
            auto guard = co_await condition.scoped();
            condition.notify_all();
        }
        co_await gather(a, b);
        co_await turns(3);
        EXPECT_EQ(log, std::vector<int>({1, 2}));
        late.cancel();
        EXPECT_THROW(co_await late, CancelledError);
    });
}

// test_explicit_lock
TEST(Condition, MayShareALock) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        Condition first(lock);
        Condition second(lock);
        co_await lock.acquire();
        EXPECT_TRUE(first.locked() && second.locked());
        first.notify();
        lock.release();
        EXPECT_FALSE(first.locked());
        std::vector<int> log;
        auto a = create_task(wait_once(first, log, 1));
        auto b = create_task(wait_once(second, log, 2));
        co_await turns(2);
        co_await second.acquire();
        second.notify_all();
        lock.release();
        co_await b;
        EXPECT_EQ(log, std::vector<int>({2}));
        a.cancel();
        EXPECT_THROW(co_await a, CancelledError);
    });
}

// rule 95: test_ambiguous_loops
TEST(Condition, OnAnotherLoopKeepsItsLock) {
    Condition condition;
    std::vector<int> log;
    asyncio::run([&]() -> Coroutine<void> {
        auto waiter = create_task(wait_once(condition, log, 1));
        co_await turns();
        auto guard = co_await condition.scoped();
        condition.notify();
        guard.release();
        co_await waiter;
    });
    asyncio::run([&]() -> Coroutine<void> {
        auto guard = co_await condition.scoped();
        EXPECT_THROW(co_await condition.wait(), RuntimeError);
        EXPECT_TRUE(condition.locked());
    });
    EXPECT_FALSE(condition.locked());
}

// test_timeout_in_block, test_context_manager
TEST(Condition, IsAManagerAndKeepsTheLockAfterATimeout) {
    simulate([]() -> Coroutine<void> {
        Condition condition;
        co_await with(condition, [&]() -> Coroutine<void> {
            EXPECT_TRUE(condition.locked());
            EXPECT_THROW(co_await wait_for(condition.wait(), 500ms), TimeoutError);
            EXPECT_TRUE(condition.locked());
        });
        EXPECT_FALSE(condition.locked());
    });
}

TEST(Condition, MayBeDestroyedUnderItsWaiters) {
    simulate([]() -> Coroutine<void> {
        auto condition = std::make_unique<Condition>();
        const auto wait = [&]() -> Coroutine<void> {
            Condition& mine = *condition;
            co_await mine.acquire();
            co_await mine.wait();
        };
        auto notified = create_task(wait);
        auto relocking = create_task(wait);
        auto waiting = create_task(wait);
        co_await turns(2);
        co_await condition->acquire();
        condition->notify(1);
        co_await turns();
        condition->release();
        co_await turns();
        condition->notify(1);
        co_await turns();
        condition.reset();
        co_await turns(3);
        EXPECT_TRUE(notified.done());
        EXPECT_FALSE(relocking.done() || waiting.done());
        relocking.cancel();
        waiting.cancel();
        EXPECT_THROW(co_await relocking, CancelledError);
        EXPECT_THROW(co_await waiting, CancelledError);
    });
}
