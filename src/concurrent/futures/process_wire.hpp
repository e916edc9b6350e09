// What the pool and its workers say to each other.
//
// Each worker has one stream socket to the pool and one shared memory file, both
// for as long as it lives. A message is a Frame and its payload.
//
// The shared file is sparse. It holds a page for the frames of calls and answers
// and, one terabyte apart, two regions for each direction, where their payloads
// lie and are read in place: as a worker is handed at most two calls at a time,
// those under way never share a region. A worker without a call sleeps on a word
// of that page; an answer wakes the pool by an eventfd, for which epoll can wait.
// Both cost about half of what a socket does.
//
//   pool  hello(shared file, eventfd)  initialize(call)  call  call ...  then shut down
//   worker                               result or error, in the same order
//
// The first two go through the socket, whose end also tells of a worker's. Where
// the system gives no shared file, so does everything else.
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

// Calls a worker may be handed before it answered: one to run, one to go on with.
inline constexpr unsigned call_slots = 2;

enum class FrameKind : std::uint32_t {
    hello,       // to the worker: carries the shared file; its size is that of what follows
    initialize,  // to the worker: the initializer; answered only when it fails
    call,        // to the worker
    result,      // to the pool: the call returned
    error,       // to the pool: the call threw
    broken,      // to the pool: the initializer threw; the worker ends
};

struct Frame {
    FrameKind kind = FrameKind::call;
    std::uint32_t slot = 0;
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
    // The call that nobody has yet, 0 if there is none. May change at once.
    [[nodiscard]] std::uint64_t standing() const noexcept {
        const std::uint64_t word = word_.load();
        return word % 2 == 0 ? word / 2 : 0;
    }
    [[nodiscard]] bool stands(std::uint64_t sequence) const noexcept {
        return standing() == sequence;
    }
    // Whether the call is ours now, to run it or to give it to another worker.
    bool claim(std::uint64_t sequence) noexcept {
        std::uint64_t offered = sequence * 2;
        return word_.compare_exchange_strong(offered, offered + 1);
    }

  private:
    std::atomic<std::uint64_t> word_ = 0;  // sequences start at 1
};

// The first page of the shared file, zero in a fresh one.
struct Desk {
    // Each direction on its own line of the cache. Frames are written before the word
    // that announces them, and stay until it announces the next.
    struct Slot {
        alignas(64) Offer offer;
        Frame call{};
        alignas(64) std::atomic<std::uint64_t> answered{0};  // the sequence of the last call
        Frame answer{};
    };

    Slot slots[call_slots];
    alignas(64) std::atomic<std::uint32_t> bell{0};  // changes when there is something new
    std::atomic<std::uint32_t> asleep{0};            // whether the worker waits for the bell
    std::atomic<std::uint32_t> closed{0};            // no more calls will come

    void ring() noexcept;
    // What the bell was; then look for news, then wait_after() that.
    [[nodiscard]] std::uint32_t listen() const noexcept { return bell.load(); }
    void wait_after(std::uint32_t heard) noexcept;
};

class SharedFile {
  public:
    SharedFile() = default;
    // The pool's side; the descriptor goes to the worker. Null where the system
    // gives us no such file: then there is neither shared memory nor taking back.
    static Descriptor create();
    void open(int file);
    [[nodiscard]] bool is_open() const noexcept { return desk_ != nullptr; }
    ~SharedFile();
    SharedFile(const SharedFile&) = delete;
    SharedFile& operator=(const SharedFile&) = delete;

    [[nodiscard]] Desk& desk() const noexcept { return *desk_; }
    [[nodiscard]] Offer& offer(unsigned slot) const noexcept { return desk_->slots[slot].offer; }
    Region& calls(unsigned slot) noexcept { return calls_[slot]; }
    Region& results(unsigned slot) noexcept { return results_[slot]; }

  private:
    Desk* desk_ = nullptr;
    Region calls_[call_slots];
    Region results_[call_slots];
};

// --- Messages -------------------------------------------------------------------------------

// Memory from malloc, grown without filling it.
struct FreeMemory {
    void operator()(std::byte* data) const noexcept { std::free(data); }
};
using Memory = std::unique_ptr<std::byte[], FreeMemory>;

// A message being written: its payload in a region, or where there is none, behind
// its frame on the heap.
class MessageWriter final : public Writer {
  public:
    // `region` may be null or not open. It must stay free until the message was received.
    explicit MessageWriter(Region* region = nullptr);
    // Drops what was written, keeps the memory.
    void clear() noexcept;
    // Takes over what `other` holds, without a copy where it need not move.
    void take(MessageWriter& other);

    // What goes through the socket, frame first.
    std::span<const std::byte> finish(Frame frame);
    // The frame alone, for a payload that is shared.
    [[nodiscard]] Frame complete(Frame frame) const noexcept;
    [[nodiscard]] bool is_shared() const noexcept {
        return region_ != nullptr && region_->is_open();
    }
    // The payload alone, wherever it lies.
    [[nodiscard]] std::span<const std::byte> payload() const noexcept { return {begin_, size()}; }

  private:
    void grow(std::size_t size) override;
    Region* region_;
    Memory memory_;  // the frame and a payload that is not shared
    std::size_t capacity_ = 0;
};

// The bytes that arrived on a socket, cut into messages.
class MessageReader {
  public:
    enum class Status { more, empty, closed };

    // Reads what is there. Blocks for the first byte if the socket does.
    Status fill(int socket);
    // The next whole message, null if there is none. `payload` is valid until the
    // next fill().
    const Frame* next(std::span<const std::byte>& payload);

  private:
    Memory memory_;
    std::size_t capacity_ = 0;
    std::size_t start_ = 0;  // first byte not yet handed out
    std::size_t end_ = 0;
    Frame frame_;
};

// --- Sockets --------------------------------------------------------------------------------

// Makes an eventfd readable. False if it is none.
bool notify(int event) noexcept;
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
