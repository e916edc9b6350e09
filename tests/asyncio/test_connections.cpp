// Making connections: CPython's create_connection() of test_base_events.py and test_events.py,
// happy eyeballs, addresses that fail or never answer, and every cancellation on the way.
#include <support/stream_fixture.hpp>

#include <asyncio/testing.hpp>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

class Connections : public ConnectionTest {};

template <class Coro>
Coroutine<std::string> error_of(Coro coroutine) {
    const auto outcome = co_await try_(std::move(coroutine));
    co_return outcome ? "nothing was thrown" : describe_exception(outcome.exception());
}

// An address that answers nobody: its queue of connections is full.
class Stalled {
  public:
    explicit Stalled(const SocketAddress& at) {
        socket_.emplace(Socket::create(at.family(), SOCK_STREAM));
        if (at.family() == AF_INET6) socket_->setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1);
        socket_->bind(at);
        socket_->listen(0);
        const SocketAddress address = socket_->getsockname();
        for (int i = 0; i < 3; ++i) {
            waiting_.push_back(Socket::create(at.family(), SOCK_STREAM));
            static_cast<void>(::connect(waiting_.back().fileno(), address.data(), address.size()));
        }
    }
    [[nodiscard]] int port() const { return socket_->getsockname().port(); }

  private:
    std::optional<Socket> socket_;
    std::vector<Socket> waiting_;
};

bool has_ipv6() {
    try {
        Socket::create(AF_INET6, SOCK_STREAM).bind(SocketAddress("::1", 0));
        return true;
    } catch (const OSError&) {
        return false;
    }
}

// The addresses of "localhost", for what needs one of each family.
Coroutine<bool> localhost_is_of_both_families() {
    bool v4 = false, v6 = false;
    for (const auto& info : co_await get_running_loop().getaddrinfo("localhost", 80)) {
        (info.family == AF_INET6 ? v6 : v4) = true;
    }
    co_return v4&& v6&& has_ipv6();
}

// ---- errors --------------------------------------------------------------------------------

TEST_F(Connections, RefusedAgainAndAgainAndThenNot) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0, {.start_serving = false});
        const int port = port_of(server);
        for (int i = 0; i < 5; ++i) {
            const auto refused = co_await try_(open_connection("127.0.0.1", port));
            EXPECT_TRUE(holds_exception<ConnectionRefusedError>(refused.exception()));
            EXPECT_THAT(describe_exception(refused.exception()),
                        HasSubstr("Connect call failed 127.0.0.1:" + std::to_string(port)));
        }
        co_await server.start_serving();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        writer.write("x");
        EXPECT_EQ(co_await reader.read(1), "x");
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Connections, BadArguments) {
    run([this]() -> Coroutine<void> {
        const auto bad = [](ConnectionOptions options) {
            return error_of(open_connection(std::move(options)));
        };
        EXPECT_THAT(co_await bad({}), HasSubstr("ValueError: host and port was not specified"));
        EXPECT_THAT(co_await bad({.sock = Socket::create(AF_INET, SOCK_DGRAM)}),
                    HasSubstr("ValueError: A Stream Socket was expected"));
        ConnectionOptions both{.sock = Socket::create(AF_INET, SOCK_STREAM)};
        EXPECT_THAT(co_await error_of(open_connection("127.0.0.1", 80, std::move(both))),
                    HasSubstr("ValueError: host/port and sock"));
        EXPECT_THAT(
            co_await error_of(open_connection("127.0.0.1", 80, {.server_hostname = "here"})),
            HasSubstr("ValueError: server_hostname is only meaningful with ssl"));
        EXPECT_THAT(
            co_await error_of(open_connection("127.0.0.1", 80, {.ssl_shutdown_timeout = 1s})),
            HasSubstr("ValueError: ssl_shutdown_timeout is only meaningful with ssl"));
        for (const int port : {-1, 65536, 1 << 30}) {
            EXPECT_THAT(co_await error_of(open_connection("127.0.0.1", port)),
                        HasSubstr("ValueError: port must be 0-65535"));
        }
        EXPECT_THAT(co_await error_of(open_connection(std::string("a\0b", 3), 80)),
                    HasSubstr("ValueError: embedded null"));
        EXPECT_THAT(co_await error_of(open_connection("no such host", 80)), HasSubstr("no such"));
        EXPECT_THAT(co_await error_of(open_connection("127.0.0.1", 80, {.limit = 0})),
                    HasSubstr("ValueError: Limit cannot be <= 0"));
        const auto thrown = co_await error_of(loop.create_connection(
            []() -> std::shared_ptr<Recorder> { throw LookupError("factory"); }, "127.0.0.1", 1));
        EXPECT_THAT(thrown, HasSubstr("ConnectionRefused"));
    });
}

TEST_F(Connections, AFactoryThatThrowsClosesTheConnection) {
    run([this]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        for (int i = 0; i < 3; ++i) {
            EXPECT_THAT(co_await error_of(loop.create_connection(
                            []() -> std::shared_ptr<Recorder> { throw LookupError("factory"); },
                            "127.0.0.1", port_of(server))),
                        HasSubstr("LookupError"));
        }
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        writer.write("x");
        EXPECT_EQ(co_await reader.read(1), "x");
        co_await end(writer);
        co_await end(server);
    });
}

