// start_tls() where it is delicate: what came before it, and a peer that is gone already.
#include <support/tls_fixture.hpp>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;

class TlsUpgrade : public ConnectionTest {
  protected:
    // Upgrades when it is asked to, and echoes one line.
    Coroutine<Server> serve() {
        return start_server(
            [this](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                EXPECT_EQ(co_await reader.readline(), "upgrade\n");
                const auto upgraded = co_await try_(writer.start_tls(tls::serving()));
                error = upgraded.exception();
                if (upgraded) writer.write(co_await reader.readline());
                static_cast<void>(co_await try_(end(writer)));
                served = true;
            },
            "127.0.0.1", 0);
    }

    bool served = false;
    std::exception_ptr error;
};

// gh-142352: the client does not wait for an answer.
TEST_F(TlsUpgrade, TheHandshakeMayComeWithTheRequest) {
    run([this]() -> Coroutine<void> {
        Server server = co_await serve();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        const auto incoming = std::make_shared<ssl::MemoryBIO>();
        const auto outgoing = std::make_shared<ssl::MemoryBIO>();
        const auto client =
            tls::trusting()->wrap_bio(incoming, outgoing, {.server_hostname = "localhost"});
        EXPECT_EQ(client->try_handshake(), ssl::SSLObject::blocked);
        writer.write("upgrade\n" + outgoing->read());
        while (client->try_handshake() == ssl::SSLObject::blocked) {
            incoming->write(co_await reader.read(65536));
        }
        client->write("secret\n");
        writer.write(outgoing->read());
        std::string answer(100, '\0');
        std::ptrdiff_t size = 0;
        while ((size = client->try_read(answer)) == ssl::SSLObject::blocked) {
            incoming->write(co_await reader.read(65536));
        }
        answer.resize(static_cast<std::size_t>(std::max<std::ptrdiff_t>(size, 0)));
        EXPECT_EQ(answer, "secret\n");
        client->say_farewell();
        writer.write(outgoing->read());
        co_await end(writer);
        co_await until([&] { return served; });
        EXPECT_FALSE(error);
        co_await end(server);
    });
}

// Somebody in between adds a command to what is not encrypted yet.
TEST_F(TlsUpgrade, WhatCameInPlainTextIsNeverReadAsEncrypted) {
    run([this]() -> Coroutine<void> {
        Server server = co_await serve();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        writer.write("upgrade\nevil\n");
        const auto upgraded =
            co_await try_(writer.start_tls(tls::trusting(), {.server_hostname = "localhost"}));
        EXPECT_TRUE(holds_exception<OSError>(upgraded.exception()));
        static_cast<void>(co_await try_(end(writer)));
        co_await until([&] { return served; });
        EXPECT_TRUE(holds_exception<ssl::SSLError>(error)) << describe_exception(error);
        co_await end(server);
    });
}

// The reader has heard of it; the handshake would wait until its time is up.
TEST_F(TlsUpgrade, APeerThatHasEndedBeforeFailsIt) {
    run([this]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        auto [reader, writer] = co_await open_connection({.sock = std::move(ours)});
        co_await loop.sock_sendall(theirs, "bye\n");
        theirs.close();
        EXPECT_EQ(co_await reader.readline(), "bye\n");
        co_await until([&reader = reader] { return reader.at_eof(); });
        const auto upgraded =
            co_await try_(writer.start_tls(tls::trusting(), {.server_hostname = "localhost"}));
        EXPECT_TRUE(holds_exception<ConnectionError>(upgraded.exception()))
            << describe_exception(upgraded.exception());
        static_cast<void>(co_await try_(end(writer)));
    });
}

// A protocol that was connected hears of the end once, also when that comes in the handshake.
TEST_F(TlsUpgrade, CancelledItEndsTheConnectionForItsProtocolToo) {
    run([this]() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        auto [transport, protocol] = co_await loop.connect_accepted_socket(
            [] { return std::make_shared<Recorder>(); }, std::move(ours));
        auto upgrading =
            create_task(loop.start_tls(transport, protocol, tls::serving(), {.server_side = true}));
        for (int i = 0; i < 5; ++i) co_await sleep(0);
        upgrading.cancel();
        EXPECT_TRUE((co_await try_(upgrading)).cancelled());
        co_await protocol->done;
        EXPECT_EQ(protocol->events, (std::vector<std::string>{"made", "lost"}));
        EXPECT_EQ(co_await loop.sock_recv(theirs, 10), "");
    });
}

}  // namespace
