// TLS connections: streams and transports. After CPython's test_asyncio/test_ssl.py and
// test_sslproto.py; against programs that are not ours: test_ssl_peers.cpp.
#include <support/tls_fixture.hpp>

#include <gmock/gmock.h>

#include <thread>
#include <vector>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class Tls : public ConnectionTest {
  protected:
    // Made before descriptors are counted.
    static void SetUpTestSuite() { static_cast<void>(certificates()); }

    // What the loop's exception handler was told.
    std::vector<std::string> reports;
    void note_reports() {
        loop.set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
            reports.push_back(context.message);
        });
    }
};

// ---- streams ------------------------------------------------------------------------------

TEST_F(Tls, EchoByLine) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [reader, writer] = co_await tls::connect(port_of(server));
        for (int i = 0; i < 10; ++i) {
            const std::string line = "line " + std::to_string(i) + "\n";
            writer.write(line);
            co_await writer.drain();
            EXPECT_EQ(co_await reader.readline(), line);
        }
        co_await end(writer);
        EXPECT_EQ(co_await reader.read(), "");
        co_await end(server);
    });
}

TEST_F(Tls, TellsWhatItIs) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        const tls::Context context = tls::trusting();
        auto [reader, writer] = co_await tls::connect(port_of(server), {.ssl = context});
        EXPECT_EQ(writer.get_extra_info<tls::Context>("sslcontext"), context);
        EXPECT_EQ(writer.get_extra_info<ssl::Cipher>("cipher")->protocol, "TLSv1.3");
        EXPECT_FALSE(writer.get_extra_info<std::string>("compression"));
        EXPECT_THAT(writer.get_extra_info<ssl::Certificate>("peercert")->subject,
                    ElementsAre(Pair("commonName", "localhost")));
        const auto object =
            writer.get_extra_info<std::shared_ptr<ssl::SSLObject>>("ssl_object").value();
        EXPECT_EQ(object->version(), "TLSv1.3");
        EXPECT_EQ(writer.get_extra_info<SocketAddress>("peername")->port(), port_of(server));
        EXPECT_FALSE(writer.can_write_eof());
        EXPECT_THROW(writer.write_eof(), NotImplementedError);
        EXPECT_THAT(writer.repr(), HasSubstr("SSLTransport"));
        co_await end(writer);
        EXPECT_THAT(writer.repr(), HasSubstr("closing"));
        co_await end(server);
    });
}

TEST_F(Tls, MuchBothWaysAtOnce) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [reader, writer] = co_await tls::connect(port_of(server));
        const std::string sent = numbered(10'000'000);
        auto sending = create_task([&, writer = writer]() -> Coroutine<void> {
            for (std::size_t at = 0; at < sent.size(); at += 100'000) {
                writer.write(std::string_view(sent).substr(at, 100'000));
                co_await writer.drain();
            }
        });
        const std::string got =
            co_await reader.readexactly(static_cast<std::ptrdiff_t>(sent.size()));
        EXPECT_TRUE(got == sent);
        co_await sending;
        co_await end(writer);
        co_await end(server);
    });
}