// How many errors a group has; 0 if it is none.
std::size_t errors_in(const std::exception_ptr& error) {
    try {
        if (error) std::rethrow_exception(error);
    } catch (const ExceptionGroup& group) {
        return group.exceptions().size();
    } catch (...) {
    }
    return 0;
}

TEST_F(Connections, ErrorsOfSeveralAddresses) {
    run([]() -> Coroutine<void> {
        if (!co_await localhost_is_of_both_families()) co_return;
        const auto all = co_await try_(open_connection("localhost", 1, {.all_errors = true}));
        EXPECT_EQ(errors_in(all.exception()), 2U);
        // One of them, where they all have the same text; their addresses differ.
        EXPECT_THAT(co_await error_of(open_connection("localhost", 1)),
                    AllOf(HasSubstr("Multiple exceptions: "), HasSubstr("[::1]:1"),
                          HasSubstr("127.0.0.1:1")));
        const auto one = co_await try_(open_connection("127.0.0.1", 1, {.all_errors = true}));
        EXPECT_EQ(errors_in(one.exception()), 1U);
    });
}

// ---- from where ----------------------------------------------------------------------------

TEST_F(Connections, FromALocalAddress) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const int port = port_of(server);
        auto [reader, writer] =
            co_await open_connection("127.0.0.1", port, {.local_addr = HostPort("127.0.0.3", 0)});
        const auto from = writer.get_extra_info<SocketAddress>("sockname");
        EXPECT_EQ(from->host(), "127.0.0.3");
        EXPECT_THAT(co_await error_of(open_connection("127.0.0.1", port,
                                                      {.local_addr = HostPort("192.0.2.1", 0)})),
                    HasSubstr("error while attempting to bind on address 192.0.2.1:0"));
        EXPECT_THAT(co_await error_of(open_connection("127.0.0.1", port,
                                                      {.local_addr = HostPort("127.0.0.1", port)})),
                    HasSubstr("Address already in use"));
        if (has_ipv6()) {
            EXPECT_THAT(co_await error_of(
                            open_connection("127.0.0.1", port, {.local_addr = HostPort("::1", 0)})),
                        HasSubstr("no matching local address with family=2 found"));
        }
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Connections, OverASocketOfTheCallers) {
    run([this]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        auto [reader, writer] = co_await open_connection({.sock = std::move(ours)});
        auto [transport, protocol] = co_await loop.connect_accepted_socket(
            [] { return std::make_shared<Recorder>(); }, std::move(theirs));
        writer.write("hello");
        auto* recorder = protocol.get();
        co_await until([=] { return recorder->received == "hello"; });
        transport->write("back");
        EXPECT_EQ(co_await reader.read(4), "back");
        co_await end(writer);
        co_await protocol->done;
    });
}

// ---- happy eyeballs ------------------------------------------------------------------------

TEST_F(Connections, FallsBackToAnotherAddress) {
    run([]() -> Coroutine<void> {
        if (!co_await localhost_is_of_both_families()) co_return;
        for (const char* host : {"127.0.0.1", "::1"}) {
            Server server = co_await start_server(echo, host, 0);
            for (const bool eager : {false, true}) {
                ConnectionOptions options;
                if (eager) options.happy_eyeballs_delay = 10s;  // a failure does not wait for it
                auto [reader, writer] =
                    co_await open_connection("localhost", port_of(server), std::move(options));
                EXPECT_EQ(writer.get_extra_info<SocketAddress>("peername")->host(), host);
                co_await end(writer);
            }
            co_await end(server);
        }
    });
}

TEST_F(Connections, OvertakesAnAddressThatDoesNotAnswer) {
    run([this]() -> Coroutine<void> {
        if (!co_await localhost_is_of_both_families()) co_return;
        const std::string first =
            (co_await loop.getaddrinfo("localhost", 80, {.type = SOCK_STREAM}))
                .at(0)
                .address.host();
        const Stalled stalled(SocketAddress(first, 0));
        const std::string other = first == "::1" ? "127.0.0.1" : "::1";
        Server server = co_await start_server(echo, other, stalled.port());
        for (int i = 0; i < 3; ++i) {
            auto [reader, writer] = co_await open_connection("localhost", stalled.port(),
                                                             {.happy_eyeballs_delay = 20ms});
            EXPECT_EQ(writer.get_extra_info<SocketAddress>("peername")->host(), other);
            writer.write("x");
            EXPECT_EQ(co_await reader.read(1), "x");
            co_await end(writer);
        }
        co_await end(server);
    });
}

TEST_F(Connections, NeitherAddressAnswers) {
    run([]() -> Coroutine<void> {
        if (!co_await localhost_is_of_both_families()) co_return;
        const Stalled v6(SocketAddress("::1", 0));
        const Stalled v4(SocketAddress("127.0.0.1", static_cast<std::uint16_t>(v6.port())));
        const auto late = co_await try_(wait_for(
            open_connection("localhost", v6.port(), {.happy_eyeballs_delay = 5ms}), 100ms));
        EXPECT_TRUE(holds_exception<TimeoutError>(late.exception()));
    });
}

