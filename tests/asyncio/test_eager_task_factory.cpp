// Eager tasks, as CPython's test_eager_task_factory.py maps them; rules 49 and 50.
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using asyncio::testing::SimLoop;

namespace {

// Runs `body` with eager_task_factory; its own task begins as every first task does.
template <class Body>
void eagerly(Body body) {
    simulate([&body](SimLoop& sim) -> Coroutine<void> {
        sim->set_task_factory(eager_task_factory);
        co_await body();
        sim->set_task_factory({});
    });
}

Coroutine<int> immediate(int value) {
    co_return value;
}

Coroutine<int> blocking(int value, Future<void> gate) {
    co_await gate;
    co_return value;
}

Future<void> done_future() {
    Future<void> future = get_running_loop().create_future<void>();
    future.set_result();
    return future;
}

}  // namespace

// test_eager_completion
TEST(EagerTasks, OneThatNeverSuspendsIsDoneAtOnce) {
    eagerly([]() -> Coroutine<void> {
        auto task = create_task(immediate(42));
        EXPECT_TRUE(task.done());
        EXPECT_EQ(task.result(), 42);
        EXPECT_EQ(co_await task, 42);
    });
}

// test_await_future_during_eager_step
TEST(EagerTasks, AwaitingWhatIsDoneDoesNotSuspend) {
    eagerly([]() -> Coroutine<void> {
        auto task = create_task(blocking(42, done_future()));
        EXPECT_TRUE(task.done());
        EXPECT_EQ(co_await task, 42);
    });
}

// test_block_after_eager_step
TEST(EagerTasks, OneThatBlocksGoesOnThroughTheLoop) {
    eagerly([]() -> Coroutine<void> {
        Future<void> gate = get_running_loop().create_future<void>();
        auto task = create_task(blocking(42, gate));
        EXPECT_FALSE(task.done());
        gate.set_result();
        EXPECT_FALSE(task.done());
        EXPECT_EQ(co_await task, 42);
    });
}

// test_cancellation_after_eager_completion
TEST(EagerTasks, CancellingOneThatIsDoneDoesNothing) {
    eagerly([]() -> Coroutine<void> {
        auto task = create_task(immediate(42));
        EXPECT_FALSE(task.cancel());
        EXPECT_FALSE(task.cancelled());
        EXPECT_EQ(co_await task, 42);
    });
}

// test_cancellation_after_eager_step_blocks
TEST(EagerTasks, CancellingOneThatBlocksCancelsItsAwait) {
    eagerly([]() -> Coroutine<void> {
        auto task = create_task(blocking(42, get_running_loop().create_future<void>()));
        EXPECT_TRUE(task.cancel("enough"));
        const auto outcome = co_await try_(task);
        EXPECT_TRUE(outcome.cancelled());
        EXPECT_TRUE(task.cancelled());
    });
}

TEST(EagerTasks, AnErrorInTheEagerStepBelongsToTheTask) {
    eagerly([]() -> Coroutine<void> {
        auto task = create_task([]() -> Coroutine<void> {
            throw ValueError("at once");
            co_return;
        });
        EXPECT_TRUE(task.done());
        EXPECT_THROW(task.result(), ValueError);
        co_return;
    });
}

// test_current_task
TEST(EagerTasks, TheCurrentTaskIsTheEagerOneWhileItRuns) {
    eagerly([]() -> Coroutine<void> {
        const AnyTask outer = current_task();
        AnyTask seen;
        auto task = create_task([&]() -> Coroutine<void> {
            seen = current_task();
            co_return;
        });
        EXPECT_EQ(seen, task);
        EXPECT_EQ(current_task(), outer);
        co_await task;
    });
}

// test_all_tasks_with_eager_completion, test_all_tasks_with_blocking
TEST(EagerTasks, AllTasksHasThoseThatBlocked) {
    eagerly([]() -> Coroutine<void> {
        static_cast<void>(create_task(immediate(1)));
        EXPECT_EQ(all_tasks().size(), 1u);
        Future<void> gate = get_running_loop().create_future<void>();
        auto task = create_task(blocking(1, gate));
        EXPECT_EQ(all_tasks().size(), 2u);
        gate.set_result();
        co_await task;
        EXPECT_EQ(all_tasks().size(), 1u);
    });
}

// test_context_vars
TEST(EagerTasks, TheEagerStepRunsInTheTasksOwnContext) {
    eagerly([]() -> Coroutine<void> {
        static ContextVar<int> variable("variable", 0);
        variable.set(1);
        auto task = create_task([]() -> Coroutine<int> {
            variable.set(variable.get() + 10);
            co_await sleep(0);
            co_return variable.get();
        });
        EXPECT_EQ(variable.get(), 1);
        EXPECT_EQ(co_await task, 11);
        EXPECT_EQ(variable.get(), 1);
    });
}

// test_awaitables_chain
TEST(EagerTasks, AChainOfThemIsDoneAtOnce) {
    struct Chain {
        static Coroutine<int> link(int depth) {
            if (depth == 0) co_return 0;
            co_return 1 + co_await create_task(link(depth - 1));
        }
    };
    eagerly([]() -> Coroutine<void> {
        auto task = create_task(Chain::link(100));
        EXPECT_TRUE(task.done());
        EXPECT_EQ(co_await task, 100);
    });
}

// test_recursive_taskgroups
TEST(EagerTasks, GroupsInGroups) {
    struct Fibonacci {
        static Coroutine<int> of(int n) {
            if (n < 2) co_return n;
            Task<int> a, b;
            co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                a = group.create_task(of(n - 1));
                b = group.create_task(of(n - 2));
                co_return;
            });
            co_return a.result() + b.result();
        }
    };
    eagerly([]() -> Coroutine<void> { EXPECT_EQ(co_await Fibonacci::of(8), 21); });
}

// test_recursive_gather
TEST(EagerTasks, GathersInGathers) {
    struct Fibonacci {
        static Coroutine<int> of(int n) {
            if (n < 2) co_return n;
            const auto [a, b] = co_await gather(of(n - 1), of(n - 2));
            co_return a + b;
        }
    };
    eagerly([]() -> Coroutine<void> { EXPECT_EQ(co_await Fibonacci::of(8), 21); });
}

// test_custom_eager_factory: a factory of one's own
TEST(EagerTasks, AFactoryOfOnesOwnSeesEachTask) {
    simulate([](SimLoop& sim) -> Coroutine<void> {
        int made = 0;
        sim->set_task_factory(create_eager_task_factory([&made](TaskBuilder builder, bool eager) {
            ++made;
            return builder.start(eager);
        }));
        auto task = create_task(immediate(1));
        EXPECT_TRUE(task.done());
        EXPECT_EQ(made, 1);
        auto lazy = create_task(immediate(2), {.eager_start = false});
        EXPECT_FALSE(lazy.done());
        EXPECT_EQ(co_await lazy, 2);
        sim->set_task_factory({});
    });
}

// test_staggered_race_with_eager_tasks
TEST(EagerTasks, InAStaggeredRace) {
    eagerly([]() -> Coroutine<void> {
        std::vector<std::function<Coroutine<int>()>> ways = {
            []() -> Coroutine<int> {
                co_await sleep(2s);
                co_return 1;
            },
            []() -> Coroutine<int> {
                co_await sleep(1s);
                co_return 2;
            },
            []() -> Coroutine<int> { throw ValueError("at once"); },
        };
        const auto race = co_await staggered_race(ways, 100ms);
        EXPECT_EQ(race.winner, 2);
        EXPECT_EQ(race.exceptions.size(), 3u);
    });
}