// What is decrypted in the reader's own memory, and what is kept for it, come in their order.
TEST_F(Tls, ReadIntoMemoryOfAnySize) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        const std::string sent = numbered(400'000);
        for (const std::size_t size : {1'000U, 16'384U, 20'000U, 65'536U, 300'000U}) {
            auto [reader, writer] = co_await tls::connect(port_of(server));
            writer.write(sent);
            std::string got;
            std::vector<char> memory(size);
            while (got.size() < sent.size()) {
                const std::size_t count = co_await reader.read_into(memory);
                if (count == 0) break;
                got.append(memory.data(), count);
            }
            EXPECT_TRUE(got == sent) << size;
            co_await end(writer);
        }
        auto [reader, writer] = co_await tls::connect(port_of(server));
        writer.write(sent);
        std::string got;
        while (got.size() < sent.size()) {
            const std::string_view data = co_await reader.read_view();
            if (data.empty()) break;
            got += data;
        }
        EXPECT_TRUE(got == sent);
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Tls, OneWriteOfManyPieces) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [reader, writer] = co_await tls::connect(port_of(server));
        writer.writelines(std::vector<std::string>{"a", "", "bc", "def\n"});
        EXPECT_EQ(co_await reader.readline(), "abcdef\n");
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Tls, CloseSendsWhatWasWritten) {
    run([]() -> Coroutine<void> {
        const std::string sent = numbered(5'000'000);
        Server server = co_await start_server(
            [&](StreamReader, StreamWriter writer) -> Coroutine<void> {
                writer.write(sent);
                EXPECT_GT(writer.transport()->get_write_buffer_size(), 0U);
                co_await end(writer);
            },
            "127.0.0.1", 0, {.ssl = tls::serving()});
        auto [reader, writer] = co_await tls::connect(port_of(server));
        EXPECT_TRUE(co_await reader.read() == sent);
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Tls, OverUnixSocketsAndAcceptedSockets) {
    run([]() -> Coroutine<void> {
        const std::string path = certificates().folder / "socket";
        Server server = co_await start_unix_server(echo, path, {.ssl = tls::serving()});
        auto [reader, writer] = co_await open_unix_connection(
            path, {.ssl = tls::trusting(), .sock = {}, .server_hostname = "localhost"});
        writer.write("over a path\n");
        EXPECT_EQ(co_await reader.readline(), "over a path\n");
        co_await end(writer);
        co_await tls::thrown_by<ssl::SSLCertVerificationError>(open_unix_connection(
            path, {.ssl = tls::trusting(), .sock = {}, .server_hostname = "other.example"}));
        co_await tls::thrown_by<ssl::SSLCertVerificationError>(open_unix_connection(
            path,
            {.ssl = ssl::create_default_context(), .sock = {}, .server_hostname = "localhost"}));
        co_await end(server);

        auto [ours, theirs] = socketpair();
        auto connecting = create_task(open_connection(
            {.ssl = tls::trusting(), .sock = std::move(ours), .server_hostname = "localhost"}));
        auto [transport, protocol] = co_await get_running_loop().connect_accepted_socket(
            [] { return std::make_shared<Recorder>(); }, std::move(theirs),
            {.ssl = tls::serving()});
        auto [reader2, writer2] = co_await connecting;
        writer2.write("test data");
        co_await until([&p = *protocol] { return p.received == "test data"; });
        transport->write("roger");
        EXPECT_EQ(co_await reader2.readexactly(5), "roger");
        co_await end(writer2);
        co_await protocol->done;
    });
}

// ---- who the peer is ----------------------------------------------------------------------

TEST_F(Tls, AWrongPeerIsRefusedAndTheServerGoesOn) {
    note_reports();
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        const int port = port_of(server);
        using Refused = ssl::SSLCertVerificationError;
        const auto host = co_await tls::thrown_by<Refused>(
            tls::connect(port, {.ssl = tls::trusting(), .server_hostname = "other.example"}));
        EXPECT_EQ(host.verify_message(),
                  "Hostname mismatch, certificate is not valid for 'other.example'.");
        const auto unknown = co_await tls::thrown_by<Refused>(
            tls::connect(port, {.ssl = ssl::create_default_context()}));
        EXPECT_EQ(unknown.verify_message(), "unable to get local issuer certificate");
        Server expired = co_await tls::serve_echo(tls::serving(certificates().expired));
        const auto late = co_await tls::thrown_by<Refused>(tls::connect(port_of(expired)));
        EXPECT_EQ(late.verify_message(), "certificate has expired");
        co_await end(expired);

        auto [reader, writer] = co_await tls::connect(port);
        writer.write("still there\n");
        EXPECT_EQ(co_await reader.readline(), "still there\n");
        co_await end(writer);
        co_await end(server);
    });
    EXPECT_THAT(reports, ElementsAre()) << "nothing that a peer does is the program's error";
}

TEST_F(Tls, AServerMayAskForACertificate) {
    run([]() -> Coroutine<void> {
        const tls::Context asking = tls::serving();
        asking->set_verify_mode(ssl::VerifyMode::CERT_REQUIRED);
        asking->load_verify_locations({.cafile = certificates().authority});
        std::string who;
        Server server = co_await start_server(
            [&who](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                who = writer.get_extra_info<ssl::Certificate>("peercert")->subject.at(0).second;
                co_await echo(reader, writer);
            },
            "127.0.0.1", 0, {.ssl = asking});
        const tls::Context known = tls::trusting();
        known->load_cert_chain(certificates().client);
        auto [reader, writer] = co_await tls::connect(port_of(server), {.ssl = known});
        writer.write("hello\n");
        EXPECT_EQ(co_await reader.readline(), "hello\n");
        EXPECT_EQ(who, "client");
        co_await end(writer);

        // In TLS 1.3 the client hears of it with its first read.
        auto [reader2, writer2] = co_await tls::connect(port_of(server));
        const auto refused = co_await tls::thrown_by<ssl::SSLError>(
            [](StreamReader from) -> Coroutine<void> { co_await from.read(); }(reader2));
        EXPECT_EQ(refused.reason(), "TLSV13_ALERT_CERTIFICATE_REQUIRED");
        static_cast<void>(co_await try_(end(writer2)));
        co_await end(server);
    });
}

