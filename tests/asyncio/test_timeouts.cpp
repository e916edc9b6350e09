// timeout() and Timeout: semantics rules 57 to 63, as CPython's test_timeouts.py maps them.
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

TEST(TimeoutBlock, EndsInTime) {
    simulate([]() -> Coroutine<void> {
        Timeout limit = timeout(2s);
        co_await with(limit, []() -> Coroutine<void> { co_await sleep(1s); });
        EXPECT_FALSE(limit.expired());
    });
}

TEST(TimeoutBlock, ExpiryThrowsTimeoutErrorAtItsEdge) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Timeout limit = timeout(1s);
        bool cancelled_inside = false;
        EXPECT_THROW(co_await with(limit,
                                   [&]() -> Coroutine<void> {
                                       const auto outcome = co_await try_(sleep(1h));
                                       cancelled_inside = outcome.cancelled();
                                       outcome.value();
                                   }),
                     TimeoutError);
        EXPECT_TRUE(cancelled_inside);
        EXPECT_TRUE(limit.expired());
        EXPECT_EQ(sim.elapsed(), 1s);
    });
}

TEST(TimeoutBlock, WithoutDeadlineNeverExpires) {
    simulate([]() -> Coroutine<void> {
        Timeout limit = timeout(std::nullopt);
        EXPECT_EQ(limit.when(), std::nullopt);
        co_await with(limit, []() -> Coroutine<void> { co_await sleep(100h); });
        EXPECT_FALSE(limit.expired());
    });
}

// rule 57
TEST(TimeoutBlock, AForeignCancellationPassesThrough) {
    simulate([]() -> Coroutine<void> {
        Task<void> task = create_task([]() -> Coroutine<void> {
            co_await with(timeout(1h), []() -> Coroutine<void> { co_await sleep(2h); });
        });
        co_await sleep(1s);
        task.cancel("from outside");
        const Outcome<void> outcome = co_await try_(task);
        EXPECT_TRUE(outcome.cancelled());
    });
}

// rule 57
TEST(TimeoutBlock, AForeignCancellationWithAnExpiryStaysACancellation) {
    simulate([]() -> Coroutine<void> {
        Task<void> task = create_task([]() -> Coroutine<void> {
            co_await with(timeout(1s), []() -> Coroutine<void> {
                const auto outcome = co_await try_(sleep(1h));  // expired
                current_task().cancel();                        // and cancelled too
                outcome.value();
            });
        });
        const Outcome<void> outcome = co_await try_(task);
        EXPECT_TRUE(outcome.cancelled());
        EXPECT_EQ(task.cancelling(), 1u);
    });
}

// rule 58
TEST(TimeoutBlock, NestedAndExpiredTogetherTheOuterThrows) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const auto when = sim->time() + 1s;
        Timeout outer = timeout_at(when);
        Timeout inner = timeout_at(when);
        bool inner_passed_cancel = false;
        EXPECT_THROW(co_await with(outer,
                                   [&]() -> Coroutine<void> {
                                       const auto outcome = co_await try_(with(
                                           inner, []() -> Coroutine<void> { co_await sleep(1h); }));
                                       inner_passed_cancel = outcome.cancelled();
                                       outcome.value();
                                   }),
                     TimeoutError);
        EXPECT_TRUE(inner_passed_cancel);
        EXPECT_TRUE(outer.expired());
        EXPECT_TRUE(inner.expired());
        EXPECT_EQ(current_task().cancelling(), 0u);
    });
}

TEST(TimeoutBlock, TheEarlierInnerDeadlineThrowsAtTheInnerBlock) {
    simulate([]() -> Coroutine<void> {
        Timeout outer = timeout(1h);
        co_await with(outer, []() -> Coroutine<void> {
            EXPECT_THROW(
                co_await with(timeout(1s), []() -> Coroutine<void> { co_await sleep(2h); }),
                TimeoutError);
        });
        EXPECT_FALSE(outer.expired());
    });
}

