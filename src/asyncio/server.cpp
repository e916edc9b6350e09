#include <asyncio/base_events.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include <asyncio/contextlib.hpp>
#include <asyncio/tasks.hpp>

#include "server_state.hpp"
#include "transport_errors.hpp"

namespace asyncio {

namespace detail {

namespace {

constexpr std::chrono::seconds accept_retry_delay{1};

// A connection that was gone before we took it, or nothing at all.
bool is_passing(int error) noexcept {
    return error == ECONNABORTED || error == EINTR || error == EAGAIN || error == EPROTO;
}

bool is_shortage(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

ServerState::ServerState(EventLoop& loop, std::vector<Socket> sockets, Settings settings)
    : loop_(loop), settings_(std::move(settings)) {
    first_.next = first_.previous = &first_;
    for (Socket& socket : sockets) {
        auto listener = std::make_unique<Listener>(*this, std::move(socket));
        listener->accepting = {.kind = Operation::Kind::accept,
                               .multishot = true,
                               .owned = true,
                               .fd = listener->socket.fileno(),
                               .flags = SOCK_NONBLOCK | SOCK_CLOEXEC,
                               .owner = listener.get(),
                               .complete = &ServerState::accepted};
        listeners_.push_back(std::move(listener));
    }
}

std::vector<TransportSocket> ServerState::sockets() const {
    std::vector<TransportSocket> all;
    if (closed_) return all;
    for (const auto& listener : listeners_) all.push_back(listener->socket);
    return all;
}

std::string ServerState::repr() const {
    std::string text = "<Server sockets=(";
    for (const TransportSocket& socket : sockets()) {
        if (text.back() != '(') text += ", ";
        text += socket.getsockname().str();
    }
    return text + ")>";
}

void ServerState::start() {
    if (serving_) return;
    for (const auto& listener : listeners_) listener->socket.listen(settings_.backlog);
    serving_ = true;
    if (alive_ == nullptr) {
        alive_ = shared_from_this();
        link(*loop_);
    }
    for (const auto& listener : listeners_) accept(*listener);
}

void ServerState::accept(Listener& listener) {
    if (closed_ || listener.accepting.state != Operation::State::idle) return;
    proactor().submit(listener.accepting);
}

void ServerState::accepted(Operation& operation, int result, bool more) {
    auto& listener = *static_cast<Listener*>(operation.owner);
    ServerState& server = listener.server;
    const std::shared_ptr<ServerState> keep = server.alive_;
    server.take(listener, result);
    if (!more) server.let_go_if_over();
}

void ServerState::take(Listener& listener, int result) {
    if (result >= 0) {
        Descriptor socket(result);
        if (!closed_) serve(std::move(socket));
    } else if (result != -ECANCELED && !closed_) {
        accept_failed(listener, -result);
    }
}

void ServerState::serve(Descriptor socket) {
    ExceptionContext context;
    try {
        context.protocol = settings_.factory();
        // An error of the handshake is the transport's own to report.
        context.transport =
            make_transport(*loop_, std::move(socket), context.protocol, settings_.tls,
                           Future<void>(nullptr), shared_from_this());
    } catch (...) {
        context.exception = current_error_unless_fatal();
        if (!loop_->get_debug()) return;
        context.message = "Error on transport creation for incoming connection";
        loop_->call_exception_handler(context);
    }
}

void ServerState::accept_failed(Listener& listener, int error) {
    if (is_passing(error)) return accept(listener);
    ExceptionContext context;
    context.message = is_shortage(error) ? "socket.accept() out of system resource"
                                         : "accepting a connection failed";
    context.exception = make_os_error(error, "accept");
    loop_->call_exception_handler(context);
    // The connection stays in the kernel's queue. Trying again at once would be in vain.
    listener.retry = loop_->call_later(
        accept_retry_delay, [self = shared_from_this(), &listener] { self->accept(listener); });
}

// Now: a cancelled accept of io_uring keeps the socket, and with it the kernel's queue, a while
// longer.
void ServerState::stop_listening(const Socket& socket) const noexcept {
    if (!settings_.sockets_are_shared) ::shutdown(socket.fileno(), SHUT_RD);
}

void ServerState::close() {
    if (closed_) return;
    closed_ = true;
    serving_ = false;
    for (const auto& listener : listeners_) {
        listener->retry.cancel();
        if (listener->accepting.state != Operation::State::idle) {
            proactor().cancel(listener->accepting);
        }
        proactor().forget(listener->socket.fileno());
        stop_listening(listener->socket);
        listener->socket.close();
    }
    if (settings_.on_close) std::exchange(settings_.on_close, nullptr)();
    if (forever && !forever.done()) forever.cancel();
    unlink();
    wake_if_over();
    let_go_if_over();
}

void ServerState::let_go_if_over() noexcept {
    if (!closed_) return;
    for (const auto& listener : listeners_) {
        if (listener->accepting.state != Operation::State::idle) return;
    }
    alive_.reset();
}

void ServerState::loop_closed() noexcept {
    const std::shared_ptr<ServerState> keep = alive_;
    closed_ = true;
    serving_ = false;
    for (const auto& listener : listeners_) listener->socket.close();
    if (settings_.on_close) std::exchange(settings_.on_close, nullptr)();
    alive_.reset();
}

// ---- connections --------------------------------------------------------------------------

void ServerState::attach(SocketTransport& transport) noexcept {
    ServerLinks& links = transport;
    links.next = &first_;
    links.previous = first_.previous;
    first_.previous->next = &links;
    first_.previous = &links;
}

void ServerState::detach(SocketTransport& transport) noexcept {
    ServerLinks& links = transport;
    if (links.next == nullptr) return;
    links.next->previous = links.previous;
    links.previous->next = links.next;
    links = {};
    wake_if_over();
}

void ServerState::wake_if_over() {
    if (!is_over()) return;
    for (const Future<void>& waiter : std::exchange(waiters, {})) {
        if (!waiter.done()) waiter.set_result();
    }
}

void ServerState::close_clients(bool abort) {
    // Neither call detaches at once, but a protocol's callback may do anything.
    std::vector<std::shared_ptr<BaseTransport>> all;
    for (ServerLinks* links = first_.next; links != &first_; links = links->next) {
        all.push_back(static_cast<SocketTransport*>(links)->share());
    }
    for (const auto& transport : all) {
        auto& stream = dynamic_cast<Transport&>(*transport);
        abort ? stream.abort() : stream.close();
    }
}

}  // namespace detail

// ---- Server -------------------------------------------------------------------------------

void Server::close() const {
    state_->close();
}
void Server::close_clients() const {
    state_->close_clients(false);
}
void Server::abort_clients() const {
    state_->close_clients(true);
}
bool Server::is_serving() const noexcept {
    return state_->is_serving();
}
std::vector<TransportSocket> Server::sockets() const {
    return state_->sockets();
}
EventLoop& Server::get_loop() const noexcept {
    return state_->loop();
}
std::string Server::repr() const {
    return state_->repr();
}

namespace {

void require_open(const detail::ServerState& server) {
    if (server.is_closed()) throw RuntimeError("server " + server.repr() + " is closed");
}

Coroutine<void> wait_until_over(std::shared_ptr<detail::ServerState> server) {
    if (server->is_over()) co_return;
    Future<void> waiter = server->loop().create_future();
    server->waiters.push_back(waiter);
    co_await waiter;
}

Coroutine<void> start(std::shared_ptr<detail::ServerState> server) {
    require_open(*server);
    server->start();
    co_await sleep(0);
}

Coroutine<void> serve(std::shared_ptr<detail::ServerState> server) {
    if (server->forever) {
        throw RuntimeError("server " + server->repr() +
                           " is already being awaited on serve_forever()");
    }
    require_open(*server);
    server->start();
    server->forever = server->loop().create_future();
    auto outcome = co_await try_(server->forever);
    if (outcome.cancelled()) {
        server->close();
        // Whatever comes of this, the cancellation goes on.
        static_cast<void>(co_await try_(wait_until_over(server)));
    }
    server->forever = Future<void>(nullptr);
    outcome.value();
}

Coroutine<void> close_and_wait(std::shared_ptr<detail::ServerState> server) {
    server->close();
    co_await wait_until_over(server);
}

Coroutine<void> nothing() {
    co_return;
}

}  // namespace

// The coroutines hold the server, not this handle.
Coroutine<void> Server::start_serving() const {
    return start(state_);
}
Coroutine<void> Server::serve_forever() const {
    return serve(state_);
}
Coroutine<void> Server::wait_closed() const {
    return wait_until_over(state_);
}
Coroutine<void> Server::aenter() const {
    return nothing();
}
Coroutine<void> Server::aexit(std::exception_ptr) const {
    return close_and_wait(state_);
}

}  // namespace asyncio