TEST_F(Tls, ProtocolsNamesAndSessions) {
    run([]() -> Coroutine<void> {
        const tls::Context server_context = tls::serving();
        server_context->set_alpn_protocols({"h2", "http/1.1"});
        std::optional<std::string> asked;
        server_context->set_sni_callback(
            [&asked](ssl::SSLObject&, const auto& name, ssl::SSLContext&) -> std::optional<int> {
                asked = name;
                return std::nullopt;
            });
        Server server = co_await tls::serve_echo(server_context);
        const tls::Context context = tls::trusting();
        context->set_alpn_protocols({"http/1.1"});
        context->set_session_reuse(10);
        for (const bool again : {false, true}) {
            auto [reader, writer] = co_await tls::connect(port_of(server), {.ssl = context});
            writer.write("x\n");
            co_await reader.readline();
            const auto object =
                writer.get_extra_info<std::shared_ptr<ssl::SSLObject>>("ssl_object").value();
            EXPECT_EQ(object->selected_alpn_protocol(), "http/1.1");
            EXPECT_EQ(object->session_reused(), again);
            co_await end(writer);
        }
        EXPECT_EQ(asked, "localhost");
        co_await end(server);
    });
}

// ---- what is no TLS, or not all of it -----------------------------------------------------

TEST_F(Tls, PlainTextToATlsPort) {
    note_reports();
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        writer.write("GET / HTTP/1.0\r\n\r\n");
        static_cast<void>(co_await try_(reader.read()));
        EXPECT_TRUE(reader.at_eof() || reader.exception());
        static_cast<void>(co_await try_(end(writer)));
        auto [reader2, writer2] = co_await tls::connect(port_of(server));
        writer2.write("well\n");
        EXPECT_EQ(co_await reader2.readline(), "well\n");
        co_await end(writer2);
        co_await end(server);
    });
    EXPECT_THAT(reports, ElementsAre());
}

TEST_F(Tls, TlsToAPlainTextPort) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader, StreamWriter writer) -> Coroutine<void> {
                writer.write("220 ready\r\n");
                co_await end(writer);
            },
            "127.0.0.1", 0);
        const auto error = co_await tls::thrown_by<ssl::SSLError>(tls::connect(port_of(server)));
        EXPECT_EQ(error.reason(), "WRONG_VERSION_NUMBER");
        co_await end(server);
    });
}

TEST_F(Tls, ClosedInTheMiddleOfTheHandshake) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                co_await reader.read(100);
                co_await end(writer);
            },
            "127.0.0.1", 0);
        const auto error = co_await tls::thrown_by<ConnectionError>(tls::connect(port_of(server)));
        EXPECT_EQ(error.number(), ECONNRESET);
        co_await end(server);
    });
}

TEST_F(Tls, AStalledHandshakeEndsInTime) {
    run([]() -> Coroutine<void> {
        Event over;
        Server server = co_await start_server(
            [&over](StreamReader, StreamWriter writer) -> Coroutine<void> {
                co_await over.wait();
                co_await end(writer);
            },
            "127.0.0.1", 0);
        const auto error = co_await tls::thrown_by<ConnectionAbortedError>(
            tls::connect(port_of(server), {.ssl = tls::trusting(), .ssl_handshake_timeout = 50ms}));
        EXPECT_THAT(error.what(), HasSubstr("SSL handshake is taking longer than 0.05 seconds: "
                                            "aborting the connection"));
        over.set();
        co_await end(server);

        // The same on the server's side.
        Server strict = co_await start_server(
            echo, "127.0.0.1", 0, {.ssl = tls::serving(), .ssl_handshake_timeout = 50ms});
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(strict));
        static_cast<void>(co_await try_(reader.read()));
        EXPECT_TRUE(reader.at_eof() || reader.exception());
        static_cast<void>(co_await try_(end(writer)));
        co_await end(strict);
    });
}

TEST_F(Tls, ACancelledHandshakeClosesTheConnection) {
    run([]() -> Coroutine<void> {
        Event closed;
        Server server = co_await start_server(
            [&closed](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                static_cast<void>(co_await try_(reader.read()));
                closed.set();
                static_cast<void>(co_await try_(end(writer)));
            },
            "127.0.0.1", 0);
        auto connecting = create_task(tls::connect(port_of(server)));
        for (int turns = 0; turns < 20; ++turns) co_await sleep(1ms);
        connecting.cancel();
        EXPECT_TRUE((co_await try_(connecting)).cancelled());
        co_await closed.wait();
        co_await end(server);
    });
}

