// ProcessPoolExecutor when things go wrong: dying workers, failing initializers, shutdown.
//
// CPython: test_concurrent_futures/{test_process_pool,test_deadlock,test_init,test_shutdown}.py
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include <asyncio/log.hpp>

#include "process_fixture.hpp"

namespace process_test {
namespace {

using concurrent::futures::BrokenProcessPool;
using concurrent::futures::Future;
using concurrent::futures::ProcessPoolExecutor;
using ::testing::AllOf;
using ::testing::HasSubstr;

int square(int x) { return x * x; }
int worker_pid() { return getpid(); }
void wait_at(const std::string& gate) { Gate::wait_at(gate); }
void sleep_for(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

template <class T>
std::string error_of(const Future<T>& future) {
    try {
        future.result(patience);
    } catch (const BrokenProcessPool& error) {
        return error.what();
    } catch (const std::exception& error) {
        return std::string("another exception: ") + error.what();
    }
    return "no exception";
}

// --- Ways to die --------------------------------------------------------------------------------

// Sanitizers turn a crash into an exit with a report; here it shall be a crash.
void crash(int signal) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    ::signal(signal, SIG_DFL);
    raise(signal);
}
void segfault() { crash(SIGSEGV); }
void abort_now() { crash(SIGABRT); }
void kill_self() { raise(SIGKILL); }
void exit_quietly() { _exit(0); }
void exit_with_seven() { _exit(7); }
void terminate_self() { raise(SIGTERM); }
void close_everything() {
    for (int descriptor = 3; descriptor < 64; ++descriptor) close(descriptor);
    pause();
}

struct Death {
    const char* name;
    void (*call)();
    const char* says;
};

class EachDeath
    : public ProcessTest,
      public ::testing::WithParamInterface<std::tuple<StartMethod, Death>> {};

INSTANTIATE_TEST_SUITE_P(
    ProcessPool, EachDeath,
    ::testing::Combine(
        ::testing::Values(StartMethod::forkserver, StartMethod::spawn, StartMethod::fork),
        ::testing::Values(Death{"segfault", segfault, "was killed by signal 11 (Segmentation fault)"},
                          Death{"abort", abort_now, "was killed by signal 6 (Aborted)"},
                          Death{"kill", kill_self, "was killed by signal 9 (Killed)"},
                          Death{"terminate", terminate_self, "was killed by signal 15 (Terminated)"},
                          Death{"exit_0", exit_quietly, "exited with status 0"},
                          Death{"exit_7", exit_with_seven, "exited with status 7"},
                          Death{"close", close_everything, "closed its connection to the pool"})),
    [](const auto& info) {
        return std::string(multiprocessing::name(std::get<0>(info.param))) + "_" +
               std::get<1>(info.param).name;
    });

// Rule 163; test_process_pool.py::test_killed_child, test_deadlock.py
TEST_P(EachDeath, BreaksThePoolForAllCallsAtOnce) {
    const auto [method, death] = GetParam();
    Gate gate, deaths_gate;
    ProcessPoolExecutor pool({.max_workers = 2, .mp_context = method});
    const auto finished = pool.submit(square, 3);
    EXPECT_EQ(finished.result(), 9);
    const auto elsewhere = pool.submit(wait_at, gate.path());
    const auto dying = pool.submit(
        [](const std::string& path, void (*die)()) {
            Gate::wait_at(path);
            die();
        },
        deaths_gate.path(), death.call);
    // Both workers are taken before the rest is submitted: none of it can have run.
    ASSERT_TRUE(gate.reached());
    ASSERT_TRUE(deaths_gate.reached());
    std::vector<Future<int>> queued;
    for (int i = 0; i < 10; ++i) queued.push_back(pool.submit(square, i));
    deaths_gate.open();

    EXPECT_THAT(error_of(dying), AllOf(HasSubstr("terminated abruptly"), HasSubstr(death.says),
                                       HasSubstr("worker ")));
    EXPECT_THAT(error_of(elsewhere), HasSubstr(death.says));
    for (const auto& future : queued) EXPECT_THAT(error_of(future), HasSubstr(death.says));
    EXPECT_THROW(pool.submit(square, 1), BrokenProcessPool);
    EXPECT_EQ(finished.result(), 9);

    // The rest was terminated, and there is nothing to wait for.
    pool.shutdown();
    EXPECT_EQ(children(), std::set<pid_t>());
    EXPECT_THROW(pool.submit(square, 1), BrokenProcessPool);
}

class ProcessFaults : public ProcessTest {};

TEST_F(ProcessFaults, AnIdleWorkerThatIsKilledBreaksThePool) {
    ProcessPoolExecutor pool(1);
    const int pid = pool.submit(worker_pid).result();
    kill(pid, SIGKILL);
    EXPECT_TRUE(eventually([&] {
        try {
            pool.submit(square, 2).result();
        } catch (const BrokenProcessPool& error) {
            EXPECT_THAT(error.what(), HasSubstr("worker " + std::to_string(pid)));
            return true;
        }
        return false;
    }));
}

TEST_F(ProcessFaults, ResultsThatWereSentBeforeTheDeathCount) {
    for (int i = 0; i < 20; ++i) {
        ProcessPoolExecutor pool(1);
        const auto good = pool.submit(square, i);
        const auto bad = pool.submit(kill_self);
        EXPECT_EQ(good.result(), i * i);
        EXPECT_THAT(error_of(bad), HasSubstr("signal 9"));
    }
}

TEST_F(ProcessFaults, TheFailureIsSeenQuickly) {
    ProcessPoolExecutor pool(1);
    const int pid = pool.submit(worker_pid).result();
    const auto waiting = pool.submit(sleep_for, 60'000ms);
    const auto start = std::chrono::steady_clock::now();
    kill(pid, SIGKILL);
    EXPECT_THAT(error_of(waiting), HasSubstr("signal 9"));
    EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);  // ~1 ms on an idle machine
}

TEST_F(ProcessFaults, AForkServerThatIsKilledBreaksThePool) {
    ProcessPoolExecutor pool(2);
    const auto [worker, server] =
        pool.submit([] { return std::pair(getpid(), getppid()); }).result();
    const auto waiting = pool.submit(sleep_for, 60'000ms);
    kill(server, SIGKILL);
    EXPECT_THAT(error_of(waiting), AnyOf(HasSubstr("the fork server was killed by signal 9"),
                                         HasSubstr("worker " + std::to_string(worker))));
    EXPECT_TRUE(eventually([worker = worker] { return !is_alive(worker); }));
}

TEST_F(ProcessFaults, AWorkerThatIgnoresSigtermIsKilledWhenThePoolBreaks) {
    ProcessPoolExecutor pool(2);
    Gate gate;
    const auto stubborn = pool.submit(
        [](const std::string& path) {
            signal(SIGTERM, SIG_IGN);
            Gate::wait_at(path);
        },
        gate.path());
    ASSERT_TRUE(gate.reached());
    const auto bad = pool.submit(kill_self);
    EXPECT_THAT(error_of(stubborn), HasSubstr("signal 9"));
    pool.shutdown();
}

TEST_F(ProcessFaults, AnExceptionIsNoFault) {
    ProcessPoolExecutor pool(1);
    for (int i = 0; i < 100; ++i) {
        EXPECT_THROW(pool.submit([] { throw std::runtime_error("again"); }).result(),
                     std::runtime_error);
    }
    EXPECT_EQ(pool.submit(square, 2).result(), 4);
}

// Rule 163; a result that cannot be read breaks the pool, as in Python.
struct ReadableInWorkersOnly {
    template <class Archive>
    void save(Archive& archive) const {
        archive(maker);
    }
    template <class Archive>
    void load(Archive& archive) {
        archive(maker);
        if (maker != getpid()) throw asyncio::ValueError("made elsewhere");
    }
    int maker = getpid();
};

TEST_F(ProcessFaults, AResultThatCannotBeReadBreaksThePool) {
    ProcessPoolExecutor pool(1);
    const auto unreadable = pool.submit([] { return ReadableInWorkersOnly(); });
    EXPECT_THAT(error_of(unreadable), HasSubstr("could not be read: ValueError: made elsewhere"));
    EXPECT_THROW(pool.submit(square, 1), BrokenProcessPool);
}

// --- Initializers -------------------------------------------------------------------------------

// Rule 163; test_init.py
TEST_F(ProcessFaults, AnInitializerThatThrowsBreaksThePool) {
    for (const StartMethod method :
         {StartMethod::forkserver, StartMethod::spawn, StartMethod::fork}) {
        std::mutex mutex;
        std::string logged;
        const auto before = asyncio::set_log_sink([&](asyncio::LogLevel, std::string_view text) {
            const std::lock_guard lock(mutex);
            logged += text;
        });
        {
            ProcessPoolExecutor pool(
                {.max_workers = 2, .mp_context = method, .initializer = {[] {
                     throw asyncio::ValueError("error in initializer");
                 }}});
            const auto future = pool.submit(square, 1);
            EXPECT_THAT(error_of(future), HasSubstr("ValueError: error in initializer"));
            EXPECT_THROW(pool.submit(square, 1), concurrent::futures::BrokenExecutor);
        }
        asyncio::set_log_sink(before);
        EXPECT_THAT(logged, HasSubstr("Exception in initializer: ValueError"));
    }
}

TEST_F(ProcessFaults, AnInitializerThatDiesBreaksThePool) {
    ProcessPoolExecutor pool({.max_workers = 1, .initializer = exit_with_seven});
    EXPECT_THAT(error_of(pool.submit(square, 1)), HasSubstr("exited with status 7"));
}

TEST_F(ProcessFaults, LargeInitializersPass) {
    const std::string text(2'000'000, 'i');
    static std::size_t length = 0;
    ProcessPoolExecutor pool({.max_workers = 2, .initializer = {[](const std::string& t) {
                                                                    length = t.size();
                                                                },
                                                                text}});
    EXPECT_EQ(pool.submit([] { return length; }).result(), text.size());
}

// --- Shutdown -----------------------------------------------------------------------------------

// Rule 162; test_shutdown.py
TEST_F(ProcessFaults, ShutdownRunsWhatWasSubmitted) {
    ProcessPoolExecutor pool(2);
    std::vector<Future<void>> futures;
    for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(sleep_for, 2ms));
    pool.shutdown();
    for (const auto& future : futures) {
        EXPECT_TRUE(future.done());
        EXPECT_EQ(future.exception(), nullptr);
    }
    EXPECT_THROW(pool.submit(square, 2), asyncio::RuntimeError);
    pool.shutdown();
    pool.shutdown({.wait = false, .cancel_futures = true});
}

// test_shutdown.py::test_cancel_futures
TEST_F(ProcessFaults, ShutdownCancelsWhatHasNotStarted) {
    ProcessPoolExecutor pool(2);
    Gate gate;
    const auto running = pool.submit(wait_at, gate.path());
    ASSERT_TRUE(gate.reached());
    std::vector<Future<void>> futures;
    for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(sleep_for, 1ms));
    std::thread stopper([&] { pool.shutdown({.cancel_futures = true}); });
    EXPECT_TRUE(eventually([&] { return futures.back().cancelled(); }));
    gate.open();
    stopper.join();
    EXPECT_EQ(running.exception(), nullptr);
    const auto cancelled = std::count_if(futures.begin(), futures.end(),
                                         [](const auto& future) { return future.cancelled(); });
    EXPECT_GT(cancelled, 20);
    for (const auto& future : futures) {
        EXPECT_TRUE(future.done());
        if (!future.cancelled()) EXPECT_EQ(future.exception(), nullptr);
    }
    EXPECT_EQ(concurrent::futures::wait(futures).not_done.size(), 0u);
}

// test_shutdown.py::test_hang_gh94440
TEST_F(ProcessFaults, ShutdownAfterACancelDoesNotHang) {
    ProcessPoolExecutor pool(1);
    pool.submit(square, 1).result();
    pool.submit(square, 1).cancel();
    pool.shutdown();
    ProcessPoolExecutor unused(1);
    unused.shutdown();
    EXPECT_THROW(unused.submit(square, 1), asyncio::RuntimeError);
}

TEST_F(ProcessFaults, ShutdownWithoutWaitingReturnsAtOnce) {
    Gate gate;
    std::optional<ProcessPoolExecutor> pool(1);
    const auto running = pool->submit(wait_at, gate.path());
    const auto next = pool->submit(square, 5);
    ASSERT_TRUE(gate.reached());
    pool->shutdown({.wait = false});
    EXPECT_FALSE(running.done());
    gate.open();
    EXPECT_EQ(next.result(), 25);
    pool.reset();
}

TEST_F(ProcessFaults, WaitingInADoneCallbackIsRefused) {
    ProcessPoolExecutor pool(1);
    std::atomic<bool> refused = false;
    Gate gate;
    const auto future = pool.submit(wait_at, gate.path());
    future.add_done_callback([&] {
        try {
            pool.shutdown();
        } catch (const asyncio::RuntimeError&) {
            refused = true;
        }
    });
    ASSERT_TRUE(gate.reached());
    gate.open();
    EXPECT_TRUE(eventually([&] { return refused.load(); }));
}

TEST_F(ProcessFaults, TheLastOwnerMayBeADoneCallback) {
    const auto threads = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
    };
    const auto before = threads();
    auto pool = std::make_shared<ProcessPoolExecutor>(1);
    Gate gate;
    const auto future = pool->submit(wait_at, gate.path());
    ASSERT_TRUE(gate.reached());
    const pid_t worker = pool->worker_pids().at(0);
    future.add_done_callback([pool]() mutable { pool.reset(); });
    pool.reset();
    gate.open();
    EXPECT_TRUE(eventually([&] { return !is_alive(worker) && children().empty(); }));
    // The pool's thread lets go of its descriptors last.
    EXPECT_TRUE(eventually([&] { return threads() == before; }));
}

