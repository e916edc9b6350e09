// loop.sock_*(), as CPython's test_sock_lowlevel.py and test_sendfile.py map them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>

#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

class SockTest : public LoopTest {
  protected:
    SockTest() {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        a = Socket(ends[0]);
        b = Socket(ends[1]);
    }

    // Listens on a free port of this machine.
    static Socket listening() {
        Socket server = Socket::create(AF_INET, SOCK_STREAM);
        server.bind(SocketAddress("127.0.0.1", 0));
        server.listen();
        return server;
    }

    template <class F>
    void run(F f) {
        loop.run_until_complete(loop.create_task(std::move(f)));
    }

    Socket a, b;
};

// A file in memory with `text`.
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

std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
    return text;
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/fd")) {
        ++count;
    }
    return count;
}

}  // namespace

// test_sock_client_ops
TEST_F(SockTest, ConnectsSendsReceivesAndAccepts) {
    run([this]() -> Coroutine<void> {
        Socket server = listening();
        Socket client = Socket::create(AF_INET, SOCK_STREAM);
        auto accepting = create_task(loop.sock_accept(server));
        co_await loop.sock_connect(client, server.getsockname());
        auto [peer, address] = co_await std::move(accepting);
        EXPECT_EQ(address, client.getsockname());
        co_await loop.sock_sendall(client, "ping");
        EXPECT_EQ(co_await loop.sock_recv(peer, 100), "ping");
        co_await loop.sock_sendall(peer, std::string("a temporary is kept"));
        EXPECT_EQ(co_await loop.sock_recv(client, 100), "a temporary is kept");
        peer.close();
        EXPECT_EQ(co_await loop.sock_recv(client, 100), "");
    });
}

TEST_F(SockTest, ReceivesIntoABuffer) {
    run([this]() -> Coroutine<void> {
        std::array<std::byte, 3> buffer;
        co_await loop.sock_sendall(a, "abcdef");
        EXPECT_EQ(co_await loop.sock_recv_into(b, buffer), 3u);
        EXPECT_EQ(static_cast<char>(buffer[0]), 'a');
        EXPECT_EQ(co_await loop.sock_recv(b, 10), "def");
    });
}

// test_huge_content
TEST_F(SockTest, WaitingForAnotherLoopIsRefused) {
    const EventLoopPtr other = new_event_loop();
    const Socket server = listening();
    other->run_until_complete([&]() -> Coroutine<void> {
        const auto received = co_await try_(loop.sock_recv(a, 100));
        EXPECT_THAT(thrown_by([&] { static_cast<void>(received.value()); }),
                    ::testing::HasSubstr("of a different loop"));
        const auto accepted = co_await try_(loop.sock_accept(server));
        EXPECT_TRUE(holds_exception<RuntimeError>(accepted.exception()));
    }());
    run([&]() -> Coroutine<void> {
        co_await loop.sock_sendall(b, "text");
        EXPECT_EQ(co_await loop.sock_recv(a, 100), "text");
    });
    other->close();
}

