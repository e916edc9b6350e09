// run and Runner: semantics rules 149 to 153, as CPython's test_runners.py maps them.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

namespace {

using Trace = std::vector<std::string>;

Coroutine<int> value(int v) {
    co_return v;
}

// Runs `f` in a forked child with the default SIGINT; gives what the child writes.
template <class F>
std::string in_child(F f) {
    int ends[2];
    if (pipe(ends) != 0) return "no pipe";
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        alarm(20);
        std::string text;
        try {
            text = f();
        } catch (...) {
            text = describe_exception(std::current_exception());
        }
        const auto written = write(ends[1], text.data(), text.size());
        _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
    }
    close(ends[1]);
    std::string text;
    char buffer[256];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<std::size_t>(n));
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) text += "killed by " + std::to_string(WTERMSIG(status));
    return text;
}

}  // namespace

TEST(Run, GivesTheResultOrTheError) {
    EXPECT_EQ(run(value(4)), 4);
    EXPECT_THROW(run([]() -> Coroutine<void> {
                     throw ValueError("x");
                     co_return;
                 }),
                 ValueError);
    EXPECT_EQ(run([](int a, int b) -> Coroutine<int> { co_return a + b; }, 1, 2), 3);
}

TEST(Run, LambdaCapturesLiveAsLongAsItRuns) {
    auto text = std::make_shared<std::string>("captured and long enough for the heap");
    const std::size_t size = run([copy = *text]() -> Coroutine<std::size_t> {
        co_await sleep(1ms);
        co_return copy.size();
    });
    EXPECT_EQ(size, text->size());
}

TEST(Run, DebugReachesTheLoop) {
    EXPECT_TRUE(run([]() -> Coroutine<bool> { co_return get_running_loop().get_debug(); }(),
                    {.debug = true}));
}

// rule 149
TEST(Run, CancelsAndAwaitsWhatIsLeft) {
    Trace trace;
    run([&trace]() -> Coroutine<void> {
        create_task([&trace]() -> Coroutine<void> {
            const auto slept = co_await try_(sleep(1h));
            co_await sleep(1ms);
            trace.push_back(slept.cancelled() ? "cancelled and cleaned" : "?");
            slept.value();
        });
        co_await sleep(0);
    });
    EXPECT_EQ(trace, Trace{"cancelled and cleaned"});
}

// rule 149
TEST(Run, ReportsErrorsOfLeftOversToTheHandler) {
    Trace reports;
    run([&reports]() -> Coroutine<void> {
        get_running_loop().set_exception_handler(
            [&reports](EventLoop&, const ExceptionContext& context) {
                reports.push_back(context.message + ": " + describe_exception(context.exception));
            });
        create_task([]() -> Coroutine<void> {
            const auto slept = co_await try_(sleep(1h));
            throw ValueError("in cleanup");
        });
        co_await sleep(0);
    });
    EXPECT_EQ(reports, Trace{"unhandled exception during asyncio::run() shutdown: "
                             "ValueError: in cleanup"});
}

TEST(Run, JoinsTheDefaultExecutor) {
    std::atomic<bool> ended = false;
    run([&ended]() -> Coroutine<void> {
        std::atomic<bool> started = false;
        get_running_loop().run_in_executor(nullptr, [&] {
            started = true;
            started.notify_all();
            ended = true;
        });
        started.wait(false);
        co_return;
    });
    EXPECT_TRUE(ended);
}

TEST(Run, LeavesNoLoopBehind) {
    run(value(1));
    EXPECT_EQ(get_running_loop_or_null(), nullptr);
    EXPECT_THROW(static_cast<void>(get_event_loop()), RuntimeError);
}

// rule 153
TEST(Run, InsideARunningLoopIsARuntimeError) {
    const std::string error = run([]() -> Coroutine<std::string> {
        co_return thrown_by([] { run([]() -> Coroutine<void> { co_return; }); });
    });
    EXPECT_THAT(error, HasSubstr("RuntimeError: run() cannot be called from a running event loop"));
}

// rule 152
TEST(Runner, SharesOneLoopAndOneContextAmongItsRuns) {
    static ContextVar<int> variable("variable", 0);
    Runner runner;
    EventLoop* loop = &runner.get_loop();
    runner.run([]() -> Coroutine<void> {
        variable.set(5);
        co_return;
    });
    const int seen = runner.run([loop]() -> Coroutine<int> {
        EXPECT_EQ(&get_running_loop(), loop);
        co_return variable.get();
    });
    EXPECT_EQ(seen, 5);
    EXPECT_EQ(variable.get(), 0);
}

// rule 153
TEST(Runner, ClosedIsARuntimeErrorAndClosesTwice) {
    Runner runner;
    runner.run(value(1));
    runner.close();
    runner.close();
    EXPECT_THROW(static_cast<void>(runner.get_loop()), RuntimeError);
    EXPECT_THROW(runner.run([]() -> Coroutine<void> { co_return; }), RuntimeError);
}

TEST(Runner, TakesALoopFromItsFactoryWithoutInstallingIt) {
    int made = 0;
    Runner runner({.loop_factory = [&made] {
        ++made;
        return new_event_loop();
    }});
    runner.run(value(1));
    runner.run(value(2));
    EXPECT_EQ(made, 1);
}

// test_debug, test_non_debug
TEST(Runner, DebugIsForcedOrLeftAlone) {
    Runner on({.debug = true});
    EXPECT_TRUE(on.get_loop().get_debug());
    on.close();
    Runner off({.debug = false});
    EXPECT_FALSE(off.get_loop().get_debug());
}

