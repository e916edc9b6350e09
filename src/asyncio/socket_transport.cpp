#include "socket_transport.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <asyncio/sockets.hpp>

#include "server_state.hpp"
#include "transport_errors.hpp"

namespace asyncio::detail {

namespace {

constexpr const char* write_error = "Fatal write error on socket transport";

void complete_waiter(const Future<void>& waiter) {
    if (!waiter.done()) waiter.set_result();
}

void switch_off_nagle(int fd, int family) noexcept {
    if (family != AF_INET && family != AF_INET6) return;
    const int one = 1;
    // Refused by what is a stream socket but not TCP; that is fine.
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

}  // namespace

// ---- making it ----------------------------------------------------------------------------

std::shared_ptr<SocketTransport> SocketTransport::make(EventLoop& loop, Descriptor socket,
                                                       std::shared_ptr<BaseProtocol> protocol,
                                                       Future<void> waiter,
                                                       std::shared_ptr<ServerState> server) {
    auto transport = std::make_shared<SocketTransport>(loop, std::move(socket), std::move(protocol),
                                                       std::move(server));
    transport->begin(std::move(waiter));
    return transport;
}

SocketTransport::SocketTransport(EventLoop& loop, Descriptor socket,
                                 std::shared_ptr<BaseProtocol> protocol,
                                 std::shared_ptr<ServerState> server)
    : loop_(loop),
      socket_(std::move(socket)),
      input_(*this, Operation::Kind::recv, socket_.get()),
      server_(std::move(server)) {
    protocol_.set(std::move(protocol));
    peer_.ask_peer(socket_.get());
    int family = AF_INET;
    if (peer_.known()) family = peer_.get().family();
    switch_off_nagle(socket_.get(), family);
}

SocketTransport::~SocketTransport() = default;

void SocketTransport::begin(Future<void> waiter) {
    EventLoop::Internals::state(*loop_).transport_descriptors.add(socket_.get());
    alive_ = self();
    link(*loop_);
    if (server_ != nullptr) server_->attach(*this);
    loop_->call_soon([self = alive_] { self->protocol_.connection_made(self); });
    loop_->call_soon([self = alive_] { self->input_.start(); });
    if (waiter) loop_->call_soon(complete_waiter, std::move(waiter));
}

void SocketTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    protocol_.exchange(std::move(protocol), *loop_);
}

std::any SocketTransport::extra_info(std::string_view name) const {
    const TransportSocket socket(socket_.get());
    if (name == "socket") return socket;
    if (name == "peername" && peer_.known()) return peer_.get();
    try {
        if (name == "peername" && socket_) return socket.getpeername();
        if (name == "sockname" && socket_) return socket.getsockname();
    } catch (const OSError&) {
        // Not connected any more: not known.
    }
    return {};
}

std::string SocketTransport::repr() const {
    std::string text = "<SocketTransport fd=" + std::to_string(socket_.get());
    if (lost_) text += " closed";
    if (closing_ && !lost_) text += " closing";
    text += is_reading() ? " read=polling" : " read=idle";
    text += " write=<bufsize=" + std::to_string(get_write_buffer_size()) + ">";
    return text + ">";
}

// ---- reading ------------------------------------------------------------------------------

[[gnu::hot]] std::string_view SocketTransport::take_input(std::string_view data) {
    try {
        return protocol_.receive(data, [this] { return !is_reading(); });
    } catch (...) {
        fatal_error(current_error_unless_fatal(), protocol_.failure());
        return {};
    }
}

void SocketTransport::take_end(int result) {
    if (result < 0) {
        fatal_error(make_os_error(-result, "receiving"), "Fatal read error on socket transport");
        return;
    }
    try {
        if (protocol_.eof_received()) return;
    } catch (...) {
        fatal_error(current_error_unless_fatal(),
                    "Fatal error: protocol.eof_received() call failed.");
        return;
    }
    close();
}

// ---- writing ------------------------------------------------------------------------------

inline bool SocketTransport::may_write(std::size_t size) {
    if (!eof_written_ && !emptied_ && size > 0 && lost_count_ == 0) [[likely]]
        return true;
    return may_write_late(size);
}

// Always false, if it returns.
bool SocketTransport::may_write_late(std::size_t size) {
    if (eof_written_) throw RuntimeError("Cannot call write() after write_eof()");
    if (emptied_) throw RuntimeError("unable to write; sendfile is in progress");
    if (size > 0) count_lost_write(lost_count_);
    return false;
}

// How much the kernel took, or a negative errno.
inline ssize_t SocketTransport::send_now(std::string_view data) const noexcept {
    const ssize_t sent =
        ::send(socket_.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent >= 0 ? sent : -errno;
}

[[gnu::hot]] void SocketTransport::write(std::string_view data) {
    if (!may_write(data.size())) return;
    if (unsent_ != nullptr) return send_later(data);
    const ssize_t sent = send_now(data);
    if (sent != static_cast<ssize_t>(data.size())) send_rest(data, sent);
}

// Of what send_now() took `sent` of, or none for a reason.
void SocketTransport::send_rest(std::string_view data, ssize_t sent) {
    while (sent == -EINTR) sent = send_now(data);
    if (sent < 0 && sent != -EAGAIN) {
        fatal_error(make_os_error(static_cast<int>(-sent), "sending"), write_error);
        return;
    }
    if (sent > 0) data.remove_prefix(static_cast<std::size_t>(sent));
    if (!data.empty()) send_later(data);
}

void SocketTransport::write_pieces(std::span<const std::string_view> pieces) {
    std::size_t size = 0;
    for (const std::string_view piece : pieces) size += piece.size();
    if (!may_write(size)) return;
    std::size_t sent = 0;
    if (unsent_ == nullptr) {
        std::array<iovec, 64> parts;
        const std::size_t count = std::min(pieces.size(), parts.size());
        for (std::size_t i = 0; i < count; ++i) {
            parts[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
        }
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        const ssize_t result = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result < 0 && errno != EAGAIN && errno != EINTR) {
            fatal_error(make_os_error(errno, "sending"), write_error);
            return;
        }
        sent = result > 0 ? static_cast<std::size_t>(result) : 0;
    }
    for (std::string_view piece : pieces) {
        const std::size_t skip = std::min(sent, piece.size());
        sent -= skip;
        piece.remove_prefix(skip);
        if (!piece.empty()) send_later(piece);
    }
}

void SocketTransport::send_later(std::string_view data) {
    if (unsent_ == nullptr) {
        unsent_ = std::make_unique<WriteBuffer>(socket_.get(), true, this, &SocketTransport::sent);
    }
    unsent_->append(data);
    if (!unsent_->busy()) unsent_->submit(proactor());
    flow_.grown(unsent_->size(), *loop_, *this);
}

void SocketTransport::sent(Operation& operation, int result, bool) {
    auto& transport = *static_cast<SocketTransport*>(operation.owner);
    const std::shared_ptr<SocketTransport> keep = transport.alive_;
    transport.buffer_sent(result);
    transport.let_go_if_over();
}

void SocketTransport::buffer_sent(int result) {
    if (lost_count_ != 0) {  // nothing more of it goes out
        unsent_.reset();
        return;
    }
    if (result == -ECANCELED) return;  // the loop closes
    if (result < 0) {
        fatal_error(make_os_error(-result, "sending"), write_error);
        unsent_.reset();
        return;
    }
    unsent_->consume(static_cast<std::size_t>(result));
    flow_.shrunk(unsent_->size(), *loop_, *this);  // may append
    if (lost_count_ != 0) {
        unsent_.reset();
    } else if (unsent_->size() == 0) {
        unsent_.reset();
        buffer_empty();
    } else if (!unsent_->busy()) {
        unsent_->submit(proactor());
    }
}

void SocketTransport::buffer_empty() {
    if (closing_) {
        ++lost_count_;
        lose(nullptr);
    } else if (eof_written_) {
        ::shutdown(socket_.get(), SHUT_WR);
    }
    if (emptied_ && !emptied_.done()) emptied_.set_result();
}

SocketTransport::FileTurn::FileTurn(SocketTransport& transport)
    : transport_(transport.self()), was_reading_(transport.is_reading()) {
    if (transport.eof_written_) throw RuntimeError("Cannot send a file after write_eof()");
    if (transport.emptied_) throw RuntimeError("sendfile is in progress already");
    transport.input_.pause();
    transport.emptied_ = transport.loop_->create_future();
    if (transport.unsent_ == nullptr) transport.emptied_.set_result();
}

SocketTransport::FileTurn::~FileTurn() {
    transport_->emptied_ = Future<void>(nullptr);
    if (transport_->eof_written_ && !transport_->lost_ && transport_->unsent_ == nullptr) {
        ::shutdown(transport_->socket_.get(), SHUT_WR);
    }
    if (was_reading_ && !transport_->closing_) transport_->input_.resume();
}

void SocketTransport::write_eof() {
    if (closing_ || eof_written_) return;
    eof_written_ = true;
    if (unsent_ == nullptr && !emptied_) ::shutdown(socket_.get(), SHUT_WR);
}

void SocketTransport::set_write_buffer_limits(WriteBufferLimits limits) {
    flow_.set_limits(limits);
    flow_.grown(get_write_buffer_size(), *loop_, *this);
}

// ---- the end ------------------------------------------------------------------------------

void SocketTransport::begin_closing() noexcept {
    closing_ = true;
    EventLoop::Internals::state(*loop_).transport_descriptors.remove(socket_.get());
    input_.stop();
}

void SocketTransport::close() {
    if (closing_) return;
    begin_closing();
    if (unsent_ == nullptr) schedule_lost(nullptr);
}

void SocketTransport::fatal_error(std::exception_ptr error, const char* message) {
    // A peer that goes away is nothing to report.
    if (!holds_exception<OSError>(error)) report_of_transport(*loop_, *this, message, error);
    force_close(std::move(error));
}

void SocketTransport::force_close(std::exception_ptr error) {
    if (lost_count_ != 0) return;
    if (unsent_ != nullptr) {
        unsent_->drop();
        unsent_->cancel(proactor());
    }
    begin_closing();
    schedule_lost(std::move(error));
}

void SocketTransport::schedule_lost(std::exception_ptr error) {
    ++lost_count_;
    loop_->call_soon([self = self(), error = std::move(error)] { self->lose(error); });
}

void SocketTransport::lose(const std::exception_ptr& error) {
    const std::shared_ptr<SocketTransport> keep = alive_;
    struct Finally {
        SocketTransport& transport;
        ~Finally() {
            transport.give_back();
            transport.let_go_if_over();
        }
    };
    const Finally finally{*this};
    guard_callback(*loop_, *this, "protocol.connection_lost() failed",
                   [&] { protocol_.get()->connection_lost(error); });
}

void SocketTransport::give_back() noexcept {
    lost_ = true;
    if (emptied_ && socket_) {
        ::shutdown(socket_.get(), SHUT_RDWR);  // for who sends a file by another descriptor
        if (!emptied_.done()) {
            emptied_.set_exception(
                make_os_error(ECONNRESET, "Connection closed before the file was sent"));
        }
    }
    if (socket_) proactor().forget(socket_.get());
    socket_.reset();
    const std::shared_ptr<BaseProtocol> protocol = protocol_.take();
    const std::shared_ptr<ServerState> server = std::move(server_);
    if (server != nullptr) server->detach(*this);
    unlink();
}

void SocketTransport::let_go_if_over() noexcept {
    const bool busy = input_.busy() || (unsent_ != nullptr && unsent_->busy());
    if (lost_ && !busy) alive_.reset();
}

void SocketTransport::loop_closed() noexcept {
    const std::shared_ptr<SocketTransport> keep = alive_;
    if (!closing_) report_unclosed(*loop_, *this);
    begin_closing();
    ++lost_count_;
    unsent_.reset();
    emptied_ = Future<void>(nullptr);
    give_back();
    alive_.reset();
}

}  // namespace asyncio::detail
