// timeout() and Timeout: semantics rules 57 to 63, as CPython's test_timeouts.py maps them.
#include <gmock/gmock.h>

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

// test_timeout_zero, test_timeout_zero_sleep_zero
TEST(TimeoutBlock, OfNoTimeAtAllExpiresAtTheFirstSuspension) {
    for (const auto delay : {1h, 0h}) {
        simulate([delay](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
            Timeout limit = timeout(0s);
            EXPECT_EQ(limit.when(), sim->time());
            EXPECT_THROW(
                co_await with(limit, [delay]() -> Coroutine<void> { co_await sleep(delay); }),
                TimeoutError);
            EXPECT_TRUE(limit.expired());
            EXPECT_EQ(sim.elapsed(), 0s);
        });
    }
}

// test_foreign_exception_passed
TEST(TimeoutBlock, AnErrorInTimePassesThrough) {
    simulate([]() -> Coroutine<void> {
        Timeout limit = timeout(1s);
        EXPECT_THROW(co_await with(limit,
                                   []() -> Coroutine<void> {
                                       throw ValueError("early");
                                       co_return;
                                   }),
                     ValueError);
        EXPECT_FALSE(limit.expired());
        co_await sleep(2s);  // and nothing is cancelled later
    });
}

// test_nested_timeouts_concurrent
TEST(TimeoutBlock, TheEarlierOuterDeadlineThrowsAtTheOuterBlock) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Timeout outer = timeout(1s);
        Timeout inner = timeout(1h);
        bool passed_on = false;
        EXPECT_THROW(co_await with(outer,
                                   [&]() -> Coroutine<void> {
                                       const auto outcome = co_await try_(with(
                                           inner, []() -> Coroutine<void> { co_await sleep(2h); }));
                                       passed_on = outcome.cancelled();
                                       outcome.value();
                                   }),
                     TimeoutError);
        EXPECT_TRUE(passed_on);
        EXPECT_FALSE(inner.expired());
        EXPECT_EQ(sim.elapsed(), 1s);
    });
}

// test_nested_timeout_in_finally
TEST(TimeoutBlock, AnotherOneMayGuardTheCleanUp) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        bool inner_expired = false;
        const auto outcome = co_await try_(with(timeout(1s), [&inner_expired]() -> Coroutine<void> {
            const auto slept = co_await try_(sleep(1h));
            const auto inner =
                co_await try_(with(timeout(1s), []() -> Coroutine<void> { co_await sleep(1h); }));
            inner_expired = holds_exception<TimeoutError>(inner.exception());
            slept.value();
        }));
        EXPECT_TRUE(inner_expired);
        EXPECT_TRUE(holds_exception<TimeoutError>(outcome.exception()));
        EXPECT_EQ(sim.elapsed(), 2s);
        EXPECT_EQ(current_task().cancelling(), 0u);
    });
}

// test_cancel_in_timeout_after_cancellation
TEST(TimeoutBlock, ATaskWithAnUnreleasedCancellationCanBeCancelledInside) {
    simulate([]() -> Coroutine<void> {
        Task<void> task = create_task([]() -> Coroutine<void> {
            current_task().cancel();
            const auto first = co_await try_(sleep(1s));
            EXPECT_TRUE(first.cancelled());
            co_await with(timeout(1s), []() -> Coroutine<void> {
                current_task().cancel();
                co_await sleep(2s);
            });
        });
        EXPECT_TRUE((co_await try_(task)).cancelled());
        EXPECT_EQ(task.cancelling(), 2u);
    });
}

// test_timeout_taskgroup
TEST(TimeoutBlock, AroundAGroupWhoseChildFailsWindingDownGivesTheGroupsError) {
    simulate([]() -> Coroutine<void> {
        const auto outcome = co_await try_(with(timeout(1s), []() -> Coroutine<void> {
            co_await with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
                group.create_task([]() -> Coroutine<void> {
                    const auto slept = co_await try_(sleep(1h));
                    throw ValueError("winding down");
                });
                co_await sleep(1h);
            });
        }));
        EXPECT_TRUE(holds_exception<ExceptionGroup>(outcome.exception()));
        EXPECT_EQ(current_task().cancelling(), 0u);
        co_await sleep(0);
    });
}