TEST_F(Tls, AByteAtATime) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        tls::ByHand peer(reader, writer, tls::trusting(), {.server_hostname = "localhost"});
        co_await peer.shake_hands();
        co_await peer.send("slowly, slowly\n", 1);
        EXPECT_EQ(co_await peer.receive(), "slowly, slowly\n");
        co_await peer.end();
        co_await end(server);
    });
}

TEST_F(Tls, AnEndWithoutAFarewellIsTheEnd) {
    run([]() -> Coroutine<void> {
        std::optional<std::string> got;
        Server server = co_await start_server(
            [&got](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                got = co_await reader.read();
                writer.write("into the void: TLS has no half-open connections");
                co_await end(writer);
            },
            "127.0.0.1", 0, {.ssl = tls::serving()});
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        tls::ByHand peer(reader, writer, tls::trusting(), {.server_hostname = "localhost"});
        co_await peer.shake_hands();
        co_await peer.send("cut");
        co_await peer.end();
        co_await until([&] { return got.has_value(); });
        EXPECT_EQ(got, "cut");
        co_await end(server);
    });
}

TEST_F(Tls, AFarewellThatNobodyAnswersEndsInTime) {
    run([]() -> Coroutine<void> {
        Event over;
        Server server = co_await start_server(
            [&over](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                tls::ByHand peer(reader, writer, tls::serving(), {.server_side = true});
                co_await peer.shake_hands();
                co_await over.wait();
                static_cast<void>(co_await try_(peer.end()));
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await tls::connect(
            port_of(server), {.ssl = tls::trusting(), .ssl_shutdown_timeout = 50ms});
        writer.close();
        const auto error = co_await tls::thrown_by<TimeoutError>(writer.wait_closed());
        EXPECT_STREQ(error.what(), "SSL shutdown timed out");
        over.set();
        co_await end(server);
    });
}

// The peer sends on after our farewell; that is no error.
TEST_F(Tls, WhatComesAfterTheFarewellIsDropped) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                tls::ByHand peer(reader, writer, tls::serving(), {.server_side = true});
                co_await peer.shake_hands();
                co_await peer.send("first");
                co_await sleep(20ms);  // whether or not it has arrived: both must do
                co_await peer.send(numbered(50'000));
                EXPECT_EQ(co_await peer.receive(), "");
                peer.object->say_farewell();
                co_await peer.flush();
                static_cast<void>(co_await try_(peer.end()));
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await tls::connect(port_of(server));
        EXPECT_EQ(co_await reader.read(5), "first");
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Tls, WritesAfterItsCloseAreDroppedWithAWarning) {
    std::vector<std::string> warnings;
    LogSink before =
        set_log_sink([&](LogLevel, std::string_view text) { warnings.emplace_back(text); });
    run([&]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [reader, writer] = co_await tls::connect(port_of(server));
        writer.close();
        for (int i = 0; i < 5; ++i) writer.write("dropped");
        EXPECT_EQ(warnings, std::vector<std::string>());
        writer.write("dropped");
        EXPECT_EQ(warnings, std::vector<std::string>{"SSL connection is closed"});
        co_await writer.wait_closed();
        co_await end(server);
    });
    set_log_sink(before);
}

TEST_F(Tls, GarbageInAConnectionEndsItWithTheReason) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                tls::ByHand peer(reader, writer, tls::serving(), {.server_side = true});
                co_await peer.shake_hands();
                writer.write("no record at all");
                static_cast<void>(co_await try_(reader.read()));
                static_cast<void>(co_await try_(peer.end()));
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await tls::connect(port_of(server));
        const auto error = co_await tls::thrown_by<ssl::SSLError>(
            [](StreamReader from) -> Coroutine<void> { co_await from.read(); }(reader));
        EXPECT_EQ(error.reason(), "WRONG_VERSION_NUMBER");
        static_cast<void>(co_await try_(end(writer)));
        co_await end(server);
    });
}

// ---- flow control -------------------------------------------------------------------------

TEST_F(Tls, AReaderThatDoesNotReadHoldsTheWriterBack) {
    run([]() -> Coroutine<void> {
        Event read_on;
        std::size_t got = 0;
        Server server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                co_await read_on.wait();
                for (std::string data; !(data = co_await reader.read(65536)).empty();) {
                    got += data.size();
                }
                co_await end(writer);
            },
            "127.0.0.1", 0, {.ssl = tls::serving()});
        auto [reader, writer] = co_await tls::connect(port_of(server));
        const std::string piece = numbered(50'000);
        std::size_t sent = 0;
        auto sending = create_task([&, writer = writer]() -> Coroutine<void> {
            for (; sent < 60'000'000; sent += piece.size()) {
                writer.write(piece);
                co_await writer.drain();
            }
        });
        std::size_t before = 1;
        // Until nothing moves any more.
        for (int still = 0; still < 20; still = sent == before ? still + 1 : 0) {
            before = sent;
            co_await sleep(5ms);
        }
        EXPECT_LT(sent, 60'000'000U) << "the writer was not held back";
        EXPECT_LT(writer.transport()->get_write_buffer_size(), 1'000'000U);
        read_on.set();
        co_await sending;
        co_await end(writer);
        co_await end(server);
        EXPECT_EQ(got, 60'000'000U);
    });
}