// Python 3.14
TEST_F(ProcessFaults, TerminateAndKillWorkers) {
    for (const int signal : {SIGTERM, SIGKILL}) {
        ProcessPoolExecutor pool(2);
        Gate gate;
        const auto running = pool.submit(wait_at, gate.path());
        ASSERT_TRUE(gate.reached());
        std::vector<Future<int>> queued;
        for (int i = 0; i < 20; ++i) queued.push_back(pool.submit(square, i));
        const auto workers = pool.worker_pids();
        signal == SIGTERM ? pool.terminate_workers() : pool.kill_workers();
        EXPECT_THAT(error_of(running), HasSubstr("signal " + std::to_string(signal)));
        for (const auto& future : queued) EXPECT_TRUE(eventually([&] { return future.done(); }));
        EXPECT_THROW(pool.submit(square, 1), asyncio::RuntimeError);
        for (const pid_t pid : workers) EXPECT_TRUE(eventually([&] { return !is_alive(pid); }));
    }
    ProcessPoolExecutor unused(1);
    unused.kill_workers();
    EXPECT_THROW(unused.submit(square, 1), asyncio::RuntimeError);
}

TEST_F(ProcessFaults, PoolsComeAndGoWithoutLeaks) {
    for (int i = 0; i < 20; ++i) {
        ProcessPoolExecutor pool(2);
        EXPECT_EQ(pool.submit(square, i).result(), i * i);
        if (i % 4 == 0) EXPECT_THAT(error_of(pool.submit(kill_self)), HasSubstr("signal 9"));
    }
}

