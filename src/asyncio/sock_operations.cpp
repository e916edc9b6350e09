#include <asyncio/sock_operations.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "sock_readiness.hpp"

// Each operation tries first, as most succeed at once, and then awaits readiness. So a
// cancellation finds nothing taken from the kernel that it would have to give back.

namespace asyncio {
namespace {

using detail::fail;
using detail::readiness;
using detail::require_non_blocking;
using detail::would_block;

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

}  // namespace asyncio
