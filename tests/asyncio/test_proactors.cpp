// The proactors behind the event loop: what is submitted is completed exactly once, in the
// same way by all of them.
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <asyncio/exceptions.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "proactor_fixture.hpp"

namespace asyncio::detail::testing {

ASYNCIO_FOR_EACH_PROACTOR(ProactorTest);

// -- Completion ---------------------------------------------------------------------------

TEST_P(ProactorTest, CompletesFromWaitAndNotFromSubmit) {
    Recorder recorder{nop()};
    submit(recorder);
    EXPECT_EQ(proactor->in_flight(), 1U);
    EXPECT_TRUE(proactor->may_have_completions());
    EXPECT_TRUE(recorder.seen.empty());
    proactor->wait(std::nullopt);
    EXPECT_EQ(recorder.result(), 0);
    EXPECT_EQ(proactor->in_flight(), 0U);
    EXPECT_FALSE(proactor->may_have_completions());
}

TEST_P(ProactorTest, IsResubmittedFromInsideItsCompletion) {
    Recorder recorder{nop()};
    recorder.then = [&] {
        if (recorder.seen.size() < 100) submit(recorder);
    };
    submit(recorder);
    run_until([&] { return recorder.seen.size() == 100; });
    EXPECT_TRUE(std::all_of(recorder.seen.begin(), recorder.seen.end(),
                            [](Completion c) { return c == Completion{0, false}; }));
}

TEST_P(ProactorTest, MayBeDestroyedInsideItsCompletion) {
    const Pipe pipe;
    auto recorder = std::make_unique<Recorder>(poll(pipe[0], POLLIN));
    recorder->then = [&] {
        auto then = std::move(recorder->then);  // it is running
        recorder.reset();
    };
    submit(*recorder);
    wait_now();
    put(pipe[1], "x");
    run_until([&] { return recorder == nullptr; });
}

TEST_P(ProactorTest, ManyMoreThanTheRingsHoldAllComplete) {
    const Pipe pipe;
    std::vector<std::unique_ptr<Recorder>> recorders;
    for (int i = 0; i < 5000; ++i) {
        recorders.push_back(std::make_unique<Recorder>(i % 2 != 0 ? nop() : poll(pipe[0], POLLIN)));
        submit(*recorders.back());
    }
    EXPECT_EQ(proactor->in_flight(), 5000U);
    wait_now();
    put(pipe[1], "x");
    run_until([&] { return proactor->in_flight() == 0; });
    for (const auto& recorder : recorders) {
        EXPECT_EQ(recorder->result(), recorder->operation.kind == Kind::nop ? 0 : POLLIN);
    }
}

TEST_P(ProactorTest, AnExceptionOutOfACompletionLeavesTheOthersForTheNextWait) {
    std::array<Recorder, 3> recorders{Recorder{nop()}, Recorder{nop()}, Recorder{nop()}};
    for (Recorder& recorder : recorders) {
        recorder.then = [] { throw ValueError("from a completion"); };
        submit(recorder);
    }
    int thrown = 0;
    for (int i = 0; i < 10 && proactor->in_flight() > 0; ++i) {
        try {
            proactor->wait(100ms);
        } catch (const ValueError&) {
            ++thrown;
        }
    }
    EXPECT_EQ(thrown, 3);
    for (const Recorder& recorder : recorders) EXPECT_EQ(recorder.result(), 0);
}

// -- Poll ---------------------------------------------------------------------------------

TEST_P(ProactorTest, PollWaitsForReadinessAndReportsItOnce) {
    const Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN | POLLOUT)};
    submit(recorder);
    settle();
    EXPECT_TRUE(recorder.seen.empty());
    put(pipe[1], "x");
    run(recorder);
    settle();
    EXPECT_EQ(recorder.result(), POLLIN);
    submit(recorder);  // still ready
    run_until([&] { return recorder.seen.size() == 2; });
    EXPECT_EQ(recorder.seen[1], (Completion{POLLIN, false}));
}

