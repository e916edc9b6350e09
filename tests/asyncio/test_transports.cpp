// Socket transports and their protocols: CPython's test_transports.py, test_protocols.py,
// test_buffered_proto.py and test_selector_events.py (SelectorSocketTransportTests).
#include <support/stream_fixture.hpp>
#include <support/turns.hpp>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;
using Events = std::vector<std::string>;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::shared_ptr<Recorder> make_recorder() {
    return std::make_shared<Recorder>();
}

class Transports : public ConnectionTest {
  protected:
    Transports() { set_event_loop(&loop); }
    ~Transports() override { set_event_loop(nullptr); }

    // A transport with a Recorder, and a plain socket at the other end.
    struct Connected {
        std::shared_ptr<Transport> transport;
        std::shared_ptr<Recorder> protocol;
        Socket peer;
    };
    Coroutine<Connected> connected(
        std::function<std::shared_ptr<Recorder>()> make = make_recorder) {
        auto [ours, theirs] = socketpair();
        auto [transport, protocol] =
            co_await loop.create_connection(make, {.sock = std::move(ours)});
        co_return {transport, protocol, std::move(theirs)};
    }
    static void put(const Socket& socket, std::string_view text) {
        ASSERT_EQ(::send(socket.fileno(), text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }
    // What is there now; `*over` is set at the end of file.
    static std::string drain(const Socket& socket, bool* over = nullptr) {
        std::string all;
        char buffer[65536];
        ssize_t n = 0;
        while ((n = ::recv(socket.fileno(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
            all.append(buffer, static_cast<std::size_t>(n));
        }
        if (over != nullptr && n == 0) *over = true;
        return all;
    }
};

// ---- beginning ----------------------------------------------------------------------------

// semantics.md 115
TEST_F(Transports, ConnectionMadeThenReadingThenTheOpener) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        put(theirs, "early");
        auto protocol = make_recorder();
        Events order;
        protocol->on_made = [&] {
            order.push_back("made");
            get_running_loop().call_soon([&] { order.push_back("next"); });
        };
        protocol->on_data = [&](std::string_view) { order.push_back("data"); };
        co_await loop.create_connection([&] { return protocol; }, {.sock = std::move(ours)});
        order.push_back("opened");
        co_await until([&] { return protocol->received == "early"; });
        EXPECT_EQ(order, (Events{"made", "next", "opened", "data"}));
        protocol->transport->close();
        co_await protocol->done;
    });
}

TEST_F(Transports, PausingInsideConnectionMadeIsHonoured) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        put(theirs, "early");
        auto protocol = make_recorder();
        protocol->on_made = [&] { protocol->transport->pause_reading(); };
        co_await loop.create_connection([&] { return protocol; }, {.sock = std::move(ours)});
        co_await sleep(20ms);
        EXPECT_EQ(protocol->received, "");
        protocol->transport->resume_reading();
        co_await until([&] { return protocol->received == "early"; });
        protocol->transport->close();
        co_await protocol->done;
    });
}

TEST_F(Transports, AnErrorInConnectionMadeIsReported) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected([] {
            auto protocol = make_recorder();
            protocol->on_made = [] { throw ValueError("in connection_made"); };
            return protocol;
        });
        c.transport->close();
        co_await c.protocol->done;
    });
    EXPECT_EQ(take_reports().size(), 1U);
}

TEST_F(Transports, ExtraInfo) {
    run([&]() -> Coroutine<void> {
        Server server = co_await loop.create_server(make_recorder, "127.0.0.1", 0);
        auto [transport, protocol] =
            co_await loop.create_connection(make_recorder, "127.0.0.1", port_of(server));
        const auto peer = transport->get_extra_info<SocketAddress>("peername");
        EXPECT_EQ(peer->str(), "127.0.0.1:" + std::to_string(port_of(server)));
        EXPECT_EQ(transport->get_extra_info<SocketAddress>("sockname")->host(), "127.0.0.1");
        const auto socket = transport->get_extra_info<TransportSocket>("socket");
        EXPECT_EQ(socket->getsockopt(IPPROTO_TCP, 1 /* TCP_NODELAY */), 1);
        EXPECT_EQ(transport->get_extra_info<int>("nonsense"), std::nullopt);
        EXPECT_EQ(transport->get_extra_info<int>("nonsense", 7), 7);
        EXPECT_THAT(thrown_by([&t = *transport] { (void)t.get_extra_info<int>("peername"); }),
                    StartsWith("TypeError: the transport's \"peername\" is a "));
        transport->close();
        co_await protocol->done;
        EXPECT_EQ(transport->get_extra_info<SocketAddress>("peername")->port(), peer->port())
            << "known after the end, too";
        co_await end(server);
    });
}

