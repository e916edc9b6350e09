// Streams, servers, datagrams, Unix sockets, bare sockets, watched descriptors, signals and pipes:
// what each call gives, and the errors of each.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "scenario.hpp"

using asyncio::Server;
using asyncio::Socket;
using asyncio::SocketAddress;
using asyncio::StreamReader;
using asyncio::StreamWriter;

template <class T>
Coroutine<void> outcome(std::string label, Coroutine<T> awaitable) {
    const auto result = co_await asyncio::try_(std::move(awaitable));
    note(label, result ? "None" : name(result.exception()));
}

Coroutine<void> echo(StreamReader reader, StreamWriter writer) {
    for (;;) {
        const std::string data = co_await reader.read(1000);
        if (data.empty()) break;
        writer.write(data);
        co_await writer.drain();
    }
    writer.close();
}

int port_of(const Server& server) {
    return server.sockets().at(0).getsockname().port();
}

std::string strip(std::string line) {
    return line.substr(0, line.find('\n'));
}

Coroutine<void> streams() {
    auto server = co_await asyncio::start_server(echo, "127.0.0.1", 0);
    auto [reader, writer] = co_await asyncio::open_connection("127.0.0.1", port_of(server));
    writer.write("one\n");
    writer.writelines({"two", "\n"});
    const std::string first = strip(co_await reader.readline());
    note(first, strip(co_await reader.readline()));
    note(writer.can_write_eof(), writer.is_closing(),
         writer.get_extra_info<std::string>("nothing", "none"));
    writer.write_eof();
    const std::size_t size = (co_await reader.read()).size();
    note(size, reader.at_eof());
    writer.close();
    note(writer.is_closing());
    co_await outcome("closed:", writer.wait_closed());
    server.close();
}

Coroutine<void> handler_that_fails() {
    EventLoop& loop = asyncio::get_running_loop();
    loop.set_exception_handler([](EventLoop&, const asyncio::ExceptionContext& context) {
        note("handler:", context.message, name(context.exception));
    });
    const auto fail = [](StreamReader, StreamWriter) -> Coroutine<void> {
        throw asyncio::ValueError("in a handler");
        co_return;
    };
    auto server = co_await asyncio::start_server(fail, "127.0.0.1", 0);
    auto [reader, writer] = co_await asyncio::open_connection("127.0.0.1", port_of(server));
    note((co_await reader.read()).size());
    writer.close();
    co_await writer.wait_closed();
    server.close();
    loop.set_exception_handler({});
}

Coroutine<void> reset() {
    const auto abort = [](StreamReader, StreamWriter writer) {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        const int fd = writer.get_extra_info<asyncio::TransportSocket>("socket")->fileno();
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        writer.transport()->abort();
    };
    auto server = co_await asyncio::start_server(abort, "127.0.0.1", 0);
    auto [reader, writer] = co_await asyncio::open_connection("127.0.0.1", port_of(server));
    co_await outcome("read:", [](StreamReader from) -> Coroutine<void> {
        static_cast<void>(co_await from.read());
    }(reader));
    co_await outcome(
        "drain:", [](StreamWriter to) -> Coroutine<void> { co_await to.drain(); }(writer));
    writer.close();
    co_await outcome("wait_closed:", writer.wait_closed());
    server.close();
}

Coroutine<void> server_life() {
    auto server = co_await asyncio::start_server(echo, "127.0.0.1", 0, {.start_serving = false});
    note(server.is_serving(), server.sockets().size());
    co_await server.start_serving();
    co_await server.start_serving();
    note(server.is_serving());
    auto serving = asyncio::create_task(outcome("first:", server.serve_forever()));
    co_await asyncio::sleep(0);
    co_await outcome("second:", server.serve_forever());
    server.close();
    co_await serving;
    note(server.is_serving(), server.sockets().size());
    co_await outcome("serve_forever:", server.serve_forever());
    co_await outcome("wait_closed:", server.wait_closed());
}

Coroutine<void> server_cancelled() {
    auto server = co_await asyncio::start_server(echo, "127.0.0.1", 0);
    auto serving = asyncio::create_task(outcome("serving:", server.serve_forever()));
    co_await asyncio::sleep(0);
    serving.cancel();
    co_await serving;
    note(server.is_serving());
}

