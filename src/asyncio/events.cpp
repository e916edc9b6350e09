// The callbacks of a loop.
#include <asyncio/events.hpp>

#include <asyncio/futures.hpp>

#include "debug.hpp"
#include "describe.hpp"
#include "loop_state.hpp"

namespace asyncio::detail {

void HandleState::take_turn(ReadyNode* node, Turn turn) {
    const Ref<HandleState> self = Ref<HandleState>::adopt(static_cast<HandleState*>(node));
    if (turn == Turn::discard) {
        self->cancel();
        return;
    }
    if (!self->begin_run()) return;
    struct Finish {
        HandleState& handle;
        ~Finish() {
            handle.drop_callback();
            handle.end_run();
            leave_step();
        }
    };
    const Finish finish{*self};
    this_thread.task = nullptr;
    this_thread.context = &self->context_;
    try {
        self->invoke();
    } catch (...) {
        self->callback_failed();
    }
}

bool HandleState::begin_threadsafe_run() noexcept {
    Phase expected = Phase::waiting;
    return phase_.compare_exchange_strong(expected, Phase::running, std::memory_order_acq_rel);
}

void HandleState::end_threadsafe_run() noexcept {
    Phase expected = Phase::running;
    phase_.compare_exchange_strong(expected, Phase::finished, std::memory_order_seq_cst);
    // cancel() says that it waits before it looks at the phase again, so one of us sees the
    // other.
    if (awaited_.load(std::memory_order_seq_cst)) [[unlikely]]
        phase_.notify_all();
}

void HandleState::callback_failed() {
    try {
        throw;
    } catch (const KeyboardInterrupt&) {
        throw;
    } catch (const SystemExit&) {
        throw;
    } catch (...) {
        ExceptionContext context;
        context.message = "Exception in callback " + type_text(callback_type());
        context.exception = std::current_exception();
        context.source = scheduled_text(*this);
        add_reference();
        context.handle = Handle(Ref<HandleState>::adopt(this));
        loop_->call_exception_handler(context);
    }
}

void HandleState::cancel() noexcept {
    if (!threadsafe_) {
        const Phase before = phase_.exchange(Phase::cancelled, std::memory_order_relaxed);
        if (before != Phase::waiting) return;
        if (loop_->get_debug()) [[unlikely]] {
            EventLoop::Internals::state(*loop_).debug_notes.scheduled_at.erase(this);
        }
        drop_callback();
        if (timer.armed()) {
            EventLoop::Internals::state(*loop_).timers.cancel(timer);
            drop_reference();  // the timer queue's; our caller holds another
        }
        return;
    }
    Phase expected = Phase::waiting;
    if (phase_.compare_exchange_strong(expected, Phase::cancelled, std::memory_order_acq_rel)) {
        drop_callback();
        return;
    }
    // A callback that runs is waited for, except by itself.
    while (expected == Phase::running && this_thread.running != loop_) {
        awaited_.store(true, std::memory_order_seq_cst);
        expected = phase_.load(std::memory_order_seq_cst);
        if (expected != Phase::running) break;
        phase_.wait(expected, std::memory_order_acquire);
        expected = phase_.load(std::memory_order_acquire);
    }
    phase_.store(Phase::cancelled, std::memory_order_release);
}

}  // namespace asyncio::detail