// ---- cancellation --------------------------------------------------------------------------

TEST_F(Connections, CancelledWhileNobodyAnswers) {
    run([this]() -> Coroutine<void> {
        const Stalled stalled(SocketAddress("127.0.0.1", 0));
        // The first time the loop may open what it keeps.
        const auto first =
            co_await try_(wait_for(open_connection("127.0.0.1", stalled.port()), 5ms));
        EXPECT_TRUE(holds_exception<TimeoutError>(first.exception()));
        const std::size_t before = count_descriptors();
        for (int i = 0; i < 3; ++i) {
            auto task = loop.create_task(open_connection("127.0.0.1", stalled.port()));
            co_await sleep(5ms);
            EXPECT_EQ(count_descriptors(), before + 1);
            task.cancel();
            EXPECT_TRUE((co_await try_(task)).cancelled());
            EXPECT_EQ(count_descriptors(), before);
        }
    });
}

// Sockets of this process that are connected or were.
std::size_t count_connections() {
    std::size_t count = 0;
    for (int fd = 3; fd < 1000; ++fd) {
        sockaddr_storage peer;
        socklen_t size = sizeof peer;
        if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0) ++count;
    }
    return count;
}

TEST_F(Connections, CancelledAtEveryTurnWhileItConnects) {
    std::optional<Server> server;
    run([&]() -> Coroutine<void> {
        server = co_await start_server(echo, "127.0.0.1", 0);
        // The first time the loop may open what it keeps.
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(*server));
        co_await end(writer);
        co_await until([] { return count_connections() == 0; });
    });
    const std::size_t before = count_descriptors();
    asyncio::testing::cancel_everywhere(
        loop,
        [&]() -> Coroutine<void> {
            auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(*server));
            writer.write("x");
            EXPECT_EQ(co_await reader.read(1), "x");
            co_await end(writer);
        },
        [&] {
            run([&]() -> Coroutine<void> {
                co_await until([&] { return count_descriptors() == before; });
            });
        });
    run([&]() -> Coroutine<void> { co_await end(*server); });
    // Of handlers whose clients were gone.
    for (const std::string& report : take_reports()) {
        EXPECT_EQ(report, "Unhandled exception in client_connected_cb");
    }
}

TEST_F(Connections, CancelledAtEveryTurnWhileAServerStarts) {
    asyncio::testing::cancel_everywhere(
        loop,
        []() -> Coroutine<void> {
            Server server = co_await start_server(echo, {"127.0.0.1", "127.0.0.2"}, 0);
            server.close();
            co_await server.wait_closed();
        },
        [&] { run([]() -> Coroutine<void> { co_await sleep(0); }); });
}

TEST_F(Connections, OperationsOnSocketsCancelledAtEveryTurnLoseNothing) {
    auto [ours, theirs] = socketpair();
    const std::string data = numbered(300'000);
    std::size_t sent = 0;
    std::string received;
    // What of a cancelled send went out, its caller cannot know: so only receiving is cancelled.
    auto sending = loop.create_task([&]() -> Coroutine<void> {
        while (sent < data.size()) {
            const std::string piece = data.substr(sent, 1000);
            co_await loop.sock_sendall(theirs, piece);
            sent += piece.size();
            if (sent % 3000 == 0) co_await sleep(0);
        }
        theirs.shutdown(SHUT_WR);
    });
    asyncio::testing::cancel_everywhere(
        loop,
        [&]() -> Coroutine<void> {
            for (;;) {
                const std::string piece = co_await loop.sock_recv(ours, 700);
                if (piece.empty()) break;
                received += piece;
            }
        },
        [] {});
    loop.run_until_complete(sending);
    EXPECT_TRUE(received == data) << received.size();
}

TEST_F(Connections, StreamReadsCancelledAtEveryTurnLoseNothing) {
    std::optional<StreamPair> pair;
    std::optional<Server> server;
    const std::string data = numbered(200'000);
    run([&]() -> Coroutine<void> {
        server = co_await start_server(
            [&](StreamReader, StreamWriter writer) -> Coroutine<void> {
                for (std::size_t at = 0; at < data.size(); at += 500) {
                    writer.write(data.substr(at, 500));
                    co_await writer.drain();
                    co_await sleep(0);
                }
                co_await end(writer);
            },
            "127.0.0.1", 0);
        pair = co_await open_connection("127.0.0.1", port_of(*server));
    });
    std::string received;
    asyncio::testing::cancel_everywhere(
        loop,
        [&]() -> Coroutine<void> {
            for (;;) {
                const std::string piece = co_await pair->first.read(300);
                if (piece.empty()) break;
                received += piece;
            }
        },
        [] {});
    EXPECT_TRUE(received == data) << received.size();
    run([&]() -> Coroutine<void> {
        co_await end(pair->second);
        co_await end(*server);
    });
    pair.reset();
}

}  // namespace
