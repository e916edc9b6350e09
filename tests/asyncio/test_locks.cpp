// Lock and Event, as CPython's test_locks.py maps them.
#include <memory>

#include "support/simulate.hpp"
#include "support/turns.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

Coroutine<void> take(Lock& lock, std::string name, Names& log) {
    co_await lock.acquire();
    log.push_back(name);
}

}  // namespace

TEST(Lock, ReprTellsStateAndWaiters) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        EXPECT_EQ(lock.repr(), "<Lock [unlocked]>");
        co_await lock.acquire();
        EXPECT_EQ(lock.repr(), "<Lock [locked]>");
        auto waiter = create_task(lock.acquire());
        co_await turns();
        EXPECT_EQ(lock.repr(), "<Lock [locked, waiters:1]>");
        lock.release();
        EXPECT_EQ(lock.repr(), "<Lock [unlocked, waiters:1]>");
        EXPECT_TRUE(co_await waiter);
        EXPECT_EQ(lock.repr(), "<Lock [locked]>");
    });
}

TEST(Lock, AcquireOfAFreeLockGivesTrueWithoutLeavingTheTurn) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        bool other_ran = false;
        get_running_loop().call_soon([&] { other_ran = true; });
        EXPECT_TRUE(co_await lock.acquire());
        EXPECT_TRUE(lock.locked());
        lock.release();
        EXPECT_FALSE(lock.locked());
        EXPECT_FALSE(other_ran);
        co_await turns();
    });
}

// rule 86
TEST(Lock, IsFirstComeFirstServed) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        Names log;
        co_await lock.acquire();
        auto a = create_task(take(lock, "a", log));
        auto b = create_task(take(lock, "b", log));
        auto c = create_task(take(lock, "c", log));
        co_await turns();
        EXPECT_EQ(log, Names());
        lock.release();
        co_await turns();
        EXPECT_EQ(log, Names({"a"}));
        lock.release();
        co_await turns();
        EXPECT_EQ(log, Names({"a", "b"}));
        lock.release();
        co_await turns();
        EXPECT_EQ(log, Names({"a", "b", "c"}));
        EXPECT_TRUE(lock.locked());
        co_await gather(a, b, c);
    });
}

// rule 86
TEST(Lock, NewcomerQueuesBehindAWaiterThatWasWokenButHasNotRun) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        Names log;
        co_await lock.acquire();
        auto first = create_task(take(lock, "first", log));
        co_await turns();
        lock.release();
        auto second = create_task(take(lock, "second", log));
        co_await turns();
        EXPECT_EQ(log, Names({"first"}));
        lock.release();
        co_await second;
        EXPECT_EQ(log, Names({"first", "second"}));
        co_await first;
    });
}

// rule 22, for the wake-up of a lock
TEST(Lock, WaiterRunsExactlyOneIterationAfterRelease) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        Names log;
        co_await lock.acquire();
        auto waiter = create_task(take(lock, "waiter", log));
        co_await turns();
        get_running_loop().call_soon([&] { log.push_back("before"); });
        lock.release();
        get_running_loop().call_soon([&] { log.push_back("after"); });
        co_await turns();
        EXPECT_EQ(log, Names({"before", "waiter", "after"}));
        co_await waiter;
    });
}

// rule 86
TEST(Lock, AnyTaskMayRelease) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        co_await lock.acquire();
        co_await create_task([&]() -> Coroutine<void> {
            lock.release();
            co_return;
        });
        EXPECT_FALSE(lock.locked());
    });
}

// rule 86
TEST(Lock, ReleaseOfAnUnlockedLockIsAnError) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        EXPECT_THROW(lock.release(), RuntimeError);
        co_await lock.acquire();
        lock.release();
        EXPECT_THROW(lock.release(), RuntimeError);
        EXPECT_TRUE(co_await lock.acquire());  // nothing else disturbed
    });
}

TEST(Lock, CancelledWaiterLeavesTheLine) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        co_await lock.acquire();
        auto waiter = create_task(lock.acquire());
        co_await turns();
        waiter.cancel("enough");
        EXPECT_EQ(lock.repr(), "<Lock [locked, waiters:1]>");
        const auto outcome = co_await try_(waiter);
        EXPECT_EQ(describe_exception(outcome.exception()), "CancelledError: enough");
        EXPECT_EQ(lock.repr(), "<Lock [locked]>");
    });
}

