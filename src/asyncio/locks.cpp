#include <asyncio/locks.hpp>

#include <asyncio/events.hpp>
#include <asyncio/futures.hpp>

namespace asyncio {

namespace {

std::string repr_text(const char* type, std::string state, std::size_t waiters) {
    if (waiters != 0) state += ", waiters:" + std::to_string(waiters);
    return std::string("<") + type + " [" + state + "]>";
}

}  // namespace

void detail::report_failed_release() noexcept {
    // A frame that goes with its closed loop may hold a guard of what it had given up.
    EventLoop* loop = get_running_loop_or_null();
    if (loop == nullptr) return;
    try {
        ExceptionContext context;
        context.message = "a guard could not release what it held";
        context.exception = std::current_exception();
        loop->call_exception_handler(context);
    } catch (...) {
        // Out of a destructor; there is nobody to tell.
    }
}

// ---- Lock ---------------------------------------------------------------------------------

void Lock::release_to_next() {
    if (!locked()) {
        throw RuntimeError("Lock is not acquired: release() was called more often than acquire()");
    }
    line_.let_go();
    line_.wake_first_in_place();
}

detail::WaitEnd Lock::end_wait(Lock& lock, detail::Waiter& waiter) {
    if (waiter.served()) {
        lock.take_served();
        return {};
    }
    detail::WaitEnd end = waiter.end_wait();
    if (end.orphaned) return end;
    // Whether it was chosen or stood first in line, others may wait for its turn to pass.
    if (end.error) lock.pass_on_unused();
    return end;
}

void Lock::fail_unserved(Lock& lock, detail::Waiter& waiter) {
    const detail::WaitEnd end = end_wait(lock, waiter);
    if (end.error) std::rethrow_exception(end.error);
    detail::throw_orphaned(name);
}

Coroutine<void> Lock::aexit(std::exception_ptr) {
    release();
    co_return;
}

std::string Lock::repr() const {
    return repr_text("Lock", locked() ? "locked" : "unlocked", line_.count());
}

// ---- Event --------------------------------------------------------------------------------

std::string Event::repr() const {
    return repr_text("Event", set_ ? "set" : "unset", line_.count());
}

// ---- Condition ----------------------------------------------------------------------------

// Gives a cancellation instead of throwing it, as acquiring for a WaitEnd does: the clean-up
// after it must await.
class Condition::NotificationAwaiter final : public detail::Waiter {
  public:
    explicit NotificationAwaiter(Condition& condition) noexcept : condition_(condition) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        condition_.line_.wait(*this, detail::FrameLink(frame), condition_.loop_, "Condition");
    }
    detail::WaitEnd await_resume() { return served() ? detail::WaitEnd() : end_wait(); }

  private:
    Condition& condition_;
};

struct Condition::Notification {
    Condition& condition;
    NotificationAwaiter operator co_await() const noexcept {
        return NotificationAwaiter(condition);
    }
};

Coroutine<bool> Condition::wait() {
    if (!locked()) {
        throw RuntimeError(
            "cannot wait on un-acquired lock: acquire() the Condition before wait()");
    }
    // On another loop, before the lock is given up.
    loop_.bind(detail::require_current_task("Condition.wait()").loop(), "Condition");
    lock_->release();
    detail::WaitEnd end = co_await Notification{*this};
    std::exception_ptr error = end.error;
    Lock* const lock = end.orphaned ? nullptr : lock_;
    while (!end.orphaned) {
        end = co_await detail::Acquire<Lock, detail::WaitEnd>(*lock);
        if (!end.error) break;
        error = end.error;
    }
    if (end.orphaned) {
        if (error) std::rethrow_exception(error);
        detail::throw_orphaned("Condition");
    }
    if (error) {
        // It may have been notified; a wake-up too many is allowed, one too few is not.
        wake(1);
        std::rethrow_exception(error);
    }
    co_return true;
}

void Condition::notify(std::ptrdiff_t n) {
    if (!locked()) {
        throw RuntimeError(
            "cannot notify on un-acquired lock: acquire() the Condition before notify()");
    }
    wake(n);
}

void Condition::wake(std::ptrdiff_t n) noexcept {
    for (; n > 0 && line_.has_waiting(); --n) line_.wake_first();
}

std::string Condition::repr() const {
    return repr_text("Condition", locked() ? "locked" : "unlocked", line_.count());
}

// ---- Semaphore ----------------------------------------------------------------------------

Semaphore::Semaphore(std::ptrdiff_t value, std::size_t bound)
    : value_(static_cast<std::size_t>(value)), bound_(bound) {
    if (value < 0) {
        throw ValueError("Semaphore initial value must be >= 0, not " + std::to_string(value));
    }
}

