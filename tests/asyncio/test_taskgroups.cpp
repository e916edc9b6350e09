// TaskGroup: semantics rules 75 to 85, as CPython's test_taskgroups.py maps them.
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

Coroutine<int> value_after(std::chrono::nanoseconds delay, int value) {
    co_await sleep(delay);
    co_return value;
}

Coroutine<void> failure_after(std::chrono::nanoseconds delay, std::string text) {
    co_await sleep(delay);
    throw ValueError(text);
}

// The texts of a group's members, nested groups in brackets.
std::string members(const std::exception_ptr& error) {
    if (!holds_exception<ExceptionGroup>(error)) return describe_exception(error);
    try {
        std::rethrow_exception(error);
    } catch (const ExceptionGroup& group) {
        std::string text = "[";
        for (const auto& member : group.exceptions()) text += members(member) + ";";
        return text + "]";
    }
}

}  // namespace

TEST(TaskGroup, EndsWhenEveryChildIsDone) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Task<int> a, b;
        co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
            a = group.create_task(value_after(1s, 1));
            b = group.create_task(value_after(3s, 2));
            co_return;
        });
        EXPECT_EQ(sim.elapsed(), 3s);
        EXPECT_EQ(a.result() + b.result(), 3);
    });
}

TEST(TaskGroup, ChildrenMayBeCallablesWithArguments) {
    simulate([]() -> Coroutine<void> {
        Task<int> task;
        const int result = co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<int> {
            task = group.create_task(
                [](int x) -> Coroutine<int> {
                    co_await sleep(1s);
                    co_return x * 2;
                },
                21);
            co_return 5;
        });
        EXPECT_EQ(result, 5);
        EXPECT_EQ(task.result(), 42);
    });
}

// rules 75, 77
TEST(TaskGroup, TheFirstFailureCancelsSiblingsAndTheBody) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Task<int> sibling;
        bool body_cancelled = false;
        const auto outcome =
            co_await try_(with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                sibling = group.create_task(value_after(1h, 1));
                group.create_task(failure_after(1s, "first"));
                const auto slept = co_await try_(sleep(1h));
                body_cancelled = slept.cancelled();
                slept.value();
            }));
        EXPECT_EQ(members(outcome.exception()), "[ValueError: first;]");
        EXPECT_TRUE(sibling.cancelled());
        EXPECT_TRUE(body_cancelled);
        EXPECT_EQ(sim.elapsed(), 1s);
        EXPECT_EQ(current_task().cancelling(), 0u);
        co_await sleep(1s);  // later awaits work
    });
}

// rule 76
TEST(TaskGroup, EveryErrorIsInTheGroupTheBodysLast) {
    simulate([]() -> Coroutine<void> {
        const auto outcome =
            co_await try_(with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
                group.create_task(failure_after(1s, "a"));
                group.create_task([]() -> Coroutine<void> {
                    const auto slept = co_await try_(sleep(1h));
                    throw ValueError("while cancelled");
                });
                group.create_task(value_after(1h, 1));
                const auto slept = co_await try_(sleep(1h));
                throw RuntimeError("body");
            }));
        EXPECT_EQ(members(outcome.exception()),
                  "[ValueError: a;ValueError: while cancelled;RuntimeError: body;]");
    });
}

// rule 78
TEST(TaskGroup, ACancellationFromOutsideCancelsTheChildrenAndGoesOn) {
    simulate([]() -> Coroutine<void> {
        Task<int> child;
        Task<void> parent = create_task([&child]() -> Coroutine<void> {
            co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                child = group.create_task(value_after(1h, 1));
                co_return;
            });
        });
        co_await sleep(1s);
        parent.cancel();
        const auto outcome = co_await try_(parent);
        EXPECT_TRUE(outcome.cancelled());
        EXPECT_TRUE(parent.cancelled());
        EXPECT_TRUE(child.cancelled());
    });
}

// rule 79
TEST(TaskGroup, ErrorsOfChildrenBeingCancelledReplaceTheCancellation) {
    simulate([]() -> Coroutine<void> {
        Task<void> parent = create_task([]() -> Coroutine<void> {
            co_await with(TaskGroup(), [](TaskGroup& outer) -> Coroutine<void> {
                outer.create_task([]() -> Coroutine<void> { co_await sleep(1h); });
                co_await with(TaskGroup(), [](TaskGroup& inner) -> Coroutine<void> {
                    inner.create_task([]() -> Coroutine<void> {
                        const auto slept = co_await try_(sleep(1h));
                        throw ValueError("cleanup");
                    });
                    co_return;
                });
            });
        });
        co_await sleep(1s);
        parent.cancel();
        const auto outcome = co_await try_(parent);
        EXPECT_EQ(members(outcome.exception()), "[[ValueError: cleanup;];]");
    });
}

// rule 80
TEST(TaskGroup, KeyboardInterruptLeavesBare) {
    asyncio::testing::SimLoop sim;
    Task<int> child;
    auto task = sim.create_task([&child]() -> Coroutine<void> {
        co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
            child = group.create_task(value_after(1h, 1));
            co_await sleep(1s);
            throw KeyboardInterrupt();
        });
    });
    EXPECT_THROW(sim.run_until_complete(task), KeyboardInterrupt);
    EXPECT_TRUE(child.cancelled());
}

