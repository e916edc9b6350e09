// Protocols and transports over real connections: which callbacks come, in which order, with which
// errors, and what the transport allows when.
#include "scenario.hpp"

using asyncio::Event;
using asyncio::Transport;

struct Recorder : asyncio::Protocol {
    explicit Recorder(std::string name, bool keeps = false)
        : label(std::move(name)), keep_open(keeps) {}

    void connection_made(std::shared_ptr<Transport> connection) override {
        note(label, "made");
        transport = std::move(connection);
        made.set_result();
    }
    void data_received(std::string_view data) override {
        received += data;
        got.set();
    }
    bool eof_received() override {
        note(label, "eof after", received.size());
        ended.set();
        return keep_open;
    }
    void pause_writing() override { note(label, "pause"); }
    void resume_writing() override { note(label, "resume"); }
    void connection_lost(std::exception_ptr error) override {
        note(label, "lost", error ? name(error) : "None");
        lost.set_result();
    }
    Coroutine<void> until(std::size_t size) {
        while (received.size() < size) {
            got.clear();
            co_await got.wait();
        }
    }

    std::string label;
    bool keep_open;
    std::shared_ptr<Transport> transport;
    std::string received;
    Future<void> made, lost;
    Event got, ended;
};

using Ends = std::pair<std::shared_ptr<Recorder>, std::shared_ptr<Recorder>>;

Coroutine<Ends> connected(bool keep_open = false) {
    EventLoop& loop = asyncio::get_running_loop();
    auto accepted = std::make_shared<Recorder>("server:", keep_open);
    auto server = co_await loop.create_server([accepted] { return accepted; }, "127.0.0.1", 0);
    const int port = server.sockets().at(0).getsockname().port();
    auto connection = co_await loop.create_connection(
        [] { return std::make_shared<Recorder>("client:"); }, "127.0.0.1", port);
    co_await accepted->made;
    server.close();
    co_return {connection.second, accepted};
}

Coroutine<void> close_by_client() {
    auto [client, server] = co_await connected();
    client->transport->write("hello");
    client->transport->writelines({" ", "there"});
    co_await server->until(11);
    note(server->received);
    client->transport->close();
    note(client->transport->is_closing(), client->lost.done());
    co_await client->lost;
    co_await server->lost;
}

Coroutine<void> half_close() {
    auto [client, server] = co_await connected(true);
    client->transport->write("question");
    note(client->transport->can_write_eof());
    client->transport->write_eof();
    try {
        client->transport->write("more");
    } catch (const asyncio::RuntimeError& error) {
        note(name(error));
    }
    co_await server->ended.wait();
    server->transport->write("answer");
    co_await client->until(6);
    note(client->received, client->transport->is_closing());
    server->transport->close();
    co_await client->lost;
    co_await server->lost;
}

Coroutine<void> abort_it() {
    auto [client, server] = co_await connected();
    client->transport->write(std::string(20'000'000, 'x'));
    note(client->transport->get_write_buffer_size() > 0);
    client->transport->abort();
    note(client->transport->get_write_buffer_size());
    co_await client->lost;
    co_await server->lost;
    note(server->received.size() < 20'000'000);
}

Coroutine<void> after_close() {
    auto [client, server] = co_await connected();
    client->transport->close();
    client->transport->close();
    client->transport->write("ignored");
    client->transport->abort();
    co_await client->lost;
    co_await server->lost;
    note(server->received.size());
}

Coroutine<void> paused() {
    auto [client, server] = co_await connected();
    server->transport->pause_reading();
    note(server->transport->is_reading());
    client->transport->write("data");
    co_await asyncio::sleep(20ms);
    note(server->received.size());
    server->transport->resume_reading();
    note(server->transport->is_reading());
    co_await server->until(4);
    client->transport->close();
    co_await server->lost;
    co_await client->lost;
}

void show_limits(const Transport& transport) {
    const auto [low, high] = transport.get_write_buffer_limits();
    note(std::tuple(low, high));
}

