// Pipe transports: CPython's test_unix_events.py (UnixReadPipeTransport, UnixWritePipeTransport)
// and test_events.py (test_read_pipe, test_write_pipe).
#include <support/stream_fixture.hpp>

#include <pty.h>
#include <sys/socket.h>

#include <csignal>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;

class Pipes : public ConnectionTest {
  protected:
    Pipes() {
        set_event_loop(&loop);
        EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    }
    ~Pipes() override {
        set_event_loop(nullptr);
        for (int& fd : fds) close(fd);
    }
    static void close(int& fd) {
        if (fd >= 0) ::close(std::exchange(fd, -1));
    }
    void TearDown() override {
        for (int& fd : fds) close(fd);
        ConnectionTest::TearDown();
    }
    static void put(int fd, std::string_view text) {
        ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    int take(int which) { return std::exchange(fds[which], -1); }

    int fds[2] = {-1, -1};
};

std::shared_ptr<Recorder> make_recorder() {
    return std::make_shared<Recorder>();
}

TEST_F(Pipes, ReadsUntilTheWriterCloses) {
    const int reader = fds[0];
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_read_pipe(make_recorder, take(0));
        EXPECT_EQ(protocol->events, std::vector<std::string>{"made"});
        EXPECT_EQ(transport->get_extra_info<int>("pipe"), reader);
        put(fds[1], "1");
        co_await until([&] { return protocol->received == "1"; });
        put(fds[1], "2345");
        co_await until([&] { return protocol->received == "12345"; });
        close(fds[1]);
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "eof", "lost"}));
        EXPECT_TRUE(transport->is_closing());
    });
}

TEST_F(Pipes, PausedReadingKeepsWhatComes) {
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_read_pipe(make_recorder, take(0));
        transport->pause_reading();
        transport->pause_reading();
        EXPECT_FALSE(transport->is_reading());
        put(fds[1], "later");
        close(fds[1]);
        co_await sleep(20ms);
        EXPECT_EQ(protocol->received, "");
        transport->resume_reading();
        co_await protocol->done;
        EXPECT_EQ(protocol->received, "later");
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "eof", "lost"}));
    });
}

TEST_F(Pipes, TheReadingEndCannotWrite) {
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_read_pipe(make_recorder, take(0));
        EXPECT_THROW(transport->write("x"), NotImplementedError);
        EXPECT_THROW(transport->write_eof(), NotImplementedError);
        EXPECT_FALSE(transport->can_write_eof());
        transport->close();
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "lost"}));
    });
}

TEST_F(Pipes, AnErrorOfTheProtocolEndsIt) {
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_read_pipe(make_recorder, take(0));
        protocol->on_data = [](std::string_view) { throw ValueError("in data_received"); };
        put(fds[1], "x");
        co_await protocol->done;
        EXPECT_EQ(protocol->events.back(), "lost ValueError");
    });
    EXPECT_EQ(take_reports(),
              std::vector<std::string>{"Fatal error: protocol.data_received() call failed."});
}

TEST_F(Pipes, RegularFilesAreRefusedAndStayTheCallers) {
    char name[] = "/tmp/pipe_test_XXXXXX";
    const int file = ::mkstemp(name);
    ::unlink(name);
    run([&]() -> Coroutine<void> {
        auto reading = co_await try_(loop.connect_read_pipe(make_recorder, file));
        EXPECT_TRUE(holds_exception<ValueError>(reading.exception()));
        auto writing = co_await try_(loop.connect_write_pipe(make_recorder, file));
        EXPECT_TRUE(holds_exception<ValueError>(writing.exception()));
        auto nothing = co_await try_(loop.connect_read_pipe(make_recorder, 9999));
        EXPECT_TRUE(holds_exception<OSError>(nothing.exception()));
    });
    EXPECT_EQ(::close(file), 0);
}

std::string drain_pipe(int fd) {
    std::string all;
    char buffer[65536];
    ssize_t n = 0;
    while ((n = ::read(fd, buffer, sizeof buffer)) > 0) {
        all.append(buffer, static_cast<std::size_t>(n));
    }
    return all;
}

