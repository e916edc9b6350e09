// loop.sendfile(), as CPython's test_sendfile.py maps it: over TCP, over TLS, and by reading
// where the kernel cannot copy. (loop.sock_sendfile() is tested in test_sock_lowlevel.cpp.)
#include <sys/mman.h>

#include "support/tls_fixture.hpp"

namespace asyncio {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
    return text;
}

class File {
  public:
    explicit File(std::string_view text) : fd_(::memfd_create("file", MFD_CLOEXEC)) {
        EXPECT_EQ(::write(fd_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
        ::lseek(fd_, 0, SEEK_SET);
    }
    ~File() { ::close(fd_); }
    [[nodiscard]] int fileno() const { return fd_; }
    [[nodiscard]] off_t position() const { return ::lseek(fd_, 0, SEEK_CUR); }

  private:
    int fd_;
};

// A file without positions, from which the kernel does not copy to sockets.
class Fifo {
  public:
    explicit Fifo(std::string_view text) {
        EXPECT_EQ(::pipe2(ends_, O_CLOEXEC), 0);
        ::fcntl(ends_[1], F_SETPIPE_SZ, 1 << 20);
        EXPECT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
        ::close(ends_[1]);
    }
    ~Fifo() { ::close(ends_[0]); }
    [[nodiscard]] int fileno() const { return ends_[0]; }

  private:
    int ends_[2];
};

const std::string text = pattern(2'000'000);
const std::string much = pattern(16'000'000);  // more than the kernel buffers

// A client whose protocol writes down what happens, and a server that the test reads by.
class SendfileTest : public ConnectionTest {
  protected:
    struct Pair {
        std::shared_ptr<Transport> transport;
        std::shared_ptr<Recorder> protocol;
        StreamReader reader;
        StreamWriter writer;
        Server server;
    };

    Coroutine<Pair> connected(bool tls = false) {
        Future<std::pair<StreamReader, StreamWriter>> accepted =
            loop.create_future<std::pair<StreamReader, StreamWriter>>();
        ServerOptions options;
        ConnectionOptions client;
        if (tls) {
            options.ssl = tls::serving();
            client.ssl = tls::trusting();
            client.server_hostname = "localhost";
        }
        auto server = co_await start_server(
            [accepted](StreamReader reader, StreamWriter writer) {
                accepted.set_result({std::move(reader), std::move(writer)});
            },
            "127.0.0.1", 0, std::move(options));
        auto [transport, protocol] = co_await loop.create_connection(
            [this] {
                auto made = std::make_shared<Recorder>();
                made->done = loop.create_future();
                return made;
            },
            "127.0.0.1", port_of(server), std::move(client));
        auto [reader, writer] = co_await accepted;
        // Else the kernel may buffer more than `much`.
        writer.get_extra_info<TransportSocket>("socket")->setsockopt(SOL_SOCKET, SO_RCVBUF, 262144);
        co_return Pair{transport, protocol, reader, writer, server};
    }

    // Closes both ends and the server.
    static Coroutine<void> finish(Pair pair) {
        pair.transport->close();
        (void)co_await try_(pair.protocol->done);
        pair.writer.close();
        (void)co_await try_(pair.writer.wait_closed());
        co_await end(pair.server);
    }

    template <class Error>
    static testing::AssertionResult threw(const auto& outcome, const std::string& what = {}) {
        const std::string said = describe_exception(outcome.exception());
        if (holds_exception<Error>(outcome.exception()) && said.find(what) != said.npos) {
            return testing::AssertionSuccess();
        }
        return testing::AssertionFailure() << "threw " << said;
    }
};

// test_sendfile, test_sendfile_partial
TEST_F(SendfileTest, SendsFilesAndSlicesOfThem) {
    const File file(text);
    run([&]() -> Coroutine<void> {
        Pair pair = co_await connected();
        auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
        EXPECT_EQ(co_await pair.reader.readexactly(text.size()), text);
        EXPECT_EQ(co_await sending, text.size());
        EXPECT_EQ(file.position(), static_cast<off_t>(text.size()));
        EXPECT_EQ(co_await loop.sendfile(pair.transport, file.fileno(), 1000, 2000), 2000u);
        EXPECT_EQ(co_await pair.reader.readexactly(2000), text.substr(1000, 2000));
        EXPECT_EQ(file.position(), 3000);
        EXPECT_EQ(co_await loop.sendfile(pair.transport, file.fileno(), 3'000'000), 0u);
        co_await finish(pair);
        EXPECT_THAT(pair.protocol->events, ::testing::ElementsAre("made", "lost"));
    });
}

// test_sendfile_ssl, _ssl_partial, _force_fallback
TEST_F(SendfileTest, SendsOverTlsByReading) {
    const File file(text);
    run([&]() -> Coroutine<void> {
        Pair pair = co_await connected(true);
        auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
        EXPECT_EQ(co_await pair.reader.readexactly(text.size()), text);
        EXPECT_EQ(co_await sending, text.size());
        EXPECT_EQ(file.position(), static_cast<off_t>(text.size()));
        EXPECT_EQ(co_await loop.sendfile(pair.transport, file.fileno(), 1000, 2000), 2000u);
        EXPECT_EQ(co_await pair.reader.readexactly(2000), text.substr(1000, 2000));
        EXPECT_EQ(file.position(), 3000);
        co_await finish(pair);
    });
}

// test_sendfile_force_unsupported_native, test_sendfile_no_fallback_for_fallback_transport
TEST_F(SendfileTest, ReadsWhatTheKernelCannotCopyUnlessToldNotTo) {
    const std::string some = text.substr(0, 500'000);
    const Fifo fifo(some);
    const File file(text);
    run([&]() -> Coroutine<void> {
        Pair pair = co_await connected();
        EXPECT_TRUE(threw<SendfileNotAvailableError>(
            co_await try_(loop.sendfile(pair.transport, fifo.fileno(), 0, std::nullopt, false)),
            "the kernel cannot copy"));
        auto sending = create_task(loop.sendfile(pair.transport, fifo.fileno()));
        EXPECT_EQ(co_await pair.reader.readexactly(some.size()), some);
        EXPECT_EQ(co_await sending, some.size());
        co_await finish(pair);

        Pair secret = co_await connected(true);
        EXPECT_TRUE(threw<SendfileNotAvailableError>(
            co_await try_(loop.sendfile(secret.transport, file.fileno(), 0, std::nullopt, false)),
            "SSLTransport"));
        co_await finish(secret);
    });
}

// test_sendfile_pre_and_post_data, test_sendfile_ssl_pre_and_post_data
TEST_F(SendfileTest, KeepsItsPlaceAmongWhatIsWritten) {
    const File file(text);
    const std::string before = pattern(4'000'000);
    run([&]() -> Coroutine<void> {
        for (const bool tls : {false, true}) {
            Pair pair = co_await connected(tls);
            pair.transport->write(before);
            auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
            EXPECT_EQ(co_await pair.reader.readexactly(before.size()), before);
            EXPECT_EQ(co_await pair.reader.readexactly(text.size()), text);
            co_await sending;
            pair.transport->write("after");
            EXPECT_EQ(co_await pair.reader.readexactly(5), "after");
            co_await finish(pair);
            // What it was told is in pairs: it never learns of the file's own pauses.
            const auto& events = pair.protocol->events;
            EXPECT_EQ(std::ranges::count(events, "pause"), std::ranges::count(events, "resume"));
        }
    });
}

TEST_F(SendfileTest, WhatIsReceivedMeanwhileComesAfterwards) {
    const File file(much);
    run([&]() -> Coroutine<void> {
        for (const bool tls : {false, true}) {
            Pair pair = co_await connected(tls);
            auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
            co_await sleep(0);
            co_await sleep(0);
            EXPECT_FALSE(pair.transport->is_reading());
            pair.writer.write("meanwhile");
            EXPECT_EQ(co_await pair.reader.readexactly(much.size()), much);
            co_await sending;
            EXPECT_TRUE(pair.transport->is_reading());
            co_await until([&] { return pair.protocol->received == "meanwhile"; });
            co_await finish(pair);
        }
    });
}

// test_sendfile_prevents_bare_write
TEST_F(SendfileTest, NobodyElseWritesMeanwhile) {
    const File file(much);
    run([&]() -> Coroutine<void> {
        Pair pair = co_await connected();
        auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
        co_await sleep(0);
        co_await sleep(0);
        EXPECT_EQ(thrown_by([&] { pair.transport->write("bare"); }),
                  "RuntimeError: unable to write; sendfile is in progress");
        EXPECT_TRUE(threw<RuntimeError>(co_await try_(loop.sendfile(pair.transport, file.fileno())),
                                        "in progress already"));
        pair.transport->write_eof();  // once it is sent
        EXPECT_EQ(co_await pair.reader.read(-1), much);
        EXPECT_EQ(co_await sending, much.size());
        co_await finish(pair);
    });
}

// test_sendfile_close_peer_in_the_middle_of_receiving, _fallback_...
TEST_F(SendfileTest, APeerThatGoesAwayIsAnError) {
    const File file(much);
    run([&]() -> Coroutine<void> {
        for (const bool tls : {false, true}) {
            Pair pair = co_await connected(tls);
            auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
            co_await pair.reader.readexactly(1000);
            pair.writer.transport()->abort();
            const auto outcome = co_await try_(sending);
            EXPECT_TRUE(threw<ConnectionError>(outcome)) << "tls: " << tls;
            EXPECT_GT(file.position(), 0);
            EXPECT_LT(file.position(), static_cast<off_t>(much.size()));
            co_await finish(pair);
        }
    });
}

TEST_F(SendfileTest, ClosingTheTransportEndsIt) {
    const File file(much);
    run([&]() -> Coroutine<void> {
        for (const bool while_sending : {false, true}) {
            Pair pair = co_await connected();
            if (!while_sending) pair.transport->write(much);  // there is something in its way
            auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
            co_await pair.reader.readexactly(1000);
            pair.transport->abort();
            EXPECT_TRUE(threw<ConnectionError>(co_await try_(sending))) << while_sending;
            co_await finish(pair);
        }
    });
}

TEST_F(SendfileTest, CancellingLeavesTheConnectionInOrder) {
    const File file(much);
    run([&]() -> Coroutine<void> {
        for (const bool tls : {false, true}) {
            Pair pair = co_await connected(tls);
            auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
            co_await pair.reader.readexactly(1000);
            sending.cancel();
            EXPECT_TRUE((co_await try_(sending)).cancelled());
            EXPECT_TRUE(pair.transport->is_reading());
            const auto sent = static_cast<std::size_t>(file.position());
            EXPECT_LT(sent, much.size());
            pair.transport->write("after");
            EXPECT_EQ(co_await pair.reader.readexactly(sent - 1000),
                      std::string_view(much).substr(1000, sent - 1000));
            EXPECT_EQ(co_await pair.reader.readexactly(5), "after");
            co_await finish(pair);
        }
    });
}

TEST_F(SendfileTest, AFileOverTlsIsNotReadFasterThanItGoesOut) {
    const File file(much);
    run([&]() -> Coroutine<void> {
        Pair pair = co_await connected(true);
        auto sending = create_task(loop.sendfile(pair.transport, file.fileno()));
        std::size_t most = 0, received = 0;
        while (received < much.size()) {
            received += (co_await pair.reader.read(65536)).size();
            most = std::max(most, pair.transport->get_write_buffer_size());
        }
        EXPECT_EQ(co_await sending, much.size());
        EXPECT_LE(most, pair.transport->get_write_buffer_limits().second + 128 * 1024);
        co_await finish(pair);
    });
}

// test_sendfile_not_supported, test_sendfile_for_closing_transp
TEST_F(SendfileTest, RefusesWhatMakesNoSense) {
    const File file(text);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    run([&]() -> Coroutine<void> {
        Pair pair = co_await connected();
        auto refused = [&](auto... arguments) {
            return try_(loop.sendfile(pair.transport, arguments...));
        };
        EXPECT_TRUE(threw<ValueError>(co_await refused(file.fileno(), -1), "negative"));
        EXPECT_TRUE(threw<ValueError>(co_await refused(file.fileno(), 0, 0), "positive"));
        EXPECT_TRUE(threw<ValueError>(co_await refused(ends[1]), "not readable"));
        EXPECT_TRUE(threw<OSError>(co_await refused(9999)));
        auto [pipe, protocol] = co_await loop.connect_write_pipe(
            [this] {
                auto made = std::make_shared<Recorder>();
                made->done = loop.create_future();
                return made;
            },
            ends[1]);
        EXPECT_TRUE(threw<RuntimeError>(co_await try_(loop.sendfile(pipe, file.fileno())),
                                        "sendfile is not supported for transport"));
        pipe->close();
        co_await protocol->done;
        pair.transport->close();
        EXPECT_TRUE(threw<RuntimeError>(co_await refused(file.fileno()), "Transport is closing"));
        co_await finish(pair);
    });
    ::close(ends[0]);
}

}  // namespace
}  // namespace asyncio
