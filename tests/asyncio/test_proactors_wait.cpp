// How the proactors wait, are woken, move between threads and close.
#include <sys/wait.h>

#include <array>
#include <asyncio/exceptions.hpp>
#include <atomic>
#include <thread>

#include "proactor_fixture.hpp"

namespace asyncio::detail::testing {

using ProactorWait = ProactorTest;

ASYNCIO_FOR_EACH_PROACTOR(ProactorWait);

// -- Wait and wake ------------------------------------------------------------------------

TEST_P(ProactorWait, WaitKeepsItsTimeout) {
    EXPECT_TRUE(lasts(300us));
    EXPECT_TRUE(lasts(20ms));
    const auto start = Clock::now();
    const Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN)};
    submit(recorder);
    for (int i = 0; i < 100; ++i) {
        wait_now();
        proactor->wait(-1s);
    }
    EXPECT_LT(Clock::now() - start, 5s);
    end(recorder);
}

TEST_P(ProactorWait, WakeEndsAWaitWithoutLimit) {
    for (int i = 0; i < 20; ++i) {
        std::thread waker([&] {
            if (i % 2 != 0) std::this_thread::sleep_for(1ms);
            proactor->wake();
        });
        proactor->wait(std::nullopt);
        waker.join();
    }
}

TEST_P(ProactorWait, WakeBeforeTheWaitEndsIt) {
    const Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN)};
    for (const bool in_flight : {false, true}) {
        if (in_flight) submit(recorder);
        proactor->wake();
        proactor->wake();
        proactor->wait(std::nullopt);
    }
    EXPECT_TRUE(lasts(10ms)) << "a wake lingers";
    end(recorder);
}

std::atomic<Proactor*> woken_by_signal = nullptr;

TEST_P(ProactorWait, WakeIsCallableFromASignalHandler) {
    woken_by_signal = proactor.get();
    struct sigaction action{};
    action.sa_flags = SA_RESTART;
    action.sa_handler = [](int) { woken_by_signal.load()->wake(); };
    struct sigaction before{};
    ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
    const pthread_t self = ::pthread_self();
    std::thread sender([&] {
        std::this_thread::sleep_for(5ms);
        ::pthread_kill(self, SIGUSR1);
    });
    proactor->wait(std::nullopt);
    sender.join();
    ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(ProactorWait, ASignalEndsAWaitEarly) {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    struct sigaction before{};
    ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
    const pthread_t self = ::pthread_self();
    std::atomic<bool> returned = false;
    std::thread sender([&] {
        while (!returned) {
            std::this_thread::sleep_for(5ms);
            ::pthread_kill(self, SIGUSR1);
        }
    });
    const auto start = Clock::now();
    proactor->wait(60s);
    returned = true;
    EXPECT_LT(Clock::now() - start, 30s);
    sender.join();
    ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(ProactorWait, NoWakeIsLostAmongManyThreads) {
    // Each round wakes through a flag, as the loop does: a lost wake hangs the test.
    std::atomic<int> asked = 0;
    std::atomic<int> served = 0;
    constexpr int rounds = 2000;
    std::vector<std::thread> wakers;
    wakers.reserve(3);
    for (int i = 0; i < 3; ++i) {
        wakers.emplace_back([&] {
            for (int round = 0; round < rounds; ++round) {
                asked.fetch_add(1);
                proactor->wake();
                if (round % 64 == 0) {
                    while (served.load() < asked.load() - 3) std::this_thread::yield();
                }
            }
        });
    }
    while (served < 3 * rounds) {
        if (served == asked) proactor->wait(std::nullopt);
        served = asked.load();
    }
    for (std::thread& waker : wakers) waker.join();
}

// -- Threads ------------------------------------------------------------------------------

TEST_P(ProactorWait, RunsOnAnotherThreadThanItWasMadeOn) {
    const Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN)};
    submit(recorder);
    std::thread([&] {
        settle();
        put(pipe[1], "x");
        run(recorder);
        proactor->detach();
    }).join();
    EXPECT_EQ(recorder.result(), POLLIN);
}

