// Streams over TCP and Unix sockets, eight scenarios: a conversation, half-closed connections,
// writing at the end, a peer that is lost, cancelled reads, handlers that fail, connections that
// are refused.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "io_scenario.hpp"

using asyncio::Server;
using asyncio::StreamPair;
using asyncio::StreamReader;
using asyncio::StreamWriter;
using io::attempted;
using io::noted;

const std::string host = "127.0.0.1";

int port_of(const Server& server) {
    return server.sockets().at(0).getsockname().port();
}

Coroutine<void> end(auto... closables) {
    (
        co_await [](auto closable) -> Coroutine<void> {
            closable.close();
            co_await closable.wait_closed();
        }(closables),
        ...);
}

Coroutine<void> echo(StreamReader reader, StreamWriter writer) {
    while (auto line = co_await anext(reader)) {
        writer.write("echo " + *line);
        co_await writer.drain();
    }
    note("handler sees the end", reader.at_eof());
    writer.write("bye");
    writer.close();
    co_await writer.wait_closed();
    note("handler is done");
}

Coroutine<void> talk(StreamReader reader, StreamWriter writer) {
    note("open", writer.is_closing(), reader.at_eof(), writer.can_write_eof());
    for (const char* line : {"one\n", "two\n"}) {
        writer.write(line);
        co_await writer.drain();
        co_await noted("line", reader.readline());
    }
    writer.writelines(std::vector<std::string>{"three", "\n"});
    co_await noted("exactly", reader.readexactly(5));
    co_await noted("until", reader.readuntil("ee"));
    co_await noted("line", reader.readline());
    writer.write_eof();
    co_await noted("rest", reader.read());
    note("at_eof", reader.at_eof());
    co_await asyncio::sleep(20ms);
    writer.close();
    note("closing", writer.is_closing());
    co_await noted("wait_closed", writer.wait_closed());
}

Coroutine<void> conversation() {
    note("== conversation");
    Server server = co_await asyncio::start_server(echo, host, 0);
    auto [reader, writer] = co_await asyncio::open_connection(host, port_of(server));
    co_await talk(reader, writer);
    co_await end(server);
}

Coroutine<void> over_a_unix_socket() {
    note("== over a Unix socket");
    std::string folder = std::filesystem::temp_directory_path() / "io_streams.XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) throw asyncio::OSError(errno, "mkdtemp");
    const std::string path = folder + "/socket";
    Server server = co_await asyncio::start_unix_server(echo, path);
    auto [reader, writer] = co_await asyncio::open_unix_connection(path);
    co_await talk(reader, writer);
    co_await end(server);
    std::filesystem::remove_all(folder);
}

// Both ends of a connection.
Coroutine<std::pair<StreamPair, StreamPair>> connect() {
    Future<StreamPair> ends;
    Server server = co_await asyncio::start_server(
        [ends](StreamReader reader, StreamWriter writer) {
            ends.set_result(StreamPair(reader, writer));
        },
        host, 0);
    const StreamPair client = co_await asyncio::open_connection(host, port_of(server));
    const StreamPair served = co_await ends;
    server.close();
    co_return {client, served};
}

Coroutine<void> half_closed() {
    note("== half closed");
    auto [ours, theirs] = co_await connect();
    auto& [reader, writer] = ours;
    auto& [peer_reader, peer_writer] = theirs;
    writer.write("question");
    writer.write_eof();
    try {
        writer.write("more");
    } catch (const asyncio::RuntimeError& error) {
        note(io::said(error));
    }
    co_await noted("peer", peer_reader.read());
    note("peer is closing", peer_writer.is_closing());
    peer_writer.write("answer");
    co_await noted("answer", reader.read(100));
    co_await end(peer_writer);
    co_await noted("end", reader.read());
    note("closing", writer.is_closing());
    co_await end(writer);
}

Coroutine<void> at_the_end() {
    note("== at the end");
    auto [ours, theirs] = co_await connect();
    const auto& reader = ours.first;
    const auto& writer = ours.second;
    writer.close();
    note("closing", writer.is_closing());
    attempted("write", [&] { writer.write("late"); });
    co_await noted("drain", writer.drain());
    co_await noted("wait_closed", writer.wait_closed());
    co_await noted("again", writer.wait_closed());
    co_await noted("drain", writer.drain());
    co_await noted("own read", reader.read());
    attempted("close", [&] { writer.close(); });
    attempted("write", [&] { writer.write("later"); });
    co_await noted("peer", theirs.first.read());
    co_await end(theirs.second);
}

