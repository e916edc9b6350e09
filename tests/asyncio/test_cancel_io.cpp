// Each operation of a loop cancelled at every place, on the kernel's own loops: no byte and no
// connection lost, nothing that comes late, no descriptor left. Names are in test_dns.cpp, TLS
// in test_ssl_cancel.cpp, child processes in test_subprocess.cpp, files in aiofiles/.
#include <support/stream_fixture.hpp>

#include <asyncio/testing.hpp>

#include <sys/mman.h>

#include <filesystem>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;

class CancelIo : public ConnectionTest {
  protected:
    // cancel_everywhere(), whose `check` comes when every descriptor that `body` had is closed.
    void everywhere(const std::function<Coroutine<void>()>& body,
                    const std::function<void()>& check = {}) {
        run(body);  // the first time the loop may open what it keeps
        if (check) check();
        const std::size_t before = count_descriptors();
        const auto report = asyncio::testing::cancel_everywhere(loop, body, [&] {
            if (check) check();
            run([&]() -> Coroutine<void> {
                co_await until([&] { return count_descriptors() <= before; });
            });
            if (HasFailure()) throw RuntimeError("open:\n" + list_descriptors());
        });
        EXPECT_GT(report.cancelled, 0U);
    }
};

// Closed at the end of its scope, whatever ends that.
template <class Closable>
class Closing {
  public:
    explicit Closing(Closable object) : object_(std::move(object)) {}
    Closing(const Closing&) = delete;
    Closing& operator=(const Closing&) = delete;
    ~Closing() { object_->close(); }

  private:
    Closable object_;
};

// Gives others their turn between its pieces.
Coroutine<void> dribble(EventLoop& loop, const Socket& to, std::string_view data,
                        std::size_t piece) {
    for (; !data.empty(); data.remove_prefix(std::min(piece, data.size()))) {
        co_await loop.sock_sendall(to, data.substr(0, piece));
        co_await sleep(0);
    }
}

// What is there now.
std::string take_rest(const Socket& from) {
    std::string data(1 << 20, '\0');
    std::size_t size = 0;
    for (;;) {
        const ssize_t count = ::recv(from.fileno(), data.data() + size, data.size() - size, 0);
        if (count <= 0) break;
        size += static_cast<std::size_t>(count);
    }
    data.resize(size);
    return data;
}

// ---- sockets -------------------------------------------------------------------------------

TEST_F(CancelIo, ReceivingTakesNothingThatIsNotReturned) {
    using Receive = std::function<Coroutine<std::string>(const Socket&)>;
    const Receive kinds[] = {
        [this](const Socket& from) { return loop.sock_recv(from, 7); },
        [this](const Socket& from) -> Coroutine<std::string> {
            std::string into(7, '\0');
            into.resize(
                co_await loop.sock_recv_into(from, std::as_writable_bytes(std::span(into))));
            co_return into;
        },
        [this](const Socket& from) -> Coroutine<std::string> {
            co_return (co_await loop.sock_recvfrom(from, 7)).first;
        },
        [this](const Socket& from) -> Coroutine<std::string> {
            std::string into(7, '\0');
            const auto [size, sender] =
                co_await loop.sock_recvfrom_into(from, std::as_writable_bytes(std::span(into)));
            into.resize(size);
            co_return into;
        },
    };
    for (const Receive& receive : kinds) {
        const std::string data = numbered(200);
        std::string received;
        std::optional<std::pair<Socket, Socket>> ends;
        Task<void> sending;
        everywhere(
            [&]() -> Coroutine<void> {
                received.clear();
                ends = socketpair();
                sending = loop.create_task(dribble(loop, ends->second, data, 10));
                while (received.size() < data.size()) received += co_await receive(ends->first);
            },
            [&] {
                if (!ends) return;  // cancelled before it began
                loop.run_until_complete(sending);
                EXPECT_EQ(received + take_rest(ends->first), data);
                ends.reset();
            });
    }
}

