// Task and cancellation: semantics rules 31 to 50, as CPython's test_tasks.py maps them.
#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

namespace {

class TaskTest : public LoopTest {};
using Trace = std::vector<std::string>;

Coroutine<int> value(int v) {
    co_return v;
}
Coroutine<void> sleeper(std::chrono::nanoseconds delay) {
    co_await sleep(delay);
}

}  // namespace

// rule 31
TEST_F(TaskTest, RunsNothingBeforeCreateTaskReturns) {
    bool ran = false;
    auto task = loop.create_task([&ran]() -> Coroutine<void> {
        ran = true;
        co_return;
    });
    EXPECT_FALSE(ran);
    iterate();
    EXPECT_TRUE(ran);
    EXPECT_TRUE(task.done());
}

TEST_F(TaskTest, HasANameANumberByDefault) {
    auto a = loop.create_task(value(1));
    auto b = loop.create_task(value(2), {.name = "mine"});
    EXPECT_THAT(a.get_name(), HasSubstr("Task-"));
    EXPECT_EQ(b.get_name(), "mine");
    b.set_name("yours");
    EXPECT_THAT(b.repr(), HasSubstr("<Task 'yours' pending"));
    iterate();
    EXPECT_THAT(b.repr(), HasSubstr("finished"));
}

TEST_F(TaskTest, ThrowingBeforeTheFirstSuspensionFailsTheTask) {
    auto task = loop.create_task([]() -> Coroutine<int> {
        throw ValueError("at once");
        co_return 1;
    });
    EXPECT_THROW(loop.run_until_complete(task), ValueError);
    // A callable that is no coroutine itself throws inside the task as well.
    auto indirect = loop.create_task([]() -> Coroutine<int> {
        auto plain = []() -> Coroutine<int> { throw ValueError("plain"); };
        return plain();
    });
    EXPECT_THROW(loop.run_until_complete(indirect), ValueError);
}

TEST_F(TaskTest, TheLoopKeepsItWithoutAnyHandle) {
    int ran = 0;
    loop.create_task([&ran]() -> Coroutine<void> {
        co_await sleep(1ms);
        ++ran;
    });
    loop.run_until_complete(sleeper(20ms));
    EXPECT_EQ(ran, 1);
}

// rule 32
TEST_F(TaskTest, CancelReachesWhatItAwaitsAndIsDeliveredLater) {
    Future<int> inner = loop.create_future<int>();
    auto middle = loop.create_task([inner]() -> Coroutine<int> { co_return co_await inner; });
    auto outer = loop.create_task([middle]() -> Coroutine<int> { co_return co_await middle; });
    iterate(2);
    EXPECT_TRUE(outer.cancel("why"));
    EXPECT_TRUE(inner.cancelled());
    EXPECT_FALSE(outer.cancelled());
    EXPECT_EQ(thrown_by([&] { loop.run_until_complete(outer); }), "CancelledError: why");
    EXPECT_TRUE(middle.cancelled());
}

// rule 33
TEST_F(TaskTest, CancelledBeforeItsFirstStepRunsNoStatement) {
    bool ran = false;
    auto task = loop.create_task([&ran]() -> Coroutine<void> {
        ran = true;
        co_return;
    });
    task.cancel("early");
    EXPECT_EQ(thrown_by([&] { loop.run_until_complete(task); }), "CancelledError: early");
    EXPECT_FALSE(ran);
    EXPECT_TRUE(task.cancelled());
}

// rule 34
TEST_F(TaskTest, CancelWinsOverAResultNotYetTaken) {
    Future<int> future = loop.create_future<int>();
    auto task = loop.create_task([future]() -> Coroutine<int> { co_return co_await future; });
    iterate();
    future.set_result(5);
    EXPECT_TRUE(task.cancel());
    EXPECT_THROW(loop.run_until_complete(task), CancelledError);
}