TEST_F(Pipes, WritesWithBackpressure) {
    ::fcntl(fds[0], F_SETFL, O_NONBLOCK);
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        EXPECT_TRUE(transport->can_write_eof());
        EXPECT_THROW(transport->pause_reading(), NotImplementedError);
        const std::string sent = numbered(500'000);
        transport->write(std::string_view(sent).substr(0, 10));
        EXPECT_EQ(transport->get_write_buffer_size(), 0U);
        transport->write(std::string_view(sent).substr(10));
        EXPECT_GT(transport->get_write_buffer_size(), 300'000U);
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "pause"}));
        transport->close();
        transport->write("dropped");
        std::string got;
        co_await until([&] {
            got += drain_pipe(fds[0]);
            return protocol->lost;
        });
        got += drain_pipe(fds[0]);
        EXPECT_TRUE(got == sent);
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "pause", "resume", "lost"}));
    });
}

TEST_F(Pipes, WhatIsWrittenComesInOrder) {
    ::fcntl(fds[0], F_SETFL, O_NONBLOCK);
    const int writer = fds[1];
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        EXPECT_EQ(transport->get_extra_info<int>("pipe"), writer);
        transport->write("");
        EXPECT_EQ(drain_pipe(fds[0]), "");
        transport->write("1");
        EXPECT_EQ(drain_pipe(fds[0]), "1");
        transport->write("2345");
        EXPECT_EQ(drain_pipe(fds[0]), "2345");
        transport->write_eof();
        EXPECT_TRUE(transport->is_closing());
        transport->close();
        EXPECT_FALSE(protocol->lost);
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "lost"}));
        EXPECT_EQ(transport->get_protocol(), nullptr);
    });
}

// The end comes after what is written already.
TEST_F(Pipes, WriteEofWaitsForTheBuffer) {
    ::fcntl(fds[0], F_SETFL, O_NONBLOCK);
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        transport->write(std::string(200'000, 'x'));
        transport->write_eof();
        EXPECT_TRUE(transport->is_closing());
        std::size_t got = 0;
        co_await until([&] {
            got += drain_pipe(fds[0]).size();
            return protocol->lost;
        });
        EXPECT_EQ(got + drain_pipe(fds[0]).size(), 200'000U);
    });
}

TEST_F(Pipes, PausingAndResumingOneThatIsClosedIsNothing) {
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_read_pipe(make_recorder, take(0));
        transport->resume_reading();
        EXPECT_TRUE(transport->is_reading());
        transport->close();
        transport->close();
        EXPECT_FALSE(transport->is_reading());
        co_await protocol->done;
        transport->pause_reading();
        transport->resume_reading();
        EXPECT_FALSE(transport->is_reading());
        EXPECT_EQ(transport->get_protocol(), nullptr);
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "lost"}));
    });
}

// test_read_pty_output
TEST_F(Pipes, ReadsATerminal) {
    int master = -1;
    int slave = -1;
    ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_read_pipe(make_recorder, master);
        put(slave, "1");
        co_await until([&, &p = *protocol] { return p.received == "1"; });
        put(slave, "2345");
        co_await until([&, &p = *protocol] { return p.received == "12345"; });
        // Nobody has its other end any more: an error that is the usual end of a terminal.
        ::close(slave);
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "lost OSError"}));
    });
}

