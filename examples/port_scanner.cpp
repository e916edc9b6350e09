// Which ports of a host are open. Shown in docs/howto/networking.md.
//
//   port_scanner                     some ports of its own
//   port_scanner HOST FIRST LAST
#include <fmt/format.h>
#include <unistd.h>

#include <asyncio.hpp>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::SocketAddress;

namespace {

// [probe]
Coroutine<std::string> probe(std::string host, int port) {
    auto connecting = asyncio::open_connection(host, port, {.happy_eyeballs_delay = 250ms});
    try {
        auto [reader, writer] = co_await asyncio::wait_for(std::move(connecting), 1s);
        writer.close();
        co_return "open";
    } catch (const asyncio::TimeoutError&) {
        co_return "no answer";
    } catch (const asyncio::OSError&) {
        co_return "closed";
    }
}
// [/probe]

// [scan]
Coroutine<void> scan(std::string host, int first, int last) {
    // So that a name that does not exist is an error, and no host without open ports.
    co_await asyncio::get_running_loop().getaddrinfo(host, first);

    asyncio::Semaphore slots(100);
    std::vector<Coroutine<std::string>> probes;
    for (int port = first; port <= last; ++port) {
        probes.push_back(asyncio::with(slots, [=] { return probe(host, port); }));
    }
    int closed = 0;
    for (int port = first; const auto& state : co_await asyncio::gather(probes)) {
        if (state == "closed") {
            ++closed;
        } else {
            fmt::print("{} {}\n", port, state);
        }
        ++port;
    }
    fmt::print("{} closed\n", closed);
}
// [/scan]

// All of 127.0.0.0/8 is this machine: an address that only this process uses, and ports that
// the kernel gives to nobody.
Coroutine<void> scan_ourselves() {
    const int pid = ::getpid();
    const std::string host =
        fmt::format("127.{}.{}.{}", 64 + (pid >> 16), pid >> 8 & 255, pid & 255);
    auto server = co_await asyncio::start_server(
        [](asyncio::StreamReader, asyncio::StreamWriter writer) { writer.close(); }, host, 61003);

    // Nobody accepts here, and the queue has room for one.
    auto busy = asyncio::Socket::create(AF_INET, SOCK_STREAM);
    busy.bind(SocketAddress(host, 61007));
    busy.listen(0);
    auto [reader, writer] = co_await asyncio::open_connection(host, 61007);

    co_await scan(host, 61000, 61019);
    writer.close();
    server.close();
    co_await server.wait_closed();
}

}  // namespace

int main(int argc, char** argv) {
    asyncio::run(argc > 3 ? scan(argv[1], std::stoi(argv[2]), std::stoi(argv[3]))
                          : scan_ourselves());
}