Coroutine<void> limits() {
    auto [client, server] = co_await connected();
    Transport& transport = *client->transport;
    show_limits(transport);
    using Limits = asyncio::WriteBufferLimits;
    for (const Limits& limits : {Limits{.high = 1000}, Limits{.low = 500}, Limits{.high = 0},
                                 Limits{.high = 10, .low = 5}, Limits{}}) {
        transport.set_write_buffer_limits(limits);
        show_limits(transport);
    }
    for (const Limits& limits : {Limits{.high = 5, .low = 10}, Limits{.low = -1}}) {
        try {
            transport.set_write_buffer_limits(limits);
        } catch (const asyncio::ValueError&) {
            note("ValueError");
        }
    }
    transport.close();
    co_await client->lost;
    co_await server->lost;
}

Coroutine<void> flow_control() {
    auto [client, server] = co_await connected();
    server->transport->pause_reading();
    client->transport->write(std::string(20'000'000, 'x'));
    client->transport->write("y");
    server->transport->resume_reading();
    co_await server->until(20'000'001);
    client->transport->close();
    co_await client->lost;
    co_await server->lost;
}

Coroutine<void> flush_on_close() {
    auto [client, server] = co_await connected();
    client->transport->write(std::string(5'000'000, 'x'));
    client->transport->close();
    co_await server->lost;
    note(server->received.size());
    co_await client->lost;
}

Coroutine<void> another_protocol() {
    auto [client, server] = co_await connected();
    auto other = std::make_shared<Recorder>("other:");
    server->transport->set_protocol(other);
    note(server->transport->get_protocol() == other);
    client->transport->write("to the other");
    co_await other->until(12);
    note(server->received.size(), other->received);
    client->transport->close();
    co_await other->lost;
    co_await client->lost;
}

struct Buffered : asyncio::BufferedProtocol {
    void connection_made(std::shared_ptr<Transport>) override { note("buffered: made"); }
    std::span<std::byte> get_buffer(std::size_t) override {
        return std::as_writable_bytes(std::span(buffer));
    }
    void buffer_updated(std::size_t size) override { note("buffered:", std::string(buffer, size)); }
    bool eof_received() override {
        note("buffered: eof");
        return false;
    }
    void connection_lost(std::exception_ptr error) override {
        note("buffered: lost", error);
        lost.set_result();
    }
    char buffer[4];
    Future<void> lost;
};

Coroutine<void> buffered() {
    auto [client, server] = co_await connected();
    auto other = std::make_shared<Buffered>();
    server->transport->set_protocol(other);
    client->transport->write("abcdefghij");
    client->transport->write_eof();
    co_await other->lost;
    co_await client->lost;
}

Coroutine<void> no_connection() {
    EventLoop& loop = asyncio::get_running_loop();
    const auto nobody = [] { return std::make_shared<Recorder>("nobody:"); };
    auto server = co_await loop.create_server([] { return std::make_shared<asyncio::Protocol>(); },
                                              "127.0.0.1", 0);
    const int port = server.sockets().at(0).getsockname().port();
    server.close();
    try {
        co_await loop.create_connection(nobody, "127.0.0.1", port);
    } catch (const asyncio::OSError& error) {
        note(name(error));
    }
    try {
        co_await loop.create_connection(nobody, asyncio::ConnectionOptions{});
    } catch (const asyncio::ValueError&) {
        note("ValueError");
    }
    try {
        co_await loop.create_connection(nobody, "127.0.0.1", 1, {.server_hostname = "here"});
    } catch (const asyncio::ValueError&) {
        note("ValueError");
    }
}

Coroutine<void> program() {
    using Part = std::pair<const char*, Coroutine<void> (*)()>;
    for (const auto& [name, part] :
         {Part{"close_by_client", close_by_client}, Part{"half_close", half_close},
          Part{"abort", abort_it}, Part{"after_close", after_close}, Part{"paused", paused},
          Part{"limits", limits}, Part{"flow_control", flow_control},
          Part{"flush_on_close", flush_on_close}, Part{"another_protocol", another_protocol},
          Part{"buffered", buffered}, Part{"no_connection", no_connection}}) {
        note("==", name);
        co_await part();
    }
}

int main() {
    asyncio::run(program());
}
