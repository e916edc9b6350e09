#include <asyncio/sock_operations.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include <asyncio/constants.hpp>
#include <asyncio/threads.hpp>

#include "operation_awaiter.hpp"

// Each operation tries first, as most succeed at once, and then awaits readiness. So a
// cancellation finds nothing taken from the kernel that it would have to give back.

namespace asyncio {
namespace {

using detail::Operation;
using detail::Perform;

[[noreturn]] void fail(int error, const char* what, TransportSocket sock) {
    throw_os_error(error, std::string(what) + " on socket " + std::to_string(sock.fileno()));
}

bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK;
}

// The loop would stand still on a blocking one. Asked in debug mode, as Python does.
void require_non_blocking(const EventLoop& loop, TransportSocket sock) {
    if (!loop.get_debug()) return;
    const int flags = ::fcntl(sock.fileno(), F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
        throw ValueError("socket " + std::to_string(sock.fileno()) +
                         " must be non-blocking; call setblocking(false)");
    }
}

Perform readiness(EventLoop& loop, TransportSocket sock, std::uint32_t events) {
    return {loop, {.kind = Operation::Kind::poll, .fd = sock.fileno(), .events = events}};
}

// Awaits that `attempt()` gives something else than EAGAIN, and gives that.
// attempt: the result, or -1 with errno.
template <class Attempt>
Coroutine<std::size_t> once_ready(EventLoop& loop, TransportSocket sock, std::uint32_t events,
                                  const char* what, Attempt attempt) {
    require_non_blocking(loop, sock);
    for (;;) {
        const ssize_t result = attempt();
        if (result >= 0) co_return static_cast<std::size_t>(result);
        if (errno == EINTR) continue;
        if (!would_block(errno)) fail(errno, what, sock);
        if (const int ready = co_await readiness(loop, sock, events); ready < 0) {
            fail(-ready, what, sock);
        }
    }
}

struct Received {
    sockaddr_storage address;
    socklen_t size = sizeof(sockaddr_storage);

