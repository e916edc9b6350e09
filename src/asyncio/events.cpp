// The callbacks of a loop.
#include <asyncio/events.hpp>

#include <asyncio/futures.hpp>

#include "describe.hpp"
#include "loop_state.hpp"

namespace asyncio::detail {

HandleState::HandleState(EventLoop& loop, ContextSlot context) noexcept
    : context_(std::move(context)), loop_(&loop) {
    take = &HandleState::take_turn;
}

HandleState::~HandleState() = default;

void HandleState::take_turn(ReadyNode* node, Turn turn) {
    const Ref<HandleState> self = Ref<HandleState>::adopt(static_cast<HandleState*>(node));
    if (turn == Turn::run) {
        self->run();
    } else {
        self->cancel();
    }
}

void HandleState::run() {
    if (threadsafe_) {
        Phase expected = Phase::waiting;
        if (!phase_.compare_exchange_strong(expected, Phase::running, std::memory_order_acq_rel)) {
            return;
        }
    } else {
        if (phase_.load(std::memory_order_relaxed) != Phase::waiting) return;
        phase_.store(Phase::running, std::memory_order_relaxed);
    }
    struct Finish {
        HandleState& self;
        ContextSlot* previous;
        ~Finish() {
            exchange_current_context(previous);
            self.drop_callback();
            if (!self.threadsafe_) {
                if (self.phase_.load(std::memory_order_relaxed) == Phase::running) {
                    self.phase_.store(Phase::finished, std::memory_order_relaxed);
                }
                return;
            }
            Phase expected = Phase::running;
            self.phase_.compare_exchange_strong(expected, Phase::finished,
                                                std::memory_order_acq_rel);
            self.phase_.notify_all();
        }
    };
    const Finish finish{*this, exchange_current_context(&context_)};
    try {
        invoke();
    } catch (const KeyboardInterrupt&) {
        throw;
    } catch (const SystemExit&) {
        throw;
    } catch (...) {
        ExceptionContext context;
        context.message = "Exception in callback " + type_text(callback_type());
        context.exception = std::current_exception();
        add_reference();
        context.handle = Handle(Ref<HandleState>::adopt(this));
        loop_->call_exception_handler(context);
    }
}

void HandleState::cancel() noexcept {
    if (!threadsafe_) {
        const Phase before = phase_.exchange(Phase::cancelled, std::memory_order_relaxed);
        if (before != Phase::waiting) return;
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
        phase_.wait(expected, std::memory_order_acquire);
        expected = phase_.load(std::memory_order_acquire);
    }
    phase_.store(Phase::cancelled, std::memory_order_release);
}

}  // namespace asyncio::detail
