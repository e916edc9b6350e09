// Servers: CPython's test_server.py, the servers of test_events.py and test_base_events.py, and
// a process that runs out of descriptors.
#include <support/stream_fixture.hpp>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Servers : public ConnectionTest {
  protected:
    Servers() { set_event_loop(&loop); }
    ~Servers() override { set_event_loop(nullptr); }
};

Coroutine<void> read_to_the_end(StreamReader reader, StreamWriter writer) {
    co_await reader.read();
    co_await end(writer);
}

Coroutine<StreamPair> connect_to(const Server& server, std::size_t socket = 0) {
    const SocketAddress at = server.sockets().at(socket).getsockname();
    co_return co_await open_connection(at.host(), at.port());
}

// Sends a word there and back.
Coroutine<void> expect_served(Server server, std::size_t socket = 0) {
    auto [reader, writer] = co_await connect_to(server, socket);
    writer.write("hello\n");
    EXPECT_EQ(co_await reader.readline(), "hello\n");
    co_await end(writer);
}

template <class Coro>
Coroutine<std::string> error_of(Coro coroutine) {
    const auto outcome = co_await try_(std::move(coroutine));
    co_return outcome ? "nothing was thrown" : describe_exception(outcome.exception());
}

// ---- serving -------------------------------------------------------------------------------

TEST_F(Servers, ServesOnceAskedTo) {
    std::optional<Server> server;
    Task<void> serving;
    const auto handler = [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
        co_await reader.readline();
        serving.cancel();
        writer.write("1");
        co_await end(writer);
    };
    run([&]() -> Coroutine<void> {
        server = co_await start_server(handler, "127.0.0.1", 0, {.start_serving = false});
        EXPECT_FALSE(server->is_serving());
        const int port = port_of(*server);
        const auto refused = co_await try_(open_connection("127.0.0.1", port));
        EXPECT_TRUE(holds_exception<ConnectionRefusedError>(refused.exception()));

        serving = loop.create_task(
            with(*server, [&]() -> Coroutine<void> { co_await server->serve_forever(); }));
        co_await until([&] { return server->is_serving(); });
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        writer.write("x\n");
        EXPECT_EQ(co_await reader.read(), "1");
        co_await end(writer);
        const auto outcome = co_await try_(serving);
        EXPECT_TRUE(outcome.cancelled());
        EXPECT_TRUE(server->sockets().empty());
        EXPECT_FALSE(server->is_serving());
        EXPECT_THAT(co_await error_of(server->serve_forever()), HasSubstr("is closed"));
        EXPECT_THAT(co_await error_of(server->start_serving()), HasSubstr("is closed"));
    });
}

TEST_F(Servers, OneTaskServesForeverAndCloseEndsIt) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        EXPECT_TRUE(server.is_serving());
        Task<void> serving = loop.create_task(server.serve_forever());
        co_await sleep(0);
        EXPECT_THAT(co_await error_of(server.serve_forever()),
                    HasSubstr("is already being awaited on serve_forever()"));
        co_await expect_served(server);
        server.close();
        EXPECT_TRUE((co_await try_(serving)).cancelled());
        server.close();  // again, with no effect
    });
}

TEST_F(Servers, RunsOutOfItsScope) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        co_await with(server, [&]() -> Coroutine<void> { co_await expect_served(server); });
        EXPECT_FALSE(server.is_serving());
        EXPECT_TRUE(server.sockets().empty());
        EXPECT_EQ(server.repr(), "<Server sockets=()>");
    });
}

// ---- closing -------------------------------------------------------------------------------

TEST_F(Servers, WaitClosedWaitsForTheLastConnection) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(read_to_the_end, "127.0.0.1", 0);
        const auto waiting = [&] { return loop.create_task(server.wait_closed()); };
        Task<void> open = waiting();  // neither closed nor without connections
        co_await sleep(0);
        EXPECT_FALSE(open.done());
        auto [reader, writer] = co_await connect_to(server);
        Task<void> connected = waiting();
        co_await sleep(0);
        EXPECT_FALSE(connected.done());
        server.close();
        Task<void> closed = waiting();
        for (int i = 0; i < 5; ++i) co_await sleep(0);
        EXPECT_FALSE(open.done());
        EXPECT_FALSE(connected.done());
        EXPECT_FALSE(closed.done());
        co_await end(writer);
        co_await open;
        co_await connected;
        co_await closed;
        co_await server.wait_closed();  // at once
    });
}

