// The seam between the event loop and the kernel: submitted operations, completions,
// cancellation, one wake-up call, one clock. Everything the loop knows of time and
// descriptors comes through here, so a simulated proactor can stand in for the kernel.
//
//   Operation read{.kind = Operation::Kind::read, .fd = fd, .buffer = p, .size = n,
//                  .owner = this, .complete = [](Operation& self, int result, bool) { ... }};
//   proactor.submit(read);
//   while (proactor.in_flight() > 0) proactor.wait(std::nullopt);
//
// Loop thread only, but for wake(). "Loop thread" is whichever thread calls wait(): a
// proactor may be made on one thread, run on a second and closed on a third, as long as
// no two of them use it at the same time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace asyncio::detail {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Nanoseconds = std::chrono::nanoseconds;

// What the kernel is asked to do. The submitter owns the object and keeps it, and every
// buffer it names, alive until its last completion: the one delivered with more == false.
//
// Cancel an operation before closing its descriptor; one of an `owned` descriptor that names
// no memory of the submitter's need not have completed by then.
struct Operation {
    // What `result` is when it is not negative, and what each kind needs beside `fd`:
    //
    //   nop      0; no descriptor
    //   poll     the mask that is ready: `events` and always POLLERR, POLLHUP
    //   read     bytes; `buffer`, `size`, `offset`
    //   write    bytes, perhaps fewer than `size`; the same
    //   recv     bytes; `buffer`, `size`, `flags` MSG_*
    //   send     bytes, perhaps fewer than `size`; the same. Never raises SIGPIPE
    //   recvmsg  bytes; `buffer` is a msghdr, `flags` MSG_*
    //   sendmsg  bytes; the same. Never raises SIGPIPE
    //   accept   a new descriptor; `flags` SOCK_*. Ask getpeername() for the address
    //   connect  0; `buffer` is the sockaddr, `size` its length
    //   close    0; the descriptor is gone whatever the result
    //
    // Sockets are to be non-blocking; any other descriptor may be either. A write to a
    // pipe nobody reads raises SIGPIPE as write() does, so the process has to ignore it.
    enum class Kind : std::uint8_t {
        nop,
        poll,
        read,
        write,
        recv,
        send,
        recvmsg,
        sendmsg,
        accept,
        connect,
        close
    };
    // queued: wait() has not seen it. submitted: the kernel or the descriptor has it.
    // cancelling: asked to end. completing: its result is known and about to be delivered.
    enum class State : std::uint8_t { idle, queued, submitted, cancelling, completing };

    Kind kind = Kind::nop;
    State state = State::idle;  // written by the proactor only
    // poll: a completion from every wait() that finds the descriptor ready, as a level
    // triggered selector gives, until cancelled. accept: one for each connection. recv, read:
    // one for what has come, in memory of the proactor, until the end of file: leave `buffer`
    // null; inside complete() it and the result say where the bytes are. What had come before
    // a cancel may still be delivered after it. An error ends each of them.
    bool multishot = false;
    // The descriptor is closed by a close operation or after forget(), in no other way. So
    // what the proactor learns of it stays true from one operation to the next, which saves
    // system calls. Set it in all operations on a descriptor or in none.
    bool owned = false;
    std::uint8_t pending = 0;  // for the proactor, while in flight
    std::uint8_t hint = 0;     // for the proactor, from one submission to the next
    std::uint8_t known = 0;    // for the proactor, while it polls on behalf of the operation
    int fd = -1;
    std::uint32_t events = 0;  // poll: POLLIN, POLLOUT, ...
    std::uint32_t flags = 0;   // see Kind
    void* buffer = nullptr;    // see Kind
    std::size_t size = 0;      // see Kind
    std::int64_t offset = -1;  // read, write: -1 is the current position
    void* owner = nullptr;     // for the submitter
    // Multishot recv, read: asked right before a read for memory of the submitter to make it
    // into, and complete() follows the read at once. Nothing, or no function: the proactor's.
    // Where the kernel itself receives on and on it is not asked.
    std::span<std::byte> (*lend)(Operation& self) noexcept = nullptr;
    // Called from Proactor::wait() on the loop's thread. `result` is as told at Kind, or a
    // negative errno (-ECANCELED after cancel()). With more == false the operation is idle
    // again: it may be resubmitted or destroyed from inside the call.
    void (*complete)(Operation& self, int result, bool more) = nullptr;

