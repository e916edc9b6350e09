// Datagram endpoints: CPython's test_events.py (create_datagram_endpoint) and
// test_selector_events.py (SelectorDatagramTransportTests).
#include <support/stream_fixture.hpp>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class DatagramRecorder : public DatagramProtocol {
  public:
    void connection_made(std::shared_ptr<DatagramTransport> made) override {
        transport = std::move(made);
    }
    void connection_lost(std::exception_ptr error) override {
        events.push_back(error ? "lost " + exception_type_name(error) : "lost");
        done.set_result();
        transport.reset();
    }
    void datagram_received(std::string_view data, const SocketAddress& sender) override {
        received.emplace_back(data);
        from = sender;
        if (answer) transport->sendto("re: " + std::string(data), sender);
        if (throws) throw ValueError("in datagram_received");
    }
    void error_received(std::exception_ptr error) override {
        events.push_back(exception_type_name(error));
    }
    void pause_writing() override { events.push_back("pause"); }
    void resume_writing() override { events.push_back("resume"); }

    std::shared_ptr<DatagramTransport> transport;
    std::vector<std::string> received;
    std::vector<std::string> events;
    SocketAddress from;
    bool answer = false;
    bool throws = false;
    Future<void> done;
};

std::shared_ptr<DatagramRecorder> make() {
    return std::make_shared<DatagramRecorder>();
}

class Datagrams : public ConnectionTest {
  protected:
    Datagrams() { set_event_loop(&loop); }
    ~Datagrams() override { set_event_loop(nullptr); }
    auto bound() {
        return loop.create_datagram_endpoint(make, {.local_addr = HostPort("127.0.0.1", 0)});
    }
    static HostPort where(const std::shared_ptr<DatagramTransport>& transport) {
        const auto address = transport->get_extra_info<SocketAddress>("sockname");
        return {address->host(), address->port()};
    }
};

TEST_F(Datagrams, ThereAndBack) {
    run([&]() -> Coroutine<void> {
        auto [server, at_server] = co_await bound();
        at_server->answer = true;
        auto [client, at_client] =
            co_await loop.create_datagram_endpoint(make, {.remote_addr = where(server)});
        EXPECT_TRUE(client->get_extra_info<SocketAddress>("peername").has_value());
        EXPECT_FALSE(server->get_extra_info<SocketAddress>("peername").has_value());
        client->sendto("one");
        client->sendto("");
        co_await until([&p = *at_client] { return p.received.size() == 2; });
        EXPECT_EQ(at_client->received, (std::vector<std::string>{"re: one", "re: "}));
        EXPECT_EQ(at_client->from.port(), where(server).second);
        client->close();
        co_await at_client->done;
        server->abort();
        co_await at_server->done;
        EXPECT_EQ(at_server->events, std::vector<std::string>{"lost"});
    });
}

TEST_F(Datagrams, AConnectedEndpointHasOneAddress) {
    run([&]() -> Coroutine<void> {
        auto [server, at_server] = co_await bound();
        auto [client, at_client] =
            co_await loop.create_datagram_endpoint(make, {.remote_addr = where(server)});
        EXPECT_THAT(thrown_by([&c = *client] { c.sendto("x", SocketAddress("127.0.0.1", 1)); }),
                    StartsWith("ValueError: Invalid address: must be None or 127.0.0.1:"));
        client->sendto("x", *client->get_extra_info<SocketAddress>("peername"));
        co_await until([&p = *at_server] { return p.received.size() == 1; });
        client->close();
        server->close();
        co_await at_client->done;
        co_await at_server->done;
    });
}