// ---- reading ------------------------------------------------------------------------------

// semantics.md 125
TEST_F(Transports, PausedReadingKeepsWhatComes) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        EXPECT_TRUE(c.transport->is_reading());
        c.transport->pause_reading();
        c.transport->pause_reading();
        EXPECT_FALSE(c.transport->is_reading());
        for (int i = 0; i < 20; ++i) {
            put(c.peer, std::string(1, static_cast<char>('a' + i)));
            co_await sleep(0);
        }
        c.peer.close();
        co_await sleep(20ms);
        EXPECT_EQ(c.protocol->received, "");
        c.transport->resume_reading();
        c.transport->resume_reading();
        EXPECT_EQ(c.protocol->received, "") << "never out of resume_reading() itself";
        co_await c.protocol->done;
        EXPECT_EQ(c.protocol->received, "abcdefghijklmnopqrst");
        EXPECT_EQ(c.protocol->events, (Events{"made", "eof", "lost"}));
        c.transport->pause_reading();  // closed: nothing happens
        EXPECT_FALSE(c.transport->is_reading());
    });
}

TEST_F(Transports, PausingAndResumingAtEveryTurnLosesNothing) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        std::string sent;
        for (int i = 0; i < 500; ++i) {
            const std::string piece(static_cast<std::size_t>(1 + i % 50), static_cast<char>(i));
            put(c.peer, piece);
            sent += piece;
            i % 2 == 0 ? c.transport->pause_reading() : c.transport->resume_reading();
            if (i % 3 == 0) co_await sleep(0);
            if (i % 20 == 0) co_await sleep(1ms);
        }
        c.transport->resume_reading();
        co_await until([&] { return c.protocol->received.size() == sent.size(); });
        EXPECT_TRUE(c.protocol->received == sent);
        c.transport->close();
        co_await c.protocol->done;
    });
}

// semantics.md 122
TEST_F(Transports, EndOfFileClosesUnlessToldOtherwise) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.peer.shutdown(SHUT_WR);
        co_await c.protocol->done;
        EXPECT_EQ(c.protocol->events, (Events{"made", "eof", "lost"}));
        EXPECT_TRUE(c.transport->is_closing());

        auto half = co_await connected();
        half.protocol->keep_open = true;
        half.peer.shutdown(SHUT_WR);
        co_await until([&] { return half.protocol->events.size() == 2; });
        EXPECT_FALSE(half.transport->is_closing());
        half.transport->write("still here");
        EXPECT_EQ(drain(half.peer), "still here");
        half.transport->close();
        co_await half.protocol->done;
        EXPECT_EQ(half.protocol->events, (Events{"made", "eof", "lost"}));
    });
}

// semantics.md 123
TEST_F(Transports, AnErrorOfTheProtocolEndsTheConnection) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.protocol->on_data = [](std::string_view) { throw ValueError("in data_received"); };
        put(c.peer, "x");
        co_await c.protocol->done;
        EXPECT_EQ(c.protocol->events, (Events{"made", "lost ValueError"}));
    });
    EXPECT_EQ(take_reports(), Events{"Fatal error: protocol.data_received() call failed."});
}

TEST_F(Transports, AnErrorOutOfEofReceivedEndsTheConnection) {
    struct Fails : Recorder {
        bool eof_received() override { throw ValueError("in eof_received"); }
    };
    run([&]() -> Coroutine<void> {
        auto c = co_await connected([] { return std::make_shared<Fails>(); });
        c.peer.shutdown(SHUT_WR);
        co_await c.protocol->done;
        EXPECT_EQ(c.protocol->events, (Events{"made", "lost ValueError"}));
    });
    EXPECT_EQ(take_reports(), Events{"Fatal error: protocol.eof_received() call failed."});
}

