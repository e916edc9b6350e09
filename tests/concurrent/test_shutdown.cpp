// shutdown() and the end of a program, as CPython's test_shutdown.py maps them.
#include <atomic>
#include <concurrent/futures/thread.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "futures_fixture.hpp"

using namespace concurrent::futures;
using namespace std::chrono_literals;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;

namespace {

// A call that runs, in a pool of one thread, and what waits behind it.
class ThreadPoolShutdown : public ::testing::Test {
  protected:
    void hold() {
        std::latch started(1);
        first = pool.submit([&] {
            started.count_down();
            gate.wait();
            ++ran;
        });
        started.wait();
        for (int i = 0; i < 20; ++i) waiting.push_back(pool.submit([this] { ++ran; }));
    }

    Gate gate;
    std::atomic<int> ran = 0;
    ThreadPoolExecutor pool{1};
    Future<void> first;
    std::vector<Future<void>> waiting;
    Opener opener{gate};
};

Gate& at_exit_gate() {
    static Gate& gate = *new Gate;
    return gate;
}

}  // namespace

TEST_F(ThreadPoolShutdown, RefusesNewCalls) {
    (void)pool.submit([] {});
    for (int i = 0; i < 2; ++i) {
        pool.shutdown();
        EXPECT_THAT(text_thrown<asyncio::RuntimeError>([&] { (void)pool.submit([] {}); }),
                    HasSubstr("cannot schedule new futures after shutdown"));
    }
}

TEST_F(ThreadPoolShutdown, OfAPoolThatNeverRanAnything) {
    pool.shutdown();
    ThreadPoolExecutor other(1);
    other.shutdown({.wait = false});
    EXPECT_THROW((void)other.submit([] {}), asyncio::RuntimeError);
}

// test_shutdown.py::test_hang_issue12364
TEST_F(ThreadPoolShutdown, WaitsForAllThatWasSubmitted) {
    hold();
    std::thread later([&] { gate.open(); });
    pool.shutdown();
    EXPECT_EQ(ran, 21);
    for (const auto& future : waiting) EXPECT_TRUE(future.done());
    later.join();
}

// rule 162
TEST_F(ThreadPoolShutdown, CancelsFuturesThatHaveNotStarted) {
    hold();
    pool.shutdown({.wait = false, .cancel_futures = true});
    for (const auto& future : waiting) EXPECT_TRUE(future.cancelled());
    EXPECT_TRUE(first.running());
    gate.open();
    pool.shutdown();
    EXPECT_NO_THROW(first.result(0s));
    EXPECT_EQ(ran, 1);
}

TEST_F(ThreadPoolShutdown, WithoutWaitingReturnsAtOnceAndAllStillRuns) {
    hold();
    pool.shutdown({.wait = false});
    EXPECT_TRUE(first.running());
    EXPECT_EQ(ran, 0);
    EXPECT_THROW((void)pool.submit([] {}), asyncio::RuntimeError);
    gate.open();
    for (const auto& future : waiting) future.result();
    EXPECT_EQ(ran, 21);
}

TEST_F(ThreadPoolShutdown, EachOfSeveralWaits) {
    hold();
    std::vector<std::thread> threads;
    std::latch waiting_for_it(3);
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            waiting_for_it.count_down();
            pool.shutdown();
            EXPECT_EQ(ran, 21);
        });
    }
    waiting_for_it.wait();
    gate.open();
    for (std::thread& thread : threads) thread.join();
}

// test_shutdown.py::test_hang_gh94440
TEST_F(ThreadPoolShutdown, DoesNotHangOnACallCancelledJustBefore) {
    for (int i = 0; i < 50; ++i) {
        ThreadPoolExecutor quick(1);
        quick.submit([] {}).result();
        (void)quick.submit([] {}).cancel();
        quick.shutdown();
    }
}

TEST_F(ThreadPoolShutdown, ByOneOfItsOwnThreadsDoesNotWaitForItself) {
    const auto stopped = pool.submit([&] {
        pool.shutdown();
        return true;
    });
    EXPECT_TRUE(stopped.result());
    EXPECT_THROW((void)pool.submit([] {}), asyncio::RuntimeError);
}

TEST_F(ThreadPoolShutdown, ByAllOfItsThreadsAtOnceDoesNotHang) {
    ThreadPoolExecutor several(3);
    std::latch together(3);
    std::vector<Future<void>> all;
    for (int i = 0; i < 3; ++i) {
        all.push_back(several.submit([&] {
            together.arrive_and_wait();
            several.shutdown();
        }));
    }
    for (const auto& future : all) future.result();
}

TEST_F(ThreadPoolShutdown, OneOfItsThreadsMayHoldTheLastReference) {
    for (int i = 0; i < 50; ++i) {
        auto shared = std::make_shared<ThreadPoolExecutor>(2);
        Gate dropped;
        const auto held = shared->submit([shared, &dropped] { dropped.wait(); });
        const auto next = shared->submit([] {});
        shared.reset();
        dropped.open();
        held.result();
        next.result();
    }
}