// test_write_pty, test_bidirectional_pty
TEST_F(Pipes, TalksBothWaysOverATerminal) {
    int master = -1;
    int slave = -1;
    ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
    termios raw{};
    ::tcgetattr(slave, &raw);
    ::cfmakeraw(&raw);
    ::tcsetattr(slave, TCSANOW, &raw);
    ::fcntl(master, F_SETFL, O_NONBLOCK);
    run([&]() -> Coroutine<void> {
        auto [reading, reader] = co_await loop.connect_read_pipe(make_recorder, ::dup(slave));
        auto [writing, writer] = co_await loop.connect_write_pipe(make_recorder, slave);
        std::string got;
        writing->write("1");
        co_await until([&] { return (got += drain_pipe(master)) == "1"; });
        put(master, "a");
        co_await until([&, &p = *reader] { return p.received == "a"; });
        writing->write("2345");
        co_await until([&] { return (got += drain_pipe(master)) == "12345"; });
        put(master, "bcde");
        co_await until([&, &p = *reader] { return p.received == "abcde"; });
        EXPECT_EQ(writer->events, std::vector<std::string>{"made"});
        reading->close();
        writing->close();
        co_await reader->done;
        co_await writer->done;
    });
    ::close(master);
}

// test_write_pipe_disconnect_on_close
TEST_F(Pipes, TheWriterNoticesTheOtherEndOfItsSocketClosing) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, ours.detach());
        transport->write("1");
        EXPECT_EQ(co_await loop.sock_recv(theirs, 100), "1");
        theirs.close();
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "lost"}));
    });
}

// A write that finds nobody is the end, but nothing to report.
TEST_F(Pipes, AWriteThatFailsEndsIt) {
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        close(fds[0]);
        transport->write("x");
        EXPECT_TRUE(transport->is_closing());
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "lost BrokenPipeError"}));
    });
}

// test_unclosed_pipe_transport
TEST_F(Pipes, TellWhatTheyAreWhenTheirLoopIsClosed) {
    std::shared_ptr<Transport> reading;
    std::shared_ptr<Transport> writing;
    run([&]() -> Coroutine<void> {
        reading = (co_await loop.connect_read_pipe(make_recorder, take(0))).first;
        writing = (co_await loop.connect_write_pipe(make_recorder, take(1))).first;
        EXPECT_THAT(reading->repr(), ::testing::StartsWith("<ReadPipeTransport fd="));
        EXPECT_THAT(writing->repr(), ::testing::StartsWith("<WritePipeTransport fd="));
    });
    LoopTest::close();
    EXPECT_THAT(reading->repr(), ::testing::HasSubstr("closed"));
    EXPECT_THAT(writing->repr(), ::testing::HasSubstr("closed"));
}

// semantics.md 126
TEST_F(Pipes, TheWriterNoticesItsReaderClosing) {
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        close(fds[0]);
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "lost"}));
    });
}

TEST_F(Pipes, TheReaderCloses_WithSomethingUnsent) {
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        transport->write(std::string(200'000, 'x'));
        EXPECT_GT(transport->get_write_buffer_size(), 0U);
        close(fds[0]);
        co_await protocol->done;
        EXPECT_EQ(protocol->events.back(), "lost BrokenPipeError");
    });
}

TEST_F(Pipes, AbortDropsWhatIsBuffered) {
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        transport->write(std::string(200'000, 'x'));
        transport->abort();
        EXPECT_TRUE(transport->is_closing());
        EXPECT_EQ(transport->get_write_buffer_size(), 0U);
        co_await protocol->done;
        EXPECT_EQ(protocol->events.back(), "lost");
    });
}

TEST_F(Pipes, WritesToALostOneAreDroppedWithAWarning) {
    std::vector<std::string> warnings;
    LogSink before =
        set_log_sink([&](LogLevel, std::string_view text) { warnings.emplace_back(text); });
    run([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        transport->abort();
        for (int i = 0; i < 5; ++i) transport->write("dropped");
        EXPECT_EQ(warnings, std::vector<std::string>());
        transport->write("dropped");
        EXPECT_EQ(warnings, std::vector<std::string>{"pipe closed by peer or os.write(pipe, data) "
                                                     "raised exception."});
        co_await protocol->done;
    });
    set_log_sink(before);
}

TEST_F(Pipes, LoopClosedUnderBothEnds) {
    run([&]() -> Coroutine<void> {
        co_await loop.connect_read_pipe(make_recorder, take(0));
        auto [transport, protocol] = co_await loop.connect_write_pipe(make_recorder, take(1));
        transport->write(std::string(200'000, 'x'));
    });
}

}  // namespace