// semantics.md 124
TEST_F(Transports, AResetReachesConnectionLostAndNobodyElse) {
    run([&]() -> Coroutine<void> {
        Socket listener = Socket::create(AF_INET, SOCK_STREAM);
        listener.bind(SocketAddress("127.0.0.1", 0));
        listener.listen();
        auto [transport, protocol] = co_await loop.create_connection(make_recorder, "127.0.0.1",
                                                                     listener.getsockname().port());
        {
            const Socket accepted(::accept4(listener.fileno(), nullptr, nullptr, SOCK_CLOEXEC));
            const linger hard{1, 0};
            accepted.setsockopt(SOL_SOCKET, SO_LINGER,
                                {reinterpret_cast<const char*>(&hard), sizeof hard});
        }
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (Events{"made", "lost ConnectionResetError"}));
    });
}

// ---- writing ------------------------------------------------------------------------------

// semantics.md 116
TEST_F(Transports, FlowControl) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        EXPECT_EQ(c.transport->get_write_buffer_limits(),
                  (std::pair<std::size_t, std::size_t>(16 * 1024, 64 * 1024)));
        c.transport->write("at once");
        EXPECT_EQ(c.transport->get_write_buffer_size(), 0U);
        const std::string much = numbered(3'000'000);
        c.transport->write(much);
        EXPECT_GT(c.transport->get_write_buffer_size(), 64U * 1024);
        EXPECT_EQ(c.protocol->events, (Events{"made", "pause"}));
        c.transport->write("and more");
        EXPECT_EQ(c.protocol->events, (Events{"made", "pause"})) << "told once";
        std::string got;
        co_await until([&] {
            got += drain(c.peer);
            return got.size() == 7 + much.size() + 8;
        });
        EXPECT_TRUE(got == "at once" + much + "and more");
        EXPECT_EQ(c.protocol->events, (Events{"made", "pause", "resume"}));
        c.transport->close();
        co_await c.protocol->done;
    });
}

TEST_F(Transports, WriteBufferLimits) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        using Limits = std::pair<std::size_t, std::size_t>;
        c.transport->set_write_buffer_limits({.high = 1024, .low = 128});
        EXPECT_EQ(c.transport->get_write_buffer_limits(), Limits(128, 1024));
        c.transport->set_write_buffer_limits({.high = 256});
        EXPECT_EQ(c.transport->get_write_buffer_limits(), Limits(64, 256));
        c.transport->set_write_buffer_limits({.low = 256});
        EXPECT_EQ(c.transport->get_write_buffer_limits(), Limits(256, 1024));
        c.transport->set_write_buffer_limits({.high = 0});
        EXPECT_EQ(c.transport->get_write_buffer_limits(), Limits(0, 0));
        EXPECT_EQ(thrown_by([&] { c.transport->set_write_buffer_limits({.high = 0, .low = 1}); }),
                  "ValueError: high (0) must be >= low (1) must be >= 0");
        EXPECT_EQ(thrown_by([&] { c.transport->set_write_buffer_limits({.high = 1, .low = -1}); }),
                  "ValueError: high (1) must be >= low (-1) must be >= 0");
        c.transport->set_write_buffer_limits();
        EXPECT_EQ(c.transport->get_write_buffer_limits(), Limits(16384, 65536));
        c.transport->close();
        co_await c.protocol->done;
    });
}

TEST_F(Transports, WritelinesInOneGo) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.transport->writelines(std::vector<std::string>{"one ", "", "two ", "three"});
        EXPECT_EQ(drain(c.peer), "one two three");
        std::vector<std::string> many;
        std::string all;
        for (int i = 0; i < 300; ++i) all += many.emplace_back(numbered(10'000));
        c.transport->writelines(many);
        c.transport->writelines(std::vector<std::string_view>{"the", " end"});
        std::string got;
        co_await until([&] {
            got += drain(c.peer);
            return got.size() == all.size() + 7;
        });
        EXPECT_TRUE(got == all + "the end");
        c.transport->writelines({"of", " it"});
        // Pieces that are gone when the next one is made.
        const auto made = std::views::iota(1, 4) | std::views::transform([](int i) {
                              return "a number that is not short: " + std::to_string(i) + "; ";
                          });
        c.transport->writelines(made);
        EXPECT_EQ(drain(c.peer),
                  "of ita number that is not short: 1; a number that is not "
                  "short: 2; a number that is not short: 3; ");
        c.transport->close();
        co_await c.protocol->done;
    });
}

TEST_F(Transports, BytesOfAnyKind) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        const std::vector<std::byte> bytes{std::byte{'x'}, std::byte{0}, std::byte{'y'}};
        c.transport->write(bytes);
        c.transport->write("text");
        c.transport->write(std::string("string"));
        c.transport->write("");
        EXPECT_EQ(drain(c.peer), std::string("x\0ytextstring", 13));
        c.transport->close();
        co_await c.protocol->done;
    });
}