// rule 81
TEST(TaskGroup, WithErrorsAnOutsideCancellationIsRedelivered) {
    simulate([]() -> Coroutine<void> {
        bool redelivered = false;
        Task<void> parent = create_task([&redelivered]() -> Coroutine<void> {
            const auto outcome =
                co_await try_(with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
                    group.create_task([]() -> Coroutine<void> {
                        const auto slept = co_await try_(sleep(1h));
                        throw ValueError("late");
                    });
                    co_await sleep(1h);
                }));
            EXPECT_EQ(members(outcome.exception()), "[ValueError: late;]");
            EXPECT_EQ(current_task().cancelling(), 1u);
            const auto next = co_await try_(sleep(0));
            redelivered = next.cancelled();
        });
        co_await sleep(1s);
        parent.cancel();
        co_await parent;
        EXPECT_TRUE(redelivered);
    });
}

// rule 82
TEST(TaskGroup, AnInnerGroupFailingWhileTheOuterAbortsRaisesItsOwn) {
    simulate([]() -> Coroutine<void> {
        const auto outcome =
            co_await try_(with(TaskGroup(), [](TaskGroup& outer) -> Coroutine<void> {
                outer.create_task(failure_after(1s, "outer"));
                co_await with(TaskGroup(), [](TaskGroup& inner) -> Coroutine<void> {
                    inner.create_task([]() -> Coroutine<void> {
                        const auto slept = co_await try_(sleep(1h));
                        throw ValueError("inner");
                    });
                    co_return;
                });
            }));
        EXPECT_EQ(members(outcome.exception()), "[ValueError: outer;[ValueError: inner;];]");
    });
}

// rule 83
TEST(TaskGroup, AChildMayAddTasksWhileTheGroupDrains) {
    simulate([]() -> Coroutine<void> {
        int ran = 0;
        co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
            group.create_task([&]() -> Coroutine<void> {
                co_await sleep(1s);
                group.create_task([&]() -> Coroutine<void> {
                    co_await sleep(1s);
                    ++ran;
                });
            });
            co_return;
        });
        EXPECT_EQ(ran, 1);
    });
}

// rule 83
TEST(TaskGroupMisuse, AddingOutsideOfItsLifeIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        TaskGroup group;
        EXPECT_THROW(group.create_task(value_after(1s, 1)), RuntimeError);
        co_await with(group, []() -> Coroutine<void> { co_return; });
        EXPECT_THROW(group.create_task(value_after(1s, 1)), RuntimeError);
    });
}

// rule 83
TEST(TaskGroupMisuse, AddingWhileAbortingIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        bool refused = false;
        const auto outcome =
            co_await try_(with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                group.create_task(failure_after(1s, "x"));
                const auto slept = co_await try_(sleep(1h));
                try {
                    group.create_task(value_after(1s, 1));
                } catch (const RuntimeError&) {
                    refused = true;
                }
                slept.value();
            }));
        EXPECT_FALSE(outcome);
        EXPECT_TRUE(refused);
    });
}

// rule 84
TEST(TaskGroup, AnEagerFailureDoesNotCancelItsCreatorInTheMiddle) {
    simulate([]() -> Coroutine<void> {
        bool reached = false;
        const auto outcome =
            co_await try_(with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                group.create_task({.eager_start = true}, []() -> Coroutine<void> {
                    throw ValueError("eager");
                    co_return;
                });
                EXPECT_EQ(current_task().cancelling(), 0u);
                reached = true;
                co_await sleep(1h);
            }));
        EXPECT_TRUE(reached);
        EXPECT_EQ(members(outcome.exception()), "[ValueError: eager;]");
    });
}

// rule 85
TEST(TaskGroupMisuse, EnteringTwiceIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        TaskGroup group;
        co_await with(group, []() -> Coroutine<void> { co_return; });
        EXPECT_THROW(co_await with(group, []() -> Coroutine<void> { co_return; }), RuntimeError);
    });
}

TEST(TaskGroupCancel, NoSuspensionPointLeavesAnythingBehind) {
    int alive = 0;
    struct Count {
        int* n;
        explicit Count(int& count) : n(&count) { ++*n; }
        ~Count() { --*n; }
    };
    const auto report = asyncio::testing::cancel_everywhere(
        [&]() -> Coroutine<void> {
            co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                for (int i = 1; i < 4; ++i) {
                    group.create_task([&alive, i]() -> Coroutine<void> {
                        const Count count(alive);
                        co_await sleep(1s * i);
                    });
                }
                co_await sleep(2s);
            });
        },
        [&] { EXPECT_EQ(alive, 0); });
    EXPECT_GT(report.points, 5u);
    EXPECT_EQ(report.completed, 1u);
}

TEST(ExceptionGroup, SplitsByTypeAndKeepsTheStructure) {
    const auto value = std::make_exception_ptr(ValueError("v"));
    const auto type = std::make_exception_ptr(TypeError("t"));
    const ExceptionGroup inner("inner", {value, type});
    const ExceptionGroup group("outer", {type, std::make_exception_ptr(inner), value});
    const auto [values, rest] = group.split<ValueError>();
    EXPECT_EQ(members(std::make_exception_ptr(*values)), "[[ValueError: v;];ValueError: v;]");
    EXPECT_EQ(members(std::make_exception_ptr(*rest)), "[TypeError: t;[TypeError: t;];]");
    EXPECT_EQ(values->message(), "outer");
    EXPECT_FALSE(group.subgroup<OSError>());
    EXPECT_STREQ(group.what(), "outer (3 sub-exceptions)");
}

TEST(ExceptionGroup, RefusesWhatItCannotHold) {
    EXPECT_THROW(ExceptionGroup("empty", {}), ValueError);
    EXPECT_THROW(ExceptionGroup("null", {nullptr}), TypeError);
    const auto cancelled = std::make_exception_ptr(CancelledError());
    EXPECT_THROW(ExceptionGroup("base", {cancelled}), TypeError);
    EXPECT_TRUE(holds_exception<BaseExceptionGroup>(make_exception_group("base", {cancelled})));
}
