#include <asyncio/generators.hpp>

#include <asyncio/exceptions.hpp>
#include <asyncio/log.hpp>

#include "describe.hpp"

namespace asyncio::detail {

bool YieldingFrame::raise(std::exception_ptr error) noexcept {
    if (finished()) return false;
    if (phase_ == Phase::created) {
        phase_ = Phase::finished;
        return false;
    }
    raised_ = std::move(error);
    return true;
}

bool YieldingFrame::raise_exit() noexcept {
    if (!raise(std::make_exception_ptr(GeneratorExit()))) return false;
    // A frame whose inner generator takes the GeneratorExit and just ends gets one as well.
    for (YieldingFrame* frame = innermost_->delegated_by_; frame != nullptr;
         frame = frame->delegated_by_) {
        frame->exit_after_ = true;
    }
    return true;
}

std::exception_ptr YieldingFrame::closing_error() {
    if (!finished()) {
        return std::make_exception_ptr(
            RuntimeError(repr() + " ignored GeneratorExit: it yielded while closing"));
    }
    std::exception_ptr error = take_error();
    return error && holds_exception<GeneratorExit>(error) ? nullptr : error;
}

void YieldingFrame::drop() noexcept {
    if (running()) {
        orphaned_ = true;
        return;
    }
    if (raise_exit()) {
        run();
        if (const std::exception_ptr error = closing_error()) {
            log(LogLevel::error, "exception ignored in " + repr() +
                                     ", which was dropped: " + describe_exception(error));
        }
    }
    frame_.destroy();
}

void YieldingFrame::delegate_to(YieldingFrame& inner) noexcept {
    YieldingFrame& top = *outermost_;
    inner.phase_ = Phase::delegated;
    inner.delegated_by_ = this;
    top.innermost_ = inner.innermost_;
    // One that was stepped before may itself delegate.
    for (YieldingFrame* frame = top.innermost_; frame != this; frame = frame->delegated_by_) {
        frame->outermost_ = &top;
    }
}

void YieldingFrame::detach() noexcept {
    phase_ = Phase::suspended;
    innermost_ = outermost_->innermost_;
    delegated_by_ = nullptr;
    for (YieldingFrame* frame = innermost_; frame != nullptr; frame = frame->delegated_by_) {
        frame->outermost_ = this;
    }
}

void YieldingFrame::ended() noexcept {
    phase_ = Phase::finished;
    if (delegated_by_ == nullptr) return;
    outermost_->innermost_ = std::exchange(delegated_by_, nullptr);
    outermost_ = innermost_ = this;
}

std::string YieldingFrame::repr() const {
    return "generator '" + function_text(where_.function_name()) + "'";
}

void YieldingFrame::throw_raised() {
    std::rethrow_exception(std::exchange(raised_, nullptr));
}

void YieldingFrame::throw_executing(const char* step) const {
    throw ValueError(std::string(step) + ": " + repr() +
                     (running() ? " is already executing; one step at a time"
                                : " is being delegated to; step the generator that delegates"));
}

void YieldingFrame::throw_not_started() const {
    throw TypeError("cannot send() to " + repr() + " before its first step; begin with next()");
}

void YieldingFrame::throw_no_result() const {
    throw InvalidStateError("the result of " + repr() +
                            (finished() ? " is not there: it was closed or threw"
                                        : " is not there yet: it has not ended"));
}

void throw_plain_generator_moved_from() {
    throw RuntimeError("this generator was moved from");
}

}  // namespace asyncio::detail