// rule 35
TEST_F(TaskTest, CancellingItselfIsDeliveredWhereItTrulySuspends) {
    Future<int> done = loop.create_future<int>();
    done.set_result(1);
    Trace trace;
    auto task = loop.create_task([&trace, done]() -> Coroutine<void> {
        current_task().cancel();
        co_await done;  // passed through
        trace.push_back("went on");
        co_await sleep(1h);
        trace.push_back("not here");
    });
    EXPECT_THROW(loop.run_until_complete(task), CancelledError);
    EXPECT_EQ(trace, Trace{"went on"});
}

// rule 36
TEST_F(TaskTest, CancelledWithoutEverSuspendingItEndsCancelled) {
    auto task = loop.create_task([]() -> Coroutine<int> {
        current_task().cancel();
        co_return 1;
    });
    EXPECT_THROW(loop.run_until_complete(task), CancelledError);
    EXPECT_TRUE(task.cancelled());
}

// rule 37
TEST_F(TaskTest, SwallowingTheCancellationLetsItComplete) {
    auto task = loop.create_task([]() -> Coroutine<int> {
        try {
            co_await sleep(1h);
        } catch (const CancelledError&) {
        }
        co_await sleep(0);
        co_return 3;
    });
    iterate();
    task.cancel();
    EXPECT_EQ(loop.run_until_complete(task), 3);
    EXPECT_FALSE(task.cancelled());
    EXPECT_EQ(task.cancelling(), 1u);
}

// rule 38
TEST_F(TaskTest, AnotherErrorInAnswerToACancellationFailsIt) {
    auto task = loop.create_task([]() -> Coroutine<void> {
        bool cancelled = false;
        try {
            co_await sleep(1h);
        } catch (const CancelledError&) {
            cancelled = true;
        }
        if (cancelled) throw ValueError("instead");
    });
    iterate();
    task.cancel();
    EXPECT_THROW(loop.run_until_complete(task), ValueError);
    EXPECT_FALSE(task.cancelled());
}

// rule 39
TEST_F(TaskTest, CancellingTheInnerFutureEndsItCancelledWithACountOfZero) {
    Future<int> inner = loop.create_future<int>();
    auto task = loop.create_task([inner]() -> Coroutine<int> { co_return co_await inner; });
    iterate();
    inner.cancel();
    EXPECT_THROW(loop.run_until_complete(task), CancelledError);
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(task.cancelling(), 0u);
}

// test_cancel_both_task_and_inner_future
TEST_F(TaskTest, CancelledTogetherWithWhatItAwaitsItEndsCancelled) {
    Future<int> inner = loop.create_future<int>();
    auto task = loop.create_task([inner]() -> Coroutine<int> { co_return co_await inner; });
    iterate();
    inner.cancel();
    task.cancel();
    EXPECT_THROW(loop.run_until_complete(task), CancelledError);
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(task.cancelling(), 1u);
}

// test_cancel_awaited_task
TEST_F(TaskTest, CancellingItselfReachesTheTaskItAwaitsNext) {
    Future<int> inner = loop.create_future<int>();
    auto nested = loop.create_task([inner]() -> Coroutine<int> { co_return co_await inner; });
    auto task = loop.create_task([nested]() -> Coroutine<int> {
        co_await sleep(0);
        current_task().cancel();
        co_return co_await nested;
    });
    EXPECT_THROW(loop.run_until_complete(task), CancelledError);
    EXPECT_TRUE(task.cancelled());
    EXPECT_TRUE(nested.cancelled());
    EXPECT_TRUE(inner.cancelled());
}

// test_cancel_with_message_then_future_result, test_cancel_with_message_then_future_exception
TEST_F(TaskTest, TheMessageOfACancellationIsInItsResultAndItsException) {
    auto task = loop.create_task(sleeper(1h));
    auto waiter = loop.create_task([task]() -> Coroutine<std::string> {
        co_await sleep(0);
        task.cancel("my message");
        co_await wait({task});
        co_return thrown_by([&] { task.result(); }) + ", " +
            thrown_by([&] { static_cast<void>(task.exception()); });
    });
    EXPECT_EQ(loop.run_until_complete(waiter),
              "CancelledError: my message, CancelledError: my message");
}

