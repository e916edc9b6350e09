// Initializers of thread pools, as CPython's test_init.py maps them.
#include <atomic>
#include <barrier>
#include <concurrent/futures/thread.hpp>
#include <thread>

#include "futures_fixture.hpp"

using namespace concurrent::futures;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

namespace {

thread_local std::string status = "uninitialized";

}  // namespace

TEST(ThreadPoolInitializer, RunsOnceInEachThreadBeforeItsCalls) {
    std::atomic<int> initialized = 0;
    ThreadPoolExecutor pool({.max_workers = 2, .initializer = [&, text = "initialized"] {
                                 status = text;
                                 ++initialized;
                             }});
    EXPECT_EQ(initialized, 0);
    std::barrier together(2);
    for (int round = 0; round < 3; ++round) {
        std::vector<Future<std::string>> futures;
        for (int i = 0; i < 2; ++i) {
            futures.push_back(pool.submit([&] {
                together.arrive_and_wait();
                return status;
            }));
        }
        for (const auto& future : futures) EXPECT_EQ(future.result(), "initialized");
    }
    EXPECT_EQ(initialized, 2);
}

// rule 163
TEST(ThreadPoolInitializer, ThatFailsBreaksThePool) {
    const LogCapture log;
    Gate gate;
    std::atomic<bool> ran = false;
    ThreadPoolExecutor pool({.max_workers = 2, .initializer = [&] {
                                 gate.wait();
                                 throw asyncio::ValueError("error in initializer");
                             }});
    const Opener opener(gate);
    std::vector<Future<void>> futures;
    for (int i = 0; i < 5; ++i) futures.push_back(pool.submit([&] { ran = true; }));
    futures[3].cancel();
    gate.open();
    for (const auto& future : futures) {
        if (future == futures[3]) {
            EXPECT_THROW(future.result(), CancelledError);
        } else {
            EXPECT_THROW(future.result(), BrokenThreadPool);
        }
    }
    EXPECT_THAT(text_thrown<BrokenExecutor>([&] { (void)pool.submit([] {}); }),
                HasSubstr("initializer failed"));
    pool.shutdown();
    EXPECT_THROW((void)pool.submit([] {}), BrokenThreadPool);
    EXPECT_FALSE(ran);
    EXPECT_THAT(log.lines(),
                AllOf(Not(IsEmpty()), Each(Pair(asyncio::LogLevel::critical,
                                                HasSubstr("ValueError: error in initializer")))));
}

// rule 163
TEST(ThreadPoolInitializer, ThatFailsLaterLeavesAloneWhatRuns) {
    const LogCapture log;
    std::atomic<int> threads = 0;
    Gate gate;
    std::latch started(1);
    ThreadPoolExecutor pool({.max_workers = 2, .initializer = [&] {
                                 if (++threads == 2) throw std::domain_error("second");
                             }});
    const Opener opener(gate);
    const auto first = pool.submit([&] {
        started.count_down();
        gate.wait();
        return 1;
    });
    started.wait();
    const auto second = pool.submit([] { return 2; });
    EXPECT_THROW((void)second.result(), BrokenThreadPool);
    EXPECT_FALSE(first.done());
    gate.open();
    EXPECT_EQ(first.result(), 1);
}

TEST(ThreadPoolInitializer, ThatFailsWakesIdleThreadsToTheirEnd) {
    const LogCapture log;
    for (int round = 0; round < 20; ++round) {
        std::atomic<int> threads = 0;
        std::latch first_two(2);
        ThreadPoolExecutor pool({.max_workers = 3, .initializer = [&] {
                                     if (++threads == 3) throw std::domain_error("third");
                                 }});
        std::vector<Future<void>> futures;
        for (int i = 0; i < 2; ++i) {
            futures.push_back(pool.submit([&] { first_two.arrive_and_wait(); }));
        }
        for (const auto& future : futures) future.result();
        Gate gate;
        const Opener opener(gate);
        try {
            for (int i = 0; i < 3; ++i) futures.push_back(pool.submit([&] { gate.wait(); }));
        } catch (const BrokenThreadPool&) {
        }
        gate.open();
        pool.shutdown();
        for (const auto& future : futures) EXPECT_TRUE(future.done());
    }
}