TEST_F(Servers, ClosingAtTheSameTimeAsTheLastConnection) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(read_to_the_end, "127.0.0.1", 0);
        Task<void> waiting = loop.create_task(server.wait_closed());
        auto [reader, writer] = co_await connect_to(server);
        loop.call_soon([&] { server.close(); });
        loop.call_soon([writer = writer] { writer.close(); });
        co_await server.wait_closed();
        co_await waiting;
        co_await writer.wait_closed();
    });
}

TEST_F(Servers, CloseClients) {
    run([&]() -> Coroutine<void> {
        int begun = 0;
        int ended = 0;
        Server server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                ++begun;
                EXPECT_EQ(co_await reader.read(), "");
                ++ended;
                co_await end(writer);
            },
            "127.0.0.1", 0);
        std::vector<StreamPair> clients;
        for (int i = 0; i < 5; ++i) clients.push_back(co_await connect_to(server));
        co_await until([&] { return begun == 5; });
        server.close();
        server.close_clients();
        co_await server.wait_closed();
        for (auto& [reader, writer] : clients) {
            EXPECT_EQ(co_await reader.read(), "");
            co_await end(writer);
        }
        co_await until([&] { return ended == 5; });
    });
}

TEST_F(Servers, AbortClientsThatDoNotRead) {
    run([&]() -> Coroutine<void> {
        Future<StreamWriter> accepted = loop.create_future<StreamWriter>();
        Server server = co_await start_server(
            [&](StreamReader, StreamWriter writer) -> Coroutine<void> {
                accepted.set_result(writer);
                static_cast<void>(co_await try_(writer.wait_closed()));
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await connect_to(server);
        const StreamWriter theirs = co_await accepted;
        while (theirs.transport()->get_write_buffer_size() == 0) {
            theirs.write(std::string(1 << 20, 'a'));
        }
        Task<void> closed = loop.create_task(server.wait_closed());
        co_await sleep(0);
        EXPECT_FALSE(closed.done());
        server.close();
        server.abort_clients();
        co_await closed;
        co_await end(writer);
    });
}

TEST_F(Servers, TheLoopClosesUnderIt) {
    std::optional<Server> server;
    run([&]() -> Coroutine<void> { server = co_await start_server(echo, "127.0.0.1", 0); });
    close();
    EXPECT_TRUE(server->sockets().empty());
}

TEST_F(Servers, AClosedOneIsFoundByNobody) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const SocketAddress at = server.sockets().at(0).getsockname();
        co_await expect_served(server);
        server.close();
        const auto refused = co_await try_(open_connection(at.host(), at.port()));
        EXPECT_TRUE(holds_exception<ConnectionRefusedError>(refused.exception()));
        co_await server.wait_closed();
    });
}

// ---- where it listens ----------------------------------------------------------------------

TEST_F(Servers, SeveralHostsOnOnePort) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, {"127.0.0.1", "127.0.0.2", "127.0.0.1"}, 0);
        const auto sockets = server.sockets();
        if (sockets.size() != 2) throw RuntimeError("one socket per address");
        EXPECT_EQ(sockets[0].getsockname().port(), sockets[1].getsockname().port());
        EXPECT_EQ(sockets[1].getsockname().host(), "127.0.0.2");
        EXPECT_EQ(server.repr(), "<Server sockets=(" + sockets[0].getsockname().str() + ", " +
                                     sockets[1].getsockname().str() + ")>");
        co_await expect_served(server, 0);
        co_await expect_served(server, 1);
        co_await end(server);
    });
}

TEST_F(Servers, EveryInterfaceOfBothFamilies) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "", 0);
        for (const TransportSocket& socket : server.sockets()) {
            const bool v6 = socket.family() == AF_INET6;
            auto [reader, writer] =
                co_await open_connection(v6 ? "::1" : "127.0.0.1", socket.getsockname().port());
            writer.write("x");
            EXPECT_EQ(co_await reader.read(1), "x");
            co_await end(writer);
        }
        co_await end(server);
    });
}

