// What a Server names: listening sockets, what they accept, and who waits for the end.
#pragma once

#include <asyncio/base_events.hpp>
#include <asyncio/events.hpp>
#include <asyncio/futures.hpp>
#include <asyncio/sockets.hpp>
#include <memory>
#include <string>
#include <vector>

#include "loop_state.hpp"
#include "socket_transport.hpp"
#include "tls_hook.hpp"

namespace asyncio::detail {

class ServerState final : public LoopResource, public std::enable_shared_from_this<ServerState> {
  public:
    struct Settings {
        ProtocolFactory factory;
        int backlog = 100;
        TlsSettings tls = {};
        // Called once, when the listening sockets are closed.
        std::function<void()> on_close = {};
        bool sockets_are_shared = false;  // perhaps others listen on them, too
    };
    ServerState(EventLoop& loop, std::vector<Socket> sockets, Settings settings);
    ~ServerState() = default;

    [[nodiscard]] EventLoop& loop() const noexcept { return *loop_; }
    [[nodiscard]] bool is_serving() const noexcept { return serving_; }
    [[nodiscard]] bool is_closed() const noexcept { return closed_; }
    [[nodiscard]] std::vector<TransportSocket> sockets() const;
    [[nodiscard]] std::string repr() const;

    // Throws: OSError of listen().
    void start();
    void close();
    void close_clients(bool abort);
    // Whether it is closed and its last connection has ended.
    [[nodiscard]] bool is_over() const noexcept { return closed_ && first_.next == &first_; }

    // Connections that it accepted.
    void attach(SocketTransport& transport) noexcept;
    void detach(SocketTransport& transport) noexcept;

    void loop_closed() noexcept override;

    std::vector<Future<void>> waiters;             // for is_over()
    Future<void> forever = Future<void>(nullptr);  // of serve_forever()

  private:
    struct Listener {
        ServerState& server;
        Socket socket;
        Operation accepting = {};
        TimerHandle retry = {};
    };

    void stop_listening(const Socket& socket) const noexcept;
    [[nodiscard]] Proactor& proactor() const noexcept {
        return *EventLoop::Internals::state(*loop_).proactor;
    }
    void accept(Listener& listener);
    static void accepted(Operation& operation, int result, bool more);
    void take(Listener& listener, int result);
    void serve(Descriptor socket);
    void accept_failed(Listener& listener, int error);
    void wake_if_over();
    void let_go_if_over() noexcept;

    LoopReference loop_;
    Settings settings_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    bool serving_ = false;
    bool closed_ = false;
    ServerLinks first_;                   // a circular list of the connections
    std::shared_ptr<ServerState> alive_;  // itself, while it listens
};

}  // namespace asyncio::detail