TEST_F(CancelIo, SendingEndsWithItsOperation) {
    const std::string data = numbered(1'000'000);
    std::string received;
    std::optional<std::pair<Socket, Socket>> ends;
    everywhere(
        [&]() -> Coroutine<void> {
            received.clear();
            ends = socketpair();
            const auto receiving = loop.create_task([&]() -> Coroutine<void> {
                while (received.size() < data.size()) {
                    received += co_await loop.sock_recv(ends->second, 40'000);
                    co_await sleep(0);
                }
            });
            const auto sent = co_await try_(loop.sock_sendall(ends->first, data));
            if (sent.cancelled()) receiving.cancel();
            static_cast<void>(co_await try_(receiving));
            if (sent.cancelled()) std::rethrow_exception(sent.exception());
        },
        [&] {
            if (!ends) return;
            received += take_rest(ends->second);
            EXPECT_TRUE(received == data.substr(0, received.size()));
            iterate(3);
            EXPECT_EQ(take_rest(ends->second), "") << "sent after the cancellation";
            ends.reset();
        });
}

TEST_F(CancelIo, DatagramsAreSentWholeOrNotAtAll) {
    // Of Unix sockets, whose senders wait for room.
    const std::string path(std::string("\0cancel-", 8) + std::to_string(::getpid()));
    const SocketAddress address = SocketAddress::unix_(path);
    std::optional<Socket> receiver;
    std::size_t received = 0;
    const auto receive = [&] {
        const std::string datagram = take_rest(*receiver);
        EXPECT_EQ(datagram.size() % 50'000, 0U);
        return datagram.size() / 50'000;
    };
    everywhere(
        [&]() -> Coroutine<void> {
            received = 0;
            receiver = Socket::create(AF_UNIX, SOCK_DGRAM);
            receiver->bind(address);
            const Socket sender = Socket::create(AF_UNIX, SOCK_DGRAM);
            const std::string data = numbered(50'000);
            const auto receiving = loop.create_task([&]() -> Coroutine<void> {
                while (received < 20) {
                    const auto [datagram, from] = co_await loop.sock_recvfrom(*receiver, 100'000);
                    EXPECT_TRUE(datagram == data);
                    ++received;
                    co_await sleep(0);
                }
            });
            const auto sent =
                co_await try_([](EventLoop& to, const Socket& by, const std::string& what,
                                 SocketAddress where) -> Coroutine<void> {
                    for (int i = 0; i < 20; ++i) co_await to.sock_sendto(by, what, where);
                }(loop, sender, data, address));
            if (sent.cancelled()) receiving.cancel();
            static_cast<void>(co_await try_(receiving));
            if (sent.cancelled()) std::rethrow_exception(sent.exception());
        },
        [&] {
            if (!receiver) return;
            EXPECT_LE(received + receive(), 20U);
            receiver.reset();
        });
}

TEST_F(CancelIo, ConnectingAndAcceptingLoseNoConnection) {
    Socket server = Socket::create(AF_INET, SOCK_STREAM);
    server.bind(SocketAddress("127.0.0.1", 0));
    server.listen();
    const SocketAddress where = server.getsockname();
    std::optional<Socket> client;
    std::optional<SocketAddress> accepted;
    everywhere(
        [&]() -> Coroutine<void> {
            accepted.reset();
            client = Socket::create(AF_INET, SOCK_STREAM);
            co_await sleep(0);
            const auto connecting = loop.create_task(
                [](EventLoop& here, const Socket& by, SocketAddress to) -> Coroutine<void> {
                    co_await sleep(0);
                    co_await here.sock_connect(by, to);
                }(loop, *client, where));
            const auto outcome = co_await try_(loop.sock_accept(server));
            if (outcome) accepted = outcome.value().second;
            co_await connecting;
            if (!outcome) std::rethrow_exception(outcome.exception());
        },
        [&] {
            // Whom the cancelled one did not get, the next one gets.
            run([&]() -> Coroutine<void> {
                sockaddr_storage peer;
                socklen_t size = sizeof peer;
                const bool connected =
                    client &&
                    ::getpeername(client->fileno(), reinterpret_cast<sockaddr*>(&peer), &size) == 0;
                if (connected && !accepted) accepted = (co_await loop.sock_accept(server)).second;
                if (accepted) EXPECT_EQ(*accepted, client->getsockname());
            });
            EXPECT_LT(::accept(server.fileno(), nullptr, nullptr), 0) << "one too many";
            accepted.reset();
            client.reset();
        });
}

TEST_F(CancelIo, SendfileTellsHowFarItCame) {
    const std::string data = numbered(1'000'000);
    const int file = ::memfd_create("file", MFD_CLOEXEC);
    ASSERT_EQ(::write(file, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    std::string received;
    std::optional<std::pair<Socket, Socket>> ends;
    everywhere(
        [&]() -> Coroutine<void> {
            received.clear();
            ends = socketpair();
            ::lseek(file, 0, SEEK_SET);
            const auto receiving = loop.create_task([&]() -> Coroutine<void> {
                while (received.size() < data.size()) {
                    received += co_await loop.sock_recv(ends->second, 100'000);
                    co_await sleep(0);
                }
            });
            const auto sent = co_await try_(loop.sock_sendfile(ends->first, file));
            if (sent.cancelled()) receiving.cancel();
            static_cast<void>(co_await try_(receiving));
            if (sent.cancelled()) std::rethrow_exception(sent.exception());
        },
        [&] {
            if (!ends) return;
            received += take_rest(ends->second);
            EXPECT_EQ(::lseek(file, 0, SEEK_CUR), static_cast<off_t>(received.size()));
            EXPECT_TRUE(received == data.substr(0, received.size()));
            ends.reset();
        });
    ::close(file);
}

// ---- streams -------------------------------------------------------------------------------

TEST_F(CancelIo, EachKindOfReadLosesNothing) {
    using Read = std::function<Coroutine<std::string>(StreamReader)>;
    const Read kinds[] = {
        [](StreamReader from) -> Coroutine<std::string> { co_return co_await from.read(9); },
        [](StreamReader from) -> Coroutine<std::string> { co_return co_await from.readline(); },
        [](StreamReader from) -> Coroutine<std::string> {
            co_return co_await from.readexactly(10);
        },
        [](StreamReader from) -> Coroutine<std::string> {
            co_return co_await from.readuntil({";", "\n"});
        },
        [](StreamReader from) -> Coroutine<std::string> {
            co_return (co_await anext(from)).value_or("");
        },
        [](StreamReader from) -> Coroutine<std::string> {
            std::string into(9, '\0');
            into.resize(co_await from.read_into(std::span(into)));
            co_return into;
        },
        // Received straight into the memory that waits.
        [](StreamReader from) -> Coroutine<std::string> {
            std::string into(65'536, '\0');
            into.resize(co_await from.read_into(std::span(into)));
            co_return into;
        },
        [](StreamReader from) -> Coroutine<std::string> {
            co_return std::string(co_await from.read_view(9));
        },
        [](StreamReader from) -> Coroutine<std::string> {
            co_return std::string(co_await from.read_view());
        },
    };
    std::string data;
    while (data.size() < 200) data += "0123;5678\n";
    for (const Read& read : kinds) {
        std::string received;
        std::optional<Socket> peer;
        std::optional<StreamPair> stream;
        Task<void> sending;
        everywhere(
            [&]() -> Coroutine<void> {
                received.clear();
                auto [ours, theirs] = socketpair();
                peer = std::move(theirs);
                stream = co_await open_connection({.sock = std::move(ours)});
                sending = loop.create_task(dribble(loop, *peer, data, 7));
                while (received.size() < data.size()) received += co_await read(stream->first);
            },
            [&] {
                run([&]() -> Coroutine<void> {
                    if (stream) {
                        co_await sending;
                        peer->close();
                        EXPECT_EQ(received + co_await stream->first.read(), data);
                        co_await end(stream->second);
                    }
                });
                stream.reset();
                peer.reset();
            });
    }
}

TEST_F(CancelIo, ReadUntilTheEndLosesNothing) {
    const std::string data = numbered(5000);
    std::optional<Socket> peer;
    std::optional<StreamPair> stream;
    std::optional<std::string> received;
    Task<void> sending;
    everywhere(
        [&]() -> Coroutine<void> {
            received.reset();
            auto [ours, theirs] = socketpair();
            peer = std::move(theirs);
            stream = co_await open_connection({.sock = std::move(ours)});
            sending = loop.create_task([&]() -> Coroutine<void> {
                co_await dribble(loop, *peer, data, 700);
                peer->close();
            });
            received = co_await stream->first.read();
        },
        [&] {
            run([&]() -> Coroutine<void> {
                if (!stream) co_return;
                co_await sending;
                if (!received) received = co_await stream->first.read();
                EXPECT_TRUE(*received == data);
                co_await end(stream->second);
            });
            stream.reset();
            peer.reset();
        });
}

TEST_F(CancelIo, WhatWasWrittenGoesOutThoughDrainIsCancelled) {
    std::string written;
    std::string received;
    std::optional<Socket> peer;
    std::optional<StreamPair> stream;
    Task<void> receiving;
    everywhere(
        [&]() -> Coroutine<void> {
            written.clear();
            received.clear();
            auto [ours, theirs] = socketpair();
            peer = std::move(theirs);
            stream = co_await open_connection({.sock = std::move(ours)});
            receiving = loop.create_task([&]() -> Coroutine<void> {
                for (;;) {
                    const std::string part = co_await loop.sock_recv(*peer, 100'000);
                    if (part.empty()) break;
                    received += part;
                    co_await sleep(0);
                }
            });
            for (int i = 0; i < 10; ++i) {
                const std::string piece = numbered(300'000 + static_cast<std::size_t>(i));
                written += piece;
                stream->second.write(piece);
                co_await stream->second.drain();
            }
        },
        [&] {
            run([&]() -> Coroutine<void> {
                if (!stream) co_return;
                stream->second.write_eof();
                co_await receiving;
                EXPECT_TRUE(received == written);
                peer->close();
                co_await end(stream->second);
            });
            stream.reset();
            peer.reset();
        });
}

TEST_F(CancelIo, ClosingGoesOnWithoutTheOneWhoWaits) {
    const std::string data = numbered(2'000'000);
    std::string received;
    std::optional<Socket> peer;
    Task<void> receiving;
    everywhere(
        [&]() -> Coroutine<void> {
            received.clear();
            auto [ours, theirs] = socketpair();
            peer = std::move(theirs);
            auto [reader, writer] = co_await open_connection({.sock = std::move(ours)});
            receiving = loop.create_task([&]() -> Coroutine<void> {
                for (;;) {
                    const std::string part = co_await loop.sock_recv(*peer, 200'000);
                    if (part.empty()) break;
                    received += part;
                    co_await sleep(0);
                }
            });
            writer.write(data);
            writer.close();
            co_await writer.wait_closed();
        },
        [&] {
            if (!peer) return;
            if (!receiving) {
                peer.reset();
                return;
            }
            loop.run_until_complete(receiving);
            EXPECT_TRUE(received == data);
            receiving = {};
            peer.reset();
        });
}

TEST_F(CancelIo, AFileSentByATransportLeavesTheConnectionInOrder) {
    const std::string data = numbered(1'000'000);
    const int file = ::memfd_create("file", MFD_CLOEXEC);
    ASSERT_EQ(::write(file, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    std::string received;
    std::optional<Socket> peer;
    std::optional<StreamPair> stream;
    Task<void> receiving;
    everywhere(
        [&]() -> Coroutine<void> {
            received.clear();
            ::lseek(file, 0, SEEK_SET);
            auto [ours, theirs] = socketpair();
            peer = std::move(theirs);
            stream = co_await open_connection({.sock = std::move(ours)});
            receiving = loop.create_task([&]() -> Coroutine<void> {
                for (;;) {
                    const std::string part = co_await loop.sock_recv(*peer, 100'000);
                    if (part.empty()) break;
                    received += part;
                    co_await sleep(0);
                }
            });
            stream->second.write("before");
            co_await loop.sendfile(stream->second.transport(), file);
        },
        [&] {
            run([&]() -> Coroutine<void> {
                if (!stream) co_return;
                stream->second.write("behind");
                stream->second.write_eof();
                co_await receiving;
                const auto sent = static_cast<std::size_t>(::lseek(file, 0, SEEK_CUR));
                const bool begun = received.starts_with("before");
                EXPECT_TRUE(received == (begun ? "before" : "") + data.substr(0, sent) + "behind")
                    << received.size() << " received, the file is at " << sent;
                peer->close();
                co_await end(stream->second);
            });
            stream.reset();
            peer.reset();
        });
    ::close(file);
}

// ---- endpoints -----------------------------------------------------------------------------

// Every way to make one; what was made before the cancellation is closed by its owner.
TEST_F(CancelIo, EndpointsLeaveNothing) {
    const auto make = [] { return std::make_shared<Recorder>(); };
    const std::string path =
        std::filesystem::temp_directory_path() / ("asyncio-cancel-" + std::to_string(::getpid()));
    everywhere([&]() -> Coroutine<void> {
        Server tcp = co_await loop.create_server(make, {"127.0.0.1", "127.0.0.2"}, 0);
        const Closing close_tcp(&tcp);
        Server unix_server = co_await loop.create_unix_server(make, path);
        const Closing close_unix(&unix_server);
        auto [by_tcp, p1] = co_await loop.create_connection(
            make, "localhost", port_of(tcp), {.family = AF_INET, .happy_eyeballs_delay = 1s});
        const Closing close_by_tcp(by_tcp);
        auto [by_unix, p2] = co_await loop.create_unix_connection(make, path);
        const Closing close_by_unix(by_unix);
        auto [ours, theirs] = socketpair();
        auto [accepted, p3] = co_await loop.connect_accepted_socket(make, std::move(ours));
        const Closing close_accepted(accepted);
        auto [datagrams, p4] = co_await loop.create_datagram_endpoint(
            [] { return std::make_shared<DatagramProtocol>(); },
            {.local_addr = HostPort("127.0.0.1", 0)});
        const Closing close_datagrams(datagrams);
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw RuntimeError("no pipe");
        struct Ends {
            int fds[2];
            ~Ends() {
                for (const int fd : fds) {
                    if (fd >= 0) ::close(fd);
                }
            }
        } owned{{ends[0], ends[1]}};
        auto [reading, p5] = co_await loop.connect_read_pipe(make, owned.fds[0]);
        owned.fds[0] = -1;
        const Closing close_reading(reading);
        auto [writing, p6] = co_await loop.connect_write_pipe(make, owned.fds[1]);
        owned.fds[1] = -1;
        const Closing close_writing(writing);
    });
    EXPECT_NE(::access(path.c_str(), F_OK), 0) << "the socket's file was left";
}

TEST_F(CancelIo, AServerEndsWithItsServing) {
    std::optional<Server> server;
    everywhere(
        [&]() -> Coroutine<void> {
            server = co_await start_server(echo, "127.0.0.1", 0, {.start_serving = false});
            co_await server->start_serving();
            const auto client = loop.create_task([](int port, Server to) -> Coroutine<void> {
                auto [reader, writer] = co_await open_connection("127.0.0.1", port);
                writer.write("x");
                EXPECT_EQ(co_await reader.read(1), "x");
                co_await end(writer);
                to.close();
            }(port_of(*server), *server));
            const auto served = co_await try_(server->serve_forever());
            EXPECT_TRUE(served.cancelled());
            EXPECT_FALSE(server->is_serving());
            client.cancel();
            static_cast<void>(co_await try_(client));
        },
        [&] {
            run([&]() -> Coroutine<void> {
                if (server) co_await end(*server);
            });
            server.reset();
        });
}

}  // namespace
