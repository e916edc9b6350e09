// Pipe transports: CPython's test_unix_events.py (UnixReadPipeTransport, UnixWritePipeTransport)
// and test_events.py (test_read_pipe, test_write_pipe).
#include <support/stream_fixture.hpp>

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
        for (int i = 0; i < 4; ++i) transport->write("dropped");
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
