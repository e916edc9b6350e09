// The loop: semantics rules 1 to 20, as CPython's test_base_events.py and test_events.py map
// them.
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

class LoopRuns : public LoopTest {};
using Trace = std::vector<int>;

Coroutine<void> nothing() {
    co_return;
}

}  // namespace

// rule 1
TEST_F(LoopRuns, CallbacksInOrderAndNewOnesInTheNextIteration) {
    Trace trace;
    loop.call_soon([&] {
        trace.push_back(1);
        loop.call_soon([&] { trace.push_back(3); });
    });
    loop.call_soon([&] { trace.push_back(2); });
    iterate();
    EXPECT_EQ(trace, (Trace{1, 2}));
    iterate();
    EXPECT_EQ(trace, (Trace{1, 2, 3}));
}

TEST_F(LoopRuns, CallbackArgumentsAreStoredByValue) {
    std::string text = "before";
    std::string seen;
    loop.call_soon(
        [&seen](const std::string& t, std::unique_ptr<int> n) { seen = t + std::to_string(*n); },
        text, std::make_unique<int>(4));
    text = "after";
    iterate();
    EXPECT_EQ(seen, "before4");
}

// rule 2
TEST_F(LoopRuns, DoesNotBlockWhenStoppedBeforehand) {
    loop.call_later(1h, [] {});
    iterate();  // returns
    EXPECT_FALSE(loop.is_running());
}

// rules 5, 4
TEST_F(LoopRuns, TimersInOrderOfDeadlineEqualOnesInOrderOfCreation) {
    Trace trace;
    const auto when = loop.time() + 5ms;
    for (int i = 0; i < 5; ++i) loop.call_at(when, [&trace, i] { trace.push_back(i); });
    loop.call_at(when - 2ms, [&trace] { trace.push_back(-1); });
    loop.call_at(when + 2ms, [&] { loop.stop(); });
    loop.run_forever();
    EXPECT_EQ(trace, (Trace{-1, 0, 1, 2, 3, 4}));
    EXPECT_GE(loop.time(), when + 2ms);
}

// rule 6
TEST_F(LoopRuns, ZeroAndNegativeDelaysNeverRunInline) {
    int runs = 0;
    loop.call_later(0s, [&runs] { ++runs; });
    loop.call_later(-5s, [&runs] { ++runs; });
    EXPECT_EQ(runs, 0);
    iterate();
    EXPECT_EQ(runs, 2);
}

// rule 7
TEST_F(LoopRuns, ManyCancelledTimersLeaveTheOthersAlone) {
    int runs = 0;
    std::vector<TimerHandle> handles;
    for (int i = 0; i < 10'000; ++i) {
        handles.push_back(loop.call_later(std::chrono::hours(i + 1), [&runs] { ++runs; }));
    }
    loop.call_later(2ms, [this] { loop.stop(); });
    for (TimerHandle& handle : handles) handle.cancel();
    EXPECT_TRUE(handles[0].cancelled());
    loop.run_forever();
    EXPECT_EQ(runs, 0);
}

TEST_F(LoopRuns, TimerHandlesKnowTheirDeadlineAndCompareByIt) {
    const auto now = loop.time();
    TimerHandle early = loop.call_at(now + 1h, [] {});
    TimerHandle late = loop.call_at(now + 2h, [] {});
    EXPECT_EQ(early.when(), now + 1h);
    EXPECT_LT(early, late);
    early.cancel();
    EXPECT_EQ(early.when(), now + 1h);
    EXPECT_TRUE(early.cancelled());
    late.cancel();
}

TEST_F(LoopRuns, ACancelledHandleDropsItsCallbackAtOnce) {
    auto held = std::make_shared<int>(1);
    bool ran = false;
    Handle handle = loop.call_soon([held, &ran] { ran = true; });
    EXPECT_EQ(held.use_count(), 2);
    handle.cancel();
    EXPECT_EQ(held.use_count(), 1);
    handle.cancel();
    iterate();
    EXPECT_FALSE(ran);
}

// rule 8
TEST_F(LoopRuns, StopLetsTheIterationFinishAndKeepsTheRest) {
    Trace trace;
    loop.call_soon([&] {
        loop.stop();
        loop.call_soon([&] { trace.push_back(2); });
    });
    loop.call_soon([&] { trace.push_back(1); });
    loop.run_forever();
    EXPECT_EQ(trace, Trace{1});
    iterate();
    EXPECT_EQ(trace, (Trace{1, 2}));
}

