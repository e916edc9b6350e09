// Streams, protocols and datagrams against programs that others wrote: nc, socat, curl, nginx,
// and Python's own asyncio, as clients and as servers.
#include <support/peers.hpp>

namespace {

using namespace asyncio;
using namespace peers;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Peers : public ConnectionTest {};

std::string text_of(int port) {
    return std::to_string(port);
}

// ---- nc ------------------------------------------------------------------------------------

TEST_F(Peers, NetcatSendsHalfClosesAndGetsItAllBack) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const std::string sent = numbered(3'000'000);
        const Ended nc =
            co_await run_client({"nc", "-N", "127.0.0.1", text_of(port_of(server))}, sent);
        EXPECT_TRUE(nc.output == sent) << nc.output.size() << nc.errors;
        EXPECT_EQ(nc.returncode, 0);
        co_await end(server);
    });
}

TEST_F(Peers, NetcatListens) {
    const int port = free_port();
    Program nc({"nc", "-l", "-v", "-N", "127.0.0.1", text_of(port)});
    ASSERT_TRUE(nc.says("Listening")) << nc.said();
    nc.write("from nc\n");
    nc.close_input();  // then nc shuts its side down, and still receives
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        EXPECT_EQ(co_await reader.read(), "from nc\n");
        EXPECT_TRUE(reader.at_eof());
        writer.write("to nc\n");
        co_await end(writer);
    });
    EXPECT_EQ(nc.wait(), 0);
    EXPECT_THAT(nc.said(), HasSubstr("to nc\n"));
}

TEST_F(Peers, NetcatOverAUnixSocket) {
    run([]() -> Coroutine<void> {
        const Folder folder;
        Server server = co_await start_unix_server(echo, folder / "sock");
        const Ended nc = co_await run_client({"nc", "-N", "-U", folder / "sock"}, "by path\n");
        EXPECT_EQ(nc.output, "by path\n") << nc.errors;
        co_await end(server);
    });
}

// ---- socat ---------------------------------------------------------------------------------

TEST_F(Peers, SocatRunsAProgramForUs) {
    const int port = free_port();
    Program socat({"socat", "-d", "-d", "TCP-LISTEN:" + text_of(port) + ",bind=127.0.0.1",
                   "SYSTEM:tr a-z A-Z"});
    ASSERT_TRUE(socat.says("listening on")) << socat.said();
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        std::string sent;
        for (int i = 0; i < 200'000; ++i) sent += "line\n";
        writer.write(sent);
        writer.write_eof();  // tr ends, and its last output comes
        std::string got = co_await reader.read();
        EXPECT_EQ(got.size(), sent.size());
        EXPECT_EQ(got.substr(0, 10), "LINE\nLINE\n");
        co_await end(writer);
    });
}

TEST_F(Peers, SocatOverAUnixSocketBothWays) {
    const Folder folder;
    Program socat({"socat", "-d", "-d", "UNIX-LISTEN:" + (folder / "theirs"), "EXEC:cat"});
    ASSERT_TRUE(socat.says("listening on")) << socat.said();
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_unix_connection(folder / "theirs");
        const std::string sent = numbered(2'000'000);
        writer.write(sent);
        writer.write_eof();
        EXPECT_TRUE(co_await reader.read() == sent);
        co_await end(writer);

        Server server = co_await start_unix_server(echo, folder / "ours");
        const Ended client =
            co_await run_client({"socat", "-", "UNIX-CONNECT:" + (folder / "ours")}, "hello\n");
        EXPECT_EQ(client.output, "hello\n") << client.errors;
        co_await end(server);
    });
}

class Messages : public DatagramProtocol {
  public:
    void connection_made(std::shared_ptr<DatagramTransport> made) override { transport = made; }
    void datagram_received(std::string_view data, const SocketAddress& from) override {
        received.emplace_back(data);
        if (echoes) transport->sendto("echo " + std::string(data), from);
    }
    void connection_lost(std::exception_ptr) override { transport.reset(); }
    std::shared_ptr<DatagramTransport> transport;
    std::vector<std::string> received;
    bool echoes = false;
};

TEST_F(Peers, SocatTalksByDatagrams) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.create_datagram_endpoint(
            [] { return std::make_shared<Messages>(); }, {.local_addr = HostPort("127.0.0.1", 0)});
        protocol->echoes = true;
        const int port = transport->get_extra_info<SocketAddress>("sockname")->port();
        const Ended socat = co_await run_client(
            {"socat", "-t", "2", "-", "UDP:127.0.0.1:" + text_of(port)}, "ping");
        EXPECT_EQ(socat.output, "echo ping") << socat.errors;
        EXPECT_EQ(protocol->received, std::vector<std::string>{"ping"});
        transport->close();
    });
}

// ---- curl, nginx ---------------------------------------------------------------------------

