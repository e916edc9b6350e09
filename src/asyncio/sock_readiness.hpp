// What operations on bare sockets share: they try, and await readiness when that would block.
#pragma once

#include <fcntl.h>
#include <poll.h>

#include <cerrno>
#include <string>

#include <asyncio/sockets.hpp>

#include "loop_state.hpp"
#include "operation_awaiter.hpp"

namespace asyncio::detail {

[[noreturn]] inline void fail(int error, const char* what, TransportSocket sock) {
    throw_os_error(error, std::string(what) + " on socket " + std::to_string(sock.fileno()));
}

inline bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK;
}

// The loop would stand still on a blocking one. Asked in debug mode, as Python does.
inline void require_non_blocking(const EventLoop& loop, TransportSocket sock) {
    if (!loop.get_debug()) return;
    const int flags = ::fcntl(sock.fileno(), F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
        throw ValueError("socket " + std::to_string(sock.fileno()) +
                         " must be non-blocking; call setblocking(false)");
    }
}

// Await it for the events that came, or a negative error.
inline Perform readiness(EventLoop& loop, TransportSocket sock, std::uint32_t events) {
    EventLoop::Internals::state(loop).transport_descriptors.require_free(sock.fileno());
    return {loop, {.kind = Operation::Kind::poll, .fd = sock.fileno(), .events = events}};
}

}  // namespace asyncio::detail