// rule 9
TEST_F(LoopRuns, RunUntilCompleteStoppedTooEarlyIsARuntimeError) {
    Future<int> never = loop.create_future<int>();
    loop.call_soon([this] { loop.stop(); });
    EXPECT_THROW(loop.run_until_complete(never), RuntimeError);
    never.set_result(1);  // and its callback no longer stops anything
    int runs = 0;
    loop.call_soon([&] {
        loop.call_soon([&] {
            ++runs;
            loop.stop();
        });
    });
    loop.run_forever();
    EXPECT_EQ(runs, 1);
}

// rule 10
TEST_F(LoopRuns, InsideARunningLoopIsARuntimeError) {
    EventLoopPtr other = new_event_loop();
    std::string same, another, nested_run;
    loop.call_soon([&] {
        same = thrown_by([&] { loop.run_forever(); });
        another = thrown_by([&] { other->run_forever(); });
        nested_run = thrown_by([&] { run([]() -> Coroutine<void> { co_return; }); });
    });
    iterate();
    EXPECT_THAT(same, ::testing::HasSubstr("RuntimeError"));
    EXPECT_THAT(another, ::testing::HasSubstr("RuntimeError"));
    EXPECT_THAT(nested_run, ::testing::HasSubstr("running event loop"));
}

// rule 11
TEST_F(LoopRuns, ClosedRefusesWorkAndClosesOnlyOnce) {
    std::string while_running;
    loop.call_soon([&] { while_running = thrown_by([&] { loop.close(); }); });
    iterate();
    EXPECT_THAT(while_running, ::testing::HasSubstr("RuntimeError"));
    loop.close();
    loop.close();
    EXPECT_TRUE(loop.is_closed());
    EXPECT_THROW(loop.call_soon([] {}), RuntimeError);
    EXPECT_THROW(loop.call_later(1s, [] {}), RuntimeError);
    EXPECT_THROW(loop.call_soon_threadsafe([] {}), RuntimeError);
    EXPECT_THROW(loop.run_forever(), RuntimeError);
    EXPECT_THROW(static_cast<void>(loop.run_in_executor(nullptr, [] {})), RuntimeError);
    // rule 20: and the coroutine is destroyed quietly
    EXPECT_THROW(loop.create_task(nothing()), RuntimeError);
}

// rule 12
TEST_F(LoopRuns, ACallbacksErrorIsReportedAndTheRestRuns) {
    bool later = false;
    loop.call_soon([] { throw ValueError("x"); });
    loop.call_soon([&later] { later = true; });
    iterate();
    EXPECT_TRUE(later);
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_THAT(take_reports()[0], ::testing::HasSubstr("Exception in callback"));
}

// rule 13
TEST_F(LoopRuns, SystemExitEscapesAndLeftoversSurvive) {
    bool later = false;
    loop.call_soon([] { throw SystemExit(3); });
    loop.call_soon([&later] { later = true; });
    EXPECT_THROW(loop.run_forever(), SystemExit);
    EXPECT_FALSE(later);
    iterate();
    EXPECT_TRUE(later);
}

// rule 14
TEST_F(LoopRuns, AThrowingExceptionHandlerIsItselfLogged) {
    std::vector<std::string> logged;
    const LogSink before =
        set_log_sink([&](LogLevel, std::string_view text) { logged.emplace_back(text); });
    loop.set_exception_handler(
        [](EventLoop&, const ExceptionContext&) { throw ValueError("broken handler"); });
    loop.call_soon([] { throw RuntimeError("first"); });
    iterate();
    set_log_sink(before);
    loop.set_exception_handler({});
    ASSERT_EQ(logged.size(), 1u);
    EXPECT_THAT(logged[0], ::testing::HasSubstr("Unhandled error in exception handler"));
    EXPECT_THAT(logged[0], ::testing::HasSubstr("broken handler"));
    // What it was called for is not lost.
    EXPECT_THAT(logged[0], ::testing::HasSubstr("RuntimeError: first"));
}

// rule 14
TEST_F(LoopRuns, TheHandlerRunsInTheContextConcerned) {
    static ContextVar<int> variable("variable", 0);
    int seen = -1;
    loop.set_exception_handler(
        [&seen](EventLoop&, const ExceptionContext&) { seen = variable.get(); });
    Context context;
    context.run([&] {
        variable.set(6);
        loop.call_soon([] { throw ValueError("x"); });
    });
    iterate();
    EXPECT_EQ(seen, 6);
}

// rule 15
TEST_F(LoopRuns, CallSoonThreadsafeWakesABlockedLoop) {
    std::thread other;
    loop.call_soon([&] {
        other = std::thread([this] { loop.call_soon_threadsafe([this] { loop.stop(); }); });
    });
    loop.run_forever();  // would block for ever
    other.join();
    EXPECT_FALSE(loop.is_running());
}

