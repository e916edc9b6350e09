#include "datagram_transport.hpp"

#include <poll.h>

#include <cerrno>
#include <utility>

#include "transport_errors.hpp"

namespace asyncio::detail {

namespace {

constexpr std::size_t largest_datagram = 64 * 1024;
constexpr std::size_t overhead = 8;  // what a queued datagram weighs beside its bytes
// How many are read before others have their turn.
constexpr int burst = 32;

char* scratch() {
    static thread_local const auto memory =
        std::make_unique_for_overwrite<char[]>(largest_datagram);
    return memory.get();
}

std::shared_ptr<DatagramProtocol> as_datagram_protocol(std::shared_ptr<BaseProtocol> protocol) {
    auto typed = std::dynamic_pointer_cast<DatagramProtocol>(std::move(protocol));
    if (typed == nullptr) throw TypeError("a datagram endpoint needs a DatagramProtocol");
    return typed;
}

}  // namespace

// ---- making it ----------------------------------------------------------------------------

std::shared_ptr<DatagramSocketTransport> DatagramSocketTransport::make(
    EventLoop& loop, Socket socket, std::shared_ptr<DatagramProtocol> protocol,
    SocketAddress remote, Future<void> waiter) {
    auto transport = std::make_shared<DatagramSocketTransport>(loop, std::move(socket),
                                                               std::move(protocol), remote);
    transport->begin(std::move(waiter));
    return transport;
}

DatagramSocketTransport::DatagramSocketTransport(EventLoop& loop, Socket socket,
                                                 std::shared_ptr<DatagramProtocol> protocol,
                                                 SocketAddress remote)
    : loop_(loop),
      socket_(std::move(socket)),
      protocol_(as_datagram_protocol(std::move(protocol))),
      remote_(remote) {
    try {
        peer_ = socket_.getpeername();
    } catch (const OSError&) {
        // Not connected.
    }
    reading_ = {.kind = Operation::Kind::poll,
                .multishot = true,
                .owned = true,
                .fd = socket_.fileno(),
                .events = POLLIN,
                .owner = this,
                .complete = &DatagramSocketTransport::readable};
    writing_ = reading_;
    writing_.multishot = false;
    writing_.events = POLLOUT;
    writing_.complete = &DatagramSocketTransport::writable;
}

DatagramSocketTransport::~DatagramSocketTransport() = default;

void DatagramSocketTransport::begin(Future<void> waiter) {
    const std::shared_ptr<DatagramSocketTransport> self(weak_from_this().lock(), this);
    EventLoop::Internals::state(*loop_).transport_descriptors.add(socket_.fileno());
    alive_ = self;
    link(*loop_);
    loop_->call_soon([self] { self->protocol_->connection_made(self); });
    loop_->call_soon([self] {
        if (!self->closing_) self->proactor().submit(self->reading_);
    });
    loop_->call_soon([waiter = std::move(waiter)] {
        if (waiter && !waiter.done()) waiter.set_result();
    });
}

void DatagramSocketTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    protocol_ = as_datagram_protocol(std::move(protocol));
}

std::any DatagramSocketTransport::extra_info(std::string_view name) const {
    if (name == "socket") return TransportSocket(socket_.fileno());
    if (name == "peername" && peer_) return peer_;
    if (name == "sockname" && socket_) return socket_.getsockname();
    return {};
}

std::string DatagramSocketTransport::repr() const {
    std::string text = "<DatagramTransport fd=" + std::to_string(socket_.fileno());
    if (closing_) text += lost_ ? " closed" : " closing";
    return text + ">";
}

// ---- receiving ----------------------------------------------------------------------------

void DatagramSocketTransport::readable(Operation& operation, int result, bool more) {
    auto& self = *static_cast<DatagramSocketTransport*>(operation.owner);
    const std::shared_ptr<DatagramSocketTransport> keep = self.alive_;
    if (result > 0) {
        self.receive_some();
    } else if (result != -ECANCELED && !self.closing_) {
        self.fatal_error(make_os_error(-result, "receiving"),
                         "Fatal read error on datagram transport");
    }
    if (!more) self.let_go_if_over();
}

void DatagramSocketTransport::receive_some() {
    for (int i = 0; i < burst && !closing_; ++i) {
        if (!receive_one()) return;
    }
}

// False when there is no more.
bool DatagramSocketTransport::receive_one() {
    sockaddr_storage sender{};
    socklen_t size = sizeof sender;
    auto* const address = reinterpret_cast<sockaddr*>(&sender);
    const ssize_t count =
        ::recvfrom(socket_.fileno(), scratch(), largest_datagram, MSG_DONTWAIT, address, &size);
    const std::shared_ptr<DatagramProtocol> protocol = protocol_;
    try {
        if (count >= 0) {
            protocol->datagram_received({scratch(), static_cast<std::size_t>(count)},
                                        SocketAddress(address, size));
            return true;
        }
        if (errno == EAGAIN || errno == EINTR) return errno == EINTR;
        protocol->error_received(make_os_error(errno, "receiving"));
        return true;
    } catch (...) {
        fatal_error(current_error_unless_fatal(), "Fatal read error on datagram transport");
        return false;
    }
}

// ---- sending ------------------------------------------------------------------------------