// rule 87: test_cancel_race
TEST(Lock, WaiterCancelledRightAfterItWasWokenHandsTheLockOn) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        Names log;
        co_await lock.acquire();
        auto a = create_task(take(lock, "a", log));
        auto b = create_task(take(lock, "b", log));
        co_await turns();
        lock.release();
        a.cancel();
        EXPECT_THROW(co_await a, CancelledError);
        co_await b;
        EXPECT_EQ(log, Names({"b"}));
    });
}

// rule 87: test_cancel_release_race
TEST(Lock, WaiterCancelledRightBeforeReleaseDoesNotSwallowTheWakeUp) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        Names log;
        co_await lock.acquire();
        auto a = create_task(take(lock, "a", log));
        auto b = create_task(take(lock, "b", log));
        co_await turns();
        a.cancel();
        lock.release();
        co_await turns();
        EXPECT_EQ(log, Names());  // as in CPython: the cancelled one wakes b when it runs
        EXPECT_FALSE(lock.locked());
        co_await turns();
        EXPECT_EQ(log, Names({"b"}));
        EXPECT_THROW(co_await a, CancelledError);
        co_await b;
    });
}

// rule 87: test_finished_waiter_cancelled
TEST(Lock, CancellingAWokenWaiterLetsOnlyOneTaskIn) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        co_await lock.acquire();
        auto a = create_task(lock.acquire());
        auto b = create_task(lock.acquire());
        co_await turns();
        lock.release();
        a.cancel();
        co_await turns(3);
        EXPECT_TRUE(lock.locked());
        EXPECT_TRUE(b.done());
        auto c = create_task(lock.acquire());
        co_await turns(3);
        EXPECT_FALSE(c.done());
        lock.release();
        EXPECT_TRUE(co_await c);
        EXPECT_THROW(co_await a, CancelledError);
    });
}

TEST(Lock, FreeLockWithOnlyCancelledWaitersIsTakenAtOnce) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        co_await lock.acquire();
        auto a = create_task(lock.acquire());
        co_await turns();
        a.cancel();
        lock.release();
        EXPECT_TRUE(co_await lock.acquire());
        EXPECT_FALSE(a.done());
        EXPECT_THROW(co_await a, CancelledError);
        EXPECT_TRUE(lock.locked());
        EXPECT_EQ(lock.repr(), "<Lock [locked]>");
    });
}

// rule 35
TEST(Lock, FreeLockIsTakenInSpiteOfACancelThatIsDue) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        auto task = create_task([&]() -> Coroutine<void> {
            current_task().cancel();
            co_await lock.acquire();
            EXPECT_TRUE(lock.locked());
            co_await lock.acquire();
            ADD_FAILURE() << "not reached";
        });
        EXPECT_THROW(co_await task, CancelledError);
        EXPECT_TRUE(lock.locked());
    });
}

TEST(Lock, WorksWithWaitForAndGather) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        EXPECT_TRUE(co_await wait_for(lock.acquire(), 1s));
        EXPECT_THROW(co_await wait_for(lock.acquire(), 1s), TimeoutError);
        lock.release();
        Lock other;
        auto [a, b] = co_await gather(lock.acquire(), other.acquire());
        EXPECT_TRUE(a && b);
        EXPECT_TRUE(lock.locked() && other.locked());
    });
}

TEST(Lock, GuardReleasesAtTheEndOfItsScope) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        {
            auto guard = co_await lock.scoped();
            EXPECT_TRUE(lock.locked());
        }
        EXPECT_FALSE(lock.locked());
        try {
            auto guard = co_await lock.scoped();
            throw ValueError("out");
        } catch (const ValueError&) {
        }
        EXPECT_FALSE(lock.locked());
        auto guard = co_await lock.scoped();
        auto moved = std::move(guard);
        EXPECT_TRUE(lock.locked());
        moved.release();
        EXPECT_FALSE(lock.locked());
        moved.release();  // has nothing to release any more
    });
}