// test_baseexception_during_cancel
TEST_F(TaskTest, SystemExitInAnswerToACancellationEscapesAndFailsIt) {
    auto task = loop.create_task([]() -> Coroutine<void> {
        const auto slept = co_await try_(sleep(1h));
        throw SystemExit(3);
    });
    iterate();
    task.cancel();
    EXPECT_FALSE(task.done());
    EXPECT_THROW(iterate(), SystemExit);
    EXPECT_TRUE(task.done());
    EXPECT_FALSE(task.cancelled());
    EXPECT_TRUE(holds_exception<SystemExit>(task.exception()));
}

// rule 40
TEST_F(TaskTest, TwoRequestsBeforeTheNextStepDeliverOneError) {
    int errors = 0;
    auto task = loop.create_task([&errors]() -> Coroutine<void> {
        for (int i = 0; i < 2; ++i) {
            try {
                co_await sleep(1ms);
            } catch (const CancelledError&) {
                ++errors;
            }
        }
    });
    iterate();
    EXPECT_TRUE(task.cancel());
    EXPECT_TRUE(task.cancel());
    EXPECT_EQ(task.cancelling(), 2u);
    loop.run_until_complete(task);
    EXPECT_EQ(errors, 1);
    EXPECT_FALSE(task.cancel());
}

// rule 41
TEST_F(TaskTest, UncancelToZeroWithdrawsWhatWasNotDelivered) {
    auto task = loop.create_task([]() -> Coroutine<int> {
        const AnyTask me = current_task();
        me.cancel();
        EXPECT_EQ(me.uncancel(), 0u);
        EXPECT_EQ(me.uncancel(), 0u);
        co_await sleep(0);
        co_return 1;
    });
    EXPECT_EQ(loop.run_until_complete(task), 1);
}

// rule 42
TEST_F(TaskTest, AwaitingItselfIsARuntimeError) {
    Task<int> task;
    task = loop.create_task([&task]() -> Coroutine<int> { co_return co_await task; });
    EXPECT_THAT(thrown_by([&] { loop.run_until_complete(task); }),
                HasSubstr("RuntimeError: Task cannot await on itself"));
}

// rule 44, in our form: the loop holds its tasks, so only closing it can lose one.
TEST_F(TaskTest, OnePendingWhenTheLoopClosesIsReportedAndItsFramesDestroyed) {
    auto held = std::make_shared<int>(1);
    auto task =
        loop.create_task([](std::shared_ptr<int>) -> Coroutine<void> { co_await sleep(1h); }, held);
    iterate();
    EXPECT_GT(held.use_count(), 1);
    close();
    loop.set_exception_handler({});
    EXPECT_EQ(held.use_count(), 1);
    EXPECT_FALSE(task.done());
    EXPECT_EQ(take_reports(), Trace{"Task was destroyed but it is pending!"});
}

// rule 45
TEST_F(TaskTest, CurrentTaskIsRightAcrossInterleavedTasks) {
    std::vector<Task<void>> tasks(3);
    for (auto& task : tasks) {
        task = loop.create_task([&task]() -> Coroutine<void> {
            for (int i = 0; i < 3; ++i) {
                EXPECT_EQ(current_task(), task);
                co_await sleep(0);
            }
        });
    }
    bool in_callback = false;
    loop.call_soon([&in_callback] { in_callback = !current_task(); });
    loop.run_until_complete(gather(return_exceptions, loop.create_task(sleeper(1ms))));
    EXPECT_TRUE(in_callback);
    EXPECT_THROW(static_cast<void>(current_task()), RuntimeError);
}