// semantics.md 128
TEST_F(Datagrams, ErrorsLeaveTheEndpointOpen) {
    run([&]() -> Coroutine<void> {
        auto [server, at_server] = co_await bound();
        const HostPort gone = where(server);
        server->close();
        co_await at_server->done;
        auto [client, at_client] =
            co_await loop.create_datagram_endpoint(make, {.remote_addr = gone});
        client->sendto("nobody is there");
        co_await until([&p = *at_client] { return !p.events.empty(); });
        EXPECT_EQ(at_client->events[0], "ConnectionRefusedError");
        EXPECT_FALSE(client->is_closing());
        client->sendto(std::string(100'000, 'x'));  // EMSGSIZE
        EXPECT_EQ(at_client->events.size(), 2U);
        EXPECT_EQ(at_client->events[1], "OSError");
        client->close();
        co_await at_client->done;
    });
}

// test_datagram_send_to_non_listening_address
TEST_F(Datagrams, SendingToNobodyDoesNotStopTheReceiving) {
    run([&]() -> Coroutine<void> {
        auto [one, at_one] = co_await bound();
        auto [two, at_two] = co_await bound();
        auto [nobody, at_nobody] = co_await bound();
        const auto address = [](const auto& transport) {
            return *transport->template get_extra_info<SocketAddress>("sockname");
        };
        const SocketAddress gone = address(nobody);
        nobody->abort();
        co_await at_nobody->done;
        one->sendto("a", address(two));
        co_await until([&p = *at_two] { return p.received.size() == 1; });
        one->sendto("b", gone);
        co_await sleep(0);
        two->sendto("c", address(one));
        co_await until([&p = *at_one] { return p.received.size() == 1; });
        EXPECT_EQ(at_one->received[0], "c");
        one->close();
        two->close();
        co_await at_one->done;
        co_await at_two->done;
    });
}

TEST_F(Datagrams, WritesToALostOneAreDroppedWithAWarning) {
    std::vector<std::string> warnings;
    LogSink before =
        set_log_sink([&](LogLevel, std::string_view text) { warnings.emplace_back(text); });
    run([&]() -> Coroutine<void> {
        auto [server, at_server] = co_await bound();
        auto [client, at_client] =
            co_await loop.create_datagram_endpoint(make, {.remote_addr = where(server)});
        client->close();
        for (int i = 0; i < 4; ++i) client->sendto("dropped");
        EXPECT_EQ(warnings, std::vector<std::string>());
        client->sendto("dropped");
        EXPECT_EQ(warnings, std::vector<std::string>{"socket.send() raised exception."});
        co_await at_client->done;
        co_await sleep(0);
        EXPECT_EQ(at_server->received.size(), 0U);
        server->close();
        co_await at_server->done;
    });
    set_log_sink(before);
}

TEST_F(Datagrams, AbortDropsWhatIsQueued) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair(AF_UNIX, SOCK_DGRAM);
        auto [transport, protocol] =
            co_await loop.create_datagram_endpoint(make, {.sock = std::move(ours)});
        while (transport->get_write_buffer_size() == 0) transport->sendto("x");
        transport->abort();
        transport->abort();
        EXPECT_TRUE(transport->is_closing());
        EXPECT_EQ(transport->get_write_buffer_size(), 0U);
        co_await protocol->done;
        EXPECT_EQ(protocol->events, std::vector<std::string>{"lost"});
        EXPECT_EQ(transport->get_protocol(), nullptr);
    });
}

TEST_F(Datagrams, ErrorsOfQueuedOnesAreTold) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair(AF_UNIX, SOCK_DGRAM);
        auto [transport, protocol] =
            co_await loop.create_datagram_endpoint(make, {.sock = std::move(ours)});
        while (transport->get_write_buffer_size() == 0) transport->sendto("x");
        theirs.close();
        co_await until([&t = *transport] { return t.get_write_buffer_size() == 0; });
        EXPECT_THAT(protocol->events, ::testing::Contains("ConnectionRefusedError"));
        EXPECT_FALSE(transport->is_closing());
        transport->close();
        co_await protocol->done;
        EXPECT_EQ(protocol->events.back(), "lost");
    });
}

TEST_F(Datagrams, OverIPv6) {
    run([&]() -> Coroutine<void> {
        const auto outcome = co_await try_(loop.create_datagram_endpoint(
            make, {.local_addr = HostPort("::1", 0), .family = AF_INET6}));
        if (!outcome) co_return;  // there is none here
        auto [server, at_server] = outcome.value();
        at_server->answer = true;
        auto [client, at_client] =
            co_await loop.create_datagram_endpoint(make, {.remote_addr = where(server)});
        client->sendto("xxx");
        co_await until([&p = *at_client] { return p.received.size() == 1; });
        EXPECT_EQ(at_client->received[0], "re: xxx");
        EXPECT_EQ(client->get_extra_info<SocketAddress>("sockname")->family(), AF_INET6);
        client->close();
        server->close();
        co_await at_client->done;
        co_await at_server->done;
    });
}

