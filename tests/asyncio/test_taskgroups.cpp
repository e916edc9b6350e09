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

// test_taskgroup_02, _23
TEST(TaskGroup, ForgetsAChildThatIsDone) {
    simulate([]() -> Coroutine<void> {
        co_await with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
            std::weak_ptr<int> result;
            group.create_task([&result]() -> Coroutine<std::shared_ptr<int>> {
                auto made = std::make_shared<int>(1);
                result = made;
                co_await sleep(1s);
                co_return made;
            });
            co_await sleep(2s);
            EXPECT_TRUE(result.expired());
            EXPECT_EQ(group.repr(), "<TaskGroup entered>");
            group.create_task(value_after(1s, 2));
            EXPECT_EQ(group.repr(), "<TaskGroup tasks=1 entered>");
        });
    });
}

// test_taskgroup_03
TEST(TaskGroup, AChildCancelledOnItsOwnIsNoFailure) {
    simulate([]() -> Coroutine<void> {
        Task<int> cancelled, other;
        co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
            cancelled = group.create_task(value_after(1h, 1));
            co_await sleep(1s);
            cancelled.cancel();
            other = group.create_task(value_after(1s, 2));
        });
        EXPECT_TRUE(cancelled.cancelled());
        EXPECT_EQ(other.result(), 2);
    });
}

// test_taskgroup_09, _10: before the children started, and while they wait.
TEST(TaskGroup, ABodyThatThrowsCancelsTheChildren) {
    for (const auto delay : {0s, 1s}) {
        simulate([delay](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
            std::vector<Task<int>> children;
            const auto outcome =
                co_await try_(with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                    children.push_back(group.create_task(value_after(1h, 1)));
                    children.push_back(group.create_task(value_after(2h, 2)));
                    if (delay > 0s) co_await sleep(delay);
                    throw ValueError("body");
                }));
            EXPECT_EQ(members(outcome.exception()), "[ValueError: body;]");
            for (const auto& child : children) EXPECT_TRUE(child.cancelled());
            EXPECT_EQ(sim.elapsed(), delay);
        });
    }
}

// test_taskgroup_15, _16
TEST(TaskGroup, AChildThatFailsWhileACancelledBodyWindsDownReplacesTheCancellation) {
    simulate([]() -> Coroutine<void> {
        Task<void> parent = create_task([]() -> Coroutine<void> {
            co_await with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
                group.create_task(failure_after(3s, "soon"));
                const auto slept = co_await try_(sleep(1h));
                const auto cleaned_up = co_await try_(sleep(5s));
                slept.value();
            });
        });
        co_await sleep(1s);
        parent.cancel();
        const auto outcome = co_await try_(parent);
        EXPECT_EQ(members(outcome.exception()), "[ValueError: soon;]");
    });
}

// test_taskgroup_18
TEST(TaskGroup, ABodyThatAnswersItsCancellationWithAnErrorFails) {
    simulate([]() -> Coroutine<void> {
        Task<void> parent = create_task([]() -> Coroutine<void> {
            co_await with(TaskGroup(), []() -> Coroutine<void> {
                const auto slept = co_await try_(sleep(1h));
                throw ValueError("instead");
            });
        });
        co_await sleep(1s);
        parent.cancel();
        const auto outcome = co_await try_(parent);
        EXPECT_EQ(members(outcome.exception()), "[ValueError: instead;]");
        EXPECT_FALSE(parent.cancelled());
    });
}

// test_taskgroup_20a, _21a: a root error of the program's own, from the body and from a child.
TEST(TaskGroup, AProgramsOwnBaseExceptionMakesABaseExceptionGroup) {
    struct Alarm : BaseException {
        using BaseException::BaseException;
    };
    simulate([]() -> Coroutine<void> {
        const auto from_body =
            co_await try_(with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
                group.create_task(failure_after(1s, "child"));
                const auto slept = co_await try_(sleep(1h));
                throw Alarm("body");
            }));
        EXPECT_TRUE(holds_exception<BaseExceptionGroup>(from_body.exception()));
        EXPECT_FALSE(holds_exception<ExceptionGroup>(from_body.exception()));
        const auto from_child =
            co_await try_(with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
                group.create_task([]() -> Coroutine<void> {
                    co_await sleep(1s);
                    throw Alarm("child");
                });
                const auto slept = co_await try_(sleep(1h));
                throw TypeError("body");
            }));
        EXPECT_TRUE(holds_exception<BaseExceptionGroup>(from_child.exception()));
        EXPECT_FALSE(holds_exception<ExceptionGroup>(from_child.exception()));
    });
}