TEST_F(LoopRuns, ThreadsafeCallbacksFromManyThreadsAllRun) {
    constexpr int threads = 4, each = 5'000;
    int runs = 0;
    std::vector<std::thread> others;
    for (int t = 0; t < threads; ++t) {
        others.emplace_back([&] {
            for (int i = 0; i < each; ++i) {
                loop.call_soon_threadsafe([&] {
                    if (++runs == threads * each) loop.stop();
                });
            }
        });
    }
    loop.run_forever();
    for (auto& other : others) other.join();
    EXPECT_EQ(runs, threads * each);
}

// rule 16
TEST_F(LoopRuns, CancellingAThreadsafeHandleWaitsForItsCallback) {
    std::atomic<bool> started = false, finish = false, ended = false;
    std::atomic<bool> ended_when_cancelled = false;
    Handle handle = loop.call_soon_threadsafe([&] {
        started = true;
        while (!finish) std::this_thread::yield();
        ended = true;
    });
    std::thread canceller([&] {
        while (!started) std::this_thread::yield();
        finish = true;
        handle.cancel();
        ended_when_cancelled = ended.load();
    });
    iterate();
    canceller.join();
    EXPECT_TRUE(ended_when_cancelled);
}

// rule 17
TEST_F(LoopRuns, DebugModeRefusesAForeignThreadAndReportsSlowCallbacks) {
    std::vector<std::string> logged;
    const LogSink before =
        set_log_sink([&](LogLevel, std::string_view text) { logged.emplace_back(text); });
    loop.set_debug(true);
    loop.slow_callback_duration = 1ms;
    std::string from_elsewhere;
    loop.call_soon([&] {
        std::thread([&] { from_elsewhere = thrown_by([&] { loop.call_soon([] {}); }); }).join();
        const auto end = std::chrono::steady_clock::now() + 3ms;
        while (std::chrono::steady_clock::now() < end) {
        }
    });
    iterate();
    set_log_sink(before);
    EXPECT_THAT(from_elsewhere, ::testing::HasSubstr("another thread"));
    ASSERT_FALSE(logged.empty());
    EXPECT_THAT(logged[0], ::testing::HasSubstr("Executing <Handle"));
}

TEST_F(LoopRuns, OnAnotherThreadThanItWasMadeOn) {
    int result = 0;
    std::thread([&] {
        result = loop.run_until_complete([]() -> Coroutine<int> {
            co_await sleep(1ms);
            co_return 8;
        }());
    }).join();
    EXPECT_EQ(result, 8);
}

TEST_F(LoopRuns, LeavesNoDescriptorBehind) {
    const auto count = [] {
        int n = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            static_cast<void>(entry);
            ++n;
        }
        return n;
    };
    run([]() -> Coroutine<void> { co_await sleep(1ms); });
    const int before = count();
    for (int i = 0; i < 20; ++i) run([]() -> Coroutine<void> { co_await sleep(0); });
    EXPECT_EQ(count(), before);
}

TEST(LoopAccess, WithoutARunningLoopIsARuntimeError) {
    EXPECT_THROW(static_cast<void>(get_running_loop()), RuntimeError);
    EXPECT_EQ(get_running_loop_or_null(), nullptr);
    EXPECT_THROW(create_task([]() -> Coroutine<void> { co_return; }), RuntimeError);
    std::thread([] { EXPECT_THROW(static_cast<void>(get_event_loop()), RuntimeError); }).join();
}

TEST(LoopAccess, TheLoopThatWasSetIsFound) {
    EventLoopPtr loop = new_event_loop();
    set_event_loop(loop.get());
    EXPECT_EQ(&get_event_loop(), loop.get());
    set_event_loop(nullptr);
    EXPECT_THROW(static_cast<void>(get_event_loop()), RuntimeError);
}

// rule 148
TEST_F(LoopRuns, AForkedChildSeesNoRunningLoop) {
    int status = -1;
    loop.call_soon([&] {
        const pid_t child = fork();
        if (child == 0) _exit(get_running_loop_or_null() == nullptr ? 0 : 1);
        waitpid(child, &status, 0);
    });
    iterate();
    EXPECT_EQ(status, 0);
}

// test_fork_not_share_event_loop, test_fork_asyncio_run
TEST_F(LoopRuns, AForkedChildHasALoopOfItsOwn) {
    set_event_loop(&loop);
    int status = -1;
    loop.call_soon([&] {
        const pid_t child = fork();
        if (child == 0) {
            EventLoop& made = get_event_loop();
            const bool another = &made != &loop && &made == &get_event_loop();
            const int result = run([]() -> Coroutine<int> {
                co_await sleep(1ms);
                co_return 42;
            });
            _exit(another && result == 42 ? 0 : 1);
        }
        waitpid(child, &status, 0);
    });
    iterate();
    EXPECT_EQ(status, 0);
    set_event_loop(nullptr);
}
