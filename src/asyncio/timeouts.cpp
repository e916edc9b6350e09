#include <asyncio/timeouts.hpp>

#include <cstdlib>
#include <string>

#include <asyncio/exceptions.hpp>

#include "loop_state.hpp"

namespace asyncio {

namespace {

// Seconds of the loop's clock, to the millisecond, as loop.time() counts them.
std::string seconds_text(EventLoop::time_point::duration since_epoch) {
    const auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count();
    std::string text = std::to_string(milliseconds / 1000);
    const std::string fraction = std::to_string(1000 + std::abs(milliseconds % 1000));
    return text + "." + fraction.substr(1);
}

}  // namespace

Timeout::Timeout(Timeout&& other) noexcept : state_(other.state_), when_(other.when_) {}

Timeout::~Timeout() {
    alarm_.cancel();
}

std::string Timeout::repr() const {
    constexpr const char* names[] = {"created", "active", "expiring", "expired", "finished"};
    std::string text = std::string("<Timeout [") + names[static_cast<int>(state_)] + "]";
    if (state_ == State::active) {
        text += " when=";
        text += when_ ? seconds_text(when_->time_since_epoch()) : "none";
    }
    return text + ">";
}

void Timeout::reschedule(std::optional<time_point> when) {
    if (state_ == State::created) throw RuntimeError(repr() + " has not been entered; use with()");
    if (state_ != State::active) {
        throw RuntimeError("cannot change the deadline of " + repr() +
                           "; only inside its block, before it expires");
    }
    when_ = when;
    alarm_.cancel();
    alarm_ = Handle();
    if (!when) return;
    EventLoop& loop = task_.get_loop();
    // The clock was read to make the deadline, and is not read again to look at it: one that
    // passed since is due in the next iteration, too.
    const std::chrono::nanoseconds latest(EventLoop::Internals::state(loop).latest_time);
    if (when->time_since_epoch() <= latest) {
        alarm_ = loop.call_soon([this] { on_timeout(); });
    } else {
        alarm_ = loop.call_at(*when, [this] { on_timeout(); });
    }
}

void Timeout::on_timeout() {
    alarm_ = Handle();
    task_.cancel();
    state_ = State::expiring;
}

void Timeout::enter() {
    if (state_ != State::created) throw RuntimeError(repr() + " has already been entered");
    AnyTask task = current_task();
    if (!task) throw RuntimeError("a timeout must be entered inside a task");
    task_ = std::move(task);
    state_ = State::active;
    cancelling_ = task_.cancelling();
    reschedule(when_);
}

std::exception_ptr Timeout::exit(std::exception_ptr error) {
    alarm_.cancel();
    alarm_ = Handle();
    const AnyTask task = std::move(task_);
    if (state_ != State::expiring) {
        state_ = State::finished;
        return error;
    }
    state_ = State::expired;
    // Ours was the only request since entry: then the cancellation is ours to convert.
    if (task.uncancel() <= cancelling_ && holds_exception<CancelledError>(error)) {
        return std::make_exception_ptr(TimeoutError());
    }
    return error;
}

Coroutine<void> Timeout::aenter() {
    enter();
    co_return;
}

Coroutine<bool> Timeout::aexit(std::exception_ptr error) {
    std::exception_ptr leaving = exit(error);
    if (leaving != error) std::rethrow_exception(leaving);
    co_return false;
}

}  // namespace asyncio
