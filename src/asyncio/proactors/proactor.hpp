// The seam between the event loop and the kernel: submitted operations, completions,
// cancellation, one wake-up call, one clock. Everything the loop knows of time and
// descriptors comes through here, so a simulated proactor can stand in for the kernel.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace asyncio::detail {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Nanoseconds = std::chrono::nanoseconds;

// What the kernel is asked to do. The submitter owns the object and keeps it, and every
// buffer it names, alive until its last completion: the one delivered with more == false.
struct Operation {
    enum class Kind : std::uint8_t { nop, poll, read, write };
    enum class State : std::uint8_t { idle, queued, submitted, cancelling };

    Kind kind = Kind::nop;
    State state = State::idle;  // written by the proactor only
    bool multishot = false;     // poll: report every readiness until cancelled
    int fd = -1;
    std::uint32_t events = 0;          // poll: POLLIN, POLLOUT, ...
    void* buffer = nullptr;            // read, write
    std::size_t size = 0;              // read, write
    std::int64_t offset = -1;          // read, write: -1 is the current position
    void* owner = nullptr;             // for the submitter
    // Called from Proactor::wait() on the loop's thread. `result` is a count, a poll mask,
    // or a negative errno (-ECANCELED after cancel()). With more == false the operation is
    // idle again: it may be resubmitted or destroyed from inside the call.
    void (*complete)(Operation& self, int result, bool more) = nullptr;

    // For the proactor: intrusive links.
    Operation* next = nullptr;
    Operation* previous = nullptr;
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
    // faster, with its result. No effect on an idle operation.
    virtual void cancel(Operation& operation) = 0;

    // Delivers completions. Blocks until there is one, wake() was called, or `timeout`
    // passed; nullopt blocks without limit, zero does not block. A signal ends it early.
    virtual void wait(std::optional<Nanoseconds> timeout) = 0;
    // Whether wait(0) could deliver anything. May say true wrongly, never false wrongly.
    [[nodiscard]] virtual bool may_have_completions() const noexcept = 0;
    // How many operations have not had their last completion.
    [[nodiscard]] virtual std::size_t in_flight() const noexcept = 0;

    // Ends a wait() in progress, or the next one. From any thread and from signal
    // handlers; one system call.
    virtual void wake() noexcept = 0;

    // Cancels what is in flight, delivers its completions, gives everything back to the
    // kernel. The only call allowed afterwards is the destructor.
    virtual void close() noexcept = 0;
};

enum class ProactorKind : std::uint8_t { automatic, epoll, io_uring };

// `automatic` honours ASYNCIO_PROACTOR=epoll|io_uring, then probes the kernel and takes the
// one measured faster here. Throws ValueError for another value of the variable, and
// NotImplementedError when io_uring was asked for by name and the kernel refuses it.
[[nodiscard]] std::unique_ptr<Proactor> make_proactor(ProactorKind kind);

// Whether this kernel (and container) lets us use io_uring; `why_not` is one line if not.
struct IoUringProbe {
    bool usable = false;
    std::string_view why_not;
};
[[nodiscard]] IoUringProbe probe_io_uring();

[[nodiscard]] std::unique_ptr<Proactor> make_epoll_proactor();
[[nodiscard]] std::unique_ptr<Proactor> make_io_uring_proactor();

}  // namespace asyncio::detail
