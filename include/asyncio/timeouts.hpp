// asyncio/timeouts.hpp - a deadline for a piece of work.
//
//   co_await asyncio::with(asyncio::timeout(5s), [&](Timeout&) -> Coroutine<void> {
//       co_await download();             // cancelled after five seconds
//   });                                  // and then TimeoutError leaves here
//
// When the deadline passes, the task is cancelled, the work winds down, and only at the edge
// of the block does the CancelledError become a TimeoutError. A cancellation from elsewhere
// passes through as it is. For one awaitable there is wait_for().
//
// Source: Python's asyncio.timeouts.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>

#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

// Used once, inside one task. Not movable while active, so hand it on before entering.
class [[nodiscard]] Timeout {
  public:
    using time_point = EventLoop::time_point;

    // nullopt: no deadline, until reschedule() sets one.
    explicit Timeout(std::optional<time_point> when) noexcept : when_(when) {}
    Timeout(Timeout&& other) noexcept;
    Timeout& operator=(Timeout&&) = delete;
    ~Timeout();

    // The deadline on the loop's clock.
    [[nodiscard]] std::optional<time_point> when() const noexcept { return when_; }
    // Moves it; one in the past fires in the next iteration, nullopt disables.
    // Throws: RuntimeError unless the block is active and the deadline has not passed.
    void reschedule(std::optional<time_point> when);
    // Whether the deadline passed inside the block.
    [[nodiscard]] bool expired() const noexcept {
        return state_ == State::expiring || state_ == State::expired;
    }
    // "<Timeout [active] when=12.500>", the seconds of the loop's clock.
    [[nodiscard]] std::string repr() const;

    // The two ends of the block; with() calls them.
    // Throws: RuntimeError outside of a task, or when entered before.
    void enter();
    // Gives what leaves the block in place of `error`: a TimeoutError, or `error` itself.
    [[nodiscard]] std::exception_ptr exit(std::exception_ptr error);
    Coroutine<void> aenter();
    Coroutine<bool> aexit(std::exception_ptr error);

  private:
    enum class State : std::uint8_t { created, active, expiring, expired, finished };

    void on_timeout();

    State state_ = State::created;
    std::optional<time_point> when_;
    AnyTask task_;
    unsigned cancelling_ = 0;  // of the task, on entry
    Handle alarm_;
};

// After `delay`, counted from here. nullopt: no deadline.
template <class Rep, class Period>
Timeout timeout(std::chrono::duration<Rep, Period> delay) {
    return Timeout(get_running_loop().time() + detail::to_nanoseconds(delay));
}
inline Timeout timeout(std::nullopt_t) {
    return Timeout(std::nullopt);
}
inline Timeout timeout(std::optional<std::chrono::nanoseconds> delay) {
    return delay ? timeout(*delay) : Timeout(std::nullopt);
}
// At `when` on the loop's clock; one in the past fires at the first real suspension.
inline Timeout timeout_at(std::optional<EventLoop::time_point> when) {
    return Timeout(when);
}

}  // namespace asyncio
