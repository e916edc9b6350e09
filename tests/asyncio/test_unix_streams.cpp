// Streams and servers over Unix sockets: CPython's test_unix_events.py and test_server.py
// (UnixServerCleanupTests).
#include <support/stream_fixture.hpp>

#include <sys/stat.h>

#include <fstream>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class UnixStreams : public ConnectionTest {
  protected:
    UnixStreams() {
        std::string name = fs::temp_directory_path() / "unix_streams_XXXXXX";
        folder = ::mkdtemp(name.data());
        path = folder / "socket";
    }
    ~UnixStreams() override { fs::remove_all(folder); }
    fs::path folder;
    std::string path;
};

Coroutine<void> say(std::string path, std::string text) {
    auto [reader, writer] = co_await open_unix_connection(path);
    writer.write(text);
    writer.write_eof();
    EXPECT_EQ(co_await reader.read(), text);
    co_await end(writer);
}

TEST_F(UnixStreams, Echo) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_unix_server(echo, path);
        EXPECT_TRUE(fs::is_socket(path));
        EXPECT_EQ(server.sockets()[0].getsockname().path(), path);
        co_await say(path, "hello");
        co_await end(server);
        EXPECT_FALSE(fs::exists(path)) << "closing a server removes its socket";
    });
}

TEST_F(UnixStreams, AbstractName) {
    run([&]() -> Coroutine<void> {
        const std::string name = std::string(1, '\0') + path;
        Server server = co_await start_unix_server(echo, name);
        co_await say(name, "no file anywhere");
        co_await end(server);
    });
}

TEST_F(UnixStreams, StaleSocketIsReplaced) {
    Socket stale = Socket::create(AF_UNIX, SOCK_STREAM);
    stale.bind(SocketAddress::unix_(path));
    stale.close();
    ASSERT_TRUE(fs::exists(path));
    run([&]() -> Coroutine<void> {
        Server server = co_await start_unix_server(echo, path);
        co_await say(path, "x");
        co_await end(server);
    });
}

TEST_F(UnixStreams, AnotherFileIsNotReplaced) {
    std::ofstream(path) << "precious";
    run([&]() -> Coroutine<void> {
        auto outcome = co_await try_(start_unix_server(echo, path));
        EXPECT_THAT(describe_exception(outcome.exception()),
                    ::testing::HasSubstr("is already in use"));
    });
    EXPECT_TRUE(fs::is_regular_file(path));
}

// semantics.md 133
TEST_F(UnixStreams, OnlyTheSameSocketIsRemoved) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_unix_server(echo, path);
        fs::remove(path);
        std::ofstream(path) << "another";
        co_await end(server);
    });
    EXPECT_TRUE(fs::is_regular_file(path));
}

TEST_F(UnixStreams, ASocketThatIsGoneAlready) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_unix_server(echo, path);
        fs::remove(path);
        co_await end(server);
    });
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(UnixStreams, SocketIsKeptWhereAskedFor) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_unix_server(echo, path, {.cleanup_socket = false});
        co_await end(server);
    });
    EXPECT_TRUE(fs::is_socket(path));
}

TEST_F(UnixStreams, ReadySockets) {
    run([&]() -> Coroutine<void> {
        Socket listener = Socket::create(AF_UNIX, SOCK_STREAM);
        listener.bind(SocketAddress::unix_(path));
        Server server = co_await start_unix_server(echo, {.sock = std::move(listener)});
        co_await say(path, "x");
        auto [ours, theirs] = socketpair();
        auto [transport, protocol] = co_await loop.connect_accepted_socket(
            [] { return std::make_shared<Recorder>(); }, std::move(theirs));
        auto [reader, writer] = co_await open_unix_connection({.sock = std::move(ours)});
        writer.write("in");
        co_await until([&p = *protocol] { return p.received == "in"; });
        transport->write("out");
        EXPECT_EQ(co_await reader.readexactly(3), "out");
        co_await end(writer);
        co_await protocol->done;
        co_await end(server);
    });
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(UnixStreams, BadArguments) {
    run([&]() -> Coroutine<void> {
        const auto error_of = [](auto coroutine) -> Coroutine<std::string> {
            auto outcome = co_await try_(std::move(coroutine));
            co_return describe_exception(outcome.exception());
        };
        EXPECT_THAT(co_await error_of(open_unix_connection(path)),
                    ::testing::StartsWith("FileNotFoundError"));
        EXPECT_THAT(co_await error_of(open_unix_connection(std::string(200, 'x'))),
                    ::testing::HasSubstr("AF_UNIX path too long"));
        EXPECT_THAT(co_await error_of(open_unix_connection(std::string("a\0b", 3))),
                    ::testing::StartsWith("ValueError: embedded null byte"));
        EXPECT_EQ(co_await error_of(open_unix_connection(UnixConnectionOptions{})),
                  "ValueError: no path and sock were specified");
        EXPECT_EQ(co_await error_of(open_unix_connection(path, {.sock = socketpair().first})),
                  "ValueError: path and sock can not be specified at the same time");
        for (const auto& [family, type] :
             {std::pair(AF_INET, SOCK_STREAM), {AF_UNIX, SOCK_DGRAM}}) {
            EXPECT_THAT(
                co_await error_of(open_unix_connection({.sock = Socket::create(family, type)})),
                ::testing::StartsWith("ValueError: A UNIX Domain Stream Socket was expected"));
        }
        EXPECT_EQ(co_await error_of(open_unix_connection(path, {.server_hostname = "x"})),
                  "ValueError: server_hostname is only meaningful with ssl");
        EXPECT_EQ(co_await error_of(open_unix_connection(path, {.ssl_handshake_timeout = 1s})),
                  "ValueError: ssl_handshake_timeout is only meaningful with ssl");
    });
}

TEST_F(UnixStreams, BadArgumentsOfServers) {
    run([&]() -> Coroutine<void> {
        const auto error_of = [](auto coroutine) -> Coroutine<std::string> {
            auto outcome = co_await try_(std::move(coroutine));
            co_return describe_exception(outcome.exception());
        };
        EXPECT_EQ(co_await error_of(start_unix_server(echo, UnixServerOptions{})),
                  "ValueError: path was not specified, and no sock specified");
        EXPECT_EQ(co_await error_of(start_unix_server(
                      echo, path, {.sock = Socket::create(AF_UNIX, SOCK_STREAM)})),
                  "ValueError: path and sock can not be specified at the same time");
        for (const auto& [family, type] :
             {std::pair(AF_INET, SOCK_STREAM), {AF_UNIX, SOCK_DGRAM}}) {
            EXPECT_THAT(
                co_await error_of(start_unix_server(echo, {.sock = Socket::create(family, type)})),
                ::testing::StartsWith("ValueError: A UNIX Domain Stream Socket was expected"));
        }
        EXPECT_EQ(co_await error_of(start_unix_server(echo, path, {.ssl_handshake_timeout = 1s})),
                  "ValueError: ssl_handshake_timeout is only meaningful with ssl");
        // A folder that is not there.
        EXPECT_THAT(co_await error_of(start_unix_server(echo, path + "/socket")),
                    ::testing::StartsWith("FileNotFoundError"));
    });
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(UnixStreams, APathOfTheStandardLibrary) {
    run([&]() -> Coroutine<void> {
        const fs::path at = folder / "socket";
        Server server = co_await start_unix_server(echo, at);
        auto [reader, writer] = co_await open_unix_connection(at);
        writer.write("x");
        EXPECT_EQ(co_await reader.read(1), "x");
        co_await end(writer);
        co_await end(server);
    });
}

}  // namespace
