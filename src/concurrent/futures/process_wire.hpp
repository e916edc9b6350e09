// What the pool and its workers say to each other.
//
// Each worker has one stream socket to the pool and one shared memory file, both
// for as long as it lives. A message is a Frame and its payload. Small payloads
// follow the frame through the socket; from shared_from bytes on they lie in the
// shared file instead, where the receiver reads them in place.
//
// The shared file is sparse. It holds a page of control words and, one terabyte
// apart, two regions for each direction: as a worker is handed at most two calls
// at a time, the calls and results under way never share a region.
//
//   pool  hello(shared file)  initialize(call)  call  call ...  then shut down
//   worker                               result or error, in the same order
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include <concurrent/futures/serialize_detail.hpp>

#include "asyncio/proactors/descriptor.hpp"

namespace concurrent::futures::detail {

using asyncio::detail::Descriptor;

// From this payload size on, shared memory is faster than the socket; measured
// by benchmarks/process_pool.
inline constexpr std::size_t shared_from = 16 * 1024;

// Calls a worker may be handed before it answered: one to run, one to go on with.
inline constexpr unsigned call_slots = 2;

enum class FrameKind : std::uint32_t {
    hello,       // to the worker: who it works for; carries the shared file
    initialize,  // to the worker: the initializer; answered only when it fails
    call,        // to the worker
    result,      // to the pool: the call returned
    error,       // to the pool: the call threw
    broken,      // to the pool: the initializer threw; the worker ends
};

struct Frame {
    FrameKind kind = FrameKind::call;
    std::uint16_t slot = 0;
    std::uint16_t shared = 0;    // whether the payload lies in the shared file
    std::uint64_t sequence = 0;  // of the call among this worker's calls
    std::uint64_t size = 0;      // of the payload
};

// --- Shared memory ----------------------------------------------------------------------------

// One region of the shared file, mapped as far as it was needed.
class Region {
  public:
    Region() = default;
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;
    ~Region();

    void open(int file, std::uint64_t offset);
    // At least `size` bytes from the start of the region; what was there stays.
    std::byte* reserve(std::size_t size);
    [[nodiscard]] bool is_open() const noexcept { return data_ != nullptr; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    // Gives memory back to the system once a rare large message has been read.
    void trim(std::size_t used) noexcept;

  private:
    std::byte* data_ = nullptr;
    std::size_t capacity_ = 0;
};

// Who has a call that was handed to a worker: offered until the worker takes it
// or the pool takes it back. Both try to change the word; one of them succeeds.
class Offer {
  public:
    void make(std::uint64_t sequence) noexcept { word_.store(sequence * 2); }
    // Whether nobody has it yet. May change at once.
    [[nodiscard]] bool stands(std::uint64_t sequence) const noexcept {
        return word_.load() == sequence * 2;
    }
    // Whether the call is ours now, to run it or to give it to another worker.
    bool claim(std::uint64_t sequence) noexcept {
        std::uint64_t offered = sequence * 2;
        return word_.compare_exchange_strong(offered, offered + 1);
    }

  private:
    std::atomic<std::uint64_t> word_ = 1;
};

class SharedFile {
  public:
    SharedFile() = default;
    // The pool's side; the descriptor goes to the worker. Null where the system
    // gives us no such file: then there is neither shared memory nor taking back.
    static Descriptor create();
    void open(int file);
    [[nodiscard]] bool is_open() const noexcept { return offers_ != nullptr; }
    ~SharedFile();
    SharedFile(const SharedFile&) = delete;
    SharedFile& operator=(const SharedFile&) = delete;

    Offer& offer(unsigned slot) noexcept { return offers_[slot]; }
    Region& calls(unsigned slot) noexcept { return calls_[slot]; }
    Region& results(unsigned slot) noexcept { return results_[slot]; }

  private:
    Offer* offers_ = nullptr;
    Region calls_[call_slots];
    Region results_[call_slots];
};

// --- Messages -------------------------------------------------------------------------------

// Memory from malloc, grown without filling it.
struct FreeMemory {
    void operator()(std::byte* data) const noexcept { std::free(data); }
};
using Memory = std::unique_ptr<std::byte[], FreeMemory>;

// A message being written: a frame, then the payload behind it, until that
// outgrows shared_from and moves to a region, or to the heap where there is none.
class MessageWriter final : public Writer {
  public:
    // `region` may be null or not open. It must stay free until the message was received.
    explicit MessageWriter(Region* region = nullptr);
    // Drops what was written, keeps the memory.
    void clear() noexcept;
    // Takes over what `other` holds, without a copy where it need not move.
    void take(MessageWriter& other);

    // What goes through the socket, frame first. Completes the frame.
    std::span<const std::byte> finish(Frame frame);
    // The payload alone, wherever it lies.
    [[nodiscard]] std::span<const std::byte> payload() const noexcept { return {begin_, size()}; }
    [[nodiscard]] bool is_shared() const noexcept { return shared_; }

  private:
    void grow(std::size_t size) override;

    Region* region_;
    bool shared_ = false;
    Memory memory_;  // the frame and a payload that is not shared
    std::size_t capacity_ = 0;
};

// The bytes that arrived on a socket, cut into messages.
class MessageReader {
  public:
    enum class Status { more, empty, closed };

    // Reads what is there. Blocks for the first byte if the socket does.
    Status fill(int socket);
    // The next whole message, null if there is none. `payload` is empty for a
    // shared one, and valid until the next fill().
    const Frame* next(std::span<const std::byte>& payload);

  private:
    Memory memory_;
    std::size_t capacity_ = 0;
    std::size_t start_ = 0;  // first byte not yet handed out
    std::size_t end_ = 0;
    Frame frame_;
};

// --- Sockets --------------------------------------------------------------------------------

// Sends what the socket takes now; the number of bytes, or -1 with errno.
std::ptrdiff_t send_some(int socket, std::span<const std::byte> bytes) noexcept;
// Sends all of it, waiting where needed. False once nobody reads.
bool send_all(int socket, std::span<const std::byte> bytes) noexcept;
// The same with descriptors attached to the first byte.
bool send_with(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors);
// Receives exactly `bytes.size()` bytes and up to `descriptors.size()` descriptors,
// which close on exec. False at the end of the stream.
bool receive_with(int socket, std::span<std::byte> bytes, std::span<Descriptor> descriptors);

template <class T>
std::span<const std::byte> bytes_of(const T& value) noexcept {
    return std::as_bytes(std::span(&value, 1));
}

}  // namespace concurrent::futures::detail
