// Servers, five scenarios: when they serve, serve_forever() and what ends it, leaving one as a
// context manager, what wait_closed() waits for, and closing the connections too.
#include "io_scenario.hpp"

using asyncio::Server;
using asyncio::ServerOptions;
using io::noted;
using io::Recorder;
using Peer = std::shared_ptr<Recorder>;

const std::string host = "127.0.0.1";

// A server, its port, and the protocols of its connections.
struct Made {
    Server server;
    int port = 0;
    asyncio::Queue<Peer> protocols;
};
using MadePtr = std::shared_ptr<Made>;

Coroutine<MadePtr> make(std::string label = "peer", ServerOptions options = {}) {
    const auto made = std::make_shared<Made>();
    const auto factory = [made = made.get(), label] {
        auto protocol = std::make_shared<Recorder>(label);
        made->protocols.put_nowait(protocol);
        return protocol;
    };
    made->server =
        co_await asyncio::get_running_loop().create_server(factory, host, 0, std::move(options));
    made->port = made->server.sockets().at(0).getsockname().port();
    co_return made;
}

Coroutine<Peer> connect(int port, std::string label = "client") {
    const auto [transport, protocol] = co_await asyncio::get_running_loop().create_connection(
        [label] { return std::make_shared<Recorder>(label); }, host, port);
    co_return protocol;
}

Coroutine<void> serving() {
    note("== serving");
    auto made = co_await make();
    const Server server = made->server;
    note(server.is_serving(), server.sockets().size());
    const Peer client = co_await connect(made->port);
    const Peer peer = co_await made->protocols.get();
    co_await peer->made;
    server.close();
    note(server.is_serving(), server.sockets().size());
    server.close();
    // A connection goes on.
    client->transport->write("hello");
    co_await peer->receives(5);
    client->transport->close();
    co_await peer->lost;

    made = co_await make("peer", {.start_serving = false});
    const Server later = made->server;
    note(later.is_serving(), later.sockets().size());
    co_await later.start_serving();
    co_await later.start_serving();
    note(later.is_serving());
    later.close();
    co_await noted("wait_closed", later.wait_closed());
    co_await noted("wait_closed", later.wait_closed());
}

Coroutine<void> forever() {
    note("== serve_forever");
    for (const std::string how : {"cancel", "close"}) {
        const auto made = co_await make("peer", {.start_serving = false});
        const Server server = made->server;
        auto task = asyncio::create_task(noted(how, server.serve_forever()));
        co_await asyncio::sleep(10ms);
        note(server.is_serving());
        co_await noted("second", server.serve_forever());
        if (how == "cancel") {
            task.cancel();
        } else {
            server.close();
        }
        co_await task;
        note(server.is_serving(), server.sockets().size());
        co_await noted("once more", server.serve_forever());
    }
}

Coroutine<void> context_manager() {
    note("== context manager");
    auto made = co_await make();
    Server server = made->server;
    co_await asyncio::with(server, [&server]() -> Coroutine<void> {
        note("inside", server.is_serving());
        co_return;
    });
    note("outside", server.is_serving());
    made = co_await make();
    server = made->server;
    const auto outcome = co_await asyncio::try_(asyncio::with(server, []() -> Coroutine<void> {
        throw asyncio::ValueError("in the block");
        co_return;
    }));
    note(text(outcome.exception()), server.is_serving());
}

Coroutine<void> waiting() {
    note("== wait_closed");
    const auto made = co_await make();
    const Server server = made->server;
    const Peer client = co_await connect(made->port);
    const Peer peer = co_await made->protocols.get();
    co_await peer->made;
    auto task = asyncio::create_task(noted("wait_closed", server.wait_closed()));
    co_await asyncio::sleep(10ms);
    note("closes", task.done());
    server.close();
    co_await asyncio::sleep(20ms);
    note("a connection is open", task.done());
    client->transport->close();
    co_await client->lost;
    co_await task;
}

Coroutine<void> clients() {
    note("== clients");
    for (const std::string how : {"close_clients", "abort_clients"}) {
        const auto made = co_await make(how);
        const Server server = made->server;
        const Peer client = co_await connect(made->port);
        const Peer peer = co_await made->protocols.get();
        co_await peer->made;
        const auto end = [&] {
            how == "close_clients" ? server.close_clients() : server.abort_clients();
        };
        server.close();
        end();
        co_await peer->lost;
        co_await client->lost;
        co_await noted("wait_closed", server.wait_closed());
        end();
    }
}

Coroutine<void> program() {
    io::listen(asyncio::get_running_loop());
    co_await serving();
    co_await forever();
    co_await context_manager();
    co_await waiting();
    co_await clients();
}

int main() {
    asyncio::run(program());
}