TEST_F(Tls, WriteBufferLimits) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [reader, writer] = co_await tls::connect(port_of(server));
        Transport& transport = *writer.transport();
        using Limits = std::pair<std::size_t, std::size_t>;
        EXPECT_EQ(transport.get_write_buffer_limits(), Limits(128 * 1024, 512 * 1024));
        transport.set_write_buffer_limits({.high = 60});
        EXPECT_EQ(transport.get_write_buffer_limits(), Limits(15, 60));
        transport.set_write_buffer_limits();
        EXPECT_EQ(transport.get_write_buffer_limits(), Limits(128 * 1024, 512 * 1024));
        EXPECT_THROW(transport.set_write_buffer_limits({.high = 1, .low = 2}), ValueError);
        co_await end(writer);
        co_await end(server);
    });
}

// ---- start_tls ----------------------------------------------------------------------------

Coroutine<void> talk_after_starttls(StreamReader reader, StreamWriter writer) {
    EXPECT_EQ(co_await reader.readline(), "STARTTLS\n");
    writer.write("go ahead\n");
    co_await writer.start_tls(tls::serving());
    EXPECT_TRUE(writer.get_extra_info<ssl::Cipher>("cipher"));
    co_await echo(reader, writer);
}

TEST_F(Tls, StartsInTheMiddleOfAStream) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(talk_after_starttls, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        writer.write("STARTTLS\n");
        EXPECT_EQ(co_await reader.readline(), "go ahead\n");
        co_await writer.start_tls(tls::trusting(), {.server_hostname = "localhost"});
        writer.write("secret\n");
        EXPECT_EQ(co_await reader.readline(), "secret\n");
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Tls, StartsInsideTls) {
    run([]() -> Coroutine<void> {
        Server server =
            co_await start_server(talk_after_starttls, "127.0.0.1", 0, {.ssl = tls::serving()});
        auto [reader, writer] = co_await tls::connect(port_of(server));
        writer.write("STARTTLS\n");
        EXPECT_EQ(co_await reader.readline(), "go ahead\n");
        co_await writer.start_tls(tls::trusting(), {.server_hostname = "localhost"});
        const std::string much = numbered(300'000) + "\n";
        writer.write(much);
        EXPECT_TRUE(co_await reader.readexactly(static_cast<std::ptrdiff_t>(much.size())) == much);
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Tls, AStartThatFailsClosesTheConnection) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                static_cast<void>(co_await try_(writer.start_tls(tls::serving())));
                static_cast<void>(co_await try_(end(writer)));
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        co_await tls::thrown_by<TypeError>(writer.start_tls(nullptr));
        co_await tls::thrown_by<ValueError>(
            writer.start_tls(tls::trusting(), {.ssl_handshake_timeout = 0s}));
        co_await tls::thrown_by<ssl::SSLCertVerificationError>(
            writer.start_tls(tls::trusting(), {.server_hostname = "other.example"}));
        EXPECT_TRUE(writer.is_closing());
        static_cast<void>(co_await try_(writer.wait_closed()));
        co_await end(server);
    });
}

TEST_F(Tls, OnlyConnectionsCarryTls) {
    run([this]() -> Coroutine<void> {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        auto [transport, protocol] =
            co_await loop.connect_write_pipe([] { return std::make_shared<Recorder>(); }, ends[1]);
        const auto error = co_await tls::thrown_by<TypeError>(
            loop.start_tls(transport, protocol, tls::trusting(), {.server_hostname = "x"}));
        EXPECT_THAT(error.what(), HasSubstr("is not supported by start_tls()"));
        transport->close();
        co_await protocol->done;
        ::close(ends[0]);
    });
}

// ---- transports and protocols -------------------------------------------------------------