TEST_F(ThreadPoolShutdown, FromEverywhereWhileOthersSubmit) {
    static std::atomic<int> calls;
    for (int round = 0; round < 100; ++round) {
        auto shared = std::make_shared<ThreadPoolExecutor>(1 + round % 3);
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([shared, round, i] {
                try {
                    for (int n = 0; n < 20; ++n) {
                        (void)shared->submit([shared] { ++calls; });
                        if (n == 10 && i == 2) {
                            shared->shutdown(
                                {.wait = round % 2 == 0, .cancel_futures = round % 3 == 0});
                        }
                    }
                } catch (const asyncio::RuntimeError&) {
                    shared->shutdown({.wait = i == 0});
                }
            });
        }
        shared.reset();
        for (std::thread& thread : threads) thread.join();
    }
}

// ---- the destructor -----------------------------------------------------------------------

TEST(ThreadPoolDestructor, WaitsAndFuturesOutliveIt) {
    std::atomic<int> ran = 0;
    std::vector<Future<int>> futures;
    {
        ThreadPoolExecutor pool(2);
        for (int i = 0; i < 50; ++i) futures.push_back(pool.submit([&, i] { return ++ran, i; }));
    }
    EXPECT_EQ(ran, 50);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].result(0s), i);
}

TEST(ThreadPoolDestructor, DoesNotWaitAfterAShutdownThatWasToldNotTo) {
    Gate gate;
    Future<void> held;
    {
        ThreadPoolExecutor pool(1);
        held = pool.submit([&] { gate.wait(); });
        pool.shutdown({.wait = false});
    }
    EXPECT_FALSE(held.done());
    gate.open();
    held.result();
}

// ---- the end of the program ---------------------------------------------------------------

class ThreadPoolAtExit : public ::testing::Test {
  protected:
    // Each in a process of its own, started afresh.
    void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// test_shutdown.py::test_interpreter_shutdown
TEST_F(ThreadPoolAtExit, TheProcessWaitsForPoolsNobodyShutDown) {
    const auto program = [] {
        static auto& pool = *new ThreadPoolExecutor(5);
        (void)pool.submit([] {
            at_exit_gate().wait();
            std::fputs("apple", stderr);
        });
        // Runs before the library's own, which was registered earlier.
        std::atexit([] { at_exit_gate().open(); });
        std::exit(0);
    };
    EXPECT_EXIT(program(), ExitedWithCode(0), "^apple$");
}

// test_shutdown.py::test_hang_gh83386
TEST_F(ThreadPoolAtExit, TheProcessWaitsForThoseShutDownWithoutWaiting) {
    const auto program = [] {
        {
            ThreadPoolExecutor pool(3);
            (void)pool.submit([] {
                at_exit_gate().wait();
                std::fputs("apple", stderr);
            });
            pool.shutdown({.wait = false});
        }
        std::atexit([] { at_exit_gate().open(); });
        std::exit(0);
    };
    EXPECT_EXIT(program(), ExitedWithCode(0), "^apple$");
}

// test_shutdown.py::test_cancel_futures_wait_false
TEST_F(ThreadPoolAtExit, WhatAShutdownCancelledDoesNotRun) {
    const auto program = [] {
        std::latch started(1);
        ThreadPoolExecutor pool(1);
        (void)pool.submit([&] {
            started.count_down();
            at_exit_gate().wait();
            std::fputs("apple", stderr);
        });
        (void)pool.submit([] { std::fputs("pear", stderr); });
        started.wait();
        pool.shutdown({.wait = false, .cancel_futures = true});
        std::atexit([] { at_exit_gate().open(); });
        std::exit(0);
    };
    EXPECT_EXIT(program(), ExitedWithCode(0), "^apple$");
}

// test_shutdown.py::test_submit_after_interpreter_shutdown
TEST_F(ThreadPoolAtExit, SubmittingIsRefusedThen) {
    const auto program = [] {
        static ThreadPoolExecutor* pool = nullptr;
        // Runs after the library's own, which is registered with the first pool.
        std::atexit([] {
            try {
                (void)pool->submit([] {});
            } catch (const asyncio::RuntimeError& error) {
                std::fputs(error.what(), stderr);
            }
        });
        pool = new ThreadPoolExecutor(5);
        pool->submit([] {}).result();
        std::exit(0);
    };
    EXPECT_EXIT(program(), ExitedWithCode(0), "^cannot schedule new futures");
}

TEST_F(ThreadPoolAtExit, AThreadOfAPoolMayEndTheProcess) {
    const auto program = [] {
        ThreadPoolExecutor pool(2);
        pool.submit([] { std::exit(3); }).result();
    };
    EXPECT_EXIT(program(), ExitedWithCode(3), "");
}