TEST_F(Peers, CurlAsksTwiceOnOneConnectionAndUploads) {
    run([]() -> Coroutine<void> {
        int connections = 0;
        Server server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) {
                ++connections;
                return serve_http(reader, writer, [](std::string target, std::string body) {
                    return target + " " + text_of(static_cast<int>(body.size())) + "\n" +
                           (body == numbered(body.size()) ? "as sent\n" : "changed\n");
                });
            },
            "127.0.0.1", 0);
        const std::string url = "http://127.0.0.1:" + text_of(port_of(server));
        const Ended twice = co_await run_client({"curl", "-sS", url + "/one", url + "/two"});
        EXPECT_EQ(twice.output, "/one 0\nas sent\n/two 0\nas sent\n") << twice.errors;
        EXPECT_EQ(connections, 1);
        const Ended upload = co_await run_client(
            {"curl", "-sS", "--data-binary", "@-", url + "/up"}, numbered(20'000'000));
        EXPECT_EQ(upload.output, "/up 20000000\nas sent\n") << upload.errors;
        co_await end(server);
    });
}

TEST_F(Peers, ManyDownloadsFromNginxAtOnce) {
    if (!installed("nginx")) GTEST_SKIP() << "there is no nginx; ./test --all installs it";
    const int port = free_port();
    Nginx nginx("listen 127.0.0.1:" + text_of(port) + ";");
    const std::string content = numbered(1'000'000);
    nginx.folder().write("file", content);
    run([&]() -> Coroutine<void> {
        co_await listening(port);
        const auto download = [&]() -> Coroutine<std::string> {
            auto [reader, writer] = co_await open_connection("127.0.0.1", port);
            writer.write("GET /file HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
            std::string answer = co_await reader.read();
            co_await end(writer);
            co_return body_of(answer);
        };
        std::vector<Coroutine<std::string>> downloads;
        for (int i = 0; i < 40; ++i) downloads.push_back(download());
        for (const std::string& body : co_await gather(std::move(downloads))) {
            EXPECT_TRUE(body == content) << body.size();
        }
    });
}

TEST_F(Peers, NginxBetweenCurlAndUs) {
    if (!installed("nginx")) GTEST_SKIP() << "there is no nginx; ./test --all installs it";
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) {
                return serve_http(reader, writer, [](std::string target, std::string body) {
                    return target + body;
                });
            },
            "127.0.0.1", 0);
        const int port = free_port();
        Nginx nginx("listen 127.0.0.1:" + text_of(port) +
                    "; location / { proxy_http_version 1.1; proxy_pass http://127.0.0.1:" +
                    text_of(port_of(server)) + "; }");
        co_await listening(port);
        const std::string body = numbered(2'000'000);
        const Ended curl = co_await run_client(
            {"curl", "-sS", "--data-binary", "@-", "http://127.0.0.1:" + text_of(port) + "/via"},
            body);
        EXPECT_TRUE(curl.output == "/via" + body) << curl.output.size() << curl.errors;
        co_await end(server);
    });
}

// ---- Python's asyncio ----------------------------------------------------------------------

TEST_F(Peers, PythonServesLines) {
    PythonServer python(serving(R"(
async def serve(reader, writer):
    async for line in reader:
        writer.write(line[:-1][::-1] + b"\n")
        await writer.drain()
    writer.write(b"bye")  # after our half close
    writer.close()
)"));
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", python.port());
        for (int i = 1000; i < 1100; ++i) {
            std::string word = text_of(i);
            writer.write(word + "\n");
            std::reverse(word.begin(), word.end());
            EXPECT_EQ(co_await reader.readline(), word + "\n");
        }
        writer.write_eof();
        EXPECT_EQ(co_await reader.read(), "bye");
        co_await end(writer);
    });
}

TEST_F(Peers, PythonAborts) {
    PythonServer python(serving(R"(
async def serve(reader, writer):
    await reader.readline()
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
)"));
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", python.port());
        writer.write("go\n");
        const auto got = co_await try_(reader.read());
        EXPECT_TRUE(holds_exception<ConnectionResetError>(got.exception()));
        const auto drained = co_await try_(writer.drain());
        EXPECT_TRUE(holds_exception<ConnectionResetError>(drained.exception()));
        writer.close();
        const auto closed = co_await try_(writer.wait_closed());
        EXPECT_TRUE(holds_exception<ConnectionResetError>(closed.exception()));
    });
}

TEST_F(Peers, PythonSeesOurAbortAsAReset) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                co_await reader.readline();
                const linger at_once{.l_onoff = 1, .l_linger = 0};
                const auto sock = writer.get_extra_info<TransportSocket>("socket");
                setsockopt(sock->fileno(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
                writer.transport()->abort();
            },
            "127.0.0.1", 0);
        const Ended client = co_await run_client(python(R"(
async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    writer.write(b"go\n")
    try:
        print(await reader.read())
    except ConnectionResetError as error:
        print("reset")
    writer.close()
asyncio.run(main())
)",
                                                        {text_of(port_of(server))}));
        EXPECT_EQ(client.output, "reset\n") << client.errors;
        co_await end(server);
    });
}