// rule 46
TEST_F(TaskTest, SleepOfZeroYieldsExactlyOnce) {
    Trace trace;
    loop.create_task([&trace]() -> Coroutine<void> {
        trace.push_back("before");
        co_await sleep(0);
        trace.push_back("after");
    });
    iterate();
    EXPECT_EQ(trace, Trace{"before"});
    iterate();
    EXPECT_EQ(trace, (Trace{"before", "after"}));
    EXPECT_THROW(static_cast<void>(sleep(
                     std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN()))),
                 ValueError);
    EXPECT_EQ(loop.run_until_complete(sleep(-1s, 5)), 5);
}

Coroutine<std::string> twice(const std::string& text) {
    co_await sleep(0);
    co_return text + text;
}

TEST_F(TaskTest, WhatAnArgumentIsConvertedToLivesAsLongAsTheTask) {
    auto task = loop.create_task(twice, "a text that is too long for the string itself; ");
    EXPECT_EQ(loop.run_until_complete(task),
              "a text that is too long for the string itself; "
              "a text that is too long for the string itself; ");
}

TEST_F(TaskTest, SleepTakesSecondsAsPythonDoes) {
    const double delay = 0.02;  // never to be cut down to an int
    const auto before = loop.time();
    loop.run_until_complete(sleep(delay));
    EXPECT_GE(loop.time() - before, 20ms);
    EXPECT_THROW(static_cast<void>(sleep(std::numeric_limits<double>::quiet_NaN())), ValueError);
    loop.run_until_complete(sleep(-0.5));
}

// rule 47
TEST_F(TaskTest, CopiesTheContextWhenCreatedAndSharesOneThatIsGiven) {
    static ContextVar<int> variable("variable", 0);
    Context shared;
    const auto set_to = [](int v) -> Coroutine<int> {
        const int before = variable.get();
        variable.set(v);
        co_return before;
    };
    Context outer;
    outer.run([&] {
        variable.set(1);
        auto copied = loop.create_task(set_to, 2);
        variable.set(3);  // after the copy
        auto given = loop.create_task(TaskOptions{.context = shared}, set_to, 4);
        EXPECT_EQ(loop.run_until_complete(copied), 1);
        EXPECT_EQ(loop.run_until_complete(given), 0);
        EXPECT_EQ(variable.get(), 3);
        EXPECT_EQ(shared.get(variable), 4);
        EXPECT_TRUE(given.get_context().is(shared));
    });
}

// rule 48
TEST_F(TaskTest, ADoneCallbackRunsInTheContextOfItsRegistration) {
    static ContextVar<int> variable("variable", 0);
    auto task = loop.create_task(value(1));
    int seen = -1;
    Context context;
    context.run([&] {
        variable.set(9);
        task.add_done_callback([&seen] { seen = variable.get(); });
        variable.set(10);
    });
    loop.run_until_complete(sleeper(1ms));
    EXPECT_EQ(seen, 9);
}

// rule 49
TEST_F(TaskTest, AnEagerTaskRunsUpToItsFirstSuspensionInsideCreateTask) {
    loop.run_until_complete([](EventLoop& loop) -> Coroutine<void> {
        const AnyTask creator = current_task();
        Trace trace;
        auto task = create_task({.eager_start = true}, [&]() -> Coroutine<int> {
            EXPECT_NE(current_task(), creator);
            trace.push_back("eager");
            co_await sleep(0);
            trace.push_back("later");
            co_return 1;
        });
        EXPECT_EQ(current_task(), creator);
        EXPECT_EQ(trace, Trace{"eager"});
        co_await task;
        auto at_once = create_task(value(2), {.eager_start = true});
        EXPECT_TRUE(at_once.done());
        EXPECT_EQ(all_tasks(loop).size(), 1u);  // rule 50
    }(loop));
}

// rule 50
TEST_F(TaskTest, AnEagerTaskCancelledAfterItBlockedBehavesLikeAnyOther) {
    loop.set_task_factory(eager_task_factory);
    loop.run_until_complete([]() -> Coroutine<void> {
        auto task = create_task(sleeper(1h));
        EXPECT_FALSE(task.done());
        task.cancel();
        EXPECT_THROW(co_await task, CancelledError);
    }());
    loop.set_task_factory({});
}