// semantics.md 121
TEST_F(Transports, WriteEofWaitsForTheBuffer) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.protocol->keep_open = true;
        EXPECT_TRUE(c.transport->can_write_eof());
        c.transport->write(std::string(2'000'000, 'x'));
        c.transport->write_eof();
        c.transport->write_eof();
        EXPECT_EQ(thrown_by([&] { c.transport->write("more"); }),
                  "RuntimeError: Cannot call write() after write_eof()");
        std::size_t got = 0;
        bool over = false;
        co_await until([&] {
            got += drain(c.peer, &over).size();
            return over;
        });
        EXPECT_EQ(got, 2'000'000U);
        put(c.peer, "the other way is open");
        co_await until([&] { return c.protocol->received.size() == 21; });
        c.transport->close();
        co_await c.protocol->done;
    });
}

// ---- ending -------------------------------------------------------------------------------

// semantics.md 118
TEST_F(Transports, CloseFlushesAndTellsOnceLater) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        const std::string much = numbered(2'000'000);
        c.transport->write(much);
        c.transport->close();
        c.transport->close();
        EXPECT_TRUE(c.transport->is_closing());
        EXPECT_FALSE(c.transport->is_reading());
        EXPECT_FALSE(c.protocol->lost);
        c.transport->write(" and this");  // semantics.md 120: still appended
        std::string got;
        co_await until([&] {
            got += drain(c.peer);
            return c.protocol->lost;
        });
        got += drain(c.peer);
        EXPECT_TRUE(got == much + " and this");
        EXPECT_EQ(c.protocol->events, (Events{"made", "pause", "resume", "lost"}));
        EXPECT_EQ(c.transport->get_protocol(), nullptr);
    });
}

TEST_F(Transports, CloseIsNextIterationAtTheEarliest) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.transport->close();
        EXPECT_FALSE(c.protocol->lost);
        co_await sleep(0);
        EXPECT_TRUE(c.protocol->lost);
        bool over = false;
        co_await until([&] {
            (void)drain(c.peer, &over);
            return over;
        });
    });
}

TEST_F(Transports, NothingElseHappensAfterClose) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.transport->close();
        c.transport->write_eof();
        c.transport->resume_reading();
        EXPECT_FALSE(c.transport->is_reading());
        put(c.peer, "too late");
        co_await c.protocol->done;
        c.transport->close();
        c.transport->abort();
        co_await turns(2);
        EXPECT_EQ(c.protocol->events, (Events{"made", "lost"}));
        EXPECT_EQ(c.protocol->received, "");
    });
}

// semantics.md 117
TEST_F(Transports, WhatIsWrittenFromResumeWritingWhileClosingGoesOut) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.protocol->on_resume = [&] { c.transport->write("last words"); };
        c.transport->write(std::string(1'000'000, 'x'));
        c.transport->close();
        std::string got;
        co_await until([&] {
            got += drain(c.peer);
            return c.protocol->lost;
        });
        got += drain(c.peer);
        EXPECT_EQ(got.size(), 1'000'010U);
        EXPECT_TRUE(got.ends_with("last words"));
    });
}

// semantics.md 119
TEST_F(Transports, AbortDropsTheBuffer) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.transport->write(std::string(2'000'000, 'x'));
        c.transport->abort();
        c.transport->abort();
        EXPECT_EQ(c.transport->get_write_buffer_size(), 0U);
        co_await c.protocol->done;
        EXPECT_EQ(c.protocol->events, (Events{"made", "pause", "lost"}));
        EXPECT_LT(drain(c.peer).size(), 2'000'000U);
    });
}

// semantics.md 120
TEST_F(Transports, WritesToALostConnectionAreDroppedWithAWarning) {
    Events warnings;
    LogSink before =
        set_log_sink([&](LogLevel, std::string_view text) { warnings.emplace_back(text); });
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.transport->close();
        for (int i = 0; i < 4; ++i) c.transport->write("dropped");
        EXPECT_EQ(warnings, Events{});
        c.transport->write("dropped");
        EXPECT_EQ(warnings, Events{"socket.send() raised exception."});
        co_await c.protocol->done;
        EXPECT_EQ(drain(c.peer), "");
    });
    set_log_sink(before);
}