void DatagramSocketTransport::sendto(std::string_view data, const SocketAddress& address) {
    const SocketAddress& only = remote_ ? remote_ : peer_;
    if (only && !(address == only)) {
        throw ValueError("Invalid address: must be None or " + only.str());
    }
    send(data, address);
}

void DatagramSocketTransport::send(std::string_view data, const SocketAddress& address) {
    if (lost_count_ != 0) {
        count_lost_write(lost_count_);
        return;
    }
    if (queue_.empty()) {
        const int error = send_now(data, address);
        if (error == 0) return;
        if (error != EAGAIN) return failed(error, "sending");
        if (writing_.state == Operation::State::idle) proactor().submit(writing_);
    }
    queue_.push_back({std::string(data), address});
    size_ += data.size() + overhead;
    flow_.grown(size_, *loop_, *this);
}

// An errno, or 0.
int DatagramSocketTransport::send_now(std::string_view data,
                                      const SocketAddress& address) noexcept {
    const bool connected = static_cast<bool>(peer_);
    for (;;) {
        const ssize_t sent =
            ::sendto(socket_.fileno(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                     connected ? nullptr : address.data(), connected ? 0 : address.size());
        if (sent >= 0) return 0;
        if (errno != EINTR) return errno;
    }
}

void DatagramSocketTransport::failed(int error, const char* what) {
    const std::shared_ptr<DatagramProtocol> protocol = protocol_;
    guard_callback(*loop_, *this, "protocol.error_received() failed",
                   [&] { protocol->error_received(make_os_error(error, what)); });
}

void DatagramSocketTransport::writable(Operation& operation, int result, bool) {
    auto& self = *static_cast<DatagramSocketTransport*>(operation.owner);
    const std::shared_ptr<DatagramSocketTransport> keep = self.alive_;
    if (result >= 0 && !self.lost_) self.send_queued();
    self.let_go_if_over();
}

void DatagramSocketTransport::send_queued() {
    while (!queue_.empty()) {
        const int error = send_now(queue_.front().data, queue_.front().address);
        if (error == EAGAIN) break;
        size_ -= queue_.front().data.size() + overhead;
        queue_.pop_front();
        if (error != 0) {
            failed(error, "sending");
            break;
        }
    }
    flow_.shrunk(size_, *loop_, *this);  // may send more
    if (!queue_.empty()) {
        if (writing_.state == Operation::State::idle) proactor().submit(writing_);
    } else if (closing_ && lost_count_ == 0) {
        ++lost_count_;
        lose(nullptr);
    }
}

void DatagramSocketTransport::set_write_buffer_limits(WriteBufferLimits limits) {
    flow_.set_limits(limits);
    flow_.grown(size_, *loop_, *this);
}

// ---- the end ------------------------------------------------------------------------------

void DatagramSocketTransport::begin_closing() noexcept {
    closing_ = true;
    EventLoop::Internals::state(*loop_).transport_descriptors.remove(socket_.fileno());
}

void DatagramSocketTransport::close() {
    if (closing_) return;
    begin_closing();
    proactor().cancel(reading_);
    if (queue_.empty()) schedule_lost(nullptr);
}

void DatagramSocketTransport::fatal_error(std::exception_ptr error, const char* message) {
    if (!holds_exception<OSError>(error)) report_of_transport(*loop_, *this, message, error);
    force_close(std::move(error));
}

void DatagramSocketTransport::force_close(std::exception_ptr error) {
    if (lost_count_ != 0) return;
    begin_closing();
    queue_.clear();
    size_ = 0;
    proactor().cancel(reading_);
    proactor().cancel(writing_);
    schedule_lost(std::move(error));
}

void DatagramSocketTransport::schedule_lost(std::exception_ptr error) {
    ++lost_count_;
    loop_->call_soon([self = alive_, error = std::move(error)] { self->lose(error); });
}

void DatagramSocketTransport::lose(const std::exception_ptr& error) {
    const std::shared_ptr<DatagramSocketTransport> keep = alive_;
    const std::shared_ptr<DatagramProtocol> protocol = protocol_;
    struct Finally {
        DatagramSocketTransport& transport;
        ~Finally() {
            transport.give_back();
            transport.let_go_if_over();
        }
    };
    const Finally finally{*this};
    guard_callback(*loop_, *this, "protocol.connection_lost() failed",
                   [&] { protocol->connection_lost(error); });
}

void DatagramSocketTransport::give_back() noexcept {
    lost_ = true;
    if (socket_) proactor().forget(socket_.fileno());
    socket_.close();
    const std::shared_ptr<DatagramProtocol> protocol = std::move(protocol_);
    unlink();
}

void DatagramSocketTransport::let_go_if_over() noexcept {
    const bool busy =
        reading_.state != Operation::State::idle || writing_.state != Operation::State::idle;
    if (lost_ && !busy) alive_.reset();
}

void DatagramSocketTransport::loop_closed() noexcept {
    const std::shared_ptr<DatagramSocketTransport> keep = alive_;
    if (!closing_) report_unclosed(*loop_, *this);
    begin_closing();
    ++lost_count_;
    queue_.clear();
    give_back();
    alive_.reset();
}

}  // namespace asyncio::detail