TEST_P(ProactorTest, PollReportsHangUpAndErrorUnasked) {
    Pipe ended, broken;
    ended.close(1);
    broken.close(0);
    Recorder reader{poll(ended[0], POLLIN)}, writer{poll(broken[1], POLLOUT)};
    Recorder nothing{poll(ended[0], 0)};
    submit(reader);
    submit(writer);
    submit(nothing);
    run_until([&] { return proactor->in_flight() == 0; });
    EXPECT_EQ(reader.result(), POLLHUP);
    EXPECT_EQ(writer.result(), POLLOUT | POLLERR);
    EXPECT_EQ(nothing.result(), POLLHUP);
}

TEST_P(ProactorTest, PollSeesAHalfCloseOnlyIfAsked) {
    SocketPair sockets;
    ::shutdown(sockets[1], SHUT_WR);
    Recorder asked{poll(sockets[0], POLLIN | POLLRDHUP)}, unasked{poll(sockets[0], POLLIN)};
    submit(asked);
    submit(unasked);
    run_until([&] { return proactor->in_flight() == 0; });
    EXPECT_EQ(asked.result(), POLLIN | POLLRDHUP);
    EXPECT_EQ(unasked.result(), POLLIN);
}

TEST_P(ProactorTest, PollForWritingOfAHalfClosedSocketWaitsForRoom) {
    const SocketPair sockets;
    ::shutdown(sockets[1], SHUT_WR);
    std::array<char, 4096> block{};
    while (::send(sockets[0], block.data(), block.size(), 0) > 0) {
    }
    Recorder writer{poll(sockets[0], POLLOUT)};
    for (int round = 0; round < 2; ++round) {
        submit(writer);
        settle();
        EXPECT_TRUE(writer.seen.empty());
        // Waiting really waits: the half close must not be reported again and again.
        EXPECT_TRUE(lasts(10ms));
        if (round == 0) {
            end(writer);
            EXPECT_EQ(writer.result(), -ECANCELED);
            writer.seen.clear();
        }
    }
    while (::recv(sockets[1], block.data(), block.size(), 0) > 0) {
    }
    run(writer);
    EXPECT_EQ(writer.result(), POLLOUT);
}

TEST_P(ProactorTest, PollOfWhatIsNoDescriptorFails) {
    settle();  // opens what the proactor opens late, so that it does not get that number
    Pipe pipe;
    const int closed = pipe[1];
    pipe.close(1);
    for (const int fd : {closed, -1, 1'000'000'000}) {
        Recorder recorder{poll(fd, POLLIN)};
        submit(recorder);
        run(recorder);
        EXPECT_EQ(recorder.result(), -EBADF) << fd;
        if (!recorder.done()) end(recorder);
    }
}

TEST_P(ProactorTest, ARegularFileIsAlwaysReady) {
    const TemporaryFile file;
    Recorder both{poll(file.fd, POLLIN | POLLOUT)}, never{poll(file.fd, POLLPRI)};
    submit(both);
    submit(never);
    run_until([&] { return proactor->in_flight() == 0; });
    EXPECT_EQ(both.result(), POLLIN | POLLOUT);
    EXPECT_EQ(never.result(), -EINVAL);
}

TEST_P(ProactorTest, MultishotPollReportsInEveryWaitThatFindsItReady) {
    const Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN, true)};
    submit(recorder);
    settle();
    EXPECT_TRUE(recorder.seen.empty());
    put(pipe[1], "x");
    for (std::size_t i = 1; i <= 3; ++i) {
        proactor->wait(1s);
        EXPECT_EQ(recorder.seen.size(), i);
    }
    char byte = 0;
    ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
    wait_now();  // may have been on its way
    const std::size_t so_far = recorder.seen.size();
    settle();
    EXPECT_EQ(recorder.seen.size(), so_far);
    put(pipe[1], "y");
    run_until([&] { return recorder.seen.size() > so_far; });
    end(recorder);
    EXPECT_EQ(recorder.seen.front(), (Completion{POLLIN, true}));
}

TEST_P(ProactorTest, MultishotPollIsCancelledInsideItsCompletion) {
    const Pipe pipe;
    put(pipe[1], "x");
    Recorder recorder{poll(pipe[0], POLLIN, true)};
    recorder.then = [&] { cancel(recorder); };
    submit(recorder);
    run(recorder);
    EXPECT_EQ(recorder.seen, (std::vector<Completion>{{POLLIN, true}, {-ECANCELED, false}}));
    settle();
    EXPECT_EQ(recorder.seen.size(), 2U);
}

