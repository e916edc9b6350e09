// asyncio/base_events.hpp - servers, and the loop's ways to connect a protocol.
//
//   EventLoop& loop = get_running_loop();
//   Server server = co_await loop.create_server(
//       [] { return std::make_shared<Echo>(); }, "127.0.0.1", 8888);
//   co_await with(server, [&]() -> Coroutine<void> { co_await server.serve_forever(); });
//
// Programs that use streams need open_connection() and start_server() only (streams.hpp).
//
// A protocol factory is any callable that gives a std::shared_ptr to a protocol. It is called
// once for each connection.
//
// Source: Python's asyncio.base_events, asyncio.events.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/connection_options.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/protocols.hpp>
#include <asyncio/sockets.hpp>
#include <asyncio/transports.hpp>

namespace asyncio {

namespace detail {
class ServerState;
}

// Listening sockets. A handle: copies name the same server, and the loop holds an open one.
// Loop thread only. Leaving it as a context manager closes it and waits until it has closed.
class Server {
  public:
    Server() noexcept = default;  // names nothing
    explicit Server(std::shared_ptr<detail::ServerState> state) noexcept
        : state_(std::move(state)) {}

    // Stops listening and ends serve_forever(). Connections stay open. Idempotent.
    void close() const;
    // close() and abort() of every connection that is open.
    void close_clients() const;
    void abort_clients() const;
    // Begins to accept, if it has not begun. Throws: RuntimeError when closed.
    Coroutine<void> start_serving() const;
    // Serves until cancelled, or until close(); either ends it with CancelledError, after the
    // server has closed and its connections have ended.
    // Throws: RuntimeError when closed or when somebody serves already.
    Coroutine<void> serve_forever() const;
    // Returns when the server is closed and its last connection has ended.
    Coroutine<void> wait_closed() const;
    [[nodiscard]] bool is_serving() const noexcept;
    // Empty once closed.
    [[nodiscard]] std::vector<TransportSocket> sockets() const;
    [[nodiscard]] EventLoop& get_loop() const noexcept;
    [[nodiscard]] std::string repr() const;

    Coroutine<void> aenter() const;
    Coroutine<void> aexit(std::exception_ptr error) const;
    explicit operator bool() const noexcept { return state_ != nullptr; }
    friend bool operator==(const Server&, const Server&) noexcept = default;

