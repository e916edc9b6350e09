#include <asyncio/async_generator.hpp>

#include <asyncio/debug_detail.hpp>

#include <asyncio/log.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/waiting.hpp>

#include "describe.hpp"
#include "loop_state.hpp"

namespace asyncio {

namespace detail {

GeneratorState::~GeneratorState() {
    destroy_frame();
}

std::string GeneratorState::repr() const {
    return "asynchronous generator '" + function_text(made_by_.function_name()) + "'";
}

void GeneratorState::start() {
    EventLoop& loop = get_running_loop();
    LoopState& state = EventLoop::Internals::state(loop);
    if (state.generators_shut_down) {
        log(LogLevel::warning, repr() + " was started after shutdown_asyncgens()");
    }
    loop_.emplace(loop);
    next_generator = &state.generators;
    previous_generator = state.generators.previous_generator;
    previous_generator->next_generator = this;
    state.generators.previous_generator = this;
    started_ = true;
}

void GeneratorState::unlink() noexcept {
    if (next_generator == nullptr) return;
    previous_generator->next_generator = next_generator;
    next_generator->previous_generator = previous_generator;
    next_generator = previous_generator = nullptr;
}

void GeneratorState::destroy_frame() noexcept {
    if (frame_ == nullptr) return;
    unlink();
    std::exchange(frame_, nullptr).destroy();
}

void GeneratorState::frame_is_gone() noexcept {
    unlink();
    frame_ = nullptr;
}

// In debug mode, what Python warns of: clean-up that comes too late to run.
void GeneratorState::report_dropped() const noexcept {
    EventLoop& loop = *loop_->get();
    const bool too_late =
        loop.is_closed() || EventLoop::Internals::state(loop).generators_shut_down;
    if (!too_late) return;
    report_unclosed(loop, "asynchronous generator, dropped after its loop's shutdown_asyncgens()",
                    promise().where());
}

// The last one who knew it is gone, on whatever thread. What has begun gets its clean-up run
// by its loop; what has not, or has no loop left, is only destroyed.
void GeneratorState::dispose() noexcept {
    const bool has_cleanup = frame_ != nullptr && started_ && !finalizing_;
    if (has_cleanup) report_dropped();
    if (has_cleanup && !loop_->get()->is_closed()) {
        finalizing_ = true;
        try {
            loop_->get()->call_soon_threadsafe([self = Ref<GeneratorState>(this)] {
                spawn(*self->loop_->get(), self->close(), nullptr, {});
            });
            return;
        } catch (...) {
            // The loop closed meanwhile. The callback that failed to be queued has let go of
            // us again, and that deleted us.
            return;
        }
    }
    delete this;
}

void throw_running(const GeneratorState& state, StepKind kind) {
    constexpr const char* names[] = {"anext()", "asend()", "athrow()", "aclose()"};
    throw RuntimeError(std::string(names[static_cast<int>(kind)]) + ": " + state.repr() +
                       " is already running; one step at a time");
}

void require_started(const GeneratorState& state) {
    if (state.started() || state.finished()) return;
    throw TypeError("cannot asend() to " + state.repr() +
                    " before its first step; begin with anext()");
}

void throw_step_awaited_twice() {
    throw RuntimeError("a step of an asynchronous generator is awaited once; ask for the next one");
}

void throw_generator_moved_from() {
    throw RuntimeError("this asynchronous generator was moved from");
}

namespace {

Coroutine<void> close_and_report(EventLoop& loop, Ref<GeneratorState> state) {
    const Outcome<void> outcome = co_await try_(state->close());
    if (outcome || outcome.cancelled()) co_return;
    ExceptionContext context;
    context.message = "an error occurred during closing of " + state->repr();
    context.exception = outcome.exception();
    loop.call_exception_handler(context);
}

}  // namespace

}  // namespace detail

Coroutine<void> EventLoop::shutdown_asyncgens() {
    detail::LoopState& state = *state_;
    state.generators_shut_down = true;
    std::vector<Task<void>> closing;
    for (detail::GeneratorLinks* link = state.generators.next_generator; link != &state.generators;
         link = link->next_generator) {
        auto* generator = static_cast<detail::GeneratorState*>(link);
        closing.push_back(create_task(
            detail::close_and_report(*this, detail::Ref<detail::GeneratorState>(generator))));
    }
    if (!closing.empty()) co_await gather(return_exceptions, std::move(closing));
}

}  // namespace asyncio
