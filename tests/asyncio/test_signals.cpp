// Signal handlers, as CPython's test_unix_events.py and test_events.py map them.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

using SignalTest = LoopTest;

bool is_default(int signal) {
    struct sigaction current = {};
    ::sigaction(signal, nullptr, &current);
    return current.sa_handler == SIG_DFL;
}

}  // namespace

// test_signal_handling
TEST_F(SignalTest, AHandlerRunsInTheLoop) {
    int got = 0;
    loop.add_signal_handler(
        SIGUSR1,
        [&](int value) {
            EXPECT_EQ(get_running_loop_or_null(), &loop);
            got = value;
            loop.stop();
        },
        7);
    loop.call_soon([] { ::raise(SIGUSR1); });
    loop.run_forever();
    EXPECT_EQ(got, 7);
    EXPECT_TRUE(loop.remove_signal_handler(SIGUSR1));
    EXPECT_FALSE(loop.remove_signal_handler(SIGUSR1));
    EXPECT_TRUE(is_default(SIGUSR1));
}

TEST_F(SignalTest, ItWakesASleepingLoop) {
    loop.add_signal_handler(SIGUSR1, [this] { loop.stop(); });
    std::thread sender([] { ::kill(::getpid(), SIGUSR1); });
    loop.run_forever();
    sender.join();
    loop.remove_signal_handler(SIGUSR1);
}

TEST_F(SignalTest, AddingAgainReplaces) {
    int first = 0, second = 0;
    loop.add_signal_handler(SIGUSR1, [&] { ++first; });
    loop.add_signal_handler(SIGUSR1, [&] {
        ++second;
        loop.stop();
    });
    ::raise(SIGUSR1);
    loop.run_forever();
    EXPECT_EQ(first, 0);
    EXPECT_EQ(second, 1);
    EXPECT_TRUE(loop.remove_signal_handler(SIGUSR1));
    EXPECT_TRUE(is_default(SIGUSR1));
}

TEST_F(SignalTest, SeveralSignals) {
    std::vector<int> got;
    for (int signal : {SIGUSR1, SIGUSR2, SIGCHLD}) {
        loop.add_signal_handler(
            signal,
            [&got, this](int number) {
                got.push_back(number);
                if (got.size() == 3) loop.stop();
            },
            signal);
    }
    ::raise(SIGUSR2);
    ::raise(SIGCHLD);
    ::raise(SIGUSR1);
    loop.run_forever();
    EXPECT_EQ(got, (std::vector<int>{SIGUSR2, SIGCHLD, SIGUSR1}));
}

TEST_F(SignalTest, AHandlerRemovedBeforeItsTurnIsNotCalled) {
    int calls = 0;
    for (const int signal : {SIGUSR1, SIGUSR2}) {
        loop.add_signal_handler(signal, [&, signal] {
            ++calls;
            EXPECT_TRUE(loop.remove_signal_handler(signal == SIGUSR1 ? SIGUSR2 : SIGUSR1));
        });
    }
    ::raise(SIGUSR1);
    ::raise(SIGUSR2);
    iterate(3);
    EXPECT_EQ(calls, 1);
}

// test_close: closing removes them
TEST_F(SignalTest, ClosingTheLoopPutsBackWhatWasThere) {
    static int old_calls = 0;
    old_calls = 0;
    const auto old = ::signal(SIGUSR1, [](int) { ++old_calls; });
    int calls = 0;
    loop.add_signal_handler(SIGUSR1, [&] { ++calls; });
    ::raise(SIGUSR1);
    iterate(3);
    close();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(old_calls, 0);
    ::raise(SIGUSR1);
    EXPECT_EQ(old_calls, 1);
    ::signal(SIGUSR1, old);
}

TEST_F(SignalTest, TheLatestLoopGetsIt) {
    int first = 0, second = 0;
    loop.add_signal_handler(SIGUSR1, [&] { ++first; });
    {
        auto other = new_event_loop();
        other->add_signal_handler(SIGUSR1, [&] {
            ++second;
            other->stop();
        });
        ::raise(SIGUSR1);
        other->run_forever();
        EXPECT_TRUE(loop.remove_signal_handler(SIGUSR1));  // which is no more the first loop's
        ::raise(SIGUSR1);
        other->run_forever();
        other->close();
    }
    EXPECT_EQ(first, 0);
    EXPECT_EQ(second, 2);
    EXPECT_TRUE(is_default(SIGUSR1));
}

TEST_F(SignalTest, AnErrorInTheHandlerIsReported) {
    loop.add_signal_handler(SIGUSR1, [this] {
        loop.stop();
        throw ValueError("from the handler");
    });
    ::raise(SIGUSR1);
    loop.run_forever();
    const auto reports = take_reports();
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_THAT(reports[0], ::testing::HasSubstr("AnErrorInTheHandlerIsReported"));
}

// test_add_signal_handler_setup_error and its like
TEST_F(SignalTest, WhatCannotBeCaughtIsRefused) {
    EXPECT_THROW(loop.add_signal_handler(0, [] {}), ValueError);
    EXPECT_THROW(loop.add_signal_handler(-1, [] {}), ValueError);
    EXPECT_THROW(loop.add_signal_handler(1000, [] {}), ValueError);
    EXPECT_THROW(loop.add_signal_handler(SIGKILL, [] {}), RuntimeError);
    EXPECT_THROW(loop.add_signal_handler(SIGSTOP, [] {}), RuntimeError);
    EXPECT_THROW(loop.remove_signal_handler(1000), ValueError);
    EXPECT_FALSE(loop.remove_signal_handler(SIGUSR2));
}

// test_fork_signal_handling
TEST_F(SignalTest, OfAForkedChildStayThere) {
    int ours = 0;
    loop.add_signal_handler(SIGUSR1, [&] { ++ours; });
    const pid_t child = ::fork();
    if (child == 0) {
        ::raise(SIGUSR1);  // nobody listens
        bool heard = false;
        auto other = new_event_loop();
        other->add_signal_handler(SIGUSR1, [&] {
            heard = true;
            other->stop();
        });
        ::raise(SIGUSR1);
        other->run_forever();
        ::_exit(heard ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    iterate(3);
    EXPECT_EQ(ours, 0);
    ::raise(SIGUSR1);
    iterate(3);
    EXPECT_EQ(ours, 1);
}

// A handler for SIGINT takes Ctrl-C over from run(), and gives it back.
TEST(Signals, SigintInsideRun) {
    bool handled = false;
    run([&]() -> Coroutine<void> {
        EventLoop& loop = get_running_loop();
        Future<void> came = loop.create_future<void>();
        loop.add_signal_handler(SIGINT, [&, came] {
            handled = true;
            came.set_result();
        });
        ::raise(SIGINT);
        co_await came;
        loop.remove_signal_handler(SIGINT);
    });
    EXPECT_TRUE(handled);
    EXPECT_TRUE(is_default(SIGINT));
}

// Each loop in its own thread has its own signals.
TEST(Signals, SeveralLoopsInSeveralThreads) {
    std::vector<std::thread> threads;
    std::atomic<int> ready = 0, got = 0;
    for (int signal : {SIGUSR1, SIGUSR2}) {
        threads.emplace_back([&, signal] {
            auto loop = new_event_loop();
            loop->add_signal_handler(signal, [&] {
                ++got;
                loop->stop();
            });
            loop->call_soon([&] { ++ready; });
            loop->run_forever();
            loop->close();
        });
    }
    while (ready < 2) std::this_thread::yield();
    ::kill(::getpid(), SIGUSR1);
    ::kill(::getpid(), SIGUSR2);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(got, 2);
}
