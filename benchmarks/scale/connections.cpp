// Many connections that are open at once: one of several servers, or one of several clients.
//
//   connections server ADDRESS PORT             echoes
//   connections client ADDRESS PORT COUNT       holds COUNT connections, a task each
//
// Requests come by lines of standard input, and each is answered by a line of JSON:
//
//   open          (client) opens the connections
//   ping TIMES    (client) sends a message there and back on one after the other, the rest idle
//   report        heap, memory and connections now
//   close         (server) ends as any program does: its main coroutine returns, and run()
//                 cancels the tasks. (client) waits until the server has closed each connection
#include <malloc.h>

#include <algorithm>
#include <array>
#include <asyncio.hpp>
#include <asyncio/memory_usage_detail.hpp>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../micro/bench.hpp"

namespace {

using namespace asyncio;

std::size_t open_now = 0;

std::size_t heap_in_use() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd + asyncio::detail::memory_in_blocks();
}

void report() {
    std::printf("{\"open\": %zu, \"heap\": %zu, \"resident\": %lld}\n", open_now, heap_in_use(),
                static_cast<long long>(bench::resident()));
    std::fflush(stdout);
}

Coroutine<std::string> next_request() {
    co_return co_await to_thread([] {
        std::string line;
        std::getline(std::cin, line);
        return line;
    });
}

// ---- the server ----------------------------------------------------------------------------

struct Counted {
    Counted() { ++open_now; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { --open_now; }
};

Coroutine<void> serve(StreamReader reader, StreamWriter writer) {
    const Counted counted;
    std::array<char, 64> buffer;
    while (const std::size_t size = co_await reader.read_into(buffer)) {
        writer.write(std::string_view(buffer.data(), size));
        co_await writer.drain();
    }
    writer.close();
}

Coroutine<void> run_server(std::string address, int port) {
    const Server server = co_await start_server(serve, address, port, {.backlog = 4096});
    report();
    while (co_await next_request() == "report") report();
}

// ---- the client ----------------------------------------------------------------------------

class Clients {
  public:
    Clients(std::string address, int port, std::size_t count)
        : address_(std::move(address)), port_(port), count_(count) {}

    Coroutine<void> run() {
        report();
        for (;;) {
            const std::string request = co_await next_request();
            if (request == "open") {
                co_await open();
            } else if (request.starts_with("ping ")) {
                co_await ping(std::stoul(request.substr(5)));
            } else if (request == "report") {
                report();
            } else {
                break;
            }
        }
        co_await wait(std::move(tasks_));
        report();
    }

  private:
    static constexpr std::size_t at_once = 64;

    // A few connect at the same time, as a backlog has an end.
    Coroutine<void> open() {
        writers_.reserve(count_);
        tasks_.reserve(count_);
        const std::int64_t begin = bench::nanoseconds();
        std::size_t left = count_;
        const auto connect_some = [&]() -> Coroutine<void> {
            while (left > 0) {
                --left;
                auto [reader, writer] = co_await open_connection(address_, port_);
                tasks_.push_back(create_task(receive(reader)));
                writers_.push_back(writer);
            }
        };
        std::vector<Coroutine<void>> workers;
        for (std::size_t i = 0; i < at_once; ++i) workers.push_back(connect_some());
        co_await gather(std::move(workers));
        std::printf("{\"open_ns\": %lld}\n", static_cast<long long>(bench::nanoseconds() - begin));
        std::fflush(stdout);
    }

    Coroutine<void> receive(StreamReader reader) {
        const Counted counted;
        std::array<char, 64> buffer;
        try {
            while (co_await reader.read_into(buffer) > 0) answered_->set_result();
        } catch (const ConnectionError&) {  // the server ended in the middle
        }
    }

    // Latencies in nanoseconds, by connections far from each other.
    Coroutine<void> ping(std::size_t times) {
        std::vector<std::int64_t> each;
        each.reserve(times);
        for (std::size_t i = 0; i < times; ++i) {
            const StreamWriter& writer = writers_.at(i * 7919 % writers_.size());
            answered_ = get_running_loop().create_future<void>();
            const std::int64_t begin = bench::nanoseconds();
            writer.write("a message of 32 bytes, no more.\n");
            co_await *answered_;
            each.push_back(bench::nanoseconds() - begin);
        }
        std::string text;
        for (const std::int64_t latency : each)
            text += (text.empty() ? "" : ",") + std::to_string(latency);
        std::printf("{\"latencies\": [%s]}\n", text.c_str());
        std::fflush(stdout);
    }

    std::string address_;
    int port_;
    std::size_t count_;
    std::vector<StreamWriter> writers_;
    std::vector<Task<void>> tasks_;
    std::optional<Future<void>> answered_;
};

}  // namespace

int main(int argc, char** argv) {
    const std::string_view kind = argc > 1 ? argv[1] : "";
    if (kind == "server" && argc == 4) {
        run(run_server(argv[2], std::atoi(argv[3])));
        report();
    } else if (kind == "client" && argc == 5) {
        Clients clients(argv[2], std::atoi(argv[3]), std::strtoul(argv[4], nullptr, 10));
        run(clients.run());
    } else {
        return 2;
    }
}