// rule 59
TEST(TimeoutBlock, AnotherErrorLeavingAnExpiredBlockIsKept) {
    simulate([]() -> Coroutine<void> {
        Timeout limit = timeout(1s);
        EXPECT_THROW(co_await with(limit,
                                   []() -> Coroutine<void> {
                                       const auto outcome = co_await try_(sleep(1h));
                                       throw ValueError("cleanup");
                                   }),
                     ValueError);
        EXPECT_TRUE(limit.expired());
        EXPECT_EQ(current_task().cancelling(), 0u);
    });
}

// rule 60
TEST(TimeoutBlock, APastDeadlineFiresAtTheFirstSuspension) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Timeout limit = timeout_at(sim->time() - 1s);
        int steps = 0;
        EXPECT_THROW(co_await with(limit,
                                   [&]() -> Coroutine<void> {
                                       ++steps;
                                       co_await sleep(0);
                                       ++steps;
                                       co_await sleep(0);
                                       ++steps;
                                   }),
                     TimeoutError);
        EXPECT_LT(steps, 3);
        EXPECT_TRUE(limit.expired());
    });
}

// rule 61
TEST(TimeoutBlock, ABodyThatNeverSuspendsEndsNormally) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Timeout limit = timeout_at(sim->time() - 1s);
        co_await with(limit, []() -> Coroutine<void> { co_return; });
        EXPECT_FALSE(limit.expired());
        co_await sleep(1s);  // and nothing is cancelled later
    });
}

// rule 62
TEST(TimeoutBlock, ATaskWithAnUnreleasedCancellationCanStillTimeOut) {
    simulate([]() -> Coroutine<void> {
        Task<bool> task = create_task([]() -> Coroutine<bool> {
            const auto first = co_await try_(sleep(1h));
            EXPECT_TRUE(first.cancelled());
            const auto second =
                co_await try_(with(timeout(1s), []() -> Coroutine<void> { co_await sleep(1h); }));
            co_return holds_exception<TimeoutError>(second.exception());
        });
        co_await sleep(0);
        task.cancel();
        const bool timed_out = co_await task;
        EXPECT_TRUE(timed_out);
        EXPECT_EQ(task.cancelling(), 1u);
    });
}

// rule 63
TEST(TimeoutMisuse, EnteringTwiceIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        Timeout limit = timeout(1s);
        co_await with(limit, []() -> Coroutine<void> { co_return; });
        EXPECT_THROW(co_await with(limit, []() -> Coroutine<void> { co_return; }), RuntimeError);
    });
}

// rule 63
TEST(TimeoutMisuse, EnteringOutsideOfATaskIsARuntimeError) {
    asyncio::testing::SimLoop sim;
    bool thrown = false;
    sim->call_soon([&] {
        Timeout limit(std::nullopt);
        try {
            limit.enter();
        } catch (const RuntimeError&) {
            thrown = true;
        }
    });
    sim.run_until_idle();
    EXPECT_TRUE(thrown);
}

TEST(TimeoutReschedule, MovesTheDeadlineBothWays) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const auto start = sim->time();
        Timeout limit = timeout(1s);
        EXPECT_THROW(co_await with(limit,
                                   [&](Timeout& t) -> Coroutine<void> {
                                       t.reschedule(start + 10s);
                                       EXPECT_EQ(t.when(), start + 10s);
                                       co_await sleep(5s);
                                       t.reschedule(start + 6s);
                                       co_await sleep(1h);
                                   }),
                     TimeoutError);
        EXPECT_EQ(sim->time(), start + 6s);
    });
}

// rule 63
TEST(TimeoutReschedule, OutsideOfTheBlockIsARuntimeError) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Timeout limit = timeout(1s);
        EXPECT_THROW(limit.reschedule(sim->time()), RuntimeError);
        EXPECT_THROW(co_await with(limit, []() -> Coroutine<void> { co_await sleep(1h); }),
                     TimeoutError);
        EXPECT_THROW(limit.reschedule(sim->time() + 1s), RuntimeError);
    });
}

TEST(TimeoutCancel, EverySuspensionPointOfABlockCanBeCancelled) {
    const auto report = asyncio::testing::cancel_everywhere([]() -> Coroutine<void> {
        co_await with(timeout(10s), []() -> Coroutine<void> {
            co_await sleep(1s);
            co_await sleep(0);
            co_await sleep(1s);
        });
    });
    EXPECT_GT(report.points, 4u);
    EXPECT_EQ(report.completed, 1u);
}