TEST_F(Peers, PythonIsOurClientWithSmallPiecesAndAHalfClose) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                const std::string all = co_await reader.read();
                writer.write(text_of(static_cast<int>(all.size())) + "\n");
                writer.write(all);
                co_await end(writer);
            },
            "127.0.0.1", 0);
        const Ended client = co_await run_client(python(R"(
async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    for i in range(2000):
        writer.write(b"%d," % i)
        await writer.drain()
        if i % 100 == 0:
            await asyncio.sleep(0)
    writer.write_eof()
    size = int(await reader.readline())
    data = await reader.readexactly(size)
    assert data == b"".join(b"%d," % i for i in range(2000)), data
    assert await reader.read() == b""
    print("equal", size)
    writer.close()
asyncio.run(main())
)",
                                                        {text_of(port_of(server))}));
        EXPECT_EQ(client.output, "equal 8890\n") << client.errors;
        co_await end(server);
    });
}

TEST_F(Peers, PythonReadsSlowlyAndWeHoldBack) {
    PythonServer python(serving(R"(
async def serve(reader, writer):
    total = 0
    while data := await reader.read(65536):
        total += len(data)
        await asyncio.sleep(0)
    writer.write(b"%d" % total)
    writer.close()
)"));
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", python.port());
        const std::string piece = numbered(50'000);
        std::size_t most = 0;
        for (int i = 0; i < 1000; ++i) {
            writer.write(piece);
            most = std::max(most, writer.transport()->get_write_buffer_size());
            co_await writer.drain();
        }
        writer.write_eof();
        EXPECT_EQ(co_await reader.read(), "50000000");
        EXPECT_LE(most, 64 * 1024 + piece.size());
        co_await end(writer);
    });
}

TEST_F(Peers, PythonByDatagrams) {
    PythonServer python(R"(
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, address):
        self.transport.sendto(b"[" + data.upper() + b"]", address)
async def main():
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Echo, local_addr=("127.0.0.1", 0))
    print("port", transport.get_extra_info("sockname")[1])
    await asyncio.sleep(3600)
asyncio.run(main())
)");
    run([&, this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.create_datagram_endpoint(
            [] { return std::make_shared<Messages>(); },
            {.remote_addr = HostPort("127.0.0.1", python.port())});
        transport->sendto("");
        transport->sendto("one");
        transport->sendto(std::string(60'000, 'x'));
        auto* messages = protocol.get();
        co_await until([=] { return messages->received.size() == 3; });
        EXPECT_EQ(messages->received,
                  (std::vector<std::string>{"[]", "[ONE]", "[" + std::string(60'000, 'X') + "]"}));
        transport->close();
    });
}

TEST_F(Peers, PythonOverUnixSockets) {
    const Folder folder;
    PythonServer python(R"(
async def serve(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_unix_server(serve, sys.argv[1])
    print("port 1")
    await server.serve_forever()
asyncio.run(main())
)",
                        {folder / "theirs"});
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_unix_connection(folder / "theirs");
        const std::string sent = numbered(1'000'000);
        writer.write(sent);
        writer.write_eof();
        EXPECT_TRUE(co_await reader.read() == sent);
        co_await end(writer);

        Server server = co_await start_unix_server(echo, folder / "ours");
        const Ended client = co_await run_client(peers::python(R"(
async def main():
    reader, writer = await asyncio.open_unix_connection(sys.argv[1])
    writer.write(b"over a path\n")
    print((await reader.readline()).decode(), end="")
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
)",
                                                               {folder / "ours"}));
        EXPECT_EQ(client.output, "over a path\n") << client.errors;
        co_await end(server);
    });
}

TEST_F(Peers, PythonsPauseReadingReachesOurWaterMarks) {
    PythonServer python(R"(
class Slow(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.total = transport, 0
        transport.pause_reading()
        protocols.append(self)
    def data_received(self, data):
        self.total += len(data)
    def eof_received(self):
        self.transport.write(b"%d" % self.total)
protocols = []
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Slow, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1])
    await loop.run_in_executor(None, sys.stdin.readline)
    while not protocols:
        await asyncio.sleep(0.01)
    protocols[0].transport.resume_reading()
    await asyncio.sleep(3600)
asyncio.run(main())
)");
    run([&, this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.create_connection(
            [] { return std::make_shared<Recorder>(); }, "127.0.0.1", python.port());
        std::size_t sent = 0;
        while (protocol->events.back() != "pause") {
            transport->write(std::string(100'000, 'x'));
            sent += 100'000;
            co_await sleep(0);
        }
        EXPECT_GT(transport->get_write_buffer_size(), 64U * 1024);
        python.program().write("\n");
        auto* recorder = protocol.get();
        co_await until([=] { return recorder->events.back() == "resume"; });
        transport->write_eof();
        co_await protocol->done;
        EXPECT_EQ(protocol->received, std::to_string(sent));
        EXPECT_EQ(protocol->events,
                  (std::vector<std::string>{"made", "pause", "resume", "eof", "lost"}));
    });
}

}  // namespace