// test_run_future
TEST(Runner, RunsFuturesAndTasksOfItsLoop) {
    Runner runner;
    Future<std::string> future = runner.get_loop().create_future<std::string>();
    future.set_result("done");
    EXPECT_EQ(runner.run(future), "done");
    EXPECT_EQ(future.result(), "done");
    Task<std::unique_ptr<int>> task = runner.get_loop().create_task(
        []() -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(5); });
    EXPECT_EQ(*runner.run(task), 5);
}

// test_recursive_run
TEST(Runner, InsideItselfIsARuntimeError) {
    Runner runner;
    const std::string error = runner.run([&runner]() -> Coroutine<std::string> {
        co_return thrown_by([&runner] { runner.run([]() -> Coroutine<void> { co_return; }); });
    });
    EXPECT_THAT(error, HasSubstr("RuntimeError"));
    EXPECT_THAT(error, HasSubstr("cannot be called from a running event loop"));
}

// test_asyncio_run_closes_gens_after_hanging_tasks_errors
TEST(Run, ClosesGeneratorsAfterLeftOversThatFail) {
    Trace trace;
    // Outside of run(): the generator, a coroutine of this lambda's, is closed at its very end.
    auto numbers = [&trace]() -> AsyncGenerator<int> {
        const auto first = [&trace](int n) {
            trace.push_back("yields");
            return n;
        };
        try {
            for (int n = 0;; ++n) co_yield first(n);
        } catch (const GeneratorExit&) {
            trace.push_back("closed");
            throw;
        }
    };
    AsyncGenerator<int> kept = numbers();
    run([&]() -> Coroutine<void> {
        get_running_loop().set_exception_handler(
            [&trace](EventLoop&, const ExceptionContext&) { trace.push_back("report"); });
        create_task([&kept]() -> Coroutine<void> {
            co_await kept.anext();
            const auto slept = co_await try_(sleep(1h));
            throw ValueError("left over");
        });
        co_await sleep(0);
        co_await sleep(0);
    });
    EXPECT_EQ(trace, (Trace{"yields", "report", "closed"}));
}

// rule 150
TEST(RunInterrupt, CtrlCCancelsTheMainTaskAndThenThrows) {
    const std::string text = in_child([] {
        std::string trace;
        try {
            run([&trace]() -> Coroutine<void> {
                get_running_loop().call_soon([] { raise(SIGINT); });
                const auto slept = co_await try_(sleep(1h));
                trace += slept.cancelled() ? "cancelled," : "?,";
                co_await sleep(1ms);
                slept.value();
            });
        } catch (const KeyboardInterrupt&) {
            trace += "interrupt";
        }
        return trace;
    });
    EXPECT_EQ(text, "cancelled,interrupt");
}

// rule 150
TEST(RunInterrupt, SwallowedItEndsNormally) {
    const std::string text = in_child([] {
        return run([]() -> Coroutine<std::string> {
            get_running_loop().call_soon([] { raise(SIGINT); });
            const auto slept = co_await try_(sleep(1h));
            co_return "went on";
        });
    });
    EXPECT_EQ(text, "went on");
}

// rule 151
TEST(RunInterrupt, ASecondOneThrowsAtOnce) {
    const std::string text = in_child([] {
        return thrown_by([] {
            run([]() -> Coroutine<void> {
                get_running_loop().call_soon([] { raise(SIGINT); });
                const auto first = co_await try_(sleep(1h));
                get_running_loop().call_soon([] { raise(SIGINT); });
                for (;;) co_await sleep(0);  // only ever yields
            });
        });
    });
    EXPECT_EQ(text, "KeyboardInterrupt");
}

// test_interrupt_wait
TEST(RunInterrupt, WakesALoopThatWaits) {
    const std::string text = in_child([] {
        std::atomic<bool> waits = false;
        const pthread_t main_thread = pthread_self();
        std::thread other([&] {
            waits.wait(false);
            pthread_kill(main_thread, SIGINT);
        });
        const std::string error = thrown_by([&waits] {
            run([&waits]() -> Coroutine<void> {
                waits = true;
                waits.notify_all();
                co_await sleep(1h);
            });
        });
        other.join();
        return error;
    });
    EXPECT_EQ(text, "KeyboardInterrupt");
}

// test_interrupt_cancelled_task
TEST(RunInterrupt, OfATaskThatSomebodyElseCancelledTooIsACancellation) {
    const std::string text = in_child([] {
        return thrown_by([] {
            run([]() -> Coroutine<void> {
                get_running_loop().call_soon([main = current_task()] {
                    main.cancel("not the keyboard");
                    raise(SIGINT);
                });
                co_await sleep(1h);
            });
        });
    });
    EXPECT_THAT(text, HasSubstr("CancelledError"));
}

TEST(RunInterrupt, AProgramsOwnHandlerIsKept) {
    const std::string text = in_child([] {
        static volatile sig_atomic_t seen = 0;
        signal(SIGINT, [](int) { seen = 1; });
        run([]() -> Coroutine<void> {
            raise(SIGINT);
            co_await sleep(1ms);
        });
        return std::string(seen ? "own handler" : "taken over");
    });
    EXPECT_EQ(text, "own handler");
}

TEST(RunInterrupt, TheDefaultIsBackAfterwards) {
    const std::string text = in_child([] {
        run([]() -> Coroutine<void> { co_return; });
        raise(SIGINT);
        return std::string("survived");
    });
    EXPECT_EQ(text, "killed by 2");
}
