// Operations of TLS connections cancelled at every place: the connection closes or goes on in
// order, its peer hears of it, and no descriptor is left.
#include <support/tls_fixture.hpp>

#include <sys/mman.h>

#include <asyncio/testing.hpp>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;

class CancelTls : public ConnectionTest {
  protected:
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
    // Of handlers whose clients were gone.
    void expect_lost_clients_only() {
        for (const std::string& report : take_reports()) {
            EXPECT_EQ(report, "Unhandled exception in client_connected_cb");
        }
    }
};

TEST_F(CancelTls, AConversation) {
    std::optional<Server> server;
    run([&]() -> Coroutine<void> { server = co_await tls::serve_echo(); });
    everywhere([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await tls::connect(port_of(*server));
        writer.write("a line\n");
        co_await writer.drain();
        EXPECT_EQ(co_await reader.readline(), "a line\n");
        const std::string much = numbered(200'000);
        writer.write(much);
        EXPECT_TRUE(co_await reader.readexactly(200'000) == much);
        co_await end(writer);
    });
    // It serves others as before.
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await tls::connect(port_of(*server));
        writer.write("still there\n");
        EXPECT_EQ(co_await reader.readline(), "still there\n");
        co_await end(writer);
        co_await end(*server);
    });
    expect_lost_clients_only();
}

TEST_F(CancelTls, TheClientsUpgrade) {
    std::optional<Server> server;
    run([&]() -> Coroutine<void> {
        server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                const auto asked = co_await try_(reader.readline());
                if (!asked || asked.value() != "upgrade\n") co_return;
                writer.write("go\n");
                static_cast<void>(co_await try_(writer.start_tls(tls::serving())));
                static_cast<void>(co_await try_(echo(reader, writer)));
            },
            "127.0.0.1", 0);
    });
    everywhere([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(*server));
        writer.write("upgrade\n");
        EXPECT_EQ(co_await reader.readline(), "go\n");
        co_await writer.start_tls(tls::trusting(), {.server_hostname = "localhost"});
        writer.write("secret\n");
        EXPECT_EQ(co_await reader.readline(), "secret\n");
        co_await end(writer);
    });
    run([&]() -> Coroutine<void> { co_await end(*server); });
    expect_lost_clients_only();
}

TEST_F(CancelTls, TheServersUpgrade) {
    const tls::Context serving = tls::serving();
    const tls::Context trusting = tls::trusting();
    Task<void> talking;
    everywhere(
        [&]() -> Coroutine<void> {
            auto [ours, theirs] = socketpair();
            talking = loop.create_task(
                [](Socket socket, tls::Context context) -> Coroutine<void> {
                    auto [reader, writer] = co_await open_connection({.sock = std::move(socket)});
                    const auto upgraded =
                        co_await try_(writer.start_tls(context, {.server_hostname = "localhost"}));
                    if (upgraded) static_cast<void>(co_await try_(reader.read()));
                    static_cast<void>(co_await try_(end(writer)));
                },
                std::move(theirs), trusting);
            auto [plain, protocol] = co_await loop.connect_accepted_socket(
                [] { return std::make_shared<Recorder>(); }, std::move(ours));
            const struct Abort {
                std::shared_ptr<Transport> transport;
                ~Abort() { transport->abort(); }
            } abort{plain};
            const auto encrypted =
                co_await loop.start_tls(plain, protocol, serving, {.server_side = true});
            encrypted->close();
            co_await protocol->done;
        },
        [&] {
            if (talking) loop.run_until_complete(std::exchange(talking, {}));
        });
}

TEST_F(CancelTls, AFile) {
    const std::string data = numbered(300'000);
    const int file = ::memfd_create("file", MFD_CLOEXEC);
    ASSERT_EQ(::write(file, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    std::optional<Server> server;
    std::string received;
    bool ended = false;
    run([&]() -> Coroutine<void> {
        server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                received = (co_await try_(reader.read())).value();
                ended = true;
                co_await end(writer);
            },
            "127.0.0.1", 0, {.ssl = tls::serving()});
    });
    std::optional<StreamPair> stream;
    everywhere(
        [&]() -> Coroutine<void> {
            ended = false;
            ::lseek(file, 0, SEEK_SET);
            stream = co_await tls::connect(port_of(*server));
            co_await loop.sendfile(stream->second.transport(), file);
        },
        [&] {
            run([&]() -> Coroutine<void> {
                if (!stream) co_return;
                const auto sent = static_cast<std::size_t>(::lseek(file, 0, SEEK_CUR));
                stream->second.write("behind");
                co_await end(stream->second);
                co_await until([&] { return ended; });
                EXPECT_TRUE(received == data.substr(0, sent) + "behind") << received.size();
            });
            stream.reset();
        });
    run([&]() -> Coroutine<void> { co_await end(*server); });
    ::close(file);
    expect_lost_clients_only();
}

}  // namespace
