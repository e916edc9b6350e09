// Peers that behave badly: that stall, dribble, reset, never read; and kernels that take a few
// bytes at a time. The loop, its other connections and its memory do not suffer.
#include <support/stream_fixture.hpp>

#include <netinet/tcp.h>
#include <sys/resource.h>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;

class Faults : public ConnectionTest {
  protected:
    // A stream of ours and, as the peer, a bare socket.
    Coroutine<std::pair<StreamPair, Socket>> connected(int buffers = 0) {
        Socket listener = Socket::create(AF_INET, SOCK_STREAM);
        if (buffers != 0) listener.setsockopt(SOL_SOCKET, SO_RCVBUF, buffers);
        listener.bind(SocketAddress("127.0.0.1", 0));
        listener.listen(1);
        Socket ours = Socket::create(AF_INET, SOCK_STREAM);
        if (buffers != 0) ours.setsockopt(SOL_SOCKET, SO_SNDBUF, buffers);
        co_await loop.sock_connect(ours, listener.getsockname());
        auto [peer, address] = co_await loop.sock_accept(listener);
        co_return {co_await open_connection({.sock = std::move(ours)}), std::move(peer)};
    }
    static void reset(Socket& peer) {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(peer.fileno(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        peer.close();
    }
};

constexpr bool keeps_what_was_freed = __has_feature(address_sanitizer);

long peak_memory_kib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

TEST_F(Faults, AByteAtATime) {
    run([&]() -> Coroutine<void> {
        auto [stream, peer] = co_await connected();
        auto& [reader, writer] = stream;
        peer.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
        auto dribbling = loop.create_task([&]() -> Coroutine<void> {
            for (const char c : std::string("first line\nsecond\r\n--end--exactly")) {
                co_await loop.sock_sendall(peer, std::string_view(&c, 1));
                co_await sleep(0);
                co_await sleep(0);
            }
            peer.close();
        });
        EXPECT_EQ(co_await reader.readline(), "first line\n");
        EXPECT_EQ(co_await reader.readuntil({"\r\n", "\n\n"}), "second\r\n");
        EXPECT_EQ(co_await reader.readuntil("--end--"), "--end--");
        EXPECT_EQ(co_await reader.readexactly(7), "exactly");
        EXPECT_EQ(co_await reader.read(), "");
        co_await dribbling;
        co_await end(writer);
    });
}

TEST_F(Faults, AStalledPeerTimesOutAndNothingIsLost) {
    run([&]() -> Coroutine<void> {
        auto [stream, peer] = co_await connected();
        auto& [reader, writer] = stream;
        co_await loop.sock_sendall(peer, "half of a ");
        for (int i = 0; i < 3; ++i) {
            const auto late = co_await try_(wait_for(reader.readline(), 5ms));
            EXPECT_TRUE(holds_exception<TimeoutError>(late.exception()));
        }
        co_await loop.sock_sendall(peer, "line\n");
        EXPECT_EQ(co_await reader.readline(), "half of a line\n");
        co_await end(writer);
    });
}

TEST_F(Faults, AResetEndsReadsWritesAndWaitClosed) {
    run([&]() -> Coroutine<void> {
        auto [stream, peer] = co_await connected();
        auto& [reader, writer] = stream;
        auto reading = loop.create_task([](StreamReader from) -> Coroutine<std::string> {
            co_return co_await from.readexactly(10);
        }(reader));
        co_await loop.sock_sendall(peer, "abc");
        co_await sleep(0);
        reset(peer);
        EXPECT_TRUE(holds_exception<ConnectionResetError>((co_await try_(reading)).exception()));
        EXPECT_TRUE(
            holds_exception<ConnectionResetError>((co_await try_(writer.drain())).exception()));
        writer.write("into the void");
        writer.close();
        EXPECT_TRUE(holds_exception<ConnectionResetError>(
            (co_await try_(writer.wait_closed())).exception()));
    });
}

TEST_F(Faults, AResetWakesEveryoneWhoDrains) {
    run([&]() -> Coroutine<void> {
        auto [stream, peer] = co_await connected();
        auto& writer = stream.second;
        while (writer.transport()->get_write_buffer_size() == 0) {
            writer.write(std::string(1 << 20, 'x'));
        }
        std::vector<Task<void>> draining;
        for (int i = 0; i < 3; ++i) {
            draining.push_back(loop.create_task(
                [](StreamWriter to) -> Coroutine<void> { co_await to.drain(); }(writer)));
        }
        co_await sleep(0);
        EXPECT_FALSE(draining[0].done());
        reset(peer);
        for (auto& task : draining) {
            EXPECT_TRUE(holds_exception<ConnectionError>((co_await try_(task)).exception()));
        }
        writer.close();
        static_cast<void>(co_await try_(writer.wait_closed()));
    });
}

TEST_F(Faults, APeerThatNeverReadsHoldsUpItsWriterOnly) {
    run([&]() -> Coroutine<void> {
        auto [stuck, deaf] = co_await connected();
        auto [stream, peer] = co_await connected();
        std::size_t most = 0;
        auto flooding = loop.create_task([&]() -> Coroutine<void> {
            const std::string piece(10'000, 'x');
            for (;;) {
                stuck.second.write(piece);
                most = std::max(most, stuck.second.transport()->get_write_buffer_size());
                co_await stuck.second.drain();
            }
        });
        for (int i = 0; i < 1000; ++i) {
            stream.second.write("ping\n");
            EXPECT_EQ(co_await loop.sock_recv(peer, 10), "ping\n");
            co_await loop.sock_sendall(peer, "pong\n");
            EXPECT_EQ(co_await stream.first.readline(), "pong\n");
        }
        co_await until([&] { return most > 64 * 1024; });
        EXPECT_LE(most, 64U * 1024 + 10'000);
        flooding.cancel();
        EXPECT_TRUE((co_await try_(flooding)).cancelled());
        stuck.second.transport()->abort();  // close() would wait for the deaf one
        co_await stuck.second.wait_closed();
        co_await end(stream.second);
    });
}

TEST_F(Faults, AReaderNobodyReadsHoldsItsPeerUp) {
    run([&]() -> Coroutine<void> {
        auto [stream, peer] = co_await connected(65536);
        auto& [reader, writer] = stream;
        std::size_t sent = 0;
        auto flooding = loop.create_task([&]() -> Coroutine<void> {
            const std::string piece(50'000, 'x');
            for (;;) {
                co_await loop.sock_sendall(peer, piece);
                sent += piece.size();
            }
        });
        // The reader's limit, twice, and what the kernel keeps.
        std::size_t before = 1;
        while (sent != before) {
            before = sent;
            co_await sleep(50ms);
        }
        EXPECT_LT(sent, 12'000'000U);
        EXPECT_FALSE(writer.transport()->is_reading());
        flooding.cancel();
        static_cast<void>(co_await try_(flooding));
        peer.close();
        EXPECT_GE((co_await reader.read()).size(), sent);
        co_await end(writer);
    });
}

// The kernel is in the middle of receiving when it is told to stop.
TEST_F(Faults, AnAbortEndsAFlood) {
    run([&]() -> Coroutine<void> {
        for (int i = 0; i < 20; ++i) {
            auto [stream, peer] = co_await connected();
            auto& [reader, writer] = stream;
            std::size_t sent = 0;
            auto flooding = loop.create_task([&]() -> Coroutine<void> {
                const std::string piece(60'000, 'x');
                while (sent < 200'000'000) {
                    co_await loop.sock_sendall(peer, piece);
                    sent += piece.size();
                    co_await sleep(0);
                }
            });
            co_await reader.readexactly(500'000 + i);
            writer.transport()->abort();
            const auto outcome = co_await try_(flooding);
            EXPECT_TRUE(holds_exception<ConnectionError>(outcome.exception())) << i;
            EXPECT_LT(sent, 20'000'000U);
            co_await writer.wait_closed();
        }
    });
}

TEST_F(Faults, TinyKernelBuffers) {
    run([&]() -> Coroutine<void> {
        auto [stream, peer] = co_await connected(1);  // the kernel's least
        auto& writer = stream.second;
        const std::string data = numbered(400'000);
        std::string got;
        auto receiving = loop.create_task([&]() -> Coroutine<void> {
            while (got.size() < data.size()) got += co_await loop.sock_recv(peer, 999);
        });
        for (std::size_t at = 0; at < data.size(); at += 40'000) {
            writer.writelines(
                std::vector<std::string>{data.substr(at, 1), data.substr(at + 1, 39'999)});
            co_await writer.drain();
        }
        co_await receiving;
        EXPECT_TRUE(got == data);
        co_await end(writer);
    });
}

TEST_F(Faults, AHandlerThatHangsDoesNotKeepOthersFromBeingServed) {
    run([&]() -> Coroutine<void> {
        int served = 0;
        Server server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                const std::string line = co_await reader.readline();
                if (line == "hang\n") co_await loop.create_future();
                writer.write(line);
                ++served;
                co_await end(writer);
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        writer.write("hang\n");
        for (int i = 0; i < 50; ++i) {
            auto [r, w] = co_await open_connection("127.0.0.1", port_of(server));
            w.write("go\n");
            EXPECT_EQ(co_await r.read(), "go\n");
            co_await end(w);
        }
        EXPECT_EQ(served, 50);
        co_await end(writer);
        server.close();
        for (const AnyTask& task : all_tasks(loop)) {
            if (task != current_task()) task.cancel();
        }
        co_await server.wait_closed();
    });
}

// As much as passes in a moment here; the stress tests send much more.
TEST_F(Faults, ALongStreamTakesNoMoreMemoryThanAShortOne) {
    run([&]() -> Coroutine<void> {
        std::size_t received = 0;
        Server server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                for (;;) {
                    const std::string data = co_await reader.read(65536);
                    if (data.empty()) break;
                    received += data.size();
                }
                co_await end(writer);
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        const std::string piece = numbered(65'536);
        long before = 0;
        std::size_t sent = 0;
        for (int i = 0; i < 6400; ++i) {
            if (i == 640) before = peak_memory_kib();
            writer.write(piece);
            sent += piece.size();
            co_await writer.drain();
        }
        if (!keeps_what_was_freed) EXPECT_LT(peak_memory_kib() - before, 32 * 1024);
        writer.write_eof();
        EXPECT_EQ(co_await reader.read(), "");
        EXPECT_EQ(received, sent);
        co_await end(writer);
        co_await end(server);
    });
}

}  // namespace
