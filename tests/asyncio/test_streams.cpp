// Streams over real connections, on the proactor that ASYNCIO_PROACTOR names.
#include <support/stream_fixture.hpp>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;

class Streams : public ConnectionTest {};

TEST_F(Streams, EchoByLine) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        for (int i = 0; i < 10; ++i) {
            const std::string line = "line " + std::to_string(i) + "\n";
            writer.write(line);
            co_await writer.drain();
            EXPECT_EQ(co_await reader.readline(), line);
        }
        writer.write_eof();
        EXPECT_EQ(co_await reader.read(), "");
        EXPECT_TRUE(reader.at_eof());
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Streams, WaitingForAStreamOfAnotherLoopIsRefused) {
    std::optional<Server> server;
    std::optional<StreamWriter> writer;
    run([&]() -> Coroutine<void> {
        server = co_await start_server(echo, "127.0.0.1", 0);
        writer = (co_await open_connection("127.0.0.1", port_of(*server))).second;
        writer->transport()->pause_reading();  // so that the echo stops
        writer->write(std::string(20'000'000, 'x'));
    });
    {
        const EventLoopPtr other = new_event_loop();
        other->run_until_complete([&]() -> Coroutine<void> {
            const auto drained = co_await try_(writer->drain());
            EXPECT_TRUE(holds_exception<RuntimeError>(drained.exception()));
            const auto closed = co_await try_(writer->wait_closed());
            EXPECT_THAT(thrown_by([&] { closed.value(); }),
                        ::testing::HasSubstr("a different event loop"));
        }());
        other->close();
    }
    run([&]() -> Coroutine<void> {
        writer->transport()->abort();
        co_await writer->wait_closed();  // is as good as before
        co_await end(*server);
    });
    writer.reset();
    take_reports();
}

TEST_F(Streams, MuchMoreThanAnyBufferBothWays) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        const std::string sent = numbered(20'000'000);
        writer.write(sent);
        EXPECT_GT(writer.transport()->get_write_buffer_size(), 0U);
        const std::string got =
            co_await reader.readexactly(static_cast<std::ptrdiff_t>(sent.size()));
        EXPECT_TRUE(got == sent);
        co_await writer.drain();
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Streams, ReadIntoOneMemoryAgainAndAgain) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        const std::string sent = numbered(20'000'000);
        std::vector<std::byte> memory(100'000);
        std::string got;
        // Little, too, between what is much.
        for (std::size_t at = 0; at < sent.size();) {
            const std::string_view part =
                std::string_view(sent).substr(at, at % 3 == 0 ? 700'000 : 10);
            writer.write(part);
            at += part.size();
            while (got.size() < at) {
                const std::size_t size = co_await reader.read_into(memory);
                EXPECT_GT(size, 0U);
                got.append(reinterpret_cast<const char*>(memory.data()), size);
            }
        }
        EXPECT_TRUE(got == sent);
        co_await end(writer);
        co_await end(server);
    });
}

Coroutine<void> echo_views(StreamReader reader, StreamWriter writer) {
    for (;;) {
        const std::string_view data = co_await reader.read_view();
        if (data.empty()) break;
        writer.write(data);
        co_await writer.drain();
    }
    co_await end(writer);
}

TEST_F(Streams, ViewsOfLittleAndOfMuch) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(echo_views, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        const std::string sent = numbered(20'000'000);
        std::size_t at = 0;
        for (int i = 0; at < sent.size(); ++i) {
            const std::size_t size = std::array{10, 700'000, 4'096, 30'000}[i % 4];
            const std::string_view part = std::string_view(sent).substr(at, size);
            writer.write(part);
            for (std::size_t got = 0; got < part.size();) {
                const std::string_view data = co_await reader.read_view();
                if (data.empty() || data != part.substr(got, data.size())) {
                    ADD_FAILURE() << data.size() << " bytes at " << at + got;
                    co_return;
                }
                got += data.size();
            }
            at += part.size();
        }
        co_await end(writer);
        co_await end(server);
    });
}

