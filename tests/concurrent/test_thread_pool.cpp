// ThreadPoolExecutor, as CPython's test_thread_pool.py and executor.py map it.
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <concurrent/futures/thread.hpp>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "futures_fixture.hpp"

using namespace concurrent::futures;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Pair;
using ::testing::SizeIs;

namespace {

static_assert(AnyExecutor<ThreadPoolExecutor>);
static_assert(AnyExecutor<Executor>);
static_assert(!AnyExecutor<int>);

int add(int a, int b) {
    return a + b;
}

struct Account {
    int balance = 5;
    int with(int more) const { return balance + more; }
};

struct MoveOnlyCall {
    std::unique_ptr<int> held;
    int operator()(std::unique_ptr<int> other) && { return *held + *other; }
};

std::string thread_name() {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    return name;
}

// The threads of a pool that run at the same time.
std::set<std::string> names_of(ThreadPoolExecutor& pool, int threads) {
    std::barrier together(threads);
    std::vector<Future<std::string>> futures;
    for (int i = 0; i < threads; ++i) {
        futures.push_back(pool.submit([&] {
            together.arrive_and_wait();
            return thread_name();
        }));
    }
    std::set<std::string> names;
    for (const auto& future : futures) names.insert(future.result());
    return names;
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN
#endif
#endif

}  // namespace

// ---- submit -------------------------------------------------------------------------------

TEST(ThreadPoolSubmit, CallsWhateverCanBeInvoked) {
    ThreadPoolExecutor pool(2);
    EXPECT_EQ(pool.submit(add, 2, 8).result(), 10);
    EXPECT_EQ(pool.submit([](std::string text) { return text + "!"; }, "hey").result(), "hey!");
    EXPECT_EQ(pool.submit(&Account::with, Account{}, 2).result(), 7);
    EXPECT_EQ(pool.submit(&Account::balance, Account{}).result(), 5);
    Account account{1};
    EXPECT_EQ(pool.submit(&Account::with, &account, 2).result(), 3);
    int changed = 0;
    pool.submit([](int& number) { number = 4; }, std::ref(changed)).result();
    EXPECT_EQ(changed, 4);
}

TEST(ThreadPoolSubmit, TakesCallablesAndArgumentsThatCanOnlyBeMoved) {
    ThreadPoolExecutor pool(1);
    auto sum = pool.submit(MoveOnlyCall{std::make_unique<int>(1)}, std::make_unique<int>(2));
    EXPECT_EQ(sum.result(), 3);
    auto pointer = pool.submit([] { return std::make_unique<int>(3); });
    EXPECT_EQ(*std::move(pointer).result(), 3);
}

TEST(ThreadPoolSubmit, GivesReferencesAndNothing) {
    ThreadPoolExecutor pool(1);
    static int variable = 0;
    Future<int&> reference = pool.submit([]() -> int& { return variable; });
    EXPECT_EQ(&reference.result(), &variable);
    Future<void> nothing = pool.submit([] {});
    EXPECT_NO_THROW(nothing.result());
}

TEST(ThreadPoolSubmit, BringsTheExceptionHome) {
    ThreadPoolExecutor pool(1);
    const auto future = pool.submit([]() -> int { throw asyncio::ValueError("no"); });
    EXPECT_EQ(text_thrown<asyncio::ValueError>([&] { (void)future.result(); }), "no");
    // Those too that are not for everybody.
    const auto exit = pool.submit([] { throw asyncio::SystemExit(3); });
    EXPECT_THROW(exit.result(), asyncio::SystemExit);
    EXPECT_EQ(pool.submit(add, 1, 1).result(), 2);
}

TEST(ThreadPoolSubmit, FromMembersOfThePoolAndFromCallbacks) {
    ThreadPoolExecutor pool(2);
    const auto outer = pool.submit([&] { return pool.submit(add, 1, 2); });
    EXPECT_EQ(outer.result().result(), 3);

    Future<int> chained;
    pool.submit(add, 1, 2).add_done_callback([&](const Future<int>& first) {
        pool.submit(add, first.result(), 4).add_done_callback([&](const Future<int>& second) {
            chained.set_result(second.result());
        });
    });
    EXPECT_EQ(chained.result(), 7);
}

TEST(ThreadPoolSubmit, FromManyThreadsAtOnce) {
    ThreadPoolExecutor pool(3);
    std::atomic<int> ran = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 500; ++n) {
                const auto future = pool.submit([&] { ++ran; });
                if (n % 50 == 0) future.result();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    pool.shutdown();
    EXPECT_EQ(ran, 2000);
}

// executor.py::test_no_stale_references
TEST(ThreadPoolSubmit, HoldsNeitherCallableNorArgumentsWhenTheFutureIsDone) {
    ThreadPoolExecutor pool(1);
    const auto object = std::make_shared<int>(1);
    pool.submit([object] {}).result();
    EXPECT_EQ(object.use_count(), 1);
    pool.submit([](const std::shared_ptr<int>&) {}, object).result();
    EXPECT_EQ(object.use_count(), 1);
    EXPECT_NE(pool.submit([object] { throw std::domain_error("x"); }).exception(), nullptr);
    EXPECT_EQ(object.use_count(), 1);
}

// rule 162
TEST(ThreadPoolSubmit, ACallThatRunsCannotBeCancelledAndOneThatWaitsNeverRuns) {
    Gate gate;
    std::latch started(1);
    std::atomic<bool> ran = false;
    ThreadPoolExecutor pool(1);
    const Opener opener(gate);
    const auto first = pool.submit([&] {
        started.count_down();
        gate.wait();
    });
    const auto second = pool.submit([&] { ran = true; });
    started.wait();
    EXPECT_TRUE(first.running());
    EXPECT_FALSE(first.cancel());
    EXPECT_TRUE(second.cancel());
    EXPECT_TRUE(second.cancelled());
    gate.open();
    EXPECT_THROW(second.result(), CancelledError);
    EXPECT_NO_THROW(first.result());
    pool.shutdown();
    EXPECT_FALSE(ran);
}

TEST(ThreadPoolSubmit, StartsCallsInTheOrderOfSubmission) {
    Gate gate;
    std::vector<int> order;
    ThreadPoolExecutor pool(1);
    const Opener opener(gate);
    (void)pool.submit([&] { gate.wait(); });
    for (int i = 0; i < 100; ++i) (void)pool.submit([&order, i] { order.push_back(i); });
    gate.open();
    pool.shutdown();
    EXPECT_THAT(order, SizeIs(100));
    EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(ThreadPoolSubmit, AFutureThatSomebodyElseSetsDoesNotStopTheWorker) {
    const LogCapture log;
    Gate gate;
    std::latch running(1);
    ThreadPoolExecutor pool(1);
    const Opener opener(gate);
    const auto meddled = pool.submit([&] {
        running.count_down();
        gate.wait();
        return 1;
    });
    running.wait();
    meddled.set_result(2);
    const auto started = pool.submit(add, 1, 2);
    started.set_running_or_notify_cancel();
    gate.open();
    EXPECT_EQ(pool.submit(add, 1, 1).result(), 2);
    EXPECT_EQ(meddled.result(), 2);
    EXPECT_THAT(log.lines(),
                ElementsAre(Pair(asyncio::LogLevel::critical, HasSubstr("InvalidStateError")),
                            Pair(asyncio::LogLevel::critical, HasSubstr("RuntimeError"))));
}

// ---- the threads --------------------------------------------------------------------------

TEST(ThreadPool, RefusesLessThanOneWorker) {
    for (const int workers : {0, -1}) {
        EXPECT_EQ(text_thrown<asyncio::ValueError>([&] { ThreadPoolExecutor pool(workers); }),
                  "max_workers must be greater than 0");
    }
}

TEST(ThreadPool, HasByDefaultTheUsableCpusAndFourAtMost32) {
    cpu_set_t set;
    ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    EXPECT_EQ(ThreadPoolExecutor().max_workers(), std::min(32, CPU_COUNT(&set) + 4));
    EXPECT_EQ(ThreadPoolExecutor(7).max_workers(), 7);
}

// test_thread_pool.py::test_saturation
TEST(ThreadPool, StartsNoMoreThreadsThanItsMaximum) {
    Gate gate;
    std::mutex mutex;
    std::set<std::thread::id> ids;
    ThreadPoolExecutor pool(4);
    const Opener opener(gate);
    for (int i = 0; i < 15 * pool.max_workers(); ++i) {
        (void)pool.submit([&] {
            gate.wait();
            const std::lock_guard lock(mutex);
            ids.insert(std::this_thread::get_id());
        });
    }
    gate.open();
    pool.shutdown();
    EXPECT_LE(ids.size(), 4u);
}

TEST(ThreadPool, RunsAsManyCallsAtOnceAsItHasWorkers) {
    ThreadPoolExecutor pool(3);
    for (int round = 0; round < 50; ++round) EXPECT_THAT(names_of(pool, 3), SizeIs(3));
}

// test_thread_pool.py::test_idle_thread_reuse
TEST(ThreadPool, UsesAnIdleThreadBeforeANewOne) {
    ThreadPoolExecutor pool({.max_workers = 100, .thread_name_prefix = "idle"});
    std::set<std::string> names;
    for (int i = 0; i < 1000; ++i) names.insert(pool.submit(thread_name).result());
    // One, but for moments in which a thread has told its result and is not idle yet.
    EXPECT_LT(names.size(), 20u);
    EXPECT_TRUE(names.contains("idle_0"));
}

TEST(ThreadPool, NamesItsThreads) {
    ThreadPoolExecutor pool({.max_workers = 2, .thread_name_prefix = "Special"});
    EXPECT_THAT(names_of(pool, 2), ElementsAre("Special_0", "Special_1"));
    ThreadPoolExecutor standard(1);
    // Of ThreadPoolExecutor-N_0 the system keeps the end.
    EXPECT_THAT(standard.submit(thread_name).result(), MatchesRegex("[A-Za-z]*Executor-[0-9]+_0"));
}

TEST(ThreadPool, ManyPoolsComeAndGo) {
    for (int i = 0; i < 100; ++i) {
        ThreadPoolExecutor pool(2);
        EXPECT_EQ(pool.submit(add, i, 1).result(), i + 1);
        ThreadPoolExecutor unused(2);
    }
}

#ifndef UNDER_TSAN
// A fork of a process with threads is beyond ThreadSanitizer.
TEST(ThreadPool, AForkedChildFindsItEmptyAndMayUseIt) {
    Gate gate;
    std::latch started(1);
    std::atomic<int> ran = 0;
    ThreadPoolExecutor pool(1);
    const Opener opener(gate);
    (void)pool.submit([&] {
        started.count_down();
        gate.wait();
    });
    started.wait();
    const auto waiting = pool.submit([&] { ++ran; });
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const bool works = pool.submit(add, 1, 2).result(10s) == 3;
        pool.shutdown();
        _exit(works && ran == 0 && !waiting.done() ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    gate.open();
    waiting.result();
    EXPECT_EQ(ran, 1);
}
#endif

// ---- other executors ----------------------------------------------------------------------

TEST(ExecutorInterface, IsAllThatAnExecutorOfOnesOwnNeeds) {
    class Inline final : public Executor {
      public:
        void shutdown(ShutdownOptions) override { open_ = false; }

      private:
        void execute(detail::Work& work) override {
            if (!open_) throw asyncio::RuntimeError("shut down");
            work.run();
            work.release();
        }
        bool open_ = true;
    };
    Inline own;
    Executor& executor = own;
    EXPECT_EQ(executor.submit(add, 1, 2).result(), 3);
    std::vector<int> sums;
    for (const int sum : executor.map(add, std::vector{1, 2}, std::vector{3, 4})) {
        sums.push_back(sum);
    }
    EXPECT_THAT(sums, ElementsAre(4, 6));
    executor.shutdown();
    const auto object = std::make_shared<int>(1);
    EXPECT_THROW((void)executor.submit([object] {}), asyncio::RuntimeError);
    EXPECT_EQ(object.use_count(), 1);
}