Coroutine<void> bad_servers() {
    co_await outcome("nothing:", asyncio::start_server(echo, asyncio::ServerOptions{}));
    co_await outcome("datagrams:",
                     asyncio::start_server(echo, {.sock = Socket::create(AF_INET, SOCK_DGRAM)}));
    auto taken = co_await asyncio::start_server(echo, "127.0.0.1", 0);
    co_await outcome("taken:", asyncio::start_server(echo, "127.0.0.1", port_of(taken)));
    co_await outcome("timeout:",
                     asyncio::start_server(echo, "127.0.0.1", 0, {.ssl_handshake_timeout = 1s}));
    taken.close();
}

Coroutine<void> unix_sockets() {
    std::string folder = std::filesystem::temp_directory_path() / "endpoints-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) co_return;
    const std::string path = folder + "/socket";
    co_await outcome("nobody:", asyncio::open_unix_connection(path));
    auto server = co_await asyncio::start_unix_server(echo, path);
    auto [reader, writer] = co_await asyncio::open_unix_connection(path);
    writer.write("over a path");
    note(co_await reader.read(100));
    writer.close();
    co_await writer.wait_closed();
    co_await outcome("both:", asyncio::open_unix_connection(
                                  path, {.sock = Socket::create(AF_INET, SOCK_STREAM)}));
    co_await outcome("neither:", asyncio::open_unix_connection(asyncio::UnixConnectionOptions{}));
    server.close();
    co_await server.wait_closed();
    std::filesystem::remove_all(folder);
}

struct Messages : asyncio::DatagramProtocol {
    explicit Messages(std::string name) : label(std::move(name)) {}
    void connection_made(std::shared_ptr<asyncio::DatagramTransport> made) override {
        note(label, "made");
        transport = std::move(made);
    }
    void datagram_received(std::string_view data, const SocketAddress& from) override {
        note(label, std::string(data));
        address = from;
        event.set();
    }
    void error_received(std::exception_ptr error) override {
        note(label, name(error));
        event.set();
    }
    void connection_lost(std::exception_ptr error) override {
        note(label, "lost", error);
        lost.set_result();
    }
    Coroutine<void> next() {
        co_await event.wait();
        event.clear();
    }
    std::string label;
    std::shared_ptr<asyncio::DatagramTransport> transport;
    SocketAddress address;
    asyncio::Event event;
    Future<void> lost;
};

Coroutine<void> datagrams() {
    EventLoop& loop = asyncio::get_running_loop();
    auto server = (co_await loop.create_datagram_endpoint(
                       [] { return std::make_shared<Messages>("server:"); },
                       {.local_addr = asyncio::HostPort("127.0.0.1", 0)}))
                      .second;
    const auto at = server->transport->get_extra_info<SocketAddress>("sockname");
    auto client = (co_await loop.create_datagram_endpoint(
                       [] { return std::make_shared<Messages>("client:"); },
                       {.remote_addr = asyncio::HostPort(at->host(), at->port())}))
                      .second;
    client->transport->sendto("question");
    co_await server->next();
    server->transport->sendto("answer", server->address);
    co_await client->next();
    try {
        client->transport->sendto("elsewhere", SocketAddress("127.0.0.1", 1));
    } catch (const asyncio::ValueError&) {
        note("ValueError");
    }
    server->transport->close();
    co_await server->lost;
    co_await asyncio::sleep(20ms);  // until the kernel has let go of it, too
    client->transport->sendto("anybody?");
    co_await client->next();
    client->transport->abort();
    co_await client->lost;
}

Coroutine<void> bad_datagrams() {
    EventLoop& loop = asyncio::get_running_loop();
    const auto make = [] { return std::make_shared<asyncio::DatagramProtocol>(); };
    co_await outcome("nothing:", loop.create_datagram_endpoint(make, {}));
    co_await outcome("stream:", loop.create_datagram_endpoint(
                                    make, {.sock = Socket::create(AF_INET, SOCK_STREAM)}));
}

Coroutine<void> receive(const Socket& socket) {
    static_cast<void>(co_await asyncio::get_running_loop().sock_recv(socket, 10));
}