// A slow handler looks at its view while more comes for it and for others.
TEST_F(Streams, AViewIsItsReadersOwn) {
    run([]() -> Coroutine<void> {
        constexpr int connections = 40;
        int right = 0;
        Server server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                const std::string_view data = co_await reader.read_view();
                const std::string before(data);
                for (int i = 0; i < 20; ++i) co_await sleep(0);
                right += data == before && !data.empty() ? 1 : 0;
                writer.close();
            },
            "127.0.0.1", 0);
        std::vector<StreamPair> peers;
        for (int i = 0; i < connections; ++i) {
            peers.push_back(co_await open_connection("127.0.0.1", port_of(server)));
        }
        for (int i = 0; i < connections; ++i) {
            peers[i].second.write(std::string(20'000, static_cast<char>('a' + i % 26)));
        }
        for (auto& [reader, writer] : peers) {
            // Not all of it was read there, so it may be reset.
            static_cast<void>(co_await try_(reader.read()));
            writer.close();
        }
        EXPECT_EQ(right, connections);
        co_await end(server);
    });
}

// What was received into a reader's own memory reaches it as the protocol says all the same.
class EveryOther : public StreamReaderProtocol {
  public:
    using StreamReaderProtocol::StreamReaderProtocol;
    void data_received(std::string_view data) override {
        if (first_) StreamReaderProtocol::data_received(data.substr(1));
        first_ = !first_;
        ++calls;
    }

    int calls = 0;

  private:
    bool first_ = true;
};

TEST_F(Streams, AProtocolMayChangeWhatComesForReadInto) {
    run([this]() -> Coroutine<void> {
        auto [near, far] = socketpair();
        const StreamReader reader;
        auto [transport, protocol] = co_await loop.create_connection(
            [&] { return std::make_shared<EveryOther>(reader); }, {.sock = std::move(near)});
        std::vector<std::byte> memory(64 * 1024);
        for (int i = 0; i < 4; ++i) {
            auto reading = create_task(reader.read_into(memory));
            co_await loop.sock_sendall(far, "1-kept");
            EXPECT_EQ(co_await reading, 5U);
            EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(memory.data()), 5), "-kept");
            auto cancelled = create_task(reader.read_into(memory));
            co_await loop.sock_sendall(far, "2-dropped");
            while (protocol->calls < 2 * (i + 1)) co_await sleep(0);
            EXPECT_FALSE(cancelled.done());
            cancelled.cancel();
            co_await wait({cancelled});
        }
        transport->close();
        co_await sleep(0ms);
    });
}

TEST_F(Streams, LinesByIteration) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader, StreamWriter writer) -> Coroutine<void> {
                writer.write("one\ntwo\nthree");
                co_await end(writer);
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        std::vector<std::string> lines;
        while (auto line = co_await anext(reader)) lines.push_back(*line);
        EXPECT_EQ(lines, (std::vector<std::string>{"one\n", "two\n", "three"}));
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Streams, NobodyListens) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const int port = port_of(server);
        co_await end(server);
        auto outcome = co_await try_(open_connection("127.0.0.1", port));
        EXPECT_TRUE(holds_exception<ConnectionRefusedError>(outcome.exception()));
    });
}

TEST_F(Streams, HandlerThatThrowsIsReportedAndItsConnectionCloses) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader, StreamWriter) -> Coroutine<void> {
                throw ValueError("in a handler");
                co_return;
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        EXPECT_EQ(co_await reader.read(), "");
        co_await end(writer);
        co_await end(server);
    });
    EXPECT_EQ(take_reports(),
              std::vector<std::string>{"Unhandled exception in client_connected_cb"});
}