TEST(Lock, GuardThatCannotReleaseTellsTheExceptionHandler) {
    asyncio::testing::SimLoop sim;
    sim.run_until_complete([]() -> Coroutine<void> {
        Lock lock;
        auto guard = co_await lock.scoped();
        lock.release();
    }());
    ASSERT_EQ(sim.reports().size(), 1u);
    EXPECT_TRUE(holds_exception<RuntimeError>(sim.reports()[0].exception));
}

// test_context_manager, test_lock_by_with_statement
TEST(Lock, IsAManagerThatGivesNothing) {
    simulate([]() -> Coroutine<void> {
        Lock lock;
        const int value = co_await with(lock, [&]() -> Coroutine<int> {
            EXPECT_TRUE(lock.locked());
            co_return 5;
        });
        EXPECT_EQ(value, 5);
        EXPECT_FALSE(lock.locked());
        EXPECT_THROW(co_await with(lock,
                                   []() -> Coroutine<void> {
                                       throw ValueError("out");
                                       co_return;
                                   }),
                     ValueError);
        EXPECT_FALSE(lock.locked());
    });
}

// rule 95
TEST(Lock, BelongsToTheFirstLoopOnWhichATaskWaited) {
    Lock lock;
    const auto contend = [&]() -> Coroutine<void> {
        co_await lock.acquire();
        auto waiter = create_task(lock.acquire());
        co_await turns();
        lock.release();
        co_await waiter;
        lock.release();
    };
    asyncio::run([&]() -> Coroutine<void> {  // never waits: binds to nothing
        co_await lock.acquire();
        lock.release();
    });
    asyncio::run(contend);
    asyncio::run([&]() -> Coroutine<void> {
        co_await lock.acquire();  // uncontended is fine anywhere
        EXPECT_THROW(co_await lock.acquire(), RuntimeError);
        EXPECT_EQ(lock.repr(), "<Lock [locked]>");
        lock.release();
    });
}

TEST(Lock, WaitingOutsideOfATaskIsAnError) {
    const EventLoopPtr loop = new_event_loop();
    Lock lock;
    loop->run_until_complete([&]() -> Coroutine<void> { co_await lock.acquire(); }());
    EXPECT_TRUE(lock.locked());
    auto waiter = lock.acquire().operator co_await();
    EXPECT_FALSE(waiter.await_ready());
    EXPECT_THROW(waiter.await_suspend(std::noop_coroutine()), RuntimeError);
}

// A loop that closes takes its frames with it; what they waited for stays usable.
TEST(Lock, FramesThatWaitMayGoWithTheirLoop) {
    Lock lock;
    Event event;
    {
        EventLoopPtr loop = new_event_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        auto holder = loop->create_task([&]() -> Coroutine<void> {
            auto guard = co_await lock.scoped();  // wakes the next while the loop closes
            co_await event.wait();
        });
        auto a = loop->create_task(lock.acquire());
        auto b =
            loop->create_task([&]() -> Coroutine<void> { auto guard = co_await lock.scoped(); });
        loop->run_until_complete([]() -> Coroutine<void> { co_await turns(2); }());
        EXPECT_EQ(lock.repr(), "<Lock [locked, waiters:2]>");
        loop->close();
        EXPECT_FALSE(holder.done() || a.done() || b.done());
    }
    EXPECT_EQ(lock.repr(), "<Lock [unlocked]>");
    EXPECT_EQ(event.repr(), "<Event [unset]>");
}

// In Python the waiters' references keep the lock; here it may go first, as when run() ends
// the tasks that a main coroutine left behind.
TEST(Lock, MayBeDestroyedUnderItsWaiters) {
    simulate([]() -> Coroutine<void> {
        auto lock = std::make_unique<Lock>();
        co_await lock->acquire();
        auto woken = create_task(lock->acquire());
        auto waiting = create_task(lock->acquire());
        auto cancelled = create_task(lock->acquire());
        co_await turns();
        cancelled.cancel();
        lock->release();
        lock.reset();
        co_await turns(3);
        EXPECT_THROW(co_await woken, RuntimeError);
        EXPECT_THROW(co_await cancelled, CancelledError);
        EXPECT_FALSE(waiting.done());
        waiting.cancel();
        EXPECT_THROW(co_await waiting, CancelledError);
    });
}

