// Memory that io_uring fills by itself as data arrives, so that a connection that waits for
// data needs none of its own.
//
// Linux 6.12 uses a buffer piece by piece; before that a completion takes a whole one, so they
// are smaller and more. The kernel takes them in the order in which they were given back. When
// it runs out, receiving ends with ENOBUFS, and grow() adds some.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <memory>
#include <string_view>

namespace asyncio::detail {

class BufferRing {
  public:
    // Registered with the ring `fd` as group 0, for as long as that ring lives; it has to be
    // closed before this goes. Null where the kernel refuses.
    [[nodiscard]] static std::unique_ptr<BufferRing> make(int fd, bool incremental) noexcept;
    BufferRing(const BufferRing&) = delete;
    BufferRing& operator=(const BufferRing&) = delete;
    ~BufferRing();

    // What a completion with a positive result brought; there until give_back() of the same.
    [[nodiscard]] std::string_view data(const io_uring_cqe& completion) const noexcept {
        const unsigned buffer = buffer_of(completion);
        return {start(buffer) + used_[buffer], static_cast<std::size_t>(completion.res)};
    }
    void give_back(const io_uring_cqe& completion) noexcept {
        const unsigned buffer = buffer_of(completion);
        if (incremental_ && (completion.flags & has_more) != 0) {
            used_[buffer] += static_cast<unsigned>(completion.res);
        } else {
            add(buffer);
        }
    }
    // More buffers, up to a limit.
    void grow() noexcept;

  private:
    BufferRing() = default;
    [[nodiscard]] bool open(int fd, bool incremental) noexcept;
    void add(unsigned buffer) noexcept;
    [[nodiscard]] static unsigned buffer_of(const io_uring_cqe& completion) noexcept {
        return completion.flags >> IORING_CQE_BUFFER_SHIFT;
    }
    [[nodiscard]] char* start(unsigned buffer) const noexcept {
        return memory_ + std::size_t{buffer} * size_;
    }

    static constexpr unsigned has_more = 1U << 4;  // newer than liburing 2.3
    static constexpr unsigned entries = 256;       // room in the ring; a power of two

    io_uring_buf_ring* ring_ = nullptr;
    char* memory_ = nullptr;
    std::size_t size_ = 0;  // of each
    unsigned in_use_ = 0;   // how many there are so far
    bool incremental_ = false;
    unsigned used_[entries] = {};  // of the buffer that is being filled
};

}  // namespace asyncio::detail
