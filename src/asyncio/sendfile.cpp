// A file to a socket or a transport: by the kernel, else by reading and writing.
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include <asyncio/constants.hpp>
#include <asyncio/events.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/protocols.hpp>
#include <asyncio/threads.hpp>

#include "sock_readiness.hpp"
#include "socket_transport.hpp"
#include "transport_errors.hpp"

namespace asyncio::detail {

namespace {

// Between which the kernel cannot copy.
bool is_unsupported(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == ENOTSOCK ||
           error == ESPIPE || error == EOVERFLOW;
}

void check_file(int file, std::int64_t offset, std::optional<std::size_t> count) {
    const int flags = ::fcntl(file, F_GETFL);
    if (flags < 0) throw_os_error(errno, "sendfile from file " + std::to_string(file));
    if ((flags & O_ACCMODE) == O_WRONLY) throw ValueError("sendfile: the file is not readable");
    if (count && *count == 0) throw ValueError("sendfile: count must be positive");
    if (offset < 0) throw ValueError("sendfile: offset must not be negative");
    if (offset > 0 && ::lseek(file, 0, SEEK_CUR) < 0) {
        throw_os_error(errno, "sendfile: the file has no positions, so offset must be 0");
    }
}

// A slice of a file that is being sent.
struct Sending {
    int file;
    std::int64_t offset;
    std::size_t left;  // to be sent
    std::size_t sent = 0;

