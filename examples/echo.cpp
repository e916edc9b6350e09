// An echo server and its client, by streams. Shown in docs/howto/networking.md.
//
//   echo                       both, once, on a port that is free
//   echo PORT                  serves until Ctrl-C
//   echo HOST PORT LINE...     sends the lines, shows the answers
#include <fmt/format.h>

#include <asyncio.hpp>
#include <string>
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
    auto server = co_await asyncio::start_server(echo, "", port);
    co_await asyncio::with(server, [&] { return server.serve_forever(); });
}
// [/serve]

// [client]
Coroutine<void> send(std::string host, int port, std::vector<std::string> lines) {
    auto [reader, writer] = co_await asyncio::open_connection(host, port);
    for (const auto& line : lines) {
        writer.write(line + "\n");
        co_await writer.drain();
        fmt::print("{}", co_await reader.readline());
    }
    writer.close();
    co_await writer.wait_closed();
}
// [/client]

Coroutine<void> both() {
    auto server = co_await asyncio::start_server(echo, "127.0.0.1", 0);
    const int port = server.sockets().at(0).getsockname().port();
    co_await asyncio::gather(send("127.0.0.1", port, {"hello", "is anybody there?"}),
                             send("127.0.0.1", port, {}));
    server.close();
    co_await server.wait_closed();
    fmt::print("the server is {}\n", server.is_serving() ? "serving" : "closed");
}

}  // namespace

int main(int argc, char** argv) try {
    const std::vector<std::string> args(argv + 1, argv + argc);
    if (args.empty()) {
        asyncio::run(both());
    } else if (args.size() == 1) {
        asyncio::run(serve(std::stoi(args[0])));
    } else {
        asyncio::run(send(args[0], std::stoi(args[1]), {args.begin() + 2, args.end()}));
    }
} catch (const asyncio::KeyboardInterrupt&) {  // Ctrl-C: the usual end
}
