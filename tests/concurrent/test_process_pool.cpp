// ProcessPoolExecutor: calls, results, order, map, options. Deaths are in test_process_faults.cpp.
//
// CPython: test_concurrent_futures/{executor,test_process_pool,test_init,test_shutdown}.py
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "process_fixture.hpp"

int triple(int x);  // in a shared library

namespace process_test {
namespace {

using concurrent::futures::Future;
using concurrent::futures::ProcessPoolExecutor;
using Options = ProcessPoolExecutor::Options;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

int square(int x) {
    return x * x;
}
int add(int a, int b) noexcept {
    return a + b;
}
int worker_pid() {
    return getpid();
}
void wait_at(const std::string& gate) {
    Gate::wait_at(gate);
}
int pid_at(const std::string& gate) {
    Gate::wait_at(gate);
    return getpid();
}

std::string message_of(std::invocable auto&& call) {
    try {
        call();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "nothing thrown";
}

// --- Each start method ------------------------------------------------------------------------

class EachMethod : public ProcessTest, public ::testing::WithParamInterface<StartMethod> {};

INSTANTIATE_TEST_SUITE_P(ProcessPool, EachMethod,
                         ::testing::Values(StartMethod::forkserver, StartMethod::spawn,
                                           StartMethod::fork),
                         [](const auto& info) {
                             return std::string(multiprocessing::name(info.param));
                         });

TEST_P(EachMethod, RunsACallInAnotherProcess) {
    ProcessPoolExecutor pool({.max_workers = 2, .mp_context = GetParam()});
    EXPECT_EQ(pool.submit(square, 7).result(), 49);
    const int pid = pool.submit(worker_pid).result();
    EXPECT_NE(pid, getpid());
    EXPECT_TRUE(is_alive(pid));
    pool.shutdown();
    EXPECT_FALSE(is_alive(pid));
}

TEST_P(EachMethod, RunsManySmallCalls) {
    ProcessPoolExecutor pool({.max_workers = 2, .mp_context = GetParam()});
    std::vector<Future<int>> futures;
    for (int i = 0; i < 5000; ++i) futures.push_back(pool.submit(add, i, 1));
    for (int i = 0; i < 5000; ++i) ASSERT_EQ(futures[i].result(), i + 1);
}

TEST_P(EachMethod, ExceptionsComeHome) {
    ProcessPoolExecutor pool({.max_workers = 1, .mp_context = GetParam()});
    const auto future = pool.submit([](int x) { throw std::out_of_range(std::to_string(x)); }, 3);
    EXPECT_THROW(future.result(), std::out_of_range);
}

// Rule 163; test_init.py
TEST_P(EachMethod, InitializerRunsInEachWorker) {
    static int level = 0;
    ProcessPoolExecutor pool({.max_workers = 2,
                              .mp_context = GetParam(),
                              .initializer = {[](int to, const std::string& more) {
                                                  level = to + static_cast<int>(more.size());
                                              },
                                              40, "ab"}});
    std::vector<Future<int>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([] { return level; }));
    for (const auto& future : futures) EXPECT_EQ(future.result(), 42);
    EXPECT_EQ(level, 0);
}

TEST_P(EachMethod, LargeArgumentsAndResultsPass) {
    ProcessPoolExecutor pool({.max_workers = 1, .mp_context = GetParam()});
    const auto reversed = [](std::vector<int> values) {
        std::reverse(values.begin(), values.end());
        return values;
    };
    for (const std::size_t size : {1u, 1000u, 4000u, 5000u, 100'000u, 3'000'000u, 10u}) {
        std::vector<int> values(size);
        std::iota(values.begin(), values.end(), 0);
        auto result = pool.submit(reversed, values).result();
        std::reverse(result.begin(), result.end());
        EXPECT_EQ(result, values) << size;
    }
}

// --- What can be called -------------------------------------------------------------------------

class ProcessPool : public ProcessTest {};

struct Doubler {
    int times = 2;
    int operator()(int x) const { return times * x; }
};
int call_it(int (*function)(int), int x) {
    return function(x);
}
std::size_t length_of(std::string_view text) {
    return text.size();
}
std::size_t c_length_of(const char* text) {
    return std::strlen(text);
}
const std::string& same(const std::string& text) {
    return text;
}
template <class T>
T negated(T x) {
    return -x;
}

TEST_F(ProcessPool, CallsFunctionsLambdasAndSendableObjects) {
    ProcessPoolExecutor pool(1);
    EXPECT_EQ(pool.submit(square, 3).result(), 9);
    EXPECT_EQ(pool.submit(&square, 3).result(), 9);
    EXPECT_EQ(pool.submit([](int x) { return x + 1; }, 3).result(), 4);
    EXPECT_EQ(pool.submit([](auto x) { return x + x; }, std::string("ab")).result(), "abab");
    EXPECT_EQ(pool.submit([&](int x) { return x - 1; }, 3).result(), 2);  // captures nothing
    EXPECT_EQ(pool.submit(negated<long>, 3L).result(), -3);
    EXPECT_EQ(pool.submit(std::plus<>(), 3, 4).result(), 7);
    EXPECT_EQ(pool.submit(Doubler{5}, 3).result(), 15);
    EXPECT_EQ(pool.submit(add, 1.9, 2).result(), 3);  // converted in the worker
    pool.submit([] {}).result();
}

TEST_F(ProcessPool, SendsFunctionsViewsAndMoveOnlyArguments) {
    ProcessPoolExecutor pool(1);
    EXPECT_EQ(pool.submit(call_it, square, 6).result(), 36);
    EXPECT_EQ(pool.submit(call_it, [](int x) { return x - 1; }, 6).result(), 5);
    EXPECT_EQ(pool.submit(length_of, "four").result(), 4);
    EXPECT_EQ(pool.submit(length_of, std::string_view("seven77")).result(), 7);
    EXPECT_EQ(pool.submit(c_length_of, "four").result(), 4);
    EXPECT_EQ(
        pool.submit([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(8)).result(),
        8);
    const std::array<double, 3> numbers{1, 2, 3};
    const auto sum = [](std::span<const double> all) {
        return std::accumulate(all.begin(), all.end(), 0.0);
    };
    EXPECT_EQ(pool.submit(sum, std::span<const double>(numbers)).result(), 6);
    EXPECT_EQ(pool.submit(same, std::string("a copy")).result(), "a copy");
}

// The kernel gives no file as large as ours where files have a limit.
TEST_F(ProcessPool, WithoutSharedMemoryEverythingGoesThroughTheSocket) {
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit less = before;
    less.rlim_cur = 1 << 30;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &less), 0);
    {
        ProcessPoolExecutor pool({.max_workers = 2, .initializer = {square, 1}});
        std::vector<Future<std::string>> large;
        for (int i = 0; i < 20; ++i) {
            large.push_back(pool.submit([](const std::string& text) { return text + "!"; },
                                        std::string(200'000, 'x')));
        }
        EXPECT_EQ(pool.submit(square, 7).result(), 49);
        EXPECT_THROW(pool.submit([] { throw asyncio::ValueError("no"); }).result(),
                     asyncio::ValueError);
        for (const auto& text : large) EXPECT_EQ(text.result().size(), 200'001U);
    }
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
}

TEST_F(ProcessPool, ArgumentsAreTakenWhenSubmitted) {
    ProcessPoolExecutor pool(1);
    Gate gate;
    const auto busy = pool.submit(wait_at, gate.path());
    std::string text = "before";
    const auto future = pool.submit(same, text);
    text = "after";
    gate.open();
    EXPECT_EQ(future.result(), "before");
}

TEST_F(ProcessPool, CallsFunctionsOfSharedLibraries) {
    void* library = dlopen(LOADED_LIBRARY, RTLD_NOW);
    ASSERT_NE(library, nullptr) << dlerror();
    const auto quadruple = reinterpret_cast<int (*)(int)>(dlsym(library, "quadruple"));

    // The workers of the second pool find the library loaded only by the call itself.
    ProcessPoolExecutor pool(1), forked({.max_workers = 1, .mp_context = StartMethod::fork});
    EXPECT_EQ(pool.submit(triple, 5).result(), 15);
    EXPECT_EQ(pool.submit(quadruple, 5).result(), 20);
    EXPECT_EQ(forked.submit(triple, 5).result(), 15);
    EXPECT_EQ(forked.submit(quadruple, 5).result(), 20);
    EXPECT_EQ(pool.submit(std::atoi, "12").result(), 12);
    dlclose(library);
}

int global_number = [] { return 41; }();
TEST_F(ProcessPool, GlobalsAreInitialisedInTheWorkerAndStayThere) {
    global_number = 7;
    ProcessPoolExecutor pool(1);
    EXPECT_EQ(pool.submit([] { return ++global_number; }).result(), 42);
    EXPECT_EQ(pool.submit([] { return ++global_number; }).result(), 43);
    EXPECT_EQ(global_number, 7);
    ProcessPoolExecutor forked({.max_workers = 1, .mp_context = StartMethod::fork});
    EXPECT_EQ(forked.submit([] { return ++global_number; }).result(), 8);
}

TEST_F(ProcessPool, WorksWhileOtherThreadsHoldLocks) {
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            while (!stop) std::free(std::malloc(100));  // in and out of malloc's locks
        });
    }
    {
        ProcessPoolExecutor pool(2);
        for (int i = 0; i < 50; ++i) EXPECT_EQ(pool.submit(square, i).result(), i * i);
    }
    stop = true;
    for (auto& thread : threads) thread.join();
}

TEST_F(ProcessPool, IsUsedFromManyThreadsAtOnce) {
    ProcessPoolExecutor pool(2);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 200; ++i) {
                const std::string text(i % 3 == 0 ? 20'000 : 20, static_cast<char>('a' + t));
                if (pool.submit(same, text).result() != text) ++wrong;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
}

TEST_F(ProcessPool, OutlivesTheThreadThatMadeIt) {
    std::optional<ProcessPoolExecutor> pool;
    std::thread([&] {
        pool.emplace(1);
        EXPECT_EQ(pool->submit(square, 2).result(), 4);
    }).join();
    EXPECT_EQ(pool->submit(square, 3).result(), 9);
}

TEST_F(ProcessPool, DoneCallbacksMaySubmit) {
    ProcessPoolExecutor pool(1);
    std::atomic<int> result = 0;
    Future<int> second;
    const auto first = pool.submit(square, 3);
    first.add_done_callback([&](const Future<int>& done) {
        pool.submit(square, done.result()).add_done_callback([&](const Future<int>& last) {
            result = last.result();
        });
    });
    EXPECT_TRUE(eventually([&] { return result == 81; }));
}

// --- Workers ------------------------------------------------------------------------------------

// test_process_pool.py::test_idle_process_reuse_one
TEST_F(ProcessPool, AnIdleWorkerIsUsedAgain) {
    ProcessPoolExecutor pool(4);
    const int pid = pool.submit(worker_pid).result();
    for (int i = 0; i < 20; ++i) EXPECT_EQ(pool.submit(worker_pid).result(), pid);
    EXPECT_THAT(pool.worker_pids(), ElementsAre(pid));
}

// test_process_pool.py::test_saturation
TEST_F(ProcessPool, NeverMoreWorkersThanAllowed) {
    Gate gates[3];
    ProcessPoolExecutor pool(3);
    std::vector<Future<void>> futures;
    for (const Gate& gate : gates) futures.push_back(pool.submit(wait_at, gate.path()));
    for (int i = 0; i < 42; ++i) futures.push_back(pool.submit([] {}));
    for (Gate& gate : gates) EXPECT_TRUE(gate.reached());
    EXPECT_EQ(pool.worker_pids().size(), 3u);
    EXPECT_EQ(children().size(), 1u);  // the fork server
    for (Gate& gate : gates) gate.open();
    for (const auto& future : futures) future.result();
    EXPECT_EQ(pool.worker_pids().size(), 3u);
}

TEST_F(ProcessPool, DefaultIsOneWorkerPerUsableCpu) {
    cpu_set_t cpus;
    sched_getaffinity(0, sizeof cpus, &cpus);
    Gate gate;
    ProcessPoolExecutor pool;
    std::vector<Future<int>> futures;
    for (int i = 0; i < CPU_COUNT(&cpus) + 3; ++i) futures.push_back(pool.submit(square, i));
    for (auto& future : futures) future.result();
    EXPECT_LE(pool.worker_pids().size(), static_cast<std::size_t>(CPU_COUNT(&cpus)));
}

TEST_F(ProcessPool, BadOptionsAreRefused) {
    EXPECT_THROW(ProcessPoolExecutor(0), asyncio::ValueError);
    EXPECT_THROW(ProcessPoolExecutor(-1), asyncio::ValueError);
    EXPECT_EQ(message_of([] { ProcessPoolExecutor(-3); }), "max_workers must be greater than 0");
    EXPECT_THROW(ProcessPoolExecutor({.max_tasks_per_child = 0}), asyncio::ValueError);
    EXPECT_THROW(ProcessPoolExecutor({.mp_context = StartMethod::fork, .max_tasks_per_child = 3}),
                 asyncio::ValueError);
}

// test_process_pool.py::test_max_tasks_per_child
TEST_F(ProcessPool, WorkersAreReplacedAfterMaxTasksPerChild) {
    for (const StartMethod method : {StartMethod::forkserver, StartMethod::spawn}) {
        ProcessPoolExecutor pool(
            {.max_workers = 1, .mp_context = method, .max_tasks_per_child = 3});
        const int first = pool.submit(worker_pid).result();
        EXPECT_EQ(pool.submit(worker_pid).result(), first);
        EXPECT_EQ(pool.submit(worker_pid).result(), first);
        const int second = pool.submit(worker_pid).result();
        EXPECT_NE(second, first);
        EXPECT_TRUE(eventually([&] { return pool.worker_pids() == std::vector{second}; }));
        EXPECT_TRUE(eventually([&] { return !is_alive(first); }));
    }
}

// test_process_pool.py::test_max_tasks_early_shutdown
TEST_F(ProcessPool, ReplacementGoesOnDuringShutdown) {
    ProcessPoolExecutor pool({.max_workers = 3, .max_tasks_per_child = 1});
    std::vector<Future<int>> futures;
    for (int i = 0; i < 9; ++i) futures.push_back(pool.submit(square, i));
    pool.shutdown();
    for (int i = 0; i < 9; ++i) EXPECT_EQ(futures[i].result(), i * i);
}

TEST_F(ProcessPool, AHeldCallGoesToWhicheverWorkerIsFree) {
    Gate gate, other;
    ProcessPoolExecutor pool(2);
    const auto first = pool.submit(pid_at, gate.path());
    const auto second = pool.submit(pid_at, other.path());
    ASSERT_TRUE(gate.reached());
    ASSERT_TRUE(other.reached());
    // One of these waits behind each of the two above.
    const auto third = pool.submit(worker_pid), fourth = pool.submit(worker_pid);
    other.open();
    // Both are run by the worker that is free, though the first still waits.
    EXPECT_EQ(third.result(patience), second.result());
    EXPECT_EQ(fourth.result(patience), second.result());
    EXPECT_FALSE(first.done());
    gate.open();
    EXPECT_NE(first.result(), second.result());
}

// --- States -------------------------------------------------------------------------------------

// Rule 162, and Python's call queue of workers + 1.
TEST_F(ProcessPool, CallsBeyondTheCallQueueCanBeCancelled) {
    Gate gate;
    ProcessPoolExecutor pool(1);
    const auto running = pool.submit(wait_at, gate.path());
    ASSERT_TRUE(gate.reached());
    std::vector<Future<int>> futures;
    for (int i = 0; i < 5; ++i) futures.push_back(pool.submit(square, i));
    EXPECT_TRUE(running.running());
    EXPECT_FALSE(running.cancel());
    EXPECT_TRUE(futures[0].running());
    EXPECT_TRUE(futures[1].running());
    EXPECT_FALSE(futures[1].cancel());
    EXPECT_FALSE(futures[2].running());
    EXPECT_TRUE(futures[2].cancel());
    EXPECT_TRUE(futures[2].cancelled());
    gate.open();
    EXPECT_EQ(futures[1].result(), 1);
    EXPECT_THROW(futures[2].result(), concurrent::futures::CancelledError);
    EXPECT_EQ(futures[4].result(), 16);
}

TEST_F(ProcessPool, RunsInTheOrderOfSubmission) {
    Gate gate;
    ProcessPoolExecutor pool(1);
    const auto blocked = pool.submit(wait_at, gate.path());
    std::vector<int> order;
    std::vector<Future<int>> futures;
    for (int i = 0; i < 10; ++i) {
        futures.push_back(pool.submit(square, i));
        futures.back().add_done_callback([&order, i] { order.push_back(i); });
    }
    ASSERT_TRUE(gate.reached());
    gate.open();
    pool.shutdown();
    EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

struct FailsToSave {
    template <class Archive>
    void save(Archive&) const {
        throw asyncio::ValueError("will not be saved");
    }
    template <class Archive>
    void load(Archive&) {}
    int something = 0;
};
struct FailsToLoad {
    template <class Archive>
    void save(Archive& archive) const {
        archive(something);
    }
    template <class Archive>
    void load(Archive&) {
        throw asyncio::ValueError("will not be loaded");
    }
    int something = 0;
};

TEST_F(ProcessPool, WhatCannotBeWrittenOrReadFailsItsOwnFutureOnly) {
    ProcessPoolExecutor pool(1);
    const auto text_of = [&](const auto& future) { return message_of([&] { future.result(); }); };
    // On the way there, both while a worker is idle and while it is not.
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(text_of(pool.submit([](const FailsToSave&) {}, FailsToSave())),
                  "will not be saved");
    }
    EXPECT_EQ(text_of(pool.submit([](const FailsToLoad&) {}, FailsToLoad())), "will not be loaded");
    // On the way back.
    EXPECT_EQ(text_of(pool.submit([] { return FailsToSave(); })), "will not be saved");
    EXPECT_EQ(pool.submit(square, 2).result(), 4);
}

// --- map ----------------------------------------------------------------------------------------

template <class Range>
auto all(Range&& range) {
    std::vector<typename std::remove_cvref_t<Range>::value_type> values;
    for (auto&& value : range) values.push_back(std::move(value));
    return values;
}

TEST_F(ProcessPool, MapGivesResultsInOrder) {
    ProcessPoolExecutor pool(2);
    EXPECT_THAT(all(pool.map(square, std::vector{1, 2, 3})), ElementsAre(1, 4, 9));
    EXPECT_THAT(all(pool.map(add, std::views::iota(0), std::array{5, 6})), ElementsAre(5, 7));
    EXPECT_THAT(all(pool.map(square, std::vector<int>())), ElementsAre());
    const std::vector<std::string> texts{"a", "bc"};
    EXPECT_THAT(all(pool.map(length_of, texts)), ElementsAre(1u, 2u));
    EXPECT_EQ(all(pool.map([](int) {}, std::vector{1, 2})).size(), 2u);
}

// test_process_pool.py::test_map_chunksize
TEST_F(ProcessPool, MapInChunks) {
    ProcessPoolExecutor pool(2);
    std::vector<int> expected;
    for (int i = 0; i < 40; ++i) expected.push_back(i * i);
    for (const std::size_t size : {1u, 6u, 40u, 50u}) {
        EXPECT_EQ(all(pool.map({.chunksize = size}, square, std::views::iota(0, 40))), expected);
    }
    EXPECT_THROW((void)pool.map({.chunksize = 0}, square, std::vector{1}), asyncio::ValueError);
    EXPECT_THAT(all(pool.map({.chunksize = 4, .buffersize = 2}, square, std::views::iota(0, 9))),
                ElementsAre(0, 1, 4, 9, 16, 25, 36, 49, 64));
}

// Rule 164
TEST_F(ProcessPool, MapSubmitsEverythingAtOnce) {
    ProcessPoolExecutor pool(1);
    int pulled = 0;
    const auto counted = std::views::iota(0, 100) | std::views::transform([&](int i) {
                             ++pulled;
                             return i;
                         });
    auto results = pool.map({.chunksize = 10}, square, counted);
    EXPECT_EQ(pulled, 100);
}

TEST_F(ProcessPool, MapThrowsWhereACallFailed) {
    ProcessPoolExecutor pool(1);
    auto results = pool.map([](int x) { return x == 2 ? throw std::domain_error("two") : x; },
                            std::vector{0, 1, 2, 3});
    auto at = results.begin();
    EXPECT_EQ(*at, 0);
    EXPECT_EQ(*++at, 1);
    EXPECT_THROW((void)*++at, std::domain_error);
    EXPECT_TRUE(at == results.end());
}

TEST_F(ProcessPool, MapTimesOut) {
    Gate gate;
    ProcessPoolExecutor pool(1);
    auto results = pool.map({.timeout = 20ms}, wait_at, std::vector{gate.path()});
    EXPECT_THROW((void)*results.begin(), asyncio::TimeoutError);
    ASSERT_TRUE(gate.reached());
    gate.open();
}

// --- Linking ------------------------------------------------------------------------------------

TEST_F(ProcessPool, FreezeSupportStandsInForTheLinkOption) {
    const Finished freeze = run_program(BY_HAND_PROGRAM " freeze");
    EXPECT_EQ(freeze.output, "main\n36\n");
    EXPECT_EQ(freeze.status, 0);
    const Finished plain = run_program(BY_HAND_PROGRAM " plain");
    EXPECT_THAT(plain.output, HasSubstr("call multiprocessing::freeze_support() first"));
    EXPECT_EQ(WEXITSTATUS(plain.status), 3);
}

TEST_F(ProcessPool, ProgramsWithPoolsInOddPlaces) {
    EXPECT_EQ(run_program(POOL_PROGRAM " global").output, "4\n");
    EXPECT_EQ(run_program(POOL_PROGRAM " nest").output, "25\n");
    EXPECT_EQ(run_program(POOL_PROGRAM " no_shared_memory").output, "1\n");
}

TEST_F(ProcessPool, WorkersSeeNeitherTheVariableNorTheInput) {
    EXPECT_EQ(run_program("echo text | " POOL_PROGRAM " environment").output, "0 0 -1\n");
}

TEST_F(ProcessPool, OutputOfACallIsThereWhenItsResultIs) {
    EXPECT_EQ(run_program(POOL_PROGRAM " print").output, "printf cout parent printf cout ");
}

}  // namespace
}  // namespace process_test