// ---- Event --------------------------------------------------------------------------------

TEST(Event, ReprTellsStateAndWaiters) {
    simulate([]() -> Coroutine<void> {
        Event event;
        EXPECT_EQ(event.repr(), "<Event [unset]>");
        auto waiter = create_task(event.wait());
        co_await turns();
        EXPECT_EQ(event.repr(), "<Event [unset, waiters:1]>");
        event.set();
        EXPECT_TRUE(co_await waiter);
        EXPECT_EQ(event.repr(), "<Event [set]>");
    });
}

TEST(Event, WakesEverybodyInOrder) {
    simulate([]() -> Coroutine<void> {
        Event event;
        Names log;
        const auto waiter = [&](std::string name) -> Coroutine<void> {
            EXPECT_TRUE(co_await event.wait());
            log.push_back(name);
        };
        auto a = create_task(waiter, "a");
        auto b = create_task(waiter, "b");
        auto c = create_task(waiter, "c");
        co_await turns();
        EXPECT_EQ(log, Names());
        event.set();
        EXPECT_EQ(log, Names());
        co_await turns();
        EXPECT_EQ(log, Names({"a", "b", "c"}));
        co_await gather(a, b, c);
    });
}

TEST(Event, WaitOfASetEventDoesNotLeaveTheTurn) {
    simulate([]() -> Coroutine<void> {
        Event event;
        event.set();
        event.set();
        EXPECT_TRUE(event.is_set());
        bool other_ran = false;
        get_running_loop().call_soon([&] { other_ran = true; });
        EXPECT_TRUE(co_await event.wait());
        EXPECT_FALSE(other_ran);
        co_await turns();
        event.clear();
        EXPECT_FALSE(event.is_set());
    });
}

TEST(Event, CancelledWaiterLeaves) {
    simulate([]() -> Coroutine<void> {
        Event event;
        auto waiter = create_task(event.wait());
        co_await turns();
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_EQ(event.repr(), "<Event [unset]>");
        event.set();
    });
}

TEST(Event, CancelWinsOverASetThatCameFirst) {
    simulate([]() -> Coroutine<void> {  // rule 34
        Event event;
        auto waiter = create_task(event.wait());
        co_await turns();
        event.set();
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
    });
}

// rule 91
TEST(Event, SetReleasesEverybodyEvenIfClearFollows) {
    simulate([]() -> Coroutine<void> {
        Event event;
        auto a = create_task(event.wait());
        auto b = create_task(event.wait());
        co_await turns();
        event.set();
        event.clear();
        auto late = create_task(event.wait());
        event.set();
        event.clear();
        co_await turns(2);
        EXPECT_TRUE(a.done() && b.done());
        EXPECT_FALSE(late.done());
        event.set();
        EXPECT_TRUE(co_await late);
    });
}

TEST(Event, MayGoAsSoonAsItIsSet) {
    simulate([]() -> Coroutine<void> {
        auto event = std::make_unique<Event>();
        auto woken = create_task(event->wait());
        co_await turns();
        event->set();
        event.reset();
        EXPECT_TRUE(co_await woken);
    });
}

TEST(Event, MayBeDestroyedUnderItsWaiters) {
    simulate([]() -> Coroutine<void> {
        auto event = std::make_unique<Event>();
        auto waiting = create_task([&]() -> Coroutine<void> {
            co_await event->wait();
            co_await event->wait();
        });
        auto woken = create_task(event->wait());
        co_await turns();
        event->set();
        event->clear();
        co_await turns();
        EXPECT_EQ(event->repr(), "<Event [unset, waiters:1]>");
        EXPECT_TRUE(co_await woken);
        woken = create_task(event->wait());
        co_await turns();
        event.reset();
        woken.cancel();
        EXPECT_THROW(co_await woken, CancelledError);
        EXPECT_FALSE(waiting.done());
        waiting.cancel();
        EXPECT_THROW(co_await waiting, CancelledError);
    });
}