TEST_F(Streams, PlainHandlerAndForgottenWriter) {
    run([]() -> Coroutine<void> {
        int called = 0;
        Server server = co_await start_server(
            [&called](StreamReader, StreamWriter writer) {
                ++called;
                writer.write("bye");
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        EXPECT_EQ(co_await reader.read(), "bye");
        EXPECT_EQ(called, 1);
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Streams, LoopClosedUnderOpenConnections) {
    std::optional<StreamPair> kept;
    std::optional<Server> server;
    run([&]() -> Coroutine<void> {
        server = co_await start_server(echo, "127.0.0.1", 0);
        kept = co_await open_connection("127.0.0.1", port_of(*server));
        kept->second.write("x");
        EXPECT_EQ(co_await kept->first.read(1), "x");
    });
    close();
    EXPECT_TRUE(kept->second.is_closing());
    // The handler's.
    EXPECT_EQ(take_reports(), std::vector<std::string>{"Task was destroyed but it is pending!"});
}

TEST_F(Streams, SeveralMayDrain) {
    run([&]() -> Coroutine<void> {
        Future<StreamPair> accepted = loop.create_future<StreamPair>();
        Server server = co_await start_server(
            [&](StreamReader reader, StreamWriter writer) {
                accepted.set_result({reader, writer});
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        const std::string data(20'000'000, 'x');
        writer.write(data);
        std::vector<Task<void>> draining;
        for (int i = 0; i < 3; ++i) {
            draining.push_back(create_task(
                [](StreamWriter to) -> Coroutine<void> { co_await to.drain(); }(writer)));
        }
        draining[1].cancel();
        co_await sleep(0);
        EXPECT_FALSE(draining[0].done());
        auto [theirs, answer] = co_await accepted;
        EXPECT_EQ(co_await theirs.readexactly(20'000'000), data);
        co_await draining[0];
        co_await draining[2];
        EXPECT_TRUE(draining[1].cancelled());
        co_await end(writer);
        co_await end(answer);
        co_await end(server);
    });
}

Coroutine<void> echo_by_reference(const StreamReader& reader, const StreamWriter& writer) {
    while (auto line = co_await anext(reader)) {
        writer.write(*line);
        co_await writer.drain();
    }
    writer.close();
}

TEST_F(Streams, AHandlerMayTakeReferences) {
    const auto serves = [](Server server) -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        for (const std::string line : {"one\n", "two\n"}) {
            writer.write(line);
            EXPECT_EQ(co_await reader.readline(), line);
        }
        co_await end(writer);
        co_await end(server);
    };
    run([&]() -> Coroutine<void> {
        co_await serves(co_await start_server(echo_by_reference, "127.0.0.1", 0));
        co_await serves(co_await start_server(
            [](StreamReader&& reader, const StreamWriter& writer) -> Coroutine<void> {
                co_await echo_by_reference(reader, writer);
            },
            "127.0.0.1", 0));
        co_await serves(co_await start_server(
            [](const auto& reader, const auto& writer) -> Coroutine<void> {
                co_await echo_by_reference(reader, writer);
            },
            "127.0.0.1", 0));
    });
}

TEST_F(Streams, ACancelledHandlerIsNoFailure) {
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader, StreamWriter writer) -> Coroutine<void> {
                current_task().cancel();
                co_await sleep(0);
                writer.write("not reached");
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        EXPECT_EQ(co_await reader.read(), "");
        co_await end(writer);
        co_await end(server);
    });
}

TEST_F(Streams, WaitClosedWithUnreadData) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader, StreamWriter writer) -> Coroutine<void> {
                writer.write("a line\nand more that nobody reads");
                co_await end(writer);
            },
            "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        EXPECT_EQ(co_await reader.readline(), "a line\n");
        writer.close();
        co_await writer.wait_closed();
        co_await end(server);
    });
}

TEST_F(Streams, AReaderIsOfTheCurrentLoop) {
    set_event_loop(nullptr);
    EXPECT_THAT(thrown_by([] { const StreamReader reader; }), ::testing::HasSubstr("RuntimeError"));
    const StreamReader named(loop);
    run([]() -> Coroutine<void> {
        const StreamReader reader;
        reader.feed_data("x");
        EXPECT_EQ(co_await reader.read(1), "x");
    });
    set_event_loop(&loop);
    const StreamReader global;
    global.feed_data("y");
    run([&]() -> Coroutine<void> { EXPECT_EQ(co_await global.read(1), "y"); });
    set_event_loop(nullptr);
}

}  // namespace