TEST_F(Tls, ProtocolsHearOfEachThingOnce) {
    run([this]() -> Coroutine<void> {
        std::shared_ptr<Recorder> served;
        Server server =
            co_await loop.create_server([&] { return served = std::make_shared<Recorder>(); },
                                        "127.0.0.1", 0, {.ssl = tls::serving()});
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Recorder>(); }, "localhost", port_of(server),
            {.ssl = tls::trusting(), .family = AF_INET});
        EXPECT_EQ(transport->get_protocol(), protocol);
        EXPECT_TRUE(transport->is_reading());
        transport->write("hello");
        co_await until([&] { return served->received == "hello"; });
        transport->close();
        transport->close();
        EXPECT_TRUE(transport->is_closing());
        transport->write("dropped");
        co_await protocol->done;
        co_await served->done;
        EXPECT_THAT(protocol->events, ElementsAre("made", "eof", "lost"));
        EXPECT_THAT(served->events, ElementsAre("made", "eof", "lost"));
        EXPECT_EQ(served->received, "hello");
        EXPECT_EQ(transport->get_protocol(), nullptr);
        co_await end(server);
    });
}

TEST_F(Tls, PausedReadingDeliversNothing) {
    run([this]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Recorder>(); }, "localhost", port_of(server),
            {.ssl = tls::trusting(), .family = AF_INET});
        transport->pause_reading();
        EXPECT_FALSE(transport->is_reading());
        const auto secure = std::dynamic_pointer_cast<SSLTransport>(transport);
        using Limits = std::pair<std::size_t, std::size_t>;
        EXPECT_EQ(secure->get_read_buffer_limits(), Limits(64 * 1024, 256 * 1024));
        secure->set_read_buffer_limits({.high = 50'000});
        EXPECT_EQ(secure->get_read_buffer_limits(), Limits(12'500, 50'000));
        EXPECT_THROW(secure->set_read_buffer_limits({.low = -1}), ValueError);
        transport->write(numbered(1'000'000));
        co_await until([&] { return secure->get_read_buffer_size() >= 50'000; });
        for (int i = 0; i < 20; ++i) co_await sleep(1ms);
        // One read of the connection below may go beyond it, not more.
        EXPECT_LT(secure->get_read_buffer_size(), 400'000U);
        EXPECT_EQ(protocol->received, "");
        transport->resume_reading();
        co_await until([&] { return protocol->received.size() == 1'000'000; });
        EXPECT_TRUE(protocol->received == numbered(1'000'000));
        EXPECT_EQ(secure->get_read_buffer_size(), 0U);
        transport->abort();
        co_await protocol->done;
        EXPECT_THAT(protocol->events, Contains("lost"));
        co_await end(server);
    });
}

// Takes a few bytes at a time, and pauses now and then.
class Sips : public BufferedProtocol {
  public:
    void connection_made(std::shared_ptr<Transport> made) override {
        ++times_made;
        transport = std::move(made);
    }
    void connection_lost(std::exception_ptr) override { done.set_result(); }
    std::span<std::byte> get_buffer(std::size_t) override { return memory; }
    void buffer_updated(std::size_t count) override {
        received.append(reinterpret_cast<const char*>(memory.data()), count);
        if (++updates % 50 != 0) return;
        transport->pause_reading();
        get_running_loop().call_soon([this] { transport->resume_reading(); });
    }
    std::shared_ptr<Transport> transport;
    std::string received;
    int times_made = 0;
    int updates = 0;
    std::array<std::byte, 700> memory{};
    Future<void> done;
};

TEST_F(Tls, ReceiversWithMemoryOfTheirOwn) {
    run([this]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Sips>(); }, "localhost", port_of(server),
            {.ssl = tls::trusting(), .family = AF_INET});
        const std::string sent = numbered(200'000);
        transport->write(sent);
        co_await until([&] { return protocol->received.size() == sent.size(); });
        EXPECT_TRUE(protocol->received == sent);
        transport->close();
        co_await protocol->done;
        protocol->transport.reset();
        co_await end(server);
    });
}

// test_start_tls_client_buf_proto_1
TEST_F(Tls, StartsUnderAProtocolThatIsExchangedForOneOfTheOtherKind) {
    run([this]() -> Coroutine<void> {
        Server server = co_await start_server(talk_after_starttls, "127.0.0.1", 0);
        auto [plain, first] = co_await loop.create_connection(
            [] { return std::make_shared<Sips>(); }, "127.0.0.1", port_of(server));
        plain->write("STARTTLS\n");
        auto* const sips = first.get();
        co_await until([=] { return sips->received == "go ahead\n"; });
        const auto secure = co_await loop.start_tls(plain, first, tls::trusting(),
                                                    {.server_hostname = "localhost"});
        EXPECT_EQ(secure->get_protocol(), first);
        secure->write("one\n");
        co_await until([=] { return sips->received == "go ahead\none\n"; });
        const auto second = std::make_shared<Recorder>();
        secure->set_protocol(second);
        secure->write("two\n");
        co_await until([&] { return second->received == "two\n"; });
        secure->close();
        co_await second->done;
        EXPECT_EQ(first->times_made, 1);
        EXPECT_THAT(second->events, ElementsAre("eof", "lost"));
        first->transport.reset();
        co_await end(server);
    });
}