// test_taskgroup_25
TEST(TaskGroup, AFailureStopsChildrenThatKeepMultiplying) {
    simulate([]() -> Coroutine<void> {
        int heads = 0;
        const auto outcome =
            co_await try_(with(TaskGroup(), [&heads](TaskGroup& group) -> Coroutine<void> {
                struct Hydra {
                    static Coroutine<void> grow(TaskGroup& group, int& heads) {
                        if (++heads > 1000) co_return;
                        co_await sleep(10ms);
                        group.create_task(grow(group, heads));
                        group.create_task(grow(group, heads));
                    }
                };
                group.create_task(Hydra::grow(group, heads));
                group.create_task([&heads]() -> Coroutine<void> {
                    while (heads < 10) co_await sleep(15ms);
                    throw ValueError("hercules");
                });
                co_return;
            }));
        EXPECT_EQ(members(outcome.exception()), "[ValueError: hercules;]");
        EXPECT_GE(heads, 10);
        EXPECT_EQ(all_tasks(get_running_loop()).size(), 1u);
    });
}

// test_taskgroup_task_name, test_taskgroup_task_context
TEST(TaskGroup, ChildrenMayHaveNamesAndContexts) {
    simulate([]() -> Coroutine<void> {
        static ContextVar<int> variable("variable", 0);
        Context context = copy_context();
        co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
            auto set_to = [](int value) -> Coroutine<void> {
                co_await sleep(0);
                variable.set(value);
            };
            auto named = group.create_task(set_to(1), {.name = "yolo", .context = context});
            EXPECT_EQ(named.get_name(), "yolo");
            co_await named;
            EXPECT_EQ(context.get(variable), 1);
            co_await group.create_task(TaskOptions{.context = context}, set_to, 2);
            EXPECT_EQ(context.get(variable), 2);
        });
        EXPECT_EQ(variable.get(), 0);
    });
}

// test_taskgroup_context_manager_exit_raises
TEST(TaskGroup, AManagerInsideThatThrowsOnLeavingAddsItsError) {
    struct Database {
        Coroutine<void> aenter() { co_return; }
        Coroutine<bool> aexit(std::exception_ptr) { throw ValueError("on leaving"); }
    };
    simulate([]() -> Coroutine<void> {
        const auto outcome =
            co_await try_(with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
                co_await with(Database(), [&group]() -> Coroutine<void> {
                    group.create_task(failure_after(0s, "child"));
                    co_await sleep(1h);
                });
            }));
        EXPECT_EQ(members(outcome.exception()), "[ValueError: child;ValueError: on leaving;]");
        EXPECT_EQ(current_task().cancelling(), 0u);
    });
}

// test_nested_groups_both_cancelled
TEST(TaskGroup, NestedGroupsThatBothFailLeaveNoCountBehind) {
    simulate([]() -> Coroutine<void> {
        unsigned between = 0;
        const auto outcome =
            co_await try_(with(TaskGroup(), [&](TaskGroup& outer) -> Coroutine<void> {
                const auto inner_outcome =
                    co_await try_(with(TaskGroup(), [&](TaskGroup& inner) -> Coroutine<void> {
                        inner.create_task(failure_after(0s, "inner"));
                        outer.create_task(failure_after(0s, "outer"));
                        co_return;
                    }));
                EXPECT_EQ(members(inner_outcome.exception()), "[ValueError: inner;]");
                between = current_task().cancelling();
            }));
        EXPECT_EQ(between, 1u);
        EXPECT_EQ(members(outcome.exception()), "[ValueError: outer;]");
        EXPECT_EQ(current_task().cancelling(), 0u);
    });
}

// test_taskgroup_already_entered, _not_entered, _finished
TEST(TaskGroupMisuse, MessagesTellTheState) {
    simulate([]() -> Coroutine<void> {
        TaskGroup group;
        const auto adding = [&group]() -> std::string {
            try {
                group.create_task(value_after(1s, 1));
                return "";
            } catch (const RuntimeError& error) {
                return error.what();
            }
        };
        EXPECT_EQ(adding(), "<TaskGroup> has not been entered; use with()");
        co_await with(group, [&group]() -> Coroutine<void> {
            const auto again = co_await try_(with(group, []() -> Coroutine<void> { co_return; }));
            EXPECT_EQ(describe_exception(again.exception()),
                      "RuntimeError: <TaskGroup entered> has already been entered");
        });
        EXPECT_EQ(adding(), "<TaskGroup entered> is finished");
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