Coroutine<void> bare_sockets() {
    EventLoop& loop = asyncio::get_running_loop();
    Socket listener = Socket::create(AF_INET, SOCK_STREAM);
    listener.bind(SocketAddress("127.0.0.1", 0));
    listener.listen();
    Socket client = Socket::create(AF_INET, SOCK_STREAM);
    auto accepting = asyncio::create_task(loop.sock_accept(listener));
    co_await loop.sock_connect(client, listener.getsockname());
    auto [peer, address] = co_await std::move(accepting);
    co_await loop.sock_sendall(client, "hello");
    note(co_await loop.sock_recv(peer, 3));
    std::string memory(10, '\0');
    const std::size_t size =
        co_await loop.sock_recv_into(peer, std::as_writable_bytes(std::span(memory)));
    note(size, memory.substr(0, 2));
    auto receiving = asyncio::create_task(outcome("cancelled:", receive(peer)));
    co_await asyncio::sleep(0);
    receiving.cancel();
    co_await receiving;
    co_await loop.sock_sendall(client, "again");
    note(co_await loop.sock_recv(peer, 10));
    client.close();
    note((co_await loop.sock_recv(peer, 10)).size());
    note((co_await loop.sock_recv(peer, 10)).size());
    peer.close();
    const SocketAddress nobody = listener.getsockname();
    listener.close();
    client = Socket::create(AF_INET, SOCK_STREAM);
    co_await outcome("refused:", loop.sock_connect(client, nobody));
}

Coroutine<void> watched_descriptors() {
    EventLoop& loop = asyncio::get_running_loop();
    auto [ours, theirs] = asyncio::socketpair();
    asyncio::Event done;
    const auto readable = [&, fd = ours.fileno()](const char* label) {
        char data[100];
        note(label, std::string(data, static_cast<std::size_t>(::recv(fd, data, 100, 0))));
        done.set();
    };
    loop.add_reader(ours, readable, "first:");
    loop.add_reader(ours, readable, "second:");
    static_cast<void>(::send(theirs.fileno(), "data", 4, 0));
    co_await done.wait();
    const bool removed = loop.remove_reader(ours);
    note(removed, loop.remove_reader(ours));
    loop.add_writer(ours, [&, fd = ours.fileno()] {
        note("writable");
        loop.remove_writer(fd);
        done.set();
    });
    done.clear();
    co_await done.wait();
    note(loop.remove_writer(ours));
}

Coroutine<void> signals() {
    EventLoop& loop = asyncio::get_running_loop();
    asyncio::Event came;
    const auto show = [&](const char* text) {
        note(text);
        came.set();
    };
    loop.add_signal_handler(SIGUSR1, show, "first");
    loop.add_signal_handler(SIGUSR1, show, "second");
    ::kill(::getpid(), SIGUSR1);
    co_await came.wait();
    const bool removed = loop.remove_signal_handler(SIGUSR1);
    note(removed, loop.remove_signal_handler(SIGUSR1));
    for (const int number : {0, 1000}) {
        try {
            loop.add_signal_handler(number, [] {});
        } catch (const asyncio::ValueError&) {
            note("ValueError");
        }
    }
    try {
        loop.add_signal_handler(SIGKILL, [] {});
    } catch (const asyncio::RuntimeError&) {
        note("RuntimeError");
    }
}

Coroutine<void> pipes() {
    EventLoop& loop = asyncio::get_running_loop();
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) co_return;
    const StreamReader reader;
    co_await loop.connect_read_pipe(
        [&] { return std::make_shared<asyncio::StreamReaderProtocol>(reader); }, fds[0]);
    auto transport = (co_await loop.connect_write_pipe(
                          [] { return std::make_shared<asyncio::Protocol>(); }, fds[1]))
                         .first;
    transport->write("through a pipe");
    transport->write(", and more");
    const std::string text = co_await reader.readexactly(24);
    note(text, transport->can_write_eof());
    transport->write_eof();
    note((co_await reader.read()).size());
}

Coroutine<void> program() {
    using Part = std::pair<const char*, Coroutine<void> (*)()>;
    for (const auto& [name, part] :
         {Part{"streams", streams}, Part{"handler_that_fails", handler_that_fails},
          Part{"reset", reset}, Part{"server_life", server_life},
          Part{"server_cancelled", server_cancelled}, Part{"bad_servers", bad_servers},
          Part{"unix_sockets", unix_sockets}, Part{"datagrams", datagrams},
          Part{"bad_datagrams", bad_datagrams}, Part{"bare_sockets", bare_sockets},
          Part{"watched_descriptors", watched_descriptors}, Part{"signals", signals},
          Part{"pipes", pipes}}) {
        note("==", name);
        co_await part();
    }
}

int main() {
    asyncio::run(program());
}