TEST_F(Transports, AWriteThatFailsEndsTheConnection) {
    run([&]() -> Coroutine<void> {
        for (const bool pieces : {false, true}) {
            auto c = co_await connected();
            c.protocol->keep_open = true;
            c.peer.close();
            if (pieces) {
                c.transport->writelines({"x", "y"});
            } else {
                c.transport->write("x");
            }
            EXPECT_TRUE(c.transport->is_closing());
            EXPECT_FALSE(c.protocol->lost);
            co_await c.protocol->done;
            EXPECT_EQ(c.protocol->events, (Events{"made", "lost BrokenPipeError"}));
        }
    });
}

TEST_F(Transports, APeerThatGoesWhileMuchIsUnsent) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.protocol->keep_open = true;
        c.transport->write(std::string(2'000'000, 'x'));
        c.peer.close();
        co_await c.protocol->done;
        EXPECT_THAT(c.protocol->events.back(), StartsWith("lost "));
    });
}

TEST_F(Transports, ErrorsOfFlowControlCallbacksAreReported) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        c.protocol->on_resume = [] { throw ValueError("in resume_writing"); };
        c.transport->write(std::string(1'000'000, 'x'));
        std::size_t got = 0;
        co_await until([&] {
            got += drain(c.peer).size();
            return got == 1'000'000;
        });
        co_await until([&] { return !reports.empty(); });
        EXPECT_FALSE(c.transport->is_closing());
        c.transport->close();
        co_await c.protocol->done;
    });
    EXPECT_EQ(take_reports(), Events{"protocol.resume_writing() failed"});
}

TEST_F(Transports, AnUnclosedOneIsReportedInDebugMode) {
    Events warnings;
    LogSink before =
        set_log_sink([&](LogLevel, std::string_view text) { warnings.emplace_back(text); });
    loop.set_debug(true);
    loop.slow_callback_duration = 1h;
    std::shared_ptr<Transport> kept;
    run([&]() -> Coroutine<void> { kept = (co_await connected()).transport; });
    close();
    EXPECT_TRUE(kept->is_closing());
    set_log_sink(before);
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_THAT(warnings[0], StartsWith("unclosed transport <SocketTransport fd="));
}

// On io_uring a loop that is stopped has taken what it delivers only while it closes, when much
// came at once.
TEST_F(Transports, ClosingTheLoopAgainOutOfWhatItsClosingDelivers) {
    constexpr int connections = 8;
    std::vector<Socket> peers;
    int calls = 0;
    run([&]() -> Coroutine<void> {
        for (int i = 0; i < connections; ++i) {
            Connected c = co_await connected();
            c.protocol->transport.reset();
            c.protocol->on_data = [&](std::string_view) {
                ++calls;
                loop.is_running() ? loop.stop() : loop.close();
            };
            peers.push_back(std::move(c.peer));
        }
    });
    const std::string much(100'000, 'x');
    loop.call_soon([&] {
        for (const Socket& peer : peers) put(peer, much);
    });
    loop.run_forever();
    EXPECT_GT(calls, 0);
    loop.close();
    EXPECT_TRUE(loop.is_closed());
}

// ---- protocols ----------------------------------------------------------------------------

TEST_F(Transports, SetProtocol) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        auto second = make_recorder();
        put(c.peer, "one");
        co_await until([&] { return c.protocol->received == "one"; });
        c.transport->set_protocol(second);
        EXPECT_EQ(c.transport->get_protocol(), second);
        put(c.peer, "two");
        co_await until([&] { return second->received == "two"; });
        EXPECT_THROW(c.transport->set_protocol(nullptr), TypeError);
        EXPECT_THROW(c.transport->set_protocol(std::make_shared<DatagramProtocol>()), TypeError);
        c.transport->close();
        co_await second->done;
        EXPECT_EQ(second->events, Events{"lost"});
        EXPECT_EQ(c.protocol->events, Events{"made"});
        c.protocol->transport.reset();
    });
}

// A protocol that exchanges itself away out of its own callback.
TEST_F(Transports, SetProtocolFromInsideDataReceived) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        auto second = make_recorder();
        c.protocol->on_data = [&, transport = c.transport](std::string_view) {
            c.protocol.reset();
            transport->set_protocol(second);
        };
        put(c.peer, "one");
        co_await until([&] { return c.protocol == nullptr; });
        put(c.peer, "two");
        co_await until([&] { return second->received == "two"; });
        c.transport->close();
        co_await second->done;
    });
}