TEST_F(Tls, WhatAProtocolThrowsEndsItsConnection) {
    note_reports();
    run([this]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Recorder>(); }, "localhost", port_of(server),
            {.ssl = tls::trusting(), .family = AF_INET});
        protocol->on_data = [](std::string_view) { throw LookupError("no idea"); };
        transport->write("x");
        co_await protocol->done;
        EXPECT_THAT(protocol->events, ElementsAre("made", "lost LookupError"));
        co_await end(server);
    });
    EXPECT_THAT(reports, ElementsAre("Fatal error on SSL protocol"));
}

TEST_F(Tls, ServersCloseAndAbortTheirClients) {
    run([]() -> Coroutine<void> {
        for (const bool abort : {false, true}) {
            Server server = co_await tls::serve_echo();
            auto [reader, writer] = co_await tls::connect(port_of(server));
            writer.write("x\n");
            co_await reader.readline();
            server.close();
            abort ? server.abort_clients() : server.close_clients();
            co_await server.wait_closed();
            static_cast<void>(co_await try_(reader.read()));
            static_cast<void>(co_await try_(end(writer)));
        }
    });
}

TEST_F(Tls, ALoopThatClosesTakesItsConnectionsAlong) {
    std::optional<StreamPair> kept;
    run([&kept]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        kept = co_await tls::connect(port_of(server));
        kept->second.write(numbered(1'000'000));
    });
    note_reports();
    loop.close();
    EXPECT_TRUE(kept->second.is_closing());
    // The handlers of the server.
    EXPECT_THAT(reports, ::testing::Each("Task was destroyed but it is pending!"));
}

// ---- options ------------------------------------------------------------------------------

TEST_F(Tls, OptionsThatMakeNoSense) {
    run([]() -> Coroutine<void> {
        co_await tls::thrown_by<ValueError>(
            open_connection("localhost", 1, {.ssl_handshake_timeout = 1s}));
        co_await tls::thrown_by<ValueError>(
            open_connection("localhost", 1, {.ssl_shutdown_timeout = 1s}));
        co_await tls::thrown_by<ValueError>(
            open_connection("localhost", 1, {.server_hostname = "x"}));
        co_await tls::thrown_by<ValueError>(open_connection(
            "localhost", 1, {.ssl = tls::trusting(), .ssl_handshake_timeout = -1s}));
        co_await tls::thrown_by<ValueError>(
            open_connection("localhost", 1, {.ssl = tls::trusting(), .ssl_shutdown_timeout = 0s}));
        co_await tls::thrown_by<ValueError>(
            start_server(echo, "127.0.0.1", 0, {.ssl_handshake_timeout = 1s}));
        co_await tls::thrown_by<ValueError>(
            open_unix_connection("a path", {.ssl = tls::trusting()}));
        auto [accepted, client] = socketpair();
        co_await tls::thrown_by<ValueError>(get_running_loop().connect_accepted_socket(
            [] { return std::make_shared<Recorder>(); }, std::move(accepted),
            {.ssl_handshake_timeout = 1s}));
        auto [one, other] = socketpair();
        co_await tls::thrown_by<ValueError>(
            open_connection({.ssl = tls::trusting(), .sock = std::move(one)}));
        // A context for servers, and one that checks names where there is none.
        Server server = co_await tls::serve_echo();
        co_await tls::thrown_by<ValueError>(tls::connect(port_of(server), {.ssl = tls::serving()}));
        co_await tls::thrown_by<ValueError>(
            tls::connect(port_of(server), {.ssl = tls::trusting(), .server_hostname = ""}));
        co_await end(server);
    });
}

// ---- threads ------------------------------------------------------------------------------

TEST_F(Tls, LoopsOfSeveralThreadsShareAContext) {
    const tls::Context server_context = tls::serving();
    const tls::Context client_context = tls::trusting();
    client_context->set_session_reuse(4);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            asyncio::run([&]() -> Coroutine<void> {
                Server server = co_await tls::serve_echo(server_context);
                for (int k = 0; k < 5; ++k) {
                    auto [reader, writer] =
                        co_await tls::connect(port_of(server), {.ssl = client_context});
                    writer.write("hello\n");
                    EXPECT_EQ(co_await reader.readline(), "hello\n");
                    co_await end(writer);
                }
                co_await end(server);
            });
        });
    }
    for (std::thread& thread : threads) thread.join();
}

