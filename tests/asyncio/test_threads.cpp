// to_thread, run_in_executor, wrap_future and run_coroutine_threadsafe: semantics rules 29 and
// 154 to 158, as CPython's test_threads.py and test_events.py map them.
#include <latch>
#include <thread>

#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
namespace futures = concurrent::futures;
using ::testing::HasSubstr;

namespace {

class ThreadsTest : public LoopTest {};

Coroutine<int> value(int v) {
    co_return v;
}

}  // namespace

TEST_F(ThreadsTest, ToThreadGivesTheResultOrTheError) {
    const auto here = std::this_thread::get_id();
    EXPECT_NE(loop.run_until_complete(to_thread([] { return std::this_thread::get_id(); })), here);
    EXPECT_EQ(
        loop.run_until_complete(to_thread([](int a, std::unique_ptr<int> b) { return a + *b; }, 1,
                                          std::make_unique<int>(2))),
        3);
    EXPECT_THROW(loop.run_until_complete(to_thread([] { throw ValueError("x"); })), ValueError);
    auto pointer =
        loop.run_until_complete(to_thread([] { return std::make_unique<std::string>("moved"); }));
    EXPECT_EQ(*pointer, "moved");
}

// rule 155
TEST_F(ThreadsTest, ToThreadCarriesContextVariablesAndRunInExecutorDoesNot) {
    static ContextVar<int> variable("variable", 0);
    Context context;
    context.run([&] {
        variable.set(7);
        const auto seen =
            loop.run_until_complete([](EventLoop& loop) -> Coroutine<std::pair<int, int>> {
                const auto read = [] {
                    const int before = variable.get();
                    variable.set(99);  // stays in the worker's own copy
                    return before;
                };
                const int carried = co_await to_thread(read);
                const int bare =
                    co_await loop.run_in_executor(nullptr, [] { return variable.get(); });
                EXPECT_EQ(variable.get(), 7);
                co_return std::pair(carried, bare);
            }(loop));
        EXPECT_EQ(seen, std::pair(7, 0));
    });
}

TEST_F(ThreadsTest, RunInExecutorTakesAnyExecutor) {
    futures::ThreadPoolExecutor pool(2);
    auto [a, b] = loop.run_until_complete(
        [](EventLoop& loop, futures::ThreadPoolExecutor& pool) -> Coroutine<std::pair<int, int>> {
            auto [x, y] = co_await gather(loop.run_in_executor(pool, [] { return 1; }),
                                          loop.run_in_executor(pool, [](int n) { return n; }, 2));
            co_return std::pair(x, y);
        }(loop, pool));
    EXPECT_EQ(a + b, 3);
    pool.shutdown();
    EXPECT_THROW(static_cast<void>(loop.run_in_executor(pool, [] {})), RuntimeError);
}

// rule 154
TEST_F(ThreadsTest, CancellingDoesNotStopRunningWorkWhoseLateResultIsDropped) {
    std::latch started(1), release(1);
    std::atomic<bool> ended = false;
    auto future = loop.run_in_executor(nullptr, [&] {
        started.count_down();
        release.wait();
        ended = true;
        return 1;
    });
    started.wait();
    EXPECT_TRUE(future.cancel());
    EXPECT_TRUE(future.cancelled());
    release.count_down();
    loop.run_until_complete(loop.shutdown_default_executor());
    EXPECT_TRUE(ended);
    EXPECT_TRUE(future.cancelled());
}

// rule 154
TEST_F(ThreadsTest, AResultAfterTheLoopClosedIsIgnored) {
    std::latch started(1), release(1);
    futures::ThreadPoolExecutor pool(1);
    auto future = loop.run_in_executor(pool, [&] {
        started.count_down();
        release.wait();
        return 1;
    });
    started.wait();
    close();
    loop_owner.reset();
    release.count_down();
    pool.shutdown();
    EXPECT_FALSE(future.done());
}

// rule 154
TEST_F(ThreadsTest, CancellingBeforeItStartedMeansItNeverRuns) {
    std::latch release(1);
    futures::ThreadPoolExecutor pool(1);
    bool ran = false;
    auto blocker = loop.run_in_executor(pool, [&] { release.wait(); });
    auto queued = loop.run_in_executor(pool, [&ran] { ran = true; });
    EXPECT_TRUE(queued.cancel());
    release.count_down();
    loop.run_until_complete(blocker);
    pool.shutdown();
    EXPECT_FALSE(ran);
}

// rule 29
TEST_F(ThreadsTest, AWrappedFutureAndItsSourceCancelEachOther) {
    futures::Future<int> source;
    Future<int> wrapped = wrap_future(source, &loop);
    wrapped.cancel();
    EXPECT_TRUE(source.cancelled());

    futures::Future<int> second;
    Future<int> other = wrap_future(second, &loop);
    second.cancel();
    EXPECT_THROW(loop.run_until_complete(other), CancelledError);
    EXPECT_TRUE(other.cancelled());
}

TEST_F(ThreadsTest, WrapFutureTakesResultsAndErrors) {
    futures::Future<std::string> text, failing;
    auto a = wrap_future(text, &loop);
    auto b = wrap_future(failing, &loop);
    std::thread([&] {
        text.set_result("from a thread");
        failing.set_exception(ValueError("x"));
    }).join();
    EXPECT_EQ(loop.run_until_complete(a), "from a thread");
    EXPECT_THROW(loop.run_until_complete(b), ValueError);
}