Coroutine<void> lost_peer() {
    note("== lost peer");
    auto [ours, theirs] = co_await connect();
    auto& [reader, writer] = ours;
    auto& [peer_reader, peer_writer] = theirs;
    auto waiting = asyncio::create_task(noted("read", reader.read(10)));
    co_await asyncio::sleep(0);
    // Closed without a lingering good-bye it is a reset.
    const linger hard{1, 0};
    peer_writer.get_extra_info<asyncio::TransportSocket>("socket")->setsockopt(
        SOL_SOCKET, SO_LINGER, {reinterpret_cast<const char*>(&hard), sizeof hard});
    peer_writer.transport()->abort();
    co_await waiting;
    note("exception", io::kind(reader.exception()));
    co_await noted("wait_closed", writer.wait_closed());
    co_await noted("read", reader.read(10));
    co_await noted("drain", writer.drain());
    co_await noted("peer", peer_writer.wait_closed());
    co_await noted("peer reads", peer_reader.read());
}

template <class How>
Coroutine<void> cancel_in(std::string label, How how, StreamReader reader, StreamWriter peer) {
    auto task = asyncio::create_task(noted(label, how(reader)));
    co_await asyncio::sleep(10ms);
    if (label != "read") {
        peer.write("half");
        co_await asyncio::sleep(20ms);
    }
    task.cancel();
    co_await task;
    peer.write("+rest\n");
    co_await noted("then", reader.readuntil("\n"));
}

Coroutine<void> cancelled_reads() {
    note("== cancelled reads");
    auto [ours, theirs] = co_await connect();
    auto& [reader, writer] = ours;
    auto& [peer_reader, peer_writer] = theirs;
    co_await cancel_in(
        "read", [](StreamReader& from) { return from.read(10); }, reader, peer_writer);
    co_await cancel_in(
        "line", [](StreamReader& from) { return from.readline(); }, reader, peer_writer);
    co_await cancel_in(
        "exactly", [](StreamReader& from) { return from.readexactly(8); }, reader, peer_writer);
    co_await noted("timeout", asyncio::wait_for(reader.read(10), 20ms));
    peer_writer.write("late");
    co_await noted("then", reader.readexactly(4));
    co_await end(writer, peer_writer);
}

Coroutine<void> failing(StreamReader reader, StreamWriter) {
    note("handler got", io::show(co_await reader.readline()));
    throw asyncio::ValueError("in a handler");
}

Coroutine<void> too_long(StreamReader reader, StreamWriter writer) {
    co_await noted("handler", reader.readline());
    co_await noted("handler", reader.readline());
    co_await end(writer);
}

Coroutine<void> handlers() {
    note("== handlers");
    {
        Server server = co_await asyncio::start_server(failing, host, 0);
        auto [reader, writer] = co_await asyncio::open_connection(host, port_of(server));
        writer.write("line\n");
        co_await noted("end", reader.read());
        co_await end(writer, server);
    }
    Server server = co_await asyncio::start_server(too_long, host, 0, {.limit = 8});
    auto [reader, writer] = co_await asyncio::open_connection(host, port_of(server));
    writer.write("much too long a line\nshort\n");
    co_await noted("end", reader.read());
    co_await end(writer, server);
}

// Notes the error of what should not succeed.
Coroutine<void> fails(std::string label, Coroutine<StreamPair> opening) {
    const auto outcome = co_await asyncio::try_(std::move(opening));
    note(label, "gets", io::show(outcome.exception()));
}

Coroutine<void> refused() {
    note("== refused");
    Server server = co_await asyncio::start_server(echo, host, 0);
    const int port = port_of(server);
    co_await end(server);
    co_await fails("nobody", asyncio::open_connection(host, port));
    co_await fails("no path", asyncio::open_unix_connection("/nonexistent/socket"));
    co_await fails("no limit", asyncio::open_connection(host, port, {.limit = 0}));
}

Coroutine<void> program() {
    io::listen(asyncio::get_running_loop());
    co_await conversation();
    co_await over_a_unix_socket();
    co_await half_closed();
    co_await at_the_end();
    co_await lost_peer();
    co_await cancelled_reads();
    co_await handlers();
    co_await refused();
}

int main() {
    asyncio::run(program());
}