// What one of both sides wrote goes out, though the other has ended already: by a farewell, or
// without.
TEST_F(Tls, WhatWasWrittenGoesOutThoughThePeerHasEnded) {
    run([]() -> Coroutine<void> {
        for (const bool farewell : {true, false}) {
            Event written;
            std::size_t much = 0;
            std::size_t got = 0;
            Server server = co_await start_server(
                [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                    tls::ByHand peer(reader, writer, tls::serving(), {.server_side = true});
                    co_await peer.shake_hands();
                    co_await written.wait();
                    if (farewell) {
                        peer.object->say_farewell();
                        co_await peer.flush();
                    } else {
                        writer.write_eof();
                    }
                    for (std::string part; !(part = co_await peer.receive()).empty();) {
                        got += part.size();
                    }
                    static_cast<void>(co_await try_(peer.end()));
                },
                "127.0.0.1", 0);
            auto [reader, writer] = co_await tls::connect(port_of(server));
            while (writer.transport()->get_write_buffer_size() == 0) {
                writer.write(numbered(4'000'000));
                much += 4'000'000;
            }
            written.set();
            EXPECT_EQ(co_await reader.read(), "");
            static_cast<void>(co_await try_(end(writer)));
            co_await end(server);
            EXPECT_EQ(got, much) << (farewell ? "farewell" : "end of file");
        }
    });
}

// test_shutdown_timeout_handler_not_set
TEST_F(Tls, WhatCameBeforeTheEndIsReadAfterAPause) {
    run([this]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                tls::ByHand peer(reader, writer, tls::serving(), {.server_side = true});
                co_await peer.shake_hands();
                co_await peer.send("hello");
                EXPECT_EQ(co_await peer.receive(), "world");
                co_await peer.send("extra bytes");
                writer.write_eof();
                EXPECT_EQ(co_await peer.receive(), "");
                static_cast<void>(co_await try_(peer.end()));
            },
            "127.0.0.1", 0);
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Recorder>(); }, "127.0.0.1", port_of(server),
            {.ssl = tls::trusting(), .server_hostname = "localhost"});
        auto* const connection = transport.get();
        protocol->on_data = [=](std::string_view data) {
            if (data != "hello") return;
            connection->write("world");
            connection->pause_reading();
        };
        co_await until([=] { return connection->is_closing(); });
        EXPECT_EQ(protocol->received, "hello");
        connection->resume_reading();
        co_await protocol->done;
        EXPECT_EQ(protocol->received, "helloextra bytes");
        EXPECT_THAT(protocol->events, ElementsAre("made", "eof", "lost"));
        co_await end(server);
    });
}

// test_create_connection_memory_leak, test_handshake_timeout_handler_leak,
// test_shutdown_timeout_handler_leak
TEST_F(Tls, NothingKeepsAContextThatIsNotUsedAnyMore) {
    std::vector<std::weak_ptr<ssl::SSLContext>> contexts;
    run([&]() -> Coroutine<void> {
        const auto client = [&] {
            tls::Context context = tls::trusting();
            contexts.push_back(context);
            return context;
        };
        Server silent = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                static_cast<void>(co_await try_(reader.read()));
                static_cast<void>(co_await try_(end(writer)));
            },
            "127.0.0.1", 0);
        co_await tls::thrown_by<TimeoutError>(
            wait_for(tls::connect(port_of(silent), {.ssl = client()}), 20ms));
        co_await end(silent);

        Server server = co_await tls::serve_echo();
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Recorder>(); }, "localhost", port_of(server),
            {.ssl = client(), .family = AF_INET});
        transport->close();
        co_await protocol->done;
        co_await tls::thrown_by<ssl::SSLCertVerificationError>(
            tls::connect(port_of(server), {.ssl = client(), .server_hostname = "other.example"}));
        co_await end(server);
    });
    EXPECT_EQ(contexts.size(), 3U);
    for (const auto& context : contexts) EXPECT_TRUE(context.expired());
}

// Nothing goes out any more, and is_closing() says so before the rest is read.
TEST_F(Tls, AnEndWhileReadingIsPausedIsAnEnd) {
    run([this]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader, StreamWriter writer) -> Coroutine<void> {
                writer.write("farewell");
                writer.transport()->abort();
                static_cast<void>(co_await try_(writer.wait_closed()));
            },
            "127.0.0.1", 0, {.ssl = tls::serving()});
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Recorder>(); }, "127.0.0.1", port_of(server),
            {.ssl = tls::trusting(), .server_hostname = "localhost"});
        transport->pause_reading();
        auto* const connection = transport.get();
        co_await until([=] { return connection->is_closing(); });
        transport->resume_reading();
        co_await protocol->done;
        EXPECT_EQ(protocol->events.back(), "lost");
        co_await end(server);
    });
}

}  // namespace
