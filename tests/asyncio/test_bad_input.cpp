// What callers get wrong: each mistake is Python's error by type, and says what and why. The
// loop and its other connections go on. TLS is in test_sslproto.cpp, files in aiofiles/.
#include <support/stream_fixture.hpp>

#include <asyncio/subprocess.hpp>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

class BadInput : public ConnectionTest {
  protected:
    // A mistake, and its error.
    template <class Error, class Mistake>
    Coroutine<void> expect(std::string text, Mistake mistake) {
        const std::size_t before = count_descriptors();
        const auto outcome = co_await try_([&]() -> Coroutine<void> {
            if constexpr (std::is_void_v<std::invoke_result_t<Mistake&>>) {
                mistake();
                co_return;
            } else {
                static_cast<void>(co_await try_value(mistake()));
            }
        }());
        EXPECT_TRUE(holds_exception<Error>(outcome.exception()))
            << text << ": " << (outcome ? "nothing" : describe_exception(outcome.exception()));
        if (!outcome) EXPECT_THAT(describe_exception(outcome.exception()), HasSubstr(text));
        EXPECT_EQ(count_descriptors(), before) << text;
        // Somebody else's conversation goes on.
        other_->second.write(text + "\n");
        EXPECT_EQ(co_await other_->first.readline(), text + "\n");
    }

    // Runs `body` beside a conversation of others.
    template <class Body>
    void beside_others(Body body) {
        run([&]() -> Coroutine<void> {
            Server server = co_await start_server(echo, "127.0.0.1", 0);
            port = port_of(server);
            other_ = co_await open_connection("127.0.0.1", port);
            // The first time the loop may open what it keeps.
            static_cast<void>(co_await try_(loop.getaddrinfo("no such host", 80)));
            co_await body();
            co_await end(other_->second);
            other_.reset();
            co_await end(server);
        });
    }

    int port = 0;

  private:
    template <class T>
    static Coroutine<int> try_value(Coroutine<T> coroutine) {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(coroutine);
        } else {
            static_cast<void>(co_await std::move(coroutine));
        }
        co_return 0;
    }

    std::optional<StreamPair> other_;
};

TEST_F(BadInput, HostsAndPorts) {
    beside_others([this]() -> Coroutine<void> {
        co_await expect<GaiError>("no such host",
                                  [] { return open_connection("no such host", 80); });
        co_await expect<GaiError>("no such host",
                                  [] { return start_server(echo, "no such host", 80); });
        const std::string with_null("127.0.0.1\0x", 11);
        co_await expect<ValueError>("embedded null",
                                    [&] { return open_connection(with_null, 80); });
        co_await expect<ValueError>("embedded null",
                                    [&] { return start_server(echo, with_null, 0); });
        co_await expect<ValueError>("embedded null",
                                    [&] { static_cast<void>(SocketAddress(with_null, 80)); });
        co_await expect<ValueError>("is not an IPv4 or IPv6 address",
                                    [] { static_cast<void>(SocketAddress("1.2.3", 80)); });
        for (const int wrong : {-1, 65536}) {
            co_await expect<ValueError>("port must be 0-65535",
                                        [=] { return open_connection("127.0.0.1", wrong); });
            co_await expect<ValueError>("port must be 0-65535",
                                        [=] { return start_server(echo, "127.0.0.1", wrong); });
        }
        co_await expect<ConnectionRefusedError>("127.0.0.1:1",
                                                [] { return open_connection("127.0.0.1", 1); });
    });
}

TEST_F(BadInput, SocketsThatDoNotFit) {
    beside_others([this]() -> Coroutine<void> {
        const auto make = [] { return std::make_shared<Recorder>(); };
        co_await expect<ValueError>("host/port and sock can not be specified", [] {
            ConnectionOptions options{.sock = Socket::create(AF_INET, SOCK_STREAM)};
            return open_connection("127.0.0.1", 80, std::move(options));
        });
        co_await expect<ValueError>("host/port and sock can not be specified", [] {
            ServerOptions options{.sock = Socket::create(AF_INET, SOCK_STREAM)};
            return start_server(echo, "127.0.0.1", 0, std::move(options));
        });
        co_await expect<ValueError>("A Stream Socket was expected", [] {
            return open_connection({.sock = Socket::create(AF_INET, SOCK_DGRAM)});
        });
        co_await expect<ValueError>("A Stream Socket was expected", [] {
            return start_server(echo, ServerOptions{.sock = Socket::create(AF_INET, SOCK_DGRAM)});
        });
        co_await expect<ValueError>("A Stream Socket was expected", [&] {
            return loop.connect_accepted_socket(make, Socket::create(AF_INET, SOCK_DGRAM));
        });
        co_await expect<ValueError>("A datagram socket was expected", [&] {
            return loop.create_datagram_endpoint(
                [] { return std::make_shared<DatagramProtocol>(); },
                {.sock = Socket::create(AF_INET, SOCK_STREAM)});
        });
        co_await expect<OSError>("Bad file descriptor", [] { static_cast<void>(Socket(9999)); });
        const Socket none;
        co_await expect<OSError>("Bad file descriptor", [&] { return loop.sock_recv(none, 1); });
        co_await expect<ValueError>("", [&] { loop.add_reader(-1, [] {}); });
        co_await expect<PermissionError>("", [&] {
            struct File {
                int fd = ::open("/etc/passwd", O_RDONLY | O_CLOEXEC);
                ~File() { ::close(fd); }
            } file;
            loop.add_reader(file.fd, [] {});
        });
    });
}