// --- The end of the program ---------------------------------------------------------------------

TEST_F(ProcessFaults, WorkersDieWithTheProgram) {
    for (const char* how : {" exit", " kill"}) {
        std::istringstream pids(run_program(std::string(POOL_PROGRAM) + how).output);
        int count = 0;
        for (pid_t pid; pids >> pid; ++count) {
            EXPECT_TRUE(eventually([&] { return !is_alive(pid); })) << how;
        }
        EXPECT_EQ(count, 3) << how;  // the fork server and two workers
    }
}

// test_shutdown.py::test_interpreter_shutdown, ::test_hang_gh83386
TEST_F(ProcessFaults, TheProgramsEndWaitsForItsCalls) {
    const Finished finished = run_program(POOL_PROGRAM " leave");
    EXPECT_EQ(finished.status, 0);
    for (const char* text : {"main ", "apple ", "pear ", "plum "}) {
        EXPECT_THAT(finished.output, HasSubstr(text));
    }
}

// test_shutdown.py::test_submit_after_interpreter_shutdown
TEST_F(ProcessFaults, SubmittingAtTheProgramsEndIsRefused) {
    const Finished finished = run_program(POOL_PROGRAM " submit_at_exit");
    EXPECT_THAT(finished.output, HasSubstr("cannot schedule new futures after"));
    EXPECT_EQ(finished.status, 0);
}

TEST_F(ProcessFaults, WorkersIgnoreSigint) {
    ProcessPoolExecutor pool(1);
    const int pid = pool.submit(worker_pid).result();
    kill(pid, SIGINT);
    EXPECT_EQ(pool.submit(worker_pid).result(), pid);
}

TEST_F(ProcessFaults, AHundredMegabytesThereAndBack) {
    ProcessPoolExecutor pool(1);
    std::string text(100'000'000, 'x');
    text.back() = 'y';
    const auto same = [](std::string value) { return value; };
    EXPECT_TRUE(pool.submit(same, text).result() == text);
    EXPECT_EQ(pool.submit([](const std::string& t) { return t.back(); }, text).result(), 'y');
}

}  // namespace
}  // namespace process_test