TEST_F(TaskTest, ATaskFactorySeesEachTaskAndMustStartIt) {
    int made = 0;
    loop.set_task_factory([&made](EventLoop&, TaskBuilder builder) {
        ++made;
        builder.task().set_name("made " + std::to_string(made));
        return builder.start();
    });
    auto task = loop.create_task(value(1));
    EXPECT_EQ(task.get_name(), "made 1");
    EXPECT_EQ(loop.run_until_complete(task), 1);
    loop.set_task_factory([](EventLoop&, TaskBuilder builder) { return builder.task(); });
    EXPECT_THROW(loop.create_task(value(1)), RuntimeError);
    loop.set_task_factory({});
}

TEST_F(TaskTest, AllTasksListsThoseNotDone) {
    auto a = loop.create_task(sleeper(1ms));
    auto b = loop.create_task(sleeper(1ms));
    EXPECT_EQ(all_tasks(loop), (std::vector<AnyTask>{a, b}));
    loop.run_until_complete(gather(a, b));
    EXPECT_TRUE(all_tasks(loop).empty());
}

TEST_F(TaskTest, CannotBeGivenAResult) {
    auto task = loop.create_task(value(1));
    const Future<int> future = task;
    EXPECT_THROW(future.set_result(1), RuntimeError);
    EXPECT_THROW(future.set_exception(ValueError("x")), RuntimeError);
    loop.run_until_complete(task);
}

TEST_F(TaskTest, AnErrorNobodyLookedAtIsReportedWithItsName) {
    loop.create_task([]() -> Coroutine<void> {
        throw ValueError("lost");
        co_return;
    });
    loop.run_until_complete(sleeper(1ms));
    EXPECT_EQ(take_reports(), Trace{"Task exception was never retrieved"});
}

TEST_F(TaskTest, EnsureFuturePassesFuturesThroughAndMakesTasksOfTheRest) {
    Future<int> future = loop.create_future<int>();
    EXPECT_EQ(ensure_future(future), future);
    EventLoopPtr other = new_event_loop();
    EXPECT_THROW(ensure_future(future, other.get()), ValueError);
    auto task = ensure_future(value(3), &loop);
    EXPECT_EQ(loop.run_until_complete(task), 3);
}

// test_ensure_future_task, test_ensure_future_awaitable
TEST_F(TaskTest, EnsureFutureTakesTasksAndAwaitablesOfOthers) {
    struct Seven {
        bool await_ready() const noexcept { return true; }
        void await_suspend(std::coroutine_handle<>) const noexcept {}
        int await_resume() const noexcept { return 7; }
    };
    auto task = loop.create_task(value(3));
    EXPECT_EQ(ensure_future(task), task);
    auto wrapped = ensure_future(Seven(), &loop);
    EXPECT_EQ(loop.run_until_complete(wrapped), 7);
    loop.run_until_complete(task);
}

// SetMethodsTest, BaseCurrentLoopTests: without a loop, and for one that is named.
TEST_F(TaskTest, OutsideOfALoopThereIsNoCurrentTask) {
    EXPECT_THROW(static_cast<void>(current_task()), RuntimeError);
    EXPECT_FALSE(current_task(loop));
    EXPECT_THROW(static_cast<void>(all_tasks()), RuntimeError);
    auto task = loop.create_task([this]() -> Coroutine<bool> {
        co_return current_task() == current_task(loop) && bool(current_task());
    });
    EXPECT_TRUE(loop.run_until_complete(task));
}

TEST_F(TaskTest, KeyboardInterruptEscapesAndTheLoopRunsOn) {  // rule 13
    auto task = loop.create_task([]() -> Coroutine<void> {
        throw KeyboardInterrupt();
        co_return;
    });
    EXPECT_THROW(loop.run_until_complete(sleeper(10ms)), KeyboardInterrupt);
    EXPECT_TRUE(task.done());
    EXPECT_THROW(task.result(), KeyboardInterrupt);
    loop.run_until_complete(sleeper(1ms));
}