TEST_F(BadInput, LimitsThatAreNone) {
    beside_others([this]() -> Coroutine<void> {
        for (const std::ptrdiff_t limit : {-1, 0}) {
            const auto size = static_cast<std::size_t>(limit);  // what a caller's -1 becomes
            co_await expect<ValueError>("Limit cannot be <= 0",
                                        [=] { static_cast<void>(StreamReader(limit)); });
            co_await expect<ValueError>("Limit cannot be <= 0", [=, this] {
                return open_connection("127.0.0.1", port, {.limit = size});
            });
            co_await expect<ValueError>("Limit cannot be <= 0", [=] {
                return start_server(echo, "127.0.0.1", 0, {.limit = size});
            });
            co_await expect<ValueError>("limit must be positive", [=] {
                return create_subprocess_exec("true", SubprocessOptions{.limit = size});
            });
        }
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        co_await expect<ValueError>(
            "readexactly size can not be less than zero",
            [&reader = reader]() -> Coroutine<void> { co_await reader.readexactly(-1); });
        co_await expect<ValueError>(
            "Separator should be at least one-byte string",
            [&reader = reader]() -> Coroutine<void> { co_await reader.readuntil(""); });
        for (const WriteBufferLimits limits :
             {WriteBufferLimits{.high = -1}, {.low = -1}, {.high = 10, .low = 20}}) {
            co_await expect<ValueError>("must be >= low", [&writer = writer, limits] {
                writer.transport()->set_write_buffer_limits(limits);
            });
        }
        co_await end(writer);
    });
}

TEST_F(BadInput, StreamsUsedWrongly) {
    beside_others([this]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        auto first = create_task(
            [](StreamReader from) -> Coroutine<std::string> { co_return co_await from.readline(); },
            reader);
        co_await sleep(0);
        co_await expect<RuntimeError>(
            "another coroutine is already waiting",
            [&reader = reader]() -> Coroutine<void> { co_await reader.read(1); });
        writer.write("a line\n");
        EXPECT_EQ(co_await first, "a line\n");
        writer.write_eof();
        co_await expect<RuntimeError>("write_eof()", [&writer = writer] { writer.write("x"); });
        EXPECT_EQ(co_await reader.read(), "");
        writer.close();
        co_await expect<RuntimeError>(
            "", [&writer = writer, this] { return loop.sendfile(writer.transport(), 0); });
        co_await writer.wait_closed();
        co_await expect<ConnectionResetError>(
            "Connection lost",
            [&writer = writer]() -> Coroutine<void> { co_await writer.drain(); });
        // Writing to what is closed is dropped, with a warning, as Python does.
        auto [reader2, writer2] = co_await open_connection("127.0.0.1", port);
        co_await end(writer2);
        for (int i = 0; i < 10; ++i) writer2.write("into the void");
        writer2.close();
    });
}

TEST_F(BadInput, PathsAndPrograms) {
    beside_others([this]() -> Coroutine<void> {
        const std::string with_null("/tmp/a\0b", 8);
        co_await expect<ValueError>("embedded null",
                                    [&] { return open_unix_connection(with_null); });
        co_await expect<ValueError>("embedded null",
                                    [&] { return start_unix_server(echo, with_null); });
        co_await expect<ValueError>("null", [&] { return create_subprocess_exec(with_null); });
        co_await expect<ValueError>("null",
                                    [&] { return create_subprocess_exec("true", with_null); });
        co_await expect<ValueError>("null", [&] {
            return create_subprocess_exec("true", SubprocessOptions{.cwd = with_null});
        });
        co_await expect<ValueError>("null", [&] { return create_subprocess_shell(with_null); });
        co_await expect<OSError>("too long",
                                 [] { return open_unix_connection(std::string(200, 'x')); });
        co_await expect<FileNotFoundError>("/no/such/socket",
                                           [] { return open_unix_connection("/no/such/socket"); });
        co_await expect<FileNotFoundError>(
            "no-such-program", [] { return create_subprocess_exec("no-such-program"); });
        co_await expect<PermissionError>("/etc/passwd",
                                         [] { return create_subprocess_exec("/etc/passwd"); });
        co_await expect<FileNotFoundError>("/no/such/folder", [] {
            return create_subprocess_exec("true", SubprocessOptions{.cwd = "/no/such/folder"});
        });
    });
}

}  // namespace
