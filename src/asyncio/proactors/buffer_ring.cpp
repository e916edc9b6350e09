#if ASYNCIO_HAVE_LIBURING

#include "buffer_ring.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace asyncio::detail {

namespace {

constexpr unsigned short register_incremental = 2;  // newer than liburing 2.3

constexpr std::size_t incremental_size = 64 * 1024;
constexpr std::size_t whole_size = 16 * 1024;
constexpr unsigned incremental_at_first = 16;
constexpr unsigned whole_at_first = 128;

constexpr std::size_t ring_bytes(unsigned entries) noexcept {
    return entries * sizeof(io_uring_buf);
}

// Of no use to a forked child, which has no part in its parent's ring.
void* map(std::size_t bytes) noexcept {
    void* const where =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (where == MAP_FAILED) return nullptr;
    ::madvise(where, bytes, MADV_DONTFORK);
    return where;
}

bool register_ring(int fd, io_uring_buf_ring* ring, unsigned entries, bool incremental) noexcept {
    io_uring_buf_reg request{};
    request.ring_addr = reinterpret_cast<std::uintptr_t>(ring);
    request.ring_entries = entries;
    if (incremental) {
        // The field that came to be `flags` is still called padding in the header.
        std::memcpy(&request.bgid + 1, &register_incremental, sizeof register_incremental);
    }
    return ::io_uring_register(static_cast<unsigned>(fd), IORING_REGISTER_PBUF_RING, &request, 1) ==
           0;
}

}  // namespace

std::unique_ptr<BufferRing> BufferRing::make(int fd, bool incremental) noexcept {
    std::unique_ptr<BufferRing> self(new (std::nothrow) BufferRing);
    if (self != nullptr && !self->open(fd, incremental)) self.reset();
    return self;
}

bool BufferRing::open(int fd, bool incremental) noexcept {
    ring_ = static_cast<io_uring_buf_ring*>(map(ring_bytes(entries)));
    if (ring_ == nullptr) return false;
    incremental_ = incremental && register_ring(fd, ring_, entries, true);
    if (!incremental_ && !register_ring(fd, ring_, entries, false)) return false;
    size_ = incremental_ ? incremental_size : whole_size;
    memory_ = static_cast<char*>(map(entries * size_));
    if (memory_ == nullptr) return false;
    const unsigned first = incremental_ ? incremental_at_first : whole_at_first;
    while (in_use_ < first) add(in_use_++);
    return true;
}

BufferRing::~BufferRing() {
    if (ring_ != nullptr) ::munmap(ring_, ring_bytes(entries));
    if (memory_ != nullptr) ::munmap(memory_, entries * size_);
}

void BufferRing::add(unsigned buffer) noexcept {
    used_[buffer] = 0;
    io_uring_buf_ring_add(ring_, start(buffer), static_cast<unsigned>(size_),
                          static_cast<unsigned short>(buffer), static_cast<int>(entries - 1), 0);
    io_uring_buf_ring_advance(ring_, 1);
}

void BufferRing::grow() noexcept {
    const unsigned wanted = std::min(entries, in_use_ * 2);
    while (in_use_ < wanted) add(in_use_++);
}

}  // namespace asyncio::detail

#endif
