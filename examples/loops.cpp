// A server of several loops, one per thread, on one port. Shown in docs/scale.md.
//
//   loops                    both ends, once, on a port that is free
//   loops PORT LOOPS         serves until it is killed
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <asyncio.hpp>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

using asyncio::Coroutine;
using asyncio::StreamReader;
using asyncio::StreamWriter;

namespace {

// [handler]
Coroutine<void> echo(StreamReader reader, StreamWriter writer) {
    while (auto line = co_await asyncio::anext(reader)) {
        writer.write(*line);
        co_await writer.drain();
    }
    writer.close();
    co_await writer.wait_closed();
}
// [/handler]

// [serve]
Coroutine<void> serve(int port) {
    auto server = co_await asyncio::start_server(echo, "127.0.0.1", port, {.reuse_port = true});
    co_await asyncio::with(server, [&] { return server.serve_forever(); });
}

void serve_by(int loops, int port) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < loops; ++i) {
        threads.emplace_back([port] { asyncio::run(serve(port)); });
    }
}
// [/serve]

// A loop in a thread of its own, on the port of the first, and how many it has served.
class CountingLoop {
  public:
    explicit CountingLoop(int port = 0) : thread_([this, port] { asyncio::run(count(port)); }) {
        ready_.wait(false);
    }
    CountingLoop(const CountingLoop&) = delete;
    CountingLoop& operator=(const CountingLoop&) = delete;

    [[nodiscard]] int port() const { return port_; }
    // Stops the loop first.
    int served() {
        // [stop]
        loop_->call_soon_threadsafe([this] { stop_->set(); });
        thread_.join();
        // [/stop]
        return served_;
    }

  private:
    Coroutine<void> count(int port) {
        asyncio::Event stop;
        auto server = co_await asyncio::start_server(
            [this](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                ++served_;
                co_await echo(reader, writer);
            },
            "127.0.0.1", port, {.reuse_port = true});
        port_ = server.sockets().at(0).getsockname().port();
        loop_ = &asyncio::get_running_loop();
        stop_ = &stop;
        ready_ = true;
        ready_.notify_one();
        co_await asyncio::with(server, [&] { return stop.wait(); });
    }

    std::atomic<bool> ready_ = false;
    asyncio::EventLoop* loop_ = nullptr;
    asyncio::Event* stop_ = nullptr;
    int port_ = 0;
    int served_ = 0;
    std::jthread thread_;
};

Coroutine<void> greet(int port) {
    auto [reader, writer] = co_await asyncio::open_connection("127.0.0.1", port);
    writer.write("hello\n");
    co_await reader.readline();
    writer.close();
    co_await writer.wait_closed();
}

Coroutine<void> greet_often(int port) {
    std::vector<Coroutine<void>> clients;
    for (int i = 0; i < 100; ++i) clients.push_back(greet(port));
    co_await asyncio::gather(std::move(clients));
}

void both() {
    CountingLoop first;
    CountingLoop second(first.port());
    asyncio::run(greet_often(first.port()));
    const std::array served{first.served(), second.served()};
    fmt::print("{} connections, served by {} loops\n", served[0] + served[1],
               std::ranges::count_if(served, [](int count) { return count > 0; }));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3) {
        serve_by(std::stoi(argv[2]), std::stoi(argv[1]));
    } else {
        both();
    }
}
