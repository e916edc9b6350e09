// Carrying an operation out here and now, without blocking: what a proactor does that is
// told of readiness only.
#pragma once

#include <poll.h>

#include <climits>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "proactor.hpp"

namespace asyncio::detail {

// What attempt() returns when the descriptor is not ready.
inline constexpr int not_yet = INT_MIN;

// Tries a read, write, recv, send, recvmsg, sendmsg, accept or connect. `ready` says that the
// kernel reported the descriptor ready, which some descriptors need before they can be
// touched without blocking.
[[nodiscard]] int attempt(const Operation& operation, bool ready) noexcept;

// The same for a descriptor that readiness does not apply to, such as a regular file:
// blocks for as long as the disk does. A poll finds such a descriptor always ready.
[[nodiscard]] int perform(const Operation& operation) noexcept;

// The readiness an operation waits for.
[[nodiscard]] constexpr std::uint32_t interest(const Operation& operation) noexcept {
    switch (operation.kind) {
        case Operation::Kind::poll:
            return operation.events;
        case Operation::Kind::read:
        case Operation::Kind::recv:
        case Operation::Kind::recvmsg:
        case Operation::Kind::accept:
            return POLLIN;
        case Operation::Kind::write:
        case Operation::Kind::send:
        case Operation::Kind::sendmsg:
        case Operation::Kind::connect:
            return POLLOUT;
        case Operation::Kind::nop:
        case Operation::Kind::close:
            break;
    }
    return 0;
}

// Whether the proactor provides the memory it reads into.
[[nodiscard]] constexpr bool provides_buffer(const Operation& operation) noexcept {
    return operation.multishot &&
           (operation.kind == Operation::Kind::recv || operation.kind == Operation::Kind::read);
}

// Whether it stays after a success.
[[nodiscard]] constexpr bool repeats(const Operation& operation) noexcept {
    return operation.multishot &&
           (operation.kind == Operation::Kind::poll || operation.kind == Operation::Kind::accept ||
            provides_buffer(operation));
}

// How much is read for multishot operations in one wait(), roughly. What is read is best used
// while it is in the processor's cache, so whoever waited for it has its turn before more is.
inline constexpr std::size_t receive_budget = 256 * 1024;

// Shared memory that multishot operations read into where the kernel does not do it itself.
class ReadScratch {
  public:
    // Allocates. Call it before attempt(), for an operation that provides_buffer().
    void prepare() {
        if (memory_ == nullptr) allocate();
    }
    // What attempt() gives, and where to.
    struct Attempt {
        int result;
        std::span<std::byte> memory;
        [[nodiscard]] bool filled() const noexcept {
            return result > 0 && static_cast<std::size_t>(result) == memory.size();
        }
    };
    [[nodiscard]] Attempt attempt(Operation& operation) noexcept;
    // Delivers what attempt() read; more will come.
    static void deliver(Operation& operation, const Attempt& read);

  private:
    void allocate();

    // What CPython reads at most, too. Only what is read into becomes memory.
    static constexpr std::size_t size = 256 * 1024;
    std::unique_ptr<std::byte[]> memory_;
};

// One who reads a large message piece by piece reads a second piece before all others do: its
// peer is told once of much instead of often of little. Not a third before the peer has had
// time to take some of what is sent back, as both would be busy with the same socket.
class ReadStreak {
  public:
    // Whether the read that was just made is a first piece, and there may be a second.
    [[nodiscard]] bool goes_on(const ReadScratch::Attempt& read) noexcept {
        return first_ = read.filled() && !first_;
    }

  private:
    bool first_ = false;
};

// Sets Operation::buffer for the duration of a completion.
class ProvidedBuffer {
  public:
    ProvidedBuffer(Operation& operation, void* memory) noexcept : operation_(operation) {
        operation.buffer = memory;
    }
    ProvidedBuffer(const ProvidedBuffer&) = delete;
    ProvidedBuffer& operator=(const ProvidedBuffer&) = delete;
    ~ProvidedBuffer() { operation_.buffer = nullptr; }

  private:
    Operation& operation_;
};

}  // namespace asyncio::detail