  private:
    std::shared_ptr<detail::ServerState> state_;
};

namespace detail {

using ProtocolFactory = std::function<std::shared_ptr<BaseProtocol>()>;

struct Connected {
    std::shared_ptr<Transport> transport;
    std::shared_ptr<BaseProtocol> protocol;
};

Coroutine<Connected> connect_host(EventLoop& loop, ProtocolFactory factory, HostPort where,
                                  ConnectionOptions options);
Coroutine<Connected> connect_socket(EventLoop& loop, ProtocolFactory factory,
                                    ConnectionOptions options);
Coroutine<Server> serve_hosts(EventLoop& loop, ProtocolFactory factory,
                              std::vector<std::string> hosts, int port, ServerOptions options);
Coroutine<Server> serve_socket(EventLoop& loop, ProtocolFactory factory, ServerOptions options);

Coroutine<Connected> connect_unix(EventLoop& loop, ProtocolFactory factory,
                                  std::optional<std::string> path, UnixConnectionOptions options);
Coroutine<Server> serve_unix(EventLoop& loop, ProtocolFactory factory,
                             std::optional<std::string> path, UnixServerOptions options);
Coroutine<Connected> connect_accepted(EventLoop& loop, ProtocolFactory factory, Socket sock,
                                      AcceptedSocketOptions options);
struct ConnectedDatagram {
    std::shared_ptr<DatagramTransport> transport;
    std::shared_ptr<DatagramProtocol> protocol;
};
Coroutine<ConnectedDatagram> make_datagram_endpoint(
    EventLoop& loop, std::function<std::shared_ptr<DatagramProtocol>()> factory,
    DatagramOptions options);

template <class P>
Coroutine<std::pair<std::shared_ptr<DatagramTransport>, std::shared_ptr<P>>>
with_datagram_protocol_type(Coroutine<ConnectedDatagram> connecting) {
    ConnectedDatagram made = co_await std::move(connecting);
    co_return {std::move(made.transport), std::static_pointer_cast<P>(std::move(made.protocol))};
}

Coroutine<Connected> connect_read_pipe(EventLoop& loop, ProtocolFactory factory, int fd);
Coroutine<Connected> connect_write_pipe(EventLoop& loop, ProtocolFactory factory, int fd);

template <class P>
Coroutine<std::pair<std::shared_ptr<Transport>, std::shared_ptr<P>>> with_protocol_type(
    Coroutine<Connected> connecting) {
    Connected made = co_await std::move(connecting);
    co_return {std::move(made.transport), std::static_pointer_cast<P>(std::move(made.protocol))};
}

}  // namespace detail

template <class Factory>
auto EventLoop::create_connection(Factory factory, std::string host, int port,
                                  ConnectionOptions options)
    -> Coroutine<detail::ConnectedTo<Factory>> {
    return detail::with_protocol_type<detail::protocol_made_by<Factory>>(detail::connect_host(
        *this, std::move(factory), {std::move(host), port}, std::move(options)));
}

template <class Factory>
auto EventLoop::create_connection(Factory factory, ConnectionOptions options)
    -> Coroutine<detail::ConnectedTo<Factory>> {
    return detail::with_protocol_type<detail::protocol_made_by<Factory>>(
        detail::connect_socket(*this, std::move(factory), std::move(options)));
}

template <class Factory>
Coroutine<Server> EventLoop::create_server(Factory factory, std::string host, int port,
                                           ServerOptions options) {
    return detail::serve_hosts(*this, std::move(factory), {std::move(host)}, port,
                               std::move(options));
}

template <class Factory>
Coroutine<Server> EventLoop::create_server(Factory factory, std::vector<std::string> hosts,
                                           int port, ServerOptions options) {
    return detail::serve_hosts(*this, std::move(factory), std::move(hosts), port,
                               std::move(options));
}

template <class Factory>
Coroutine<Server> EventLoop::create_server(Factory factory,
                                           std::initializer_list<std::string> hosts, int port,
                                           ServerOptions options) {
    return create_server(std::move(factory), std::vector<std::string>(hosts), port,
                         std::move(options));
}

template <class Factory>
Coroutine<Server> EventLoop::create_server(Factory factory, ServerOptions options) {
    return detail::serve_socket(*this, std::move(factory), std::move(options));
}

template <class Factory>
auto EventLoop::create_unix_connection(Factory factory, std::string path,
                                       UnixConnectionOptions options)
    -> Coroutine<detail::ConnectedTo<Factory>> {
    return detail::with_protocol_type<detail::protocol_made_by<Factory>>(
        detail::connect_unix(*this, std::move(factory), std::move(path), std::move(options)));
}

template <class Factory>
auto EventLoop::create_unix_connection(Factory factory, UnixConnectionOptions options)
    -> Coroutine<detail::ConnectedTo<Factory>> {
    return detail::with_protocol_type<detail::protocol_made_by<Factory>>(
        detail::connect_unix(*this, std::move(factory), std::nullopt, std::move(options)));
}

template <class Factory>
Coroutine<Server> EventLoop::create_unix_server(Factory factory, std::string path,
                                                UnixServerOptions options) {
    return detail::serve_unix(*this, std::move(factory), std::move(path), std::move(options));
}

template <class Factory>
Coroutine<Server> EventLoop::create_unix_server(Factory factory, UnixServerOptions options) {
    return detail::serve_unix(*this, std::move(factory), std::nullopt, std::move(options));
}

template <class Factory>
auto EventLoop::connect_accepted_socket(Factory factory, Socket sock, AcceptedSocketOptions options)
    -> Coroutine<detail::ConnectedTo<Factory>> {
    return detail::with_protocol_type<detail::protocol_made_by<Factory>>(
        detail::connect_accepted(*this, std::move(factory), std::move(sock), std::move(options)));
}

template <class Factory>
auto EventLoop::create_datagram_endpoint(Factory factory, DatagramOptions options)
    -> Coroutine<std::pair<std::shared_ptr<DatagramTransport>,
                           std::shared_ptr<detail::protocol_made_by<Factory>>>> {
    return detail::with_datagram_protocol_type<detail::protocol_made_by<Factory>>(
        detail::make_datagram_endpoint(*this, std::move(factory), std::move(options)));
}

template <class Factory>
auto EventLoop::connect_read_pipe(Factory factory, int fd)
    -> Coroutine<detail::ConnectedTo<Factory>> {
    return detail::with_protocol_type<detail::protocol_made_by<Factory>>(
        detail::connect_read_pipe(*this, std::move(factory), fd));
}

template <class Factory>
auto EventLoop::connect_write_pipe(Factory factory, int fd)
    -> Coroutine<detail::ConnectedTo<Factory>> {
    return detail::with_protocol_type<detail::protocol_made_by<Factory>>(
        detail::connect_write_pipe(*this, std::move(factory), fd));
}

}  // namespace asyncio