void Semaphore::throw_too_many() {
    throw ValueError(
        "BoundedSemaphore released too many times: release() was called more often than "
        "acquire()");
}

void Semaphore::fail_unserved(Semaphore& semaphore, detail::Waiter& waiter) {
    const detail::WaitEnd end = waiter.end_wait();
    if (!end.orphaned) {
        if (end.chosen) ++semaphore.value_;
        semaphore.grant_all();
    }
    if (end.error) std::rethrow_exception(end.error);
    detail::throw_orphaned(name);
}

Coroutine<void> Semaphore::aexit(std::exception_ptr) {
    release();
    co_return;
}

std::string Semaphore::repr() const {
    return repr_text(
        bound_ == std::numeric_limits<std::size_t>::max() ? "Semaphore" : "BoundedSemaphore",
        locked() ? "locked" : "unlocked, value:" + std::to_string(value_), line_.count());
}

// ---- Barrier ------------------------------------------------------------------------------

struct Barrier::State {
    enum class Phase : std::uint8_t { filling, draining, resetting, broken };

    explicit State(std::size_t parties) noexcept : parties(parties) {}

    // One leaves; the last lets those in who wait for the next round.
    void leave() {
        if (--count != 0) return;
        if (phase == Phase::resetting || phase == Phase::draining) phase = Phase::filling;
        condition.notify_all();
    }

    Condition condition;
    const std::size_t parties;
    std::size_t count = 0;  // of those inside, also while they leave
    Phase phase = Phase::filling;
};

Barrier::Barrier(std::ptrdiff_t parties) {
    if (parties < 1) {
        throw ValueError("Barrier parties must be >= 1, not " + std::to_string(parties));
    }
    state_ = std::make_shared<State>(static_cast<std::size_t>(parties));
}

Barrier::~Barrier() = default;

Coroutine<std::size_t> Barrier::wait() {
    return wait_in(state_);
}
Coroutine<void> Barrier::reset() {
    return reset_in(state_);
}
Coroutine<void> Barrier::abort() {
    return abort_in(state_);
}

Coroutine<std::size_t> Barrier::wait_in(std::shared_ptr<State> state) {
    using Phase = State::Phase;
    Condition& condition = state->condition;
    co_await condition.acquire();
    // TRICKY: released and counted down in handlers, not in destructors: a frame that is
    // destroyed while it waits does not hold the lock.
    std::size_t index = 0;
    try {
        while (state->phase == Phase::draining || state->phase == Phase::resetting) {
            co_await condition.wait();
        }
        if (state->phase == Phase::broken) {
            throw BrokenBarrierError("Barrier aborted; reset() makes it usable again");
        }
        index = state->count++;
        try {
            if (index + 1 == state->parties) {
                state->phase = Phase::draining;
                condition.notify_all();
            } else {
                while (state->phase == Phase::filling) co_await condition.wait();
                if (state->phase == Phase::broken) {
                    throw BrokenBarrierError("Barrier aborted while this task waited at it");
                }
                if (state->phase == Phase::resetting) {
                    throw BrokenBarrierError("Barrier reset while this task waited at it");
                }
            }
        } catch (...) {
            state->leave();
            throw;
        }
        state->leave();
    } catch (...) {
        condition.release();
        throw;
    }
    condition.release();
    co_return index;
}

Coroutine<void> Barrier::reset_in(std::shared_ptr<State> state) {
    const auto guard = co_await state->condition.scoped();
    state->phase = state->count > 0 ? State::Phase::resetting : State::Phase::filling;
    state->condition.notify_all();
}

Coroutine<void> Barrier::abort_in(std::shared_ptr<State> state) {
    const auto guard = co_await state->condition.scoped();
    state->phase = State::Phase::broken;
    state->condition.notify_all();
}

std::size_t Barrier::parties() const noexcept {
    return state_->parties;
}

std::size_t Barrier::n_waiting() const noexcept {
    return state_->phase == State::Phase::filling ? state_->count : 0;
}

bool Barrier::broken() const noexcept {
    return state_->phase == State::Phase::broken;
}

Coroutine<void> Barrier::aexit(std::exception_ptr) {
    co_return;
}

std::string Barrier::repr() const {
    static constexpr const char* names[] = {"filling", "draining", "resetting", "broken"};
    std::string text = std::string("<Barrier [") + names[static_cast<int>(state_->phase)];
    if (!broken()) {
        text += ", waiters:" + std::to_string(n_waiting()) + "/" + std::to_string(parties());
    }
    return text + "]>";
}

}  // namespace asyncio
