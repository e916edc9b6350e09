#include "entry.hpp"

#if ASYNCIO_HAVE_LIBURING

#include <poll.h>

#include <algorithm>

#include "attempt.hpp"

namespace asyncio::detail {

namespace {

constexpr std::size_t largest_transfer = 0x7ffff000;

// When the last completion said that nothing more is there, trying first is in vain.
std::uint16_t poll_first(const Operation& operation) noexcept {
    return operation.hint == drained ? IORING_RECVSEND_POLL_FIRST : 0;
}

}  // namespace

void describe(io_uring_sqe& entry, const Operation& operation) noexcept {
    const int fd = operation.fd;
    void* const buffer = operation.buffer;
    const auto size = static_cast<unsigned>(std::min(operation.size, largest_transfer));
    const auto offset = static_cast<std::uint64_t>(operation.offset);
    const int flags = static_cast<int>(operation.flags);
    if (polls_on(operation)) {
        return io_uring_prep_poll_multishot(&entry, fd, POLLIN | POLLRDHUP);
    }
    if ((operation.pending & awaits_ready) != 0) {
        return io_uring_prep_poll_add(&entry, fd, interest(operation));
    }
    switch (operation.kind) {
        case Operation::Kind::nop:
            return io_uring_prep_nop(&entry);
        case Operation::Kind::poll:
            if ((operation.pending & waits_for_edge) != 0) {
                return io_uring_prep_poll_multishot(&entry, fd, operation.events);
            }
            return io_uring_prep_poll_add(&entry, fd, operation.events);
        case Operation::Kind::read:
            return io_uring_prep_read(&entry, fd, buffer, size, offset);
        case Operation::Kind::write:
            return io_uring_prep_write(&entry, fd, buffer, size, offset);
        case Operation::Kind::recv:
            if (operation.multishot) {
                io_uring_prep_recv_multishot(&entry, fd, nullptr, 0, flags);
                entry.flags |= IOSQE_BUFFER_SELECT;
                return;
            }
            io_uring_prep_recv(&entry, fd, buffer, size, flags);
            entry.ioprio |= poll_first(operation);
            return;
        case Operation::Kind::send:
            return io_uring_prep_send(&entry, fd, buffer, size, flags | MSG_NOSIGNAL);
        case Operation::Kind::recvmsg:
            io_uring_prep_recvmsg(&entry, fd, static_cast<msghdr*>(buffer), operation.flags);
            entry.ioprio |= poll_first(operation);
            return;
        case Operation::Kind::sendmsg:
            return io_uring_prep_sendmsg(&entry, fd, static_cast<msghdr*>(buffer),
                                         operation.flags | MSG_NOSIGNAL);
        case Operation::Kind::accept:
            if (operation.multishot) {
                return io_uring_prep_multishot_accept(&entry, fd, nullptr, nullptr, flags);
            }
            return io_uring_prep_accept(&entry, fd, nullptr, nullptr, flags);
        case Operation::Kind::connect:
            return io_uring_prep_connect(&entry, fd, static_cast<sockaddr*>(buffer), size);
        case Operation::Kind::close:
            return io_uring_prep_close(&entry, fd);
    }
}

}  // namespace asyncio::detail

#endif