// test_repr_active, _expired, _finished, _disabled
TEST(TimeoutBlock, ReprTellsStateAndDeadline) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const auto now =
            std::chrono::duration_cast<std::chrono::milliseconds>(sim->time().time_since_epoch());
        Timeout limit = timeout(1500ms);
        EXPECT_EQ(limit.repr(), "<Timeout [created]>");
        const auto outcome = co_await try_(with(limit, [now](Timeout& t) -> Coroutine<void> {
            const auto deadline = now + 1500ms;
            const std::string fraction = std::to_string(1000 + deadline.count() % 1000);
            EXPECT_EQ(t.repr(),
                      "<Timeout [active] when=" + std::to_string(deadline.count() / 1000) + "." +
                          fraction.substr(1) + ">");
            t.reschedule(std::nullopt);
            EXPECT_EQ(t.repr(), "<Timeout [active] when=none>");
            t.reschedule(get_running_loop().time());
            const auto slept = co_await try_(sleep(1h));
            EXPECT_EQ(t.repr(), "<Timeout [expiring]>");
            slept.value();
        }));
        EXPECT_TRUE(holds_exception<TimeoutError>(outcome.exception()));
        EXPECT_EQ(limit.repr(), "<Timeout [expired]>");
        Timeout in_time = timeout(1s);
        co_await with(in_time, []() -> Coroutine<void> { co_return; });
        EXPECT_EQ(in_time.repr(), "<Timeout [finished]>");
    });
}

// test_timeout_already_entered
TEST(TimeoutMisuse, EnteringItInsideItselfIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        Timeout limit = timeout(1s);
        co_await with(limit, [&limit]() -> Coroutine<void> {
            EXPECT_THROW(co_await with(limit, []() -> Coroutine<void> { co_return; }),
                         RuntimeError);
            co_await sleep(500ms);
        });
        EXPECT_FALSE(limit.expired());
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

// test_reschedule
TEST(TimeoutReschedule, FromAnotherTaskAndToNever) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Timeout limit = timeout(10s);
        Task<void> task = create_task([&limit]() -> Coroutine<void> {
            co_await with(limit, []() -> Coroutine<void> { co_await sleep(50s); });
        });
        co_await sleep(1s);
        limit.reschedule(sim->time() + 20s);
        EXPECT_EQ(limit.when(), sim->time() + 20s);
        limit.reschedule(std::nullopt);
        EXPECT_EQ(limit.when(), std::nullopt);
        co_await sleep(40s);
        EXPECT_FALSE(task.done());
        task.cancel();
        EXPECT_TRUE((co_await try_(task)).cancelled());
        EXPECT_FALSE(limit.expired());
    });
}

// rule 63: test_timeout_not_entered, _expiring, _expired, _finished
TEST(TimeoutReschedule, OutsideOfTheBlockIsARuntimeError) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const auto refusal = [&sim](Timeout& limit) -> std::string {
            try {
                limit.reschedule(sim->time());
                return "";
            } catch (const RuntimeError& error) {
                return error.what();
            }
        };
        Timeout limit = timeout(1s);
        EXPECT_EQ(refusal(limit), "<Timeout [created]> has not been entered; use with()");
        const auto outcome = co_await try_(with(limit, [&](Timeout& t) -> Coroutine<void> {
            const auto slept = co_await try_(sleep(1h));
            EXPECT_THAT(refusal(t), ::testing::HasSubstr("[expiring]"));
            slept.value();
        }));
        EXPECT_TRUE(holds_exception<TimeoutError>(outcome.exception()));
        EXPECT_THAT(refusal(limit), ::testing::HasSubstr("[expired]"));
        Timeout in_time = timeout(1s);
        co_await with(in_time, []() -> Coroutine<void> { co_return; });
        EXPECT_THAT(refusal(in_time), ::testing::HasSubstr("[finished]"));
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