TEST_P(ProactorWait, MovesBetweenThreadsWithOperationsInFlight) {
    const SocketPair sockets;
    std::array<char, 4> buffer{};
    Recorder reader{transfer(Kind::read, sockets[0], buffer)};
    Recorder poller{poll(sockets[0], POLLIN, true)};
    Recorder doomed{poll(sockets[0], POLLPRI)};
    submit(reader);
    submit(poller);
    submit(doomed);
    settle();
    proactor->detach();
    EXPECT_TRUE(reader.seen.empty());
    cancel(doomed);
    std::thread([&] {
        run(doomed);
        settle();
        proactor->detach();
    }).join();
    EXPECT_EQ(doomed.result(), -ECANCELED);
    EXPECT_TRUE(reader.seen.empty());
    settle();
    put(sockets[1], "x");
    run(reader);
    EXPECT_EQ(reader.result(), 1);
    proactor->detach();
    settle();
    end(poller);
}

TEST_P(ProactorWait, MovesBetweenThreadsWithMoreInFlightThanARingHolds) {
    const Pipe pipe;
    std::vector<std::unique_ptr<Recorder>> pollers(3000);
    for (auto& poller : pollers) {
        poller = std::make_unique<Recorder>(poll(pipe[0], POLLIN));
        submit(*poller);
    }
    settle();
    for (std::size_t i = 0; i < pollers.size(); i += 3) cancel(*pollers[i]);
    proactor->detach();
    std::thread([&] {
        for (std::size_t i = 0; i < pollers.size(); i += 3) run(*pollers[i]);
        settle();
        proactor->detach();
    }).join();
    put(pipe[1], "x");
    for (std::size_t i = 0; i < pollers.size(); ++i) {
        run(*pollers[i]);
        EXPECT_EQ(pollers[i]->result(), i % 3 == 0 ? -ECANCELED : POLLIN);
    }
}

TEST_P(ProactorWait, MovingWithoutDetachIsRefusedWhereItCannotWork) {
    if (!GetParam().io_uring) GTEST_SKIP() << "epoll belongs to no thread";
    const Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN)};
    submit(recorder);
    settle();
    std::thread([&] { EXPECT_THROW(settle(), RuntimeError); }).join();
    end(recorder);
}

// -- Close --------------------------------------------------------------------------------

TEST_P(ProactorWait, CloseEndsEverythingAndGivesBackItsDescriptors) {
    const Pipe pipe;
    std::array<char, 4> buffer{};
    Recorder reader{transfer(Kind::read, pipe[0], buffer)};
    Recorder poller{poll(pipe[0], POLLIN, true)}, cancelled{poll(pipe[0], POLLIN)};
    Recorder queued{nop()};
    for (Recorder* recorder : {&reader, &poller, &cancelled}) submit(*recorder);
    settle();
    submit(queued);
    cancel(cancelled);
    queued.then = [&] {
        if (queued.seen.size() == 1) submit(queued);  // refused from now on
    };
    proactor->close();
    EXPECT_EQ(proactor->in_flight(), 0U);
    for (const Recorder* recorder : {&reader, &poller, &cancelled}) {
        EXPECT_EQ(recorder->result(), -ECANCELED);
    }
    EXPECT_EQ(queued.seen, (std::vector<Completion>{{-ECANCELED, false}, {-ECANCELED, false}}));
    proactor->close();
}

TEST_P(ProactorWait, CloseKeepsAResultThatWasThere) {
    const Pipe pipe;
    std::array<char, 4> buffer{};
    Recorder reader{transfer(Kind::read, pipe[0], buffer)};
    submit(reader);
    settle();
    put(pipe[1], "x");
    proactor->close();
    EXPECT_TRUE(reader.result() == -ECANCELED || reader.result() == 1);
    if (reader.result() == -ECANCELED) EXPECT_EQ(::read(pipe[0], buffer.data(), 1), 1);
}

TEST_P(ProactorWait, DestructorCloses) {
    const Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN)};
    auto other = GetParam().make();
    other->submit(recorder.operation);
    other->wait(0ns);
    other.reset();
    EXPECT_EQ(recorder.result(), -ECANCELED);
}

TEST_P(ProactorWait, AForkedChildLeavesItsParentsOperationsAlone) {
    const Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN)};
    submit(recorder);
    settle();
    const pid_t child = ::fork();
    if (child == 0) {
        proactor->close();
        ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    settle();
    EXPECT_TRUE(recorder.seen.empty());
    put(pipe[1], "x");
    run(recorder);
    EXPECT_EQ(recorder.result(), POLLIN);
}

}  // namespace asyncio::detail::testing