TEST_F(Datagrams, AnErrorOfTheProtocolEndsIt) {
    run([&]() -> Coroutine<void> {
        auto [server, at_server] = co_await bound();
        at_server->throws = true;
        auto [client, at_client] =
            co_await loop.create_datagram_endpoint(make, {.remote_addr = where(server)});
        client->sendto("x");
        co_await at_server->done;
        EXPECT_EQ(at_server->events, std::vector<std::string>{"lost ValueError"});
        client->close();
        co_await at_client->done;
    });
    EXPECT_EQ(take_reports(), std::vector<std::string>{"Fatal read error on datagram transport"});
}

// semantics.md 129. A Unix socket's queue is short and loses nothing.
TEST_F(Datagrams, QueuesWhatTheKernelWillNotTake) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair(AF_UNIX, SOCK_DGRAM);
        auto [transport, protocol] =
            co_await loop.create_datagram_endpoint(make, {.sock = std::move(ours)});
        transport->set_write_buffer_limits({.high = 1000});
        EXPECT_EQ(transport->get_write_buffer_limits(),
                  (std::pair<std::size_t, std::size_t>(250, 1000)));
        // Every tenth is empty.
        const auto text = [](std::size_t i) { return i % 10 == 0 ? "" : std::to_string(i); };
        std::size_t sent = 0;
        while (transport->get_write_buffer_size() <= 1000) transport->sendto(text(sent++));
        EXPECT_EQ(protocol->events, std::vector<std::string>{"pause"});
        transport->close();
        auto [other, at_other] =
            co_await loop.create_datagram_endpoint(make, {.sock = std::move(theirs)});
        co_await protocol->done;
        co_await until([&, &p = *at_other] { return p.received.size() == sent; });
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"pause", "resume", "lost"}));
        for (std::size_t i = 0; i < sent; ++i) EXPECT_EQ(at_other->received[i], text(i));
        other->close();
        co_await at_other->done;
    });
}

TEST_F(Datagrams, ManyAtOnceLeaveOthersTheirTurn) {
    run([&]() -> Coroutine<void> {
        auto [server, at_server] = co_await bound();
        auto [client, at_client] =
            co_await loop.create_datagram_endpoint(make, {.remote_addr = where(server)});
        for (int i = 0; i < 150; ++i) client->sendto("x");
        co_await until([&p = *at_server] { return p.received.size() == 150; });
        client->close();
        server->close();
        co_await at_client->done;
        co_await at_server->done;
    });
}

TEST_F(Datagrams, BadArguments) {
    run([&]() -> Coroutine<void> {
        const auto error_of = [&](DatagramOptions options) -> Coroutine<std::string> {
            auto outcome = co_await try_(loop.create_datagram_endpoint(make, std::move(options)));
            co_return describe_exception(outcome.exception());
        };
        EXPECT_EQ(co_await error_of({}), "ValueError: unexpected address family");
        EXPECT_THAT(co_await error_of({.sock = Socket::create(AF_INET, SOCK_STREAM)}),
                    StartsWith("ValueError: A datagram socket was expected"));
        EXPECT_THAT(co_await error_of({.local_addr = HostPort("127.0.0.1", 0),
                                       .reuse_port = true,
                                       .sock = Socket::create(AF_INET, SOCK_DGRAM)}),
                    HasSubstr("(local_addr, reuse_port)"));
        EXPECT_EQ(co_await error_of(
                      {.local_addr = HostPort("127.0.0.1", 0), .remote_addr = HostPort("::1", 9)}),
                  "ValueError: can not get address information");
        EXPECT_THAT(co_await error_of({.local_addr = HostPort("192.0.2.1", 0)}),
                    HasSubstr("bind to 192.0.2.1:0"));
    });
}

TEST_F(Datagrams, LoopClosedUnderIt) {
    run([&]() -> Coroutine<void> { co_await bound(); });
}

}  // namespace