TEST_P(ProactorTest, MultishotAndOneShotPollsShareADescriptor) {
    const SocketPair sockets;
    Recorder reading{poll(sockets[0], POLLIN, true)}, once{poll(sockets[0], POLLIN)};
    Recorder writing{poll(sockets[0], POLLOUT)};
    submit(reading);
    submit(once);
    submit(writing);
    run(writing);
    EXPECT_EQ(writing.result(), POLLOUT);
    EXPECT_TRUE(reading.seen.empty());
    put(sockets[1], "x");
    run_until([&] { return once.done() && reading.seen.size() >= 3; });
    EXPECT_EQ(once.result(), POLLIN);
    end(reading);
    settle();
}

// -- Read and write -----------------------------------------------------------------------

TEST_P(ProactorTest, ReadTakesWhatIsThereOrWaitsForIt) {
    for (const int flags : {0, O_NONBLOCK}) {
        Pipe pipe(flags);
        std::array<char, 16> buffer{};
        Recorder recorder{transfer(Kind::read, pipe[0], buffer)};
        submit(recorder);
        settle();
        EXPECT_TRUE(recorder.seen.empty());
        put(pipe[1], "hello");
        run(recorder);
        EXPECT_EQ(recorder.result(), 5);
        EXPECT_STREQ(buffer.data(), "hello");
        pipe.close(1);
        recorder.seen.clear();
        submit(recorder);
        run(recorder);
        EXPECT_EQ(recorder.result(), 0);  // the end
    }
}

TEST_P(ProactorTest, WriteWaitsForRoom) {
    for (const int flags : {0, O_NONBLOCK}) {
        const Pipe pipe(flags);
        const int size = ::fcntl(pipe[1], F_GETPIPE_SZ);
        std::string block(static_cast<std::size_t>(size), 'x');
        Recorder first{transfer(Kind::write, pipe[1], block)};
        Recorder second{transfer(Kind::write, pipe[1], block)};
        submit(first);
        run(first);
        EXPECT_EQ(first.result(), size);
        submit(second);
        settle();
        EXPECT_TRUE(second.seen.empty());
        // Drained until it has all been written: a count may be less than was asked for.
        std::string drained(block.size(), '\0');
        while (!second.done()) {
            ASSERT_GT(::read(pipe[0], drained.data(), drained.size() / 2), 0);
            proactor->wait(10ms);
        }
        EXPECT_GT(second.result(), 0);
    }
}

TEST_P(ProactorTest, WriteToAPipeNobodyReadsFails) {
    Pipe pipe;
    pipe.close(0);
    std::string text = "x";
    Recorder recorder{transfer(Kind::write, pipe[1], text)};
    submit(recorder);
    run(recorder);
    EXPECT_EQ(recorder.result(), -EPIPE);
}

TEST_P(ProactorTest, RegularFilesAreReadAndWrittenAtAnOffsetOrInTurn) {
    const TemporaryFile file;
    const int fd = file.fd;
    std::string text = "0123456789";
    std::array<char, 4> buffer{};
    const auto ends = [&](Operation operation, int result) {
        Recorder recorder{operation};
        submit(recorder);
        run(recorder);
        EXPECT_EQ(recorder.result(), result);
        return std::string_view(buffer.data(), buffer.size());
    };
    ends(transfer(Kind::write, fd, text), 10);
    EXPECT_EQ(ends(transfer(Kind::read, fd, buffer, 3), 4), "3456");
    ends(transfer(Kind::read, fd, buffer), 0);  // the position is at the end
    ASSERT_EQ(::lseek(fd, 1, SEEK_SET), 1);
    EXPECT_EQ(ends(transfer(Kind::read, fd, buffer), 4), "1234");
    EXPECT_EQ(ends(transfer(Kind::read, fd, buffer), 4), "5678");
}

