// An echo server of several loops, one per thread, on one port: loops PORT LOOPS
#include <array>
#include <asyncio.hpp>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace asyncio;

Coroutine<void> echo(StreamReader reader, StreamWriter writer) {
    std::array<char, 65536> buffer;
    try {
        while (const std::size_t size = co_await reader.read_into(buffer)) {
            writer.write(std::string_view(buffer.data(), size));
            co_await writer.drain();
        }
    } catch (const ConnectionError&) {  // the load generator leaves in the middle
    }
    writer.close();
}

Coroutine<void> serve(int port) {
    Server server =
        co_await start_server(echo, "127.0.0.1", port, {.backlog = 4096, .reuse_port = true});
    co_await server.serve_forever();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const int port = std::atoi(argv[1]);
    std::vector<std::jthread> loops;
    for (int i = 0; i < std::atoi(argv[2]); ++i) loops.emplace_back([port] { run(serve(port)); });
}
