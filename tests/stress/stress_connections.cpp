// Many connections at once, and much over one: short here, long with
// ASYNCIO_STRESS_CONNECTIONS=20000 (the default) and ASYNCIO_STRESS_MEGABYTES=10240.
#include <support/stream_fixture.hpp>

#include <malloc.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <asyncio/memory_usage_detail.hpp>
#include <csignal>
#include <cstdlib>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;

std::size_t setting(const char* name, std::size_t otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtoul(text, nullptr, 10) : otherwise;
}

// As many as a process may have.
std::size_t connections_to_open() {
    const std::size_t wanted = setting("ASYNCIO_STRESS_CONNECTIONS", 20'000);
    const rlim_t needed = wanted + 100;
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlimit raised{.rlim_cur = needed, .rlim_max = std::max(limit.rlim_max, needed)};
    if (limit.rlim_cur >= needed || setrlimit(RLIMIT_NOFILE, &raised) == 0) return wanted;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return std::min<std::size_t>(wanted, limit.rlim_max - 100);
}

// The other ends, in a process of their own. It does one thing after the other, on request.
class Clients {
  public:
    explicit Clients(std::size_t count) {
        int fds[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) abort();
        ours_ = Socket(fds[0]);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(fds[1], count);
            ::_exit(0);
        }
        ::close(fds[1]);
    }
    Clients(const Clients&) = delete;
    Clients& operator=(const Clients&) = delete;
    ~Clients() {
        ours_.close();
        ::waitpid(pid_, nullptr, 0);
    }

    Coroutine<void> connect(EventLoop& loop, int port) {
        co_await loop.sock_sendall(ours_, std::to_string(port));
        co_await answer(loop);
    }
    // Each gets back what it sends.
    Coroutine<void> ping(EventLoop& loop) {
        co_await loop.sock_sendall(ours_, "ping");
        co_await answer(loop);
    }
    Coroutine<void> close(EventLoop& loop) {
        co_await loop.sock_sendall(ours_, "close");
        co_await answer(loop);
    }

  private:
    Coroutine<void> answer(EventLoop& loop) {
        EXPECT_EQ(co_await loop.sock_recv(ours_, 100), "done");
    }
    static std::string next_request(int fd) {
        char text[100];
        const ssize_t count = ::read(fd, text, sizeof text);
        if (count <= 0) ::_exit(1);
        return {text, static_cast<std::size_t>(count)};
    }
    static void require(bool condition, const char* what) {
        if (condition) return;
        std::perror(what);
        ::_exit(1);
    }
    static void work(int control, std::size_t count) {
        const SocketAddress server("127.0.0.1",
                                   static_cast<std::uint16_t>(std::stoi(next_request(control))));
        const SocketAddress own("127.77.0.1", 0);
        std::vector<int> sockets;
        for (std::size_t i = 0; i < count; ++i) {
            sockets.push_back(::socket(AF_INET, SOCK_STREAM, 0));
            // Ports of an address of their own: others need some of 127.0.0.1 at the same time.
            const int late = 1;
            ::setsockopt(sockets.back(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
            require(::bind(sockets.back(), own.data(), own.size()) == 0, "bind");
            require(::connect(sockets.back(), server.data(), server.size()) == 0, "connect");
        }
        require(::write(control, "done", 4) == 4, "write");
        next_request(control);
        char text[8];
        for (const int fd : sockets) require(::send(fd, "ping", 4, 0) == 4, "send");
        for (const int fd : sockets) require(::recv(fd, text, 4, MSG_WAITALL) == 4, "recv");
        require(::write(control, "done", 4) == 4, "write");
        next_request(control);
        for (const int fd : sockets) ::close(fd);
        require(::write(control, "done", 4) == 4, "write");
    }

    Socket ours_;
    pid_t pid_ = -1;
};

std::size_t heap_in_use() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd + asyncio::detail::memory_in_blocks();
}

constexpr bool keeps_what_was_freed = __has_feature(address_sanitizer);

long peak_memory_kib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

class ConnectionStress : public ConnectionTest {};

// Each with a coroutine that waits for its peer.
TEST_F(ConnectionStress, ThousandsOpenAtOnce) {
    const std::size_t count = connections_to_open();
    Clients clients(count);
    run([&]() -> Coroutine<void> {
        std::size_t served = 0;
        std::size_t ended = 0;
        Server server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                ++served;
                co_await echo(reader, writer);
                ++ended;
            },
            "127.0.0.1", 0, {.backlog = 1024});
        const std::size_t before = heap_in_use();
        co_await clients.connect(loop, port_of(server));
        co_await until([&] { return served == count; });
        const std::size_t each = (heap_in_use() - before) / count;
        std::printf("%zu connections, %zu bytes of heap each, streams and task included\n", count,
                    each);
        if (!keeps_what_was_freed) EXPECT_LT(each, 2048U);
        co_await clients.ping(loop);
        co_await clients.close(loop);
        co_await until([&] { return ended == count; });
        co_await end(server);
    });
}

TEST_F(ConnectionStress, AGreatDealOverOneInConstantMemory) {
    const std::size_t pieces = setting("ASYNCIO_STRESS_MEGABYTES", 1024) * 16;
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        const std::string piece = numbered(65'536);
        auto sending = loop.create_task(
            [](StreamWriter to, const std::string& data, std::size_t times) -> Coroutine<void> {
                for (std::size_t i = 0; i < times; ++i) {
                    to.write(data);
                    co_await to.drain();
                }
                to.write_eof();
            }(writer, piece, pieces));
        long before = 0;
        std::vector<char> buffer(piece.size());
        for (std::size_t i = 0; i < pieces; ++i) {
            for (std::size_t got = 0; got < buffer.size();) {
                const std::size_t n = co_await reader.read_into(std::span(buffer).subspan(got));
                if (n == 0) throw RuntimeError("the stream ended early");
                got += n;
            }
            if (std::string_view(buffer.data(), buffer.size()) != piece) {
                throw RuntimeError("piece " + std::to_string(i) + " came changed");
            }
            if (i == pieces / 10) before = peak_memory_kib();
        }
        EXPECT_EQ(co_await reader.read(), "");
        co_await sending;
        const long growth = peak_memory_kib() - before;
        std::printf("%zu MiB there and back, %ld KiB more memory\n", pieces / 16, growth);
        if (!keeps_what_was_freed) EXPECT_LT(growth, 32 * 1024);
        co_await end(writer);
        co_await end(server);
    });
}

}  // namespace