    // For the proactor: intrusive links, and the result until it is delivered.
    Operation* next = nullptr;
    Operation* previous = nullptr;
    int result = 0;
};

class Proactor {
  public:
    Proactor() = default;
    Proactor(const Proactor&) = delete;
    Proactor& operator=(const Proactor&) = delete;
    virtual ~Proactor() = default;

    [[nodiscard]] virtual std::string_view name() const noexcept = 0;

    // The loop's clock. A simulated proactor answers with its own.
    [[nodiscard]] virtual TimePoint now() const noexcept { return Clock::now(); }

    // Queues an idle operation; may complete it from a later wait(), never inline.
    virtual void submit(Operation& operation) = 0;
    // Asks. The operation still ends by its own completion, with -ECANCELED or, if it was
    // faster, with its result. No effect on an idle operation, nor when asked twice.
    virtual void cancel(Operation& operation) = 0;

    // The descriptor of operations with `owned` is about to be closed (by ::close, say).
    virtual void forget(int /*fd*/) noexcept {}

    // Delivers completions. Blocks until there is one, wake() was called, or `timeout`
    // passed; nullopt blocks without limit, zero does not block. A signal ends it early.
    // An exception that leaves a completion leaves wait(); the rest stay for the next one.
    //
    // Throws: OSError when the kernel refuses the proactor itself; a refused operation
    //         completes with its errno.
    virtual void wait(std::optional<Nanoseconds> timeout) = 0;
    // Whether wait(0) could deliver anything. May say true wrongly, never false wrongly.
    [[nodiscard]] virtual bool may_have_completions() const noexcept = 0;
    // How many operations have not had their last completion.
    [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }

    // Called by the loop on the thread that ran it, when it stops running: afterwards wait()
    // and close() may be called on another thread. What is in flight stays so.
    virtual void detach() noexcept {}

    // Ends a wait() in progress, or the next one that would block. From any thread and from
    // signal handlers; one system call.
    virtual void wake() noexcept = 0;

    // Cancels what is in flight, delivers its completions, gives everything back to the
    // kernel. The only calls allowed afterwards are wake(), which then does nothing, and the
    // destructor, which closes too.
    virtual void close() noexcept = 0;

  protected:
    // Here and not virtual: the loop asks in every iteration.
    std::size_t in_flight_ = 0;
};

enum class ProactorKind : std::uint8_t { automatic, epoll, io_uring };

// `automatic` honours ASYNCIO_PROACTOR=epoll|io_uring, else takes io_uring where the kernel
// has its deferred mode and epoll elsewhere (docs/decisions/0003-proactors.md). Throws ValueError
// for another value of the variable, and NotImplementedError when io_uring was asked for by name
// and the kernel refuses it.
[[nodiscard]] std::unique_ptr<Proactor> make_proactor(ProactorKind kind);
// Which one that is and why, in one line: "epoll: this kernel has no io_uring".
[[nodiscard]] std::string describe_choice(ProactorKind kind);

// How far to go with what newer kernels offer. A kernel that lacks a mode gets the next.
enum class IoUringMode : std::uint8_t {
    deferred,     // completions are prepared only when we ask (Linux 6.1)
    cooperative,  // ... or whenever we enter the kernel for another reason (6.0)
    shared,       // and the ring is not told that one thread alone uses it (5.19)
};

// Whether this kernel (and container) lets us use io_uring, and the best mode it has;
// `why_not` is one line if not.
struct IoUringProbe {
    bool usable = false;
    IoUringMode mode = IoUringMode::shared;
    std::string_view why_not;
};
[[nodiscard]] IoUringProbe probe_io_uring();

[[nodiscard]] std::unique_ptr<Proactor> make_epoll_proactor();
// Throws NotImplementedError in a build without io_uring. The ring itself is made by the
// first wait() that needs one.
[[nodiscard]] std::unique_ptr<Proactor> make_io_uring_proactor(
    IoUringMode best = IoUringMode::deferred);

}  // namespace asyncio::detail