TEST_P(ProactorTest, SeveralReadersOfOneDescriptorGetOneMessageEach) {
    const SocketPair sockets(SOCK_SEQPACKET);
    std::array<std::array<char, 4>, 3> buffers{};
    std::vector<std::unique_ptr<Recorder>> readers;
    for (auto& buffer : buffers) {
        readers.push_back(std::make_unique<Recorder>(transfer(Kind::read, sockets[0], buffer)));
        submit(*readers.back());
    }
    wait_now();
    for (const char* const text : {"a", "b", "c"}) put(sockets[1], text);
    run_until([&] { return proactor->in_flight() == 0; });
    std::string order;
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(readers[i]->result(), 1);
        order += buffers[i][0];
    }
    std::sort(order.begin(), order.end());  // who gets which is the kernel's choice
    EXPECT_EQ(order, "abc");
}

TEST_P(ProactorTest, AReaderAndAWriterOfOneSocketDoNotDisturbEachOther) {
    const SocketPair sockets;
    std::array<char, 16> in{};
    std::string out(4'000'000, 'x');
    Recorder reader{transfer(Kind::read, sockets[0], in)};
    Recorder writer{transfer(Kind::write, sockets[0], out)};
    submit(reader);
    submit(writer);
    run(writer);
    EXPECT_GT(writer.result(), 0);
    writer.seen.clear();
    submit(writer);
    settle();
    EXPECT_TRUE(reader.seen.empty());
    put(sockets[1], "hello");
    run(reader);
    EXPECT_EQ(reader.result(), 5);
    if (!writer.done()) end(writer);
}

TEST_P(ProactorTest, DescriptorsThatKnowNoNowaitAreReadAllTheSame) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &signals, nullptr), 0);
    for (const int flags : {0, static_cast<int>(SFD_NONBLOCK)}) {
        const int fd = ::signalfd(-1, &signals, flags | SFD_CLOEXEC);
        std::array<signalfd_siginfo, 1> info{};
        Recorder recorder{
            {.kind = Kind::read, .fd = fd, .buffer = info.data(), .size = sizeof info}};
        submit(recorder);
        settle();
        EXPECT_TRUE(recorder.seen.empty());
        ::raise(SIGUSR2);
        run(recorder);
        EXPECT_EQ(recorder.result(), static_cast<int>(sizeof info));
        EXPECT_EQ(info[0].ssi_signo, static_cast<std::uint32_t>(SIGUSR2));
        close_descriptor(fd);
    }
    ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

// -- Cancel -------------------------------------------------------------------------------

TEST_P(ProactorTest, CancelOfAQueuedOperationEndsItWithoutDoingIt) {
    const Pipe pipe;
    std::string text = "x";
    Recorder recorder{transfer(Kind::write, pipe[1], text)};
    submit(recorder);
    cancel(recorder);
    cancel(recorder);
    EXPECT_TRUE(recorder.seen.empty());  // never inline
    run(recorder);
    EXPECT_EQ(recorder.result(), -ECANCELED);
    char byte = 0;
    EXPECT_EQ(::read(pipe[0], &byte, 1), -1);
}

TEST_P(ProactorTest, CancelOfAWaitingOperationEndsItOnce) {
    const Pipe pipe;
    std::array<char, 4> buffer{};
    Recorder reader{transfer(Kind::read, pipe[0], buffer)}, poller{poll(pipe[0], POLLIN)};
    for (Recorder* recorder : {&reader, &poller}) {
        submit(*recorder);
        settle();
        cancel(*recorder);
        cancel(*recorder);
        EXPECT_TRUE(recorder->seen.empty());
        wait_now();
        cancel(*recorder);
        run(*recorder);
        settle();
        EXPECT_EQ(recorder->result(), -ECANCELED);
    }
    put(pipe[1], "x");  // nobody is there to take it
    settle();
    EXPECT_EQ(::read(pipe[0], buffer.data(), 1), 1);
}

TEST_P(ProactorTest, CancelOfAnIdleOperationHasNoEffect) {
    Recorder recorder{nop()};
    cancel(recorder);
    submit(recorder);
    run(recorder);
    EXPECT_EQ(recorder.result(), 0);
    cancel(recorder);
    settle();
    EXPECT_EQ(recorder.result(), 0);
}

