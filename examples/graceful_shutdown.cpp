// A server that ends well: docs/howto/graceful_shutdown.md. Without arguments it is its own
// client, and sends itself SIGTERM; `graceful_shutdown PORT` serves until somebody else does.
#include <fmt/format.h>

#include <asyncio.hpp>
#include <csignal>
#include <string>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::StreamReader;
using asyncio::StreamWriter;
using asyncio::TaskGroup;

namespace {

// [handler]
Coroutine<void> answer(StreamReader reader, StreamWriter writer) {
    while (auto question = co_await asyncio::anext(reader)) {
        co_await asyncio::sleep(20ms);  // the work
        writer.write("answer to " + *question);
        co_await writer.drain();
    }
    writer.close();
    co_await writer.wait_closed();
}
// [/handler]

// [shut_down]
Coroutine<void> shut_down(asyncio::Server server, std::chrono::milliseconds grace) {
    server.close();  // nobody new; who is connected may finish
    try {
        co_await asyncio::wait_for(server.wait_closed(), grace);
    } catch (const asyncio::TimeoutError&) {
        fmt::print("not all have finished\n");
        server.close_clients();
    }
    co_await server.wait_closed();
}
// [/shut_down]

// [keep_tidy]
Coroutine<void> keep_tidy() {
    co_await asyncio::finally(asyncio::sleep(1h), []() -> Coroutine<void> {
        fmt::print("tidied up\n");
        co_return;
    });
}
// [/keep_tidy]

// [program]
Coroutine<void> serve(asyncio::Server server) {
    asyncio::Event stop;
    auto& loop = asyncio::get_running_loop();
    for (const int signal : {SIGINT, SIGTERM}) {
        loop.add_signal_handler(signal, [&stop] { stop.set(); });
    }
    co_await asyncio::with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
        auto tidying = group.create_task(keep_tidy());
        co_await stop.wait();
        co_await shut_down(server, 500ms);
        tidying.cancel();
    });
    fmt::print("the end\n");
}
// [/program]

Coroutine<void> serve_at(int port) {
    co_await serve(co_await asyncio::start_server(answer, "", port));
}

Coroutine<std::string> ask(asyncio::StreamPair connection) {
    connection.second.write("a question\n");
    co_return co_await connection.first.readline();
}

Coroutine<void> try_it() {
    auto server = co_await asyncio::start_server(answer, "127.0.0.1", 0);
    const int port = server.sockets().at(0).getsockname().port();
    auto serving = asyncio::create_task(serve(server));
    auto busy = co_await asyncio::open_connection("127.0.0.1", port);
    auto idle = co_await asyncio::open_connection("127.0.0.1", port);
    co_await ask(idle);

    auto asking = asyncio::create_task(ask(busy));
    co_await asyncio::sleep(0);  // until it has asked
    std::raise(SIGTERM);
    const std::string answer = co_await asking;
    busy.second.close();
    auto another = co_await asyncio::try_(asyncio::open_connection("127.0.0.1", port));
    co_await serving;

    fmt::print("the busy one got: {}", answer);
    fmt::print("another one got {}\n", another ? "in" : "no connection");
    fmt::print("the idle one got \"{}\"\n", co_await idle.first.read());
    idle.second.close();
}

}  // namespace

int main(int argc, char** argv) {
    asyncio::run(argc > 1 ? serve_at(std::stoi(argv[1])) : try_it());
}