    [[nodiscard]] SocketAddress get() const {
        return {reinterpret_cast<const sockaddr*>(&address), size};
    }
};

// Between which the kernel cannot copy.
bool is_unsupported(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == ENOTSOCK ||
           error == ESPIPE || error == EOVERFLOW;
}

void check_sendfile(TransportSocket sock, int file, std::int64_t offset,
                    std::optional<std::size_t> count) {
    const int flags = ::fcntl(file, F_GETFL);
    if (flags < 0) throw_os_error(errno, "sendfile from file " + std::to_string(file));
    if ((flags & O_ACCMODE) == O_WRONLY) throw ValueError("sendfile: the file is not readable");
    if (sock.type() != SOCK_STREAM)
        throw ValueError("sendfile: only stream sockets can be sent to");
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

// Reads in the loop's threads: a file that is not in memory would hold the loop up.
Coroutine<void> send_by_reading(EventLoop& loop, TransportSocket sock, Sending& slice) {
    std::string buffer;
    while (slice.left > 0) {
        const std::size_t most = std::min(slice.left, constants::SENDFILE_FALLBACK_READBUFFER_SIZE);
        buffer = co_await loop.run_in_executor(
            nullptr, [file = slice.file, offset = slice.offset, most] {
                std::string bytes(most, '\0');
                ssize_t count = ::pread(file, bytes.data(), most, offset);
                if (count < 0 && errno == ESPIPE) count = ::read(file, bytes.data(), most);
                if (count < 0) throw_os_error(errno, "reading the file to send");
                bytes.resize(static_cast<std::size_t>(count));
                return bytes;
            });
        if (buffer.empty()) break;
        co_await loop.sock_sendall(sock, std::string_view(buffer));
        slice.advance(buffer.size());
    }
}

}  // namespace

Coroutine<std::size_t> EventLoop::sock_recv_into(TransportSocket sock,
                                                 std::span<std::byte> buffer) {
    return once_ready(*this, sock, POLLIN, "sock_recv", [=] {
        return ::recv(sock.fileno(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    });
}

Coroutine<std::string> EventLoop::sock_recv(TransportSocket sock, std::size_t nbytes) {
    std::string data(nbytes, '\0');
    data.resize(co_await sock_recv_into(sock, std::as_writable_bytes(std::span(data))));
    co_return data;
}

Coroutine<std::pair<std::size_t, SocketAddress>> EventLoop::sock_recvfrom_into(
    TransportSocket sock, std::span<std::byte> buffer) {
    Received from;
    const std::size_t size = co_await once_ready(*this, sock, POLLIN, "sock_recvfrom", [&] {
        from.size = sizeof from.address;
        return ::recvfrom(sock.fileno(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                          reinterpret_cast<sockaddr*>(&from.address), &from.size);
    });
    co_return std::pair(size, from.get());
}

Coroutine<std::pair<std::string, SocketAddress>> EventLoop::sock_recvfrom(TransportSocket sock,
                                                                          std::size_t bufsize) {
    std::string data(bufsize, '\0');
    auto [size, from] = co_await sock_recvfrom_into(sock, std::as_writable_bytes(std::span(data)));
    data.resize(size);
    co_return std::pair(std::move(data), from);
}

Coroutine<void> EventLoop::sock_sendall(TransportSocket sock, std::string_view data) {
    while (!data.empty()) {
        const std::size_t sent = co_await once_ready(*this, sock, POLLOUT, "sock_sendall", [=] {
            return ::send(sock.fileno(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        });
        data.remove_prefix(sent);
    }
}

Coroutine<void> detail::send_and_keep(EventLoop& loop, TransportSocket sock, std::string data) {
    co_await loop.sock_sendall(sock, std::string_view(data));
}

Coroutine<std::size_t> EventLoop::sock_sendto(TransportSocket sock, std::string_view data,
                                              SocketAddress address) {
    co_return co_await once_ready(*this, sock, POLLOUT, "sock_sendto", [&] {
        return ::sendto(sock.fileno(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                        address.data(), address.size());
    });
}

Coroutine<void> EventLoop::sock_connect(TransportSocket sock, SocketAddress address) {
    require_non_blocking(*this, sock);
    const std::string what = "sock_connect to " + address.str();
    if (::connect(sock.fileno(), address.data(), address.size()) == 0) co_return;
    // Interrupted or not, it goes on; EAGAIN is a Unix socket's full backlog.
    if (errno != EINPROGRESS && errno != EINTR) fail(errno, what.c_str(), sock);
    if (const int ready = co_await readiness(*this, sock, POLLOUT); ready < 0) {
        fail(-ready, what.c_str(), sock);
    }
    if (const int error = sock.getsockopt(SOL_SOCKET, SO_ERROR); error != 0) {
        fail(error, what.c_str(), sock);
    }
}

Coroutine<std::pair<Socket, SocketAddress>> EventLoop::sock_accept(TransportSocket sock) {
    Received from;
    const std::size_t fd = co_await once_ready(*this, sock, POLLIN, "sock_accept", [&] {
        from.size = sizeof from.address;
        return ::accept4(sock.fileno(), reinterpret_cast<sockaddr*>(&from.address), &from.size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
    });
    co_return std::pair(Socket(static_cast<int>(fd)), from.get());
}

Coroutine<std::size_t> EventLoop::sock_sendfile(TransportSocket sock, int file, std::int64_t offset,
                                                std::optional<std::size_t> count, bool fallback) {
    check_sendfile(sock, file, offset, count);
    require_non_blocking(*this, sock);
    Sending slice{.file = file, .offset = offset, .left = count.value_or(SIZE_MAX)};
    if (!co_await send_by_kernel(*this, sock, slice)) {
        if (!fallback) {
            throw SendfileNotAvailableError("the kernel cannot copy from file " +
                                            std::to_string(file) + " to socket " +
                                            std::to_string(sock.fileno()));
        }
        co_await send_by_reading(*this, sock, slice);
    }
    co_return slice.sent;
}

}  // namespace asyncio