TEST_P(ProactorTest, CancelThatComesTooLateLosesNoBytes) {
    const Pipe pipe;
    std::array<char, 4> buffer{};
    Recorder recorder{transfer(Kind::read, pipe[0], buffer)};
    submit(recorder);
    settle();
    put(pipe[1], "abcd");
    cancel(recorder);
    run(recorder);
    if (recorder.result() == -ECANCELED) {
        EXPECT_EQ(::read(pipe[0], buffer.data(), buffer.size()), 4);
    } else {
        EXPECT_EQ(recorder.result(), 4);
    }
    EXPECT_EQ(std::string_view(buffer.data(), 4), "abcd");
}

TEST_P(ProactorTest, CancelOfOneThatCompletedInTheSameBatchEndsItOnce) {
    const Pipe pipe;
    for (const Kind kind : {Kind::nop, Kind::poll}) {
        const Operation what = kind == Kind::nop ? nop() : poll(pipe[0], POLLIN);
        Recorder first{what}, second{what}, third{what};
        first.then = [&] {
            cancel(second);
            cancel(third);
        };
        third.then = second.then = [&] { cancel(first); };
        for (Recorder* recorder : {&first, &second, &third}) submit(*recorder);
        if (kind == Kind::poll) {
            settle();
            put(pipe[1], "x");
        }
        run_until([&] { return proactor->in_flight() == 0; });
        settle();
        EXPECT_GE(first.result(), 0);
        for (const Recorder* recorder : {&second, &third}) {
            EXPECT_TRUE(recorder->result() >= 0 || recorder->result() == -ECANCELED);
        }
    }
}

TEST_P(ProactorTest, AMultishotCancelledByANeighbourEndsOnce) {
    const Pipe pipe;
    Recorder first{poll(pipe[0], POLLIN, true)}, second{poll(pipe[0], POLLIN, true)};
    first.then = [&] { cancel(second); };
    second.then = [&] { cancel(first); };
    submit(first);
    submit(second);
    settle();
    put(pipe[1], "x");
    run_until([&] { return proactor->in_flight() == 0; });
    settle();
    for (const Recorder* recorder : {&first, &second}) {
        EXPECT_EQ(std::count_if(recorder->seen.begin(), recorder->seen.end(),
                                [](Completion c) { return !c.more; }),
                  1);
    }
}

// -- Descriptors closed and reused --------------------------------------------------------

TEST_P(ProactorTest, ANumberReusedByAnotherFileIsWatchedAnew) {
    for (const bool reading : {false, true}) {
        std::array<char, 4> buffer{};
        int number = -1;
        for (int round = 0; round < 4; ++round) {
            const Pipe pipe;
            if (round > 0) EXPECT_EQ(pipe[0], number);
            number = pipe[0];
            Recorder recorder{reading ? transfer(Kind::read, pipe[0], buffer)
                                      : poll(pipe[0], POLLIN)};
            submit(recorder);
            settle();
            EXPECT_TRUE(recorder.seen.empty());
            if (round % 2 != 0) {
                end(recorder);
            } else {
                put(pipe[1], "x");
                run(recorder);
                EXPECT_EQ(recorder.result(), 1);  // a byte, or POLLIN
            }
        }
    }
}

TEST_P(ProactorTest, AFileThatOutlivesItsNumberDoesNotDisturb) {
    Pipe old;
    const int number = old[0];
    Recorder recorder{poll(number, POLLIN, true)};
    submit(recorder);
    settle();
    const int other = ::dup(number);  // as a child process would hold it
    end(recorder);
    old.close(0);
    const Pipe fresh;
    ASSERT_EQ(fresh[0], number);
    Recorder second{poll(number, POLLIN)};
    submit(second);
    put(old[1], "x");
    settle();
    EXPECT_TRUE(second.seen.empty());
    EXPECT_TRUE(lasts(10ms));
    end(second);
    ::close(other);
}

TEST_P(ProactorTest, AnOperationWhoseDescriptorWasClosedBehindItCanBeCancelled) {
    Pipe pipe;
    Recorder recorder{poll(pipe[0], POLLIN)};
    submit(recorder);
    settle();
    pipe.close(0);
    settle();
    end(recorder);
    EXPECT_LT(recorder.seen.back().result, 0);
}

}  // namespace asyncio::detail::testing
