#include "attempt.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

namespace asyncio::detail {

namespace {

// The most one read or write moves on Linux; keeps every count within an int.
constexpr std::size_t largest_transfer = 0x7ffff000;

template <class Call>
int without_eintr(Call call) noexcept {
    for (;;) {
        const auto result = call();
        if (result >= 0) return static_cast<int>(result);
        if (errno != EINTR) return -errno;
    }
}

int again_to_not_yet(int result) noexcept {
    return result == -EAGAIN ? not_yet : result;
}

int receive(int fd, void* buffer, std::size_t size, int flags) noexcept {
    return again_to_not_yet(
        without_eintr([&] { return ::recv(fd, buffer, size, flags | MSG_DONTWAIT); }));
}

// `mode` is RWF_NOWAIT or 0.
int transfer(const Operation& operation, std::size_t size, int mode) noexcept {
    const iovec part{operation.buffer, std::min(size, largest_transfer)};
    return without_eintr([&] {
        return operation.kind == Operation::Kind::read
                   ? ::preadv2(operation.fd, &part, 1, operation.offset, mode)
                   : ::pwritev2(operation.fd, &part, 1, operation.offset, mode);
    });
}

int read_or_write(const Operation& operation, bool ready) noexcept {
    const int result = transfer(operation, operation.size, RWF_NOWAIT);
    if (result != -EOPNOTSUPP) return again_to_not_yet(result);
    // A descriptor that cannot be asked not to wait (terminals; pipes of kernels before 6.5).
    // Once ready, a read does not block. A write does when it is larger than the room there
    // is, and the least room a ready pipe has is PIPE_BUF.
    if (!ready) return not_yet;
    const bool may_block = operation.kind == Operation::Kind::write &&
                           (::fcntl(operation.fd, F_GETFL) & O_NONBLOCK) == 0;
    const std::size_t size =
        may_block ? std::min<std::size_t>(operation.size, PIPE_BUF) : operation.size;
    return again_to_not_yet(transfer(operation, size, 0));
}

int connect(const Operation& operation, bool ready) noexcept {
    if (ready) {
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(operation.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return -errno;
        return -error;
    }
    // EINTR leaves the connection being made, as EINPROGRESS does. EAGAIN is a Unix socket
    // whose listener is full: nothing would tell when it no longer is, so it is an error.
    if (::connect(operation.fd, static_cast<const sockaddr*>(operation.buffer),
                  static_cast<socklen_t>(operation.size)) == 0) {
        return 0;
    }
    return errno == EINPROGRESS || errno == EINTR ? not_yet : -errno;
}

}  // namespace

int attempt(const Operation& operation, bool ready) noexcept {
    const int fd = operation.fd;
    void* const buffer = operation.buffer;
    const std::size_t size = std::min(operation.size, largest_transfer);
    const int flags = static_cast<int>(operation.flags);
    switch (operation.kind) {
        case Operation::Kind::read:
        case Operation::Kind::write:
            return read_or_write(operation, ready);
        case Operation::Kind::recv:
            return receive(fd, buffer, size, flags);
        case Operation::Kind::send:
            return again_to_not_yet(without_eintr(
                [&] { return ::send(fd, buffer, size, flags | MSG_DONTWAIT | MSG_NOSIGNAL); }));
        case Operation::Kind::recvmsg:
            return again_to_not_yet(without_eintr(
                [&] { return ::recvmsg(fd, static_cast<msghdr*>(buffer), flags | MSG_DONTWAIT); }));
        case Operation::Kind::sendmsg:
            return again_to_not_yet(without_eintr([&] {
                return ::sendmsg(fd, static_cast<const msghdr*>(buffer),
                                 flags | MSG_DONTWAIT | MSG_NOSIGNAL);
            }));
        case Operation::Kind::accept:
            return again_to_not_yet(
                without_eintr([&] { return ::accept4(fd, nullptr, nullptr, flags); }));
        case Operation::Kind::connect:
            return connect(operation, ready);
        case Operation::Kind::nop:
        case Operation::Kind::poll:
        case Operation::Kind::close:
            break;
    }
    return -EINVAL;
}

namespace {

// What was read leaves us in strings: some megabytes of them, allocated and freed in every
// iteration. glibc returns such memory to the kernel each time, to fault it in again, until it
// has seen a large block freed; then it keeps twice as much as that. Half of the cost of an
// echo of 16 KiB was this.
void let_malloc_expect_large_blocks() {
    static const bool once = [] {
        // Volatile, or the compiler sees that it comes to nothing.
        void* volatile block = std::malloc(4 * 1024 * 1024);
        std::free(block);
        return true;
    }();
    static_cast<void>(once);
}

}  // namespace

void ReadScratch::allocate() {
    let_malloc_expect_large_blocks();
    memory_ = std::make_unique_for_overwrite<std::byte[]>(size);
}

[[gnu::hot]] ReadScratch::Attempt ReadScratch::attempt(Operation& operation) noexcept {
    std::span<std::byte> memory;
    if (operation.lend != nullptr) memory = operation.lend(operation);
    if (memory.empty()) memory = {memory_.get(), size};
    if (operation.kind == Operation::Kind::recv) [[likely]] {
        const int flags = static_cast<int>(operation.flags);
        return {.result = receive(operation.fd, memory.data(), memory.size(), flags),
                .memory = memory};
    }
    Operation made = operation;
    made.buffer = memory.data();
    made.size = memory.size();
    return {.result = detail::attempt(made, true), .memory = memory};
}

[[gnu::hot]] void ReadScratch::deliver(Operation& operation, const Attempt& read) {
    const ProvidedBuffer buffer(operation, read.memory.data());
    operation.complete(operation, read.result, true);
}

int perform(const Operation& operation) noexcept {
    switch (operation.kind) {
        case Operation::Kind::poll: {
            constexpr std::uint32_t always = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
            const std::uint32_t mask = operation.events & always;
            return mask != 0 ? static_cast<int>(mask) : -EINVAL;
        }
        case Operation::Kind::read:
        case Operation::Kind::write:
            // Reading on and on belongs to what can be waited for.
            if (provides_buffer(operation)) return -EPERM;
            return transfer(operation, operation.size, 0);
        default: {
            const int result = attempt(operation, true);
            return result == not_yet ? -EAGAIN : result;
        }
    }
}

}  // namespace asyncio::detail