// rule 156
TEST_F(ThreadsTest, RunCoroutineThreadsafeGivesItsResultToAnotherThread) {
    int result = 0;
    std::string error;
    std::thread other([&] {
        result = run_coroutine_threadsafe(value(5), loop).result(10s);
        error = thrown_by([&] {
            run_coroutine_threadsafe(
                []() -> Coroutine<int> {
                    throw ValueError("there");
                    co_return 1;
                },
                loop)
                .result(10s);
        });
        loop.call_soon_threadsafe([this] { loop.stop(); });
    });
    loop.run_forever();
    other.join();
    EXPECT_EQ(result, 5);
    EXPECT_EQ(error, "ValueError: there");
}

// rule 156
TEST_F(ThreadsTest, CancellingItsFutureCancelsTheTaskAndTheReverse) {
    std::atomic<bool> task_cancelled = false;
    bool future_cancelled = false;
    std::thread other([&] {
        std::latch started(1);
        auto future = run_coroutine_threadsafe(
            [&]() -> Coroutine<void> {
                started.count_down();
                const auto slept = co_await try_(sleep(1h));
                task_cancelled = slept.cancelled();
                slept.value();
            },
            loop);
        started.wait();
        EXPECT_TRUE(future.cancel());
        auto reverse = run_coroutine_threadsafe(
            []() -> Coroutine<void> {
                current_task().cancel();
                co_await sleep(0);
            },
            loop);
        try {
            reverse.result(10s);
        } catch (const futures::CancelledError&) {
            future_cancelled = true;
        }
        loop.call_soon_threadsafe([this] { loop.stop(); });
    });
    loop.run_forever();
    other.join();
    EXPECT_TRUE(task_cancelled);
    EXPECT_TRUE(future_cancelled);
}

// test_run_coroutine_threadsafe_task_factory_exception
TEST_F(ThreadsTest, WhatATaskFactoryThrowsComesBackToTheOtherThread) {
    loop.set_task_factory([](EventLoop&, TaskBuilder) -> AnyTask { throw ValueError("factory"); });
    std::string error;
    std::thread other([&] {
        error = thrown_by([&] { run_coroutine_threadsafe(value(1), loop).result(10s); });
        loop.call_soon_threadsafe([this] { loop.stop(); });
    });
    loop.run_forever();
    other.join();
    loop.set_task_factory({});
    EXPECT_EQ(error, "ValueError: factory");
    // CPython tells the loop's handler as well.
    take_reports();
}

// test_run_coroutine_threadsafe_with_timeout
TEST_F(ThreadsTest, AResultThatIsLateMayBeCancelledByWhoWaitsForIt) {
    bool timed_out = false;
    Task<void> task;
    std::thread other([&] {
        auto future = run_coroutine_threadsafe(
            [&task]() -> Coroutine<void> {
                task = Task<void>(current_task().reference());
                co_await sleep(1h);
            },
            loop);
        try {
            future.result(1ms);
        } catch (const TimeoutError&) {
            timed_out = true;
            future.cancel();
        }
        loop.call_soon_threadsafe([this] { loop.stop(); });
    });
    loop.run_forever();
    other.join();
    iterate(2);
    EXPECT_TRUE(timed_out);
    EXPECT_TRUE(all_tasks(loop).empty());
}

// test_wrap_future_future
TEST_F(ThreadsTest, WrappingAFutureOfALoopGivesItBack) {
    Future<int> future = loop.create_future<int>();
    EXPECT_EQ(wrap_future(future), future);
}

// test_wrap_future_without_loop
TEST_F(ThreadsTest, WrappingWithoutALoopIsARuntimeError) {
    set_event_loop(nullptr);
    const futures::Future<int> source;
    EXPECT_THROW(static_cast<void>(wrap_future(source)), RuntimeError);
}

// rule 158
TEST_F(ThreadsTest, AfterItsShutdownTheDefaultExecutorRefuses) {
    loop.run_until_complete(to_thread([] {}));
    loop.run_until_complete(loop.shutdown_default_executor());
    EXPECT_THROW(static_cast<void>(loop.run_in_executor(nullptr, [] {})), RuntimeError);
}

// rule 157
TEST_F(ThreadsTest, AShutdownPastItsTimeoutWarnsAndReturns) {
    std::vector<std::string> logged;
    const LogSink before =
        set_log_sink([&](LogLevel, std::string_view text) { logged.emplace_back(text); });
    std::latch release(1), ended(1);
    loop.run_in_executor(nullptr, [&] {
        release.wait();
        ended.count_down();
    });
    loop.run_until_complete(loop.shutdown_default_executor(10ms));
    release.count_down();
    ended.wait();
    set_log_sink(before);
    ASSERT_EQ(logged.size(), 1u);
    EXPECT_THAT(logged[0], HasSubstr("did not finish joining"));
}

TEST_F(ThreadsTest, ManyCallsInFlightAllComeBack) {
    const long sum = loop.run_until_complete([]() -> Coroutine<long> {
        std::vector<Coroutine<int>> calls;
        for (int i = 0; i < 2'000; ++i) calls.push_back(to_thread([i] { return i; }));
        long total = 0;
        for (int n : co_await gather(std::move(calls))) total += n;
        co_return total;
    }());
    EXPECT_EQ(sum, 1'999'000);
}