// test_create_server_trsock
TEST_F(Servers, SocketsMayBeAskedButNotMadeToBlock) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const TransportSocket socket = server.sockets().at(0);
        EXPECT_EQ(socket.getsockname().host(), "127.0.0.1");
        EXPECT_EQ(socket.getsockopt(SOL_SOCKET, SO_REUSEPORT), 0);
        EXPECT_FALSE(socket.get_inheritable());
        EXPECT_THROW(socket.settimeout(1), ValueError);
        socket.settimeout(0);
        EXPECT_EQ(socket.gettimeout(), 0);
        EXPECT_THROW(socket.setblocking(true), ValueError);
        socket.setblocking(false);
        EXPECT_EQ(&server.get_loop(), &loop);
        co_await end(server);
    });
}

// All who came before the loop looked.
TEST_F(Servers, ManyAtOnceAreAllServed) {
    run([&]() -> Coroutine<void> {
        constexpr int count = 90;
        Server server = co_await start_server(echo, "127.0.0.1", 0, {.backlog = count});
        const SocketAddress at = server.sockets().at(0).getsockname();
        std::vector<Socket> clients;
        for (int i = 0; i < count; ++i) {
            clients.push_back(Socket::create(AF_INET, SOCK_STREAM));
            static_cast<void>(::connect(clients.back().fileno(), at.data(), at.size()));
        }
        for (const Socket& client : clients) {
            co_await loop.sock_sendall(client, "x");
            EXPECT_EQ(co_await loop.sock_recv(client, 10), "x");
        }
        clients.clear();
        co_await end(server);
    });
}

TEST_F(Servers, TwoShareAPort) {
    run([&]() -> Coroutine<void> {
        Server first = co_await start_server(echo, "127.0.0.1", 0, {.reuse_port = true});
        Server second =
            co_await start_server(echo, "127.0.0.1", port_of(first), {.reuse_port = true});
        EXPECT_EQ(port_of(first), port_of(second));
        EXPECT_EQ(first.sockets().at(0).getsockopt(SOL_SOCKET, SO_REUSEPORT), 1);
        for (int i = 0; i < 20; ++i) co_await expect_served(first);
        co_await end(first);
        for (int i = 0; i < 5; ++i) co_await expect_served(second);
        co_await end(second);
    });
}

TEST_F(Servers, AddressesThatCannotBeHad) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const std::string port = std::to_string(port_of(server));
        const auto taken = co_await try_(start_server(echo, "127.0.0.1", port_of(server)));
        EXPECT_TRUE(holds_exception<OSError>(taken.exception()));
        EXPECT_THAT(describe_exception(taken.exception()),
                    HasSubstr("error while attempting to bind on address 127.0.0.1:" + port));
        EXPECT_THAT(co_await error_of(start_server(echo, "192.0.2.1", 0)),
                    HasSubstr("could not bind on any address out of 192.0.2.1:0"));
        EXPECT_THAT(co_await error_of(start_server(echo, "no such host", 0)),
                    HasSubstr("no such host"));
        co_await expect_served(server);
        co_await end(server);
    });
}

TEST_F(Servers, BadArguments) {
    run([&]() -> Coroutine<void> {
        const auto bad = [&](ServerOptions options) {
            return error_of(start_server(echo, std::move(options)));
        };
        EXPECT_THAT(co_await bad({}), HasSubstr("ValueError: Neither host/port nor sock"));
        EXPECT_THAT(co_await bad({.sock = Socket::create(AF_INET, SOCK_DGRAM)}),
                    HasSubstr("ValueError: A Stream Socket was expected"));
        ServerOptions both{.sock = Socket::create(AF_INET, SOCK_STREAM)};
        EXPECT_THAT(co_await error_of(start_server(echo, "127.0.0.1", 0, std::move(both))),
                    HasSubstr("ValueError: host/port and sock"));
        EXPECT_THAT(
            co_await error_of(start_server(echo, "127.0.0.1", 0, {.ssl_handshake_timeout = 1s})),
            HasSubstr("ValueError: ssl_handshake_timeout is only meaningful with ssl"));
        for (const int port : {-1, 65536, 1 << 30}) {
            EXPECT_THAT(co_await error_of(start_server(echo, "127.0.0.1", port)),
                        HasSubstr("ValueError: port must be 0-65535"));
        }
        EXPECT_THAT(co_await error_of(start_server(echo, std::string("local\0host", 10), 0)),
                    HasSubstr("ValueError: embedded null"));
    });
}

