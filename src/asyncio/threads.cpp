#include <asyncio/threads.hpp>

#include <thread>

#include <asyncio/log.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/timeouts.hpp>

#include "describe.hpp"
#include "loop_state.hpp"

namespace asyncio {

namespace detail {

std::exception_ptr convert_error(std::exception_ptr error) noexcept {
    if (holds_exception<concurrent::futures::CancelledError>(error)) {
        return std::make_exception_ptr(CancelledError());
    }
    if (holds_exception<concurrent::futures::InvalidStateError>(error)) {
        return std::make_exception_ptr(InvalidStateError(describe_exception(error)));
    }
    return error;
}

concurrent::futures::ThreadPoolExecutor& default_executor(EventLoop& loop) {
    LoopState& state = EventLoop::Internals::state(loop);
    if (state.executor_shut_down) {
        throw RuntimeError("the default executor of this loop has been shut down");
    }
    if (!state.default_executor) {
        state.default_executor = std::make_shared<concurrent::futures::ThreadPoolExecutor>(
            concurrent::futures::ThreadPoolExecutor::Options{.thread_name_prefix = "asyncio"});
    }
    return *state.default_executor;
}

void abandon_default_executor(LoopState& state) noexcept {
    if (!state.default_executor) return;
    try {
        // As CPython's close(): no waiting. The threads end with what they run.
        state.default_executor->shutdown({.wait = false});
    } catch (...) {
        log(LogLevel::error, "shutting the default executor down failed: " +
                                 describe_exception(std::current_exception()));
    }
    state.default_executor.reset();
}

}  // namespace detail

void EventLoop::set_default_executor(
    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor) {
    if (!executor) throw TypeError("set_default_executor() needs a ThreadPoolExecutor");
    state_->default_executor = std::move(executor);
}

Coroutine<void> EventLoop::shutdown_default_executor(
    std::optional<std::chrono::nanoseconds> timeout) {
    state_->executor_shut_down = true;
    auto executor = state_->default_executor;
    if (!executor) co_return;
    const Future<void> joined = create_future();
    std::thread joiner([executor, joined]() mutable {
        executor->shutdown({.wait = true});
        executor.reset();
        detail::FutureBase& future = joined.state();
        detail::post_to_loop_of(future, [joined = std::move(joined)] {
            if (!joined.done()) joined.set_result();
        });
    });
    Timeout limit = asyncio::timeout(timeout);
    limit.enter();
    const Outcome<void> outcome = co_await try_(joined);
    const std::exception_ptr error = limit.exit(outcome.exception());
    if (!error) {
        joiner.join();
        co_return;
    }
    joiner.detach();
    if (!holds_exception<TimeoutError>(error)) std::rethrow_exception(error);
    log(LogLevel::warning, "the default executor did not finish joining its threads within " +
                               detail::seconds_text(*timeout) + " seconds");
    executor->shutdown({.wait = false});
}

}  // namespace asyncio