TEST_F(SockTest, WhatDoesNotFitIsSentInPieces) {
    const std::string sent = pattern(5'000'000);
    run([&]() -> Coroutine<void> {
        auto sending = create_task(loop.sock_sendall(a, sent));
        std::string received;
        while (received.size() < sent.size()) {
            received += co_await loop.sock_recv(b, 100'000);
        }
        co_await sending;
        EXPECT_EQ(received, sent);
    });
}

// test_sock_recvfrom family
TEST_F(SockTest, SendsDatagramsAndTellsTheirSender) {
    run([this]() -> Coroutine<void> {
        Socket one = Socket::create(AF_INET, SOCK_DGRAM), two = Socket::create(AF_INET, SOCK_DGRAM);
        one.bind(SocketAddress("127.0.0.1", 0));
        two.bind(SocketAddress("127.0.0.1", 0));
        auto receiving = create_task(loop.sock_recvfrom(two, 1000));
        EXPECT_EQ(co_await loop.sock_sendto(one, "datagram", two.getsockname()), 8u);
        const auto [data, sender] = co_await receiving;
        EXPECT_EQ(data, "datagram");
        EXPECT_EQ(sender, one.getsockname());
        co_await loop.sock_sendto(two, "", one.getsockname());
        std::array<std::byte, 10> buffer;
        const auto [size, from] = co_await loop.sock_recvfrom_into(one, buffer);
        EXPECT_EQ(size, 0u);
        EXPECT_EQ(from, two.getsockname());
    });
}

// test_sock_client_fail
TEST_F(SockTest, ARefusedConnectionSaysWhere) {
    run([this]() -> Coroutine<void> {
        Socket gone = listening();
        const SocketAddress address = gone.getsockname();
        gone.close();
        Socket client = Socket::create(AF_INET, SOCK_STREAM);
        const auto outcome = co_await try_(loop.sock_connect(client, address));
        EXPECT_TRUE(holds_exception<ConnectionRefusedError>(outcome.exception()));
        EXPECT_THAT(describe_exception(outcome.exception()), ::testing::HasSubstr(address.str()));
    });
}

TEST_F(SockTest, ErrorsHaveTheirTypes) {
    run([this]() -> Coroutine<void> {
        b.close();
        auto outcome = co_await try_(loop.sock_sendall(a, "x"));
        EXPECT_TRUE(holds_exception<BrokenPipeError>(outcome.exception()));
        a.close();
        auto received = co_await try_(loop.sock_recv(a, 10));
        EXPECT_TRUE(holds_exception<OSError>(received.exception()));
    });
}

// Rule: no byte and no connection is lost by a cancellation.
TEST_F(SockTest, ACancelledReceiveTakesNothing) {
    run([this]() -> Coroutine<void> {
        auto receiving = create_task(loop.sock_recv(b, 100));
        co_await sleep(0);
        co_await loop.sock_sendall(a, "still there");
        receiving.cancel();
        EXPECT_TRUE((co_await try_(receiving)).cancelled());
        EXPECT_EQ(co_await loop.sock_recv(b, 100), "still there");
    });
}

TEST_F(SockTest, ACancelledAcceptLeavesTheConnectionToTheNext) {
    const std::size_t before = open_descriptors();
    run([this]() -> Coroutine<void> {
        Socket server = listening();
        Socket client = Socket::create(AF_INET, SOCK_STREAM);
        auto accepting = create_task(loop.sock_accept(server));
        co_await sleep(0);
        // Connected before the loop can look.
        const SocketAddress address_of_server = server.getsockname();
        ::connect(client.fileno(), address_of_server.data(), address_of_server.size());
        accepting.cancel();
        EXPECT_TRUE((co_await try_(accepting)).cancelled());
        auto [peer, address] = co_await loop.sock_accept(server);
        EXPECT_EQ(address, client.getsockname());
    });
    EXPECT_LE(open_descriptors(), before + 3);  // the loop's own, made on first use
}

TEST_F(SockTest, ACancelledConnectEnds) {
    run([this]() -> Coroutine<void> {
        // Nobody answers there (RFC 5737); where the network refuses at once, that is as well.
        Socket client = Socket::create(AF_INET, SOCK_STREAM);
        auto connecting = create_task(loop.sock_connect(client, SocketAddress("192.0.2.1", 9)));
        co_await sleep(0);
        connecting.cancel();
        const auto outcome = co_await try_(connecting);
        EXPECT_TRUE(outcome.cancelled() || holds_exception<OSError>(outcome.exception()));
    });
}

// test_debug mode: "the socket must be non-blocking"
TEST_F(SockTest, ABlockingSocketIsRefusedInDebugMode) {
    loop.set_debug(true);
    run([this]() -> Coroutine<void> {
        ::fcntl(b.fileno(), F_SETFL, 0);
        const auto outcome = co_await try_(loop.sock_recv(b, 1));
        EXPECT_TRUE(holds_exception<ValueError>(outcome.exception()));
        ::fcntl(b.fileno(), F_SETFL, O_NONBLOCK);
    });
}

// test_sock_sendfile_success, _with_offset_and_count, _zero_size
TEST_F(SockTest, SendsFilesAndSlicesOfThem) {
    const std::string text = pattern(1'000'000);
    const File file(text), empty("");
    run([&]() -> Coroutine<void> {
        auto sending = create_task(loop.sock_sendfile(a, file.fileno()));
        std::string received;
        while (received.size() < text.size()) received += co_await loop.sock_recv(b, 65536);
        EXPECT_EQ(co_await sending, text.size());
        EXPECT_EQ(received, text);
        EXPECT_EQ(file.position(), static_cast<off_t>(text.size()));

        EXPECT_EQ(co_await loop.sock_sendfile(a, file.fileno(), 1000, 2000), 2000u);
        EXPECT_EQ(co_await loop.sock_recv(b, 10'000), text.substr(1000, 2000));
        EXPECT_EQ(file.position(), 3000);

        EXPECT_EQ(co_await loop.sock_sendfile(a, empty.fileno()), 0u);
        EXPECT_EQ(co_await loop.sock_sendfile(a, file.fileno(), 2'000'000), 0u);
    });
}

// test_sock_sendfile_cancel1
TEST_F(SockTest, ACancelledSendfileSaysHowFarItCame) {
    const std::string text = pattern(1'000'000);
    const File file(text);
    run([&]() -> Coroutine<void> {
        auto sending = create_task(loop.sock_sendfile(a, file.fileno()));
        co_await sleep(0);
        sending.cancel();
        EXPECT_TRUE((co_await try_(sending)).cancelled());
        const auto sent = static_cast<std::size_t>(file.position());
        EXPECT_GT(sent, 0u);
        EXPECT_LT(sent, text.size());
        sending = create_task(loop.sock_sendfile(a, file.fileno(), file.position()));
        std::string received;
        while (received.size() < text.size()) received += co_await loop.sock_recv(b, 65536);
        EXPECT_EQ(co_await sending, text.size() - sent);
        EXPECT_EQ(received, text);
    });
}

// test_sock_sendfile_os_error_next_call
TEST_F(SockTest, ASendfileThatFailsHalfwaySaysHowFarItCame) {
    const File file(pattern(1'000'000));
    run([&]() -> Coroutine<void> {
        auto sending = create_task(loop.sock_sendfile(a, file.fileno()));
        co_await sleep(0);
        b.close();
        const auto outcome = co_await try_(sending);
        EXPECT_TRUE(holds_exception<ConnectionError>(outcome.exception()));
        EXPECT_GT(file.position(), 0);
        EXPECT_LT(file.position(), 1'000'000);
    });
}

// test_sock_sendfile_force_fallback, _force_unsupported_native
TEST_F(SockTest, SendsAFileTheKernelCannotCopyByReading) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
    ASSERT_EQ(::write(pipe_ends[1], "through a pipe", 14), 14);
    ::close(pipe_ends[1]);
    run([&]() -> Coroutine<void> {
        const auto refused =
            co_await try_(loop.sock_sendfile(a, pipe_ends[0], 0, std::nullopt, false));
        EXPECT_TRUE(holds_exception<SendfileNotAvailableError>(refused.exception()));
        EXPECT_EQ(co_await loop.sock_sendfile(a, pipe_ends[0]), 14u);
        EXPECT_EQ(co_await loop.sock_recv(b, 100), "through a pipe");
    });
    ::close(pipe_ends[0]);
    loop.run_until_complete(loop.shutdown_default_executor());
}

// test_sendfile_* of bad arguments
TEST_F(SockTest, SendfileChecksItsArguments) {
    const File file("text");
    const Socket datagrams = Socket::create(AF_INET, SOCK_DGRAM);
    run([&]() -> Coroutine<void> {
        auto error_of = [](auto operation) -> Coroutine<std::exception_ptr> {
            co_return (co_await try_(std::move(operation))).exception();
        };
        EXPECT_TRUE(holds_exception<ValueError>(
            co_await error_of(loop.sock_sendfile(a, file.fileno(), -1))));
        EXPECT_TRUE(holds_exception<ValueError>(
            co_await error_of(loop.sock_sendfile(a, file.fileno(), 0, 0))));
        EXPECT_TRUE(holds_exception<ValueError>(
            co_await error_of(loop.sock_sendfile(datagrams, file.fileno()))));
        EXPECT_TRUE(holds_exception<OSError>(co_await error_of(loop.sock_sendfile(a, 9999))));
    });
}