class Buffered : public BufferedProtocol {
  public:
    explicit Buffered(std::size_t size) : memory(size) {}
    void connection_made(std::shared_ptr<Transport> made) override { transport = std::move(made); }
    std::span<std::byte> get_buffer(std::size_t) override {
        if (on_get) on_get();
        return memory;
    }
    bool eof_received() override { return keep_open; }
    void buffer_updated(std::size_t count) override {
        received.append(reinterpret_cast<const char*>(memory.data()), count);
        if (on_update) on_update();
    }
    void connection_lost(std::exception_ptr error) override {
        lost = error ? describe_exception(error) : "lost";
        done.set_result();
        transport.reset();
    }
    std::vector<std::byte> memory;
    std::string received, lost;
    bool keep_open = false;
    std::function<void()> on_get, on_update;
    std::shared_ptr<Transport> transport;
    Future<void> done;
};

TEST_F(Transports, BufferedProtocol) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Buffered>(100); }, {.sock = std::move(ours)});
        const std::string sent = numbered(50'000);
        put(theirs, sent);
        co_await until([&p = *protocol] { return p.received.size() == 50'000; });
        EXPECT_TRUE(protocol->received == sent);
        // Pausing between two buffers.
        protocol->on_update = [&t = *transport] { t.pause_reading(); };
        put(theirs, numbered(1000));
        co_await until([&p = *protocol] { return p.received.size() == 50'100; });
        co_await sleep(10ms);
        EXPECT_EQ(protocol->received.size(), 50'100U);
        protocol->on_update = {};
        transport->resume_reading();
        co_await until([&p = *protocol] { return p.received.size() == 51'000; });
        EXPECT_TRUE(protocol->received == sent + numbered(1000));
        theirs.close();
        co_await protocol->done;
        EXPECT_EQ(protocol->lost, "lost");
    });
}

TEST_F(Transports, ABufferOfNoSizeIsAnError) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Buffered>(0); }, {.sock = std::move(ours)});
        put(theirs, "x");
        co_await protocol->done;
        EXPECT_EQ(protocol->lost, "RuntimeError: get_buffer() returned an empty buffer");
    });
    EXPECT_EQ(take_reports(), Events{"Fatal error: protocol.get_buffer() call failed."});
}

TEST_F(Transports, AnErrorOfABufferedProtocolSaysWhichCall) {
    const auto fail = [] { throw ValueError("no"); };
    run([&]() -> Coroutine<void> {
        for (const bool asking : {true, false}) {
            auto [ours, theirs] = socketpair();
            auto [transport, protocol] = co_await loop.create_connection(
                [] { return std::make_shared<Buffered>(10); }, {.sock = std::move(ours)});
            (asking ? protocol->on_get : protocol->on_update) = fail;
            put(theirs, "x");
            co_await protocol->done;
            EXPECT_EQ(protocol->lost, "ValueError: no");
        }
    });
    EXPECT_EQ(take_reports(), (Events{"Fatal error: protocol.get_buffer() call failed.",
                                      "Fatal error: protocol.buffer_updated() call failed."}));
}

TEST_F(Transports, ABufferedProtocolMayStayOpenAfterTheEnd) {
    run([&]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Buffered>(10); }, {.sock = std::move(ours)});
        protocol->keep_open = true;
        put(theirs, "x");
        theirs.shutdown(SHUT_WR);
        co_await until([&p = *protocol] { return p.received == "x"; });
        co_await turns(5);
        EXPECT_FALSE(transport->is_closing());
        transport->write("y");
        EXPECT_EQ(drain(theirs), "y");
        transport->close();
        co_await protocol->done;
    });
}

TEST_F(Transports, SetProtocolOfTheOtherKind) {
    run([&]() -> Coroutine<void> {
        auto c = co_await connected();
        put(c.peer, "one");
        co_await until([&] { return c.protocol->received == "one"; });
        auto buffered = std::make_shared<Buffered>(2);
        // From the middle of a delivery: the rest of it is for the next one already.
        auto last = make_recorder();
        buffered->on_update = [&] {
            if (buffered->received == "wo, t") c.transport->set_protocol(last);
            buffered->memory.resize(3);
        };
        c.transport->set_protocol(buffered);
        put(c.peer, "wo, three");
        co_await until([&] { return last->received == "hree"; });
        EXPECT_EQ(buffered->received, "wo, t");
        c.transport->close();
        co_await last->done;
        EXPECT_EQ(last->events, Events{"lost"});
        c.protocol->transport.reset();
    });
}

}  // namespace
