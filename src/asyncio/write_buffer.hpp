// What a transport could not send at once: copies of the bytes, and the operation that sends
// them. An operation in flight reads from this memory, so it must live until then.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "proactors/proactor.hpp"

namespace asyncio::detail {

class WriteBuffer {
  public:
    // `complete` is called as that of an Operation; sockets send, other descriptors write.
    WriteBuffer(int fd, bool socket, void* owner,
                void (*complete)(Operation& self, int result, bool more)) noexcept;
    WriteBuffer(const WriteBuffer&) = delete;
    WriteBuffer& operator=(const WriteBuffer&) = delete;
    ~WriteBuffer();

    void append(std::string_view data);
    // Bytes that the kernel has not taken.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool busy() const noexcept { return operation_.state != Operation::State::idle; }
    // Hands what there is to the kernel. Not while busy(), nor when empty.
    void submit(Proactor& proactor);
    void cancel(Proactor& proactor) { proactor.cancel(operation_); }
    // The kernel took the first `count` bytes.
    void consume(std::size_t count) noexcept;
    // Nothing of it is to be sent any more; memory stays while busy().
    void drop() noexcept { size_ = 0; }

  private:
    // A block of bytes that never moves: what is appended to it does not disturb an operation.
    struct Block {
        Block* next;
        std::size_t capacity;
        std::size_t end;
        [[nodiscard]] char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
    };
    static constexpr std::size_t usual_block = 16 * 1024 - sizeof(Block);

    [[nodiscard]] Block& room_for(std::size_t size);
    void pop_block() noexcept;

    Block* first_ = nullptr;
    Block* last_ = nullptr;
    std::size_t start_ = 0;  // what of the first block is sent already
    std::size_t size_ = 0;
    Operation operation_;
    msghdr message_{};
    std::array<iovec, 16> parts_;
};

}  // namespace asyncio::detail