    void advance(std::size_t bytes) {
        offset += static_cast<std::int64_t>(bytes);
        left -= bytes;
        sent += bytes;
    }
    // Also after an error, so that whoever goes on begins where this ended.
    ~Sending() {
        if (sent > 0) ::lseek(file, offset, SEEK_SET);
    }
};

// False when the kernel cannot, and nothing was sent.
Coroutine<bool> send_by_kernel(EventLoop& loop, TransportSocket sock, Sending& slice) {
    while (slice.left > 0) {
        off_t offset = slice.offset;
        const ssize_t sent = ::sendfile(sock.fileno(), slice.file, &offset,
                                        std::min<std::size_t>(slice.left, 1u << 30));
        if (sent == 0) break;  // the end of the file
        if (sent > 0) {
            slice.advance(static_cast<std::size_t>(sent));
            continue;
        }
        if (errno == EINTR) continue;
        if (slice.sent == 0 && is_unsupported(errno)) co_return false;
        if (!would_block(errno)) fail(errno, "sendfile", sock);
        if (const int ready = co_await readiness(loop, sock, POLLOUT); ready < 0) {
            fail(-ready, "sendfile", sock);
        }
    }
    co_return true;
}

// The next bytes of it, read in the loop's threads: a file that is not in memory would hold the
// loop up. Empty at the end.
Coroutine<std::string> read_some(EventLoop& loop, const Sending& slice, std::size_t most) {
    co_return co_await loop.run_in_executor(
        nullptr, [file = slice.file, offset = slice.offset, most = std::min(slice.left, most)] {
            std::string bytes(most, '\0');
            ssize_t count = ::pread(file, bytes.data(), most, offset);
            if (count < 0 && errno == ESPIPE) count = ::read(file, bytes.data(), most);
            if (count < 0) throw_os_error(errno, "reading the file to send");
            bytes.resize(static_cast<std::size_t>(count));
            return bytes;
        });
}

Coroutine<void> send_by_reading(EventLoop& loop, TransportSocket sock, Sending& slice) {
    while (slice.left > 0) {
        const std::string bytes =
            co_await read_some(loop, slice, constants::SENDFILE_FALLBACK_READBUFFER_SIZE);
        if (bytes.empty()) break;
        co_await loop.sock_sendall(sock, std::string_view(bytes));
        slice.advance(bytes.size());
    }
}

// ---- transports ---------------------------------------------------------------------------

// Has the transport's socket for itself.
Coroutine<bool> send_by_kernel(EventLoop& loop, SocketTransport& transport, Sending& slice) {
    // A descriptor of its own: the transport may close while this waits.
    const int copy = ::fcntl(transport.fileno(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) throw_os_error(errno, "sendfile");
    Socket socket(copy);
    struct Forget {
        EventLoop& loop;
        Socket& socket;
        ~Forget() { EventLoop::Internals::state(loop).proactor->forget(socket.fileno()); }
    };
    const Forget forget{loop, socket};
    co_return co_await send_by_kernel(loop, TransportSocket(socket.fileno()), slice);
}

// Takes the place of the transport's protocol while a file is sent, and tells it what it has to
// know.
class SendfileProtocol final : public Protocol {
  public:
    explicit SendfileProtocol(std::shared_ptr<Transport> transport)
        : transport_(std::move(transport)), protocol_(transport_->get_protocol()) {
        was_reading_ = transport_->is_reading();
        transport_->pause_reading();
    }

    // Back to how it was.
    void restore() {
        if (lost_) return;
        transport_->set_protocol(protocol_);
        if (was_reading_) transport_->resume_reading();
    }

    // Until there is room for more.
    Coroutine<void> drain(EventLoop& loop) {
        while (!lost_ &&
               transport_->get_write_buffer_size() > transport_->get_write_buffer_limits().second) {
            room_ = loop.create_future();
            co_await room_;
        }
        check_connection();
    }
    // Until the protocol need not know that there was no room.
    Coroutine<void> settle(EventLoop& loop) {
        while (!lost_ && paused_) {
            room_ = loop.create_future();
            co_await room_;
        }
        check_connection();
    }

    void pause_writing() override { paused_ = true; }
    void resume_writing() override {
        if (!std::exchange(paused_, false)) protocol_->resume_writing();  // it had been paused
        wake();
    }
    void connection_lost(std::exception_ptr error) override {
        lost_ = true;
        wake();
        protocol_->connection_lost(error);
    }

  private:
    void wake() {
        if (room_ && !room_.done()) room_.set_result();
    }
    void check_connection() const {
        if (lost_ || transport_->is_closing()) {
            throw ConnectionResetError(ECONNRESET, "Connection closed by peer");
        }
    }

    std::shared_ptr<Transport> transport_;
    std::shared_ptr<BaseProtocol> protocol_;
    bool was_reading_ = false;
    bool paused_ = false;
    bool lost_ = false;
    Future<void> room_{nullptr};
};

Coroutine<void> send_by_writing(EventLoop& loop, const std::shared_ptr<Transport>& transport,
                                Sending& slice) {
    constexpr std::size_t block = 64 * 1024;
    const auto protocol = std::make_shared<SendfileProtocol>(transport);
    transport->set_protocol(protocol);
    struct Restore {
        SendfileProtocol& protocol;
        ~Restore() { protocol.restore(); }
    };
    const Restore restore{*protocol};
    while (slice.left > 0) {
        const std::string bytes = co_await read_some(loop, slice, block);
        if (bytes.empty()) break;
        co_await protocol->drain(loop);
        transport->write(bytes);
        slice.advance(bytes.size());
    }
    co_await protocol->settle(loop);
}

[[noreturn]] void refuse(int file, const std::string& target) {
    throw SendfileNotAvailableError("the kernel cannot copy from file " + std::to_string(file) +
                                    " to " + target);
}

Coroutine<bool> send_over_socket(EventLoop& loop, SocketTransport& transport, Sending& slice) {
    const SocketTransport::FileTurn turn(transport);
    co_await turn.begun();
    co_return co_await send_by_kernel(loop, transport, slice);
}

}  // namespace

}  // namespace asyncio::detail

namespace asyncio {

Coroutine<std::size_t> EventLoop::sock_sendfile(TransportSocket sock, int file, std::int64_t offset,
                                                std::optional<std::size_t> count, bool fallback) {
    detail::check_file(file, offset, count);
    if (sock.type() != SOCK_STREAM) {
        throw ValueError("sendfile: only stream sockets can be sent to");
    }
    detail::require_non_blocking(*this, sock);
    detail::ignore_broken_pipe_signal();
    detail::Sending slice{.file = file, .offset = offset, .left = count.value_or(SIZE_MAX)};
    if (!co_await detail::send_by_kernel(*this, sock, slice)) {
        if (!fallback) detail::refuse(file, "socket " + std::to_string(sock.fileno()));
        co_await detail::send_by_reading(*this, sock, slice);
    }
    co_return slice.sent;
}

Coroutine<std::size_t> EventLoop::sendfile(std::shared_ptr<Transport> transport, int file,
                                           std::int64_t offset, std::optional<std::size_t> count,
                                           bool fallback) {
    if (transport->is_closing()) throw RuntimeError("Transport is closing");
    detail::check_file(file, offset, count);
    detail::Sending slice{.file = file, .offset = offset, .left = count.value_or(SIZE_MAX)};
    if (auto* socket = dynamic_cast<detail::SocketTransport*>(transport.get())) {
        detail::ignore_broken_pipe_signal();
        if (co_await detail::send_over_socket(*this, *socket, slice)) co_return slice.sent;
    } else if (dynamic_cast<SSLTransport*>(transport.get()) == nullptr) {
        throw RuntimeError("sendfile is not supported for transport " + transport->repr());
    }
    if (!fallback) detail::refuse(file, transport->repr());
    co_await detail::send_by_writing(*this, transport, slice);
    co_return slice.sent;
}

}  // namespace asyncio