TEST_F(Servers, ASocketOfTheCallers) {
    run([&]() -> Coroutine<void> {
        Socket socket = Socket::create(AF_INET, SOCK_STREAM);
        socket.bind(SocketAddress("127.0.0.1", 0));
        ServerOptions options{.sock = std::move(socket), .keep_alive = true};
        Server server = co_await start_server(echo, std::move(options));
        co_await expect_served(server);
        co_await end(server);
    });
}

TEST_F(Servers, KeepAliveReachesItsConnections) {
    run([&]() -> Coroutine<void> {
        Future<int> value = loop.create_future<int>();
        Server server = co_await start_server(
            [&](StreamReader, StreamWriter writer) {
                value.set_result(writer.get_extra_info<TransportSocket>("socket")->getsockopt(
                    SOL_SOCKET, SO_KEEPALIVE));
            },
            "127.0.0.1", 0, {.keep_alive = true});
        auto [reader, writer] = co_await connect_to(server);
        EXPECT_NE(co_await value, 0);
        co_await end(writer);
        co_await end(server);
    });
}

// ---- trouble -------------------------------------------------------------------------------

TEST_F(Servers, AFactoryThatThrowsClosesThatConnection) {
    loop.set_debug(true);
    run([&]() -> Coroutine<void> {
        int made = 0;
        Server server = co_await loop.create_server(
            [&]() -> std::shared_ptr<Recorder> {
                if (++made == 1) throw ValueError("not this one");
                return std::make_shared<Recorder>();
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await connect_to(server);
        EXPECT_EQ(co_await reader.read(), "");
        co_await end(writer);
        auto [reader2, writer2] = co_await connect_to(server);
        co_await until([&] { return made == 2; });
        co_await end(writer2);
        co_await end(server);
    });
    EXPECT_EQ(take_reports(),
              std::vector<std::string>{"Error on transport creation for incoming connection"});
}

TEST_F(Servers, KeepsServingAfterItRanOutOfDescriptors) {
#if __has_feature(address_sanitizer)
    GTEST_SKIP() << "the sanitizer looks at memory through pipes: it needs descriptors itself";
#endif
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    run([&]() -> Coroutine<void> {
        Server first = co_await start_server(echo, "127.0.0.1", 0);
        co_await expect_served(first);  // the loop has opened what it needs
        co_await end(first);
        Server server = co_await start_server(echo, "127.0.0.1", 0, {.start_serving = false});
        // Those who connect are made by now; nothing is left for accepting them.
        std::vector<Socket> clients;
        for (int i = 0; i < 5; ++i) clients.push_back(Socket::create(AF_INET, SOCK_STREAM));
        rlimit none = before;
        none.rlim_cur = static_cast<rlim_t>(clients.back().fileno() + 20);
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
        std::vector<Socket> others;
        for (bool full = false; !full;) {
            try {
                others.push_back(Socket::create(AF_INET, SOCK_STREAM));
            } catch (const OSError& error) {
                EXPECT_EQ(error.number(), EMFILE);
                full = true;
            }
        }
        co_await server.start_serving();  // io_uring goes by the limit of when it is asked
        const SocketAddress address = server.sockets().at(0).getsockname();
        for (const Socket& client : clients) co_await loop.sock_connect(client, address);
        co_await until([&] { return !reports.empty(); });
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        others.clear();
        for (const Socket& client : clients) {
            co_await loop.sock_sendall(client, "x");
            EXPECT_EQ(co_await loop.sock_recv(client, 10), "x");
        }
        clients.clear();
        co_await expect_served(server);
        co_await end(server);
    });
    setrlimit(RLIMIT_NOFILE, &before);
    for (const std::string& report : take_reports()) {
        EXPECT_EQ(report, "socket.accept() out of system resource");
    }
}

}  // namespace
