// asyncio/threads.hpp - to other threads and back.
//
//   std::string text = co_await asyncio::to_thread(read_all, "notes.txt");
//   int n = co_await loop.run_in_executor(process_pool, count_primes, 1'000'000);
//
//   // from another thread:
//   concurrent::futures::Future<int> f = asyncio::run_coroutine_threadsafe(work(), loop);
//   int m = f.result();
//
// Source: Python's asyncio.threads, asyncio.wrap_future, run_coroutine_threadsafe,
// loop.run_in_executor.
#pragma once

#include <concurrent/futures/base.hpp>
#include <concurrent/futures/thread.hpp>
#include <exception>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <asyncio/contextvars.hpp>
#include <asyncio/futures.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

namespace detail {

// Posts to the loop of `future`, if that is not closed; from any thread.
template <class F>
void post_to_loop_of(FutureBase& future, F&& callback) noexcept {
    // Held, because the callback may run and the loop go before the call is over.
    EventLoop& loop = future.loop();
    const LoopReference held(loop);
    try {
        loop.call_soon_threadsafe(std::forward<F>(callback));
    } catch (...) {
        // The loop closed meanwhile: nobody is left who could take a late result.
    }
}

// The concurrent.futures errors as asyncio's own.
[[nodiscard]] std::exception_ptr convert_error(std::exception_ptr error) noexcept;

// An asyncio future whose result comes from a concurrent one.
template <class T>
class WrappedState final : public FutureStateOf<T> {
  public:
    using Source = concurrent::futures::Future<T>;

    WrappedState(EventLoop& loop, Source source, std::source_location where)
        : FutureStateOf<T>(loop, where), source_(std::move(source)) {}

    // What runs already cannot be stopped; its result is dropped.
    bool cancel(CancelMessage message) override {
        if (!FutureBase::cancel(std::move(message))) return false;
        source_.cancel();
        return true;
    }

    // On the loop's thread, once the source is done.
    void complete() {
        if (this->done()) return;
        if (source_.cancelled()) {
            FutureBase::cancel(std::nullopt);
        } else if (std::exception_ptr error = source_.exception()) {
            this->set_exception(convert_error(std::move(error)));
        } else if constexpr (std::is_void_v<T>) {
            this->set_result();
        } else {
            this->set_result(std::move(source_).result());
        }
    }

  private:
    Source source_;
};

template <class T>
void copy_outcome(const AnyFuture& from, const concurrent::futures::Future<T>& to) {
    if (from.cancelled()) to.cancel();
    if (!to.set_running_or_notify_cancel()) return;
    if (std::exception_ptr error = from.exception()) {
        to.set_exception(std::move(error));
    } else if constexpr (std::is_void_v<T>) {
        to.set_result();
    } else {
        to.set_result(slot_of<T>(from.state()).take());
    }
}

[[nodiscard]] concurrent::futures::ThreadPoolExecutor& default_executor(EventLoop& loop);

template <class F, class... Args>
auto to_thread_stored(F f, Args... args) -> Coroutine<std::invoke_result_t<F, Args...>> {
    auto call = [context = copy_context(), f = std::move(f)](Args... stored) mutable {
        return context.run(std::move(f), std::move(stored)...);
    };
    co_return co_await get_running_loop().run_in_executor(nullptr, std::move(call),
                                                          std::move(args)...);
}

}  // namespace detail

// A future of `loop` (default: the current one) for the result of a concurrent one, which it
// takes over: the value is moved. Cancelling either cancels the other.
template <class T>
[[nodiscard]] Future<T> wrap_future(concurrent::futures::Future<T> source,
                                    EventLoop* loop = nullptr,
                                    std::source_location where = std::source_location::current()) {
    auto* state =
        new detail::WrappedState<T>(loop != nullptr ? *loop : get_event_loop(), source, where);
    auto reference = detail::Ref<detail::FutureBase>::adopt(state);
    Future<T> future(reference);
    source.add_done_callback([reference = std::move(reference)]() mutable {
        detail::FutureBase& target = *reference;
        detail::post_to_loop_of(target, [reference = std::move(reference)] {
            static_cast<detail::WrappedState<T>&>(*reference).complete();
        });
    });
    return future;
}
template <class T>
[[nodiscard]] Future<T> wrap_future(Future<T> future, EventLoop* = nullptr) {
    return future;
}

// Submits a coroutine to a loop that runs in another thread. From any thread.
// Errors in making the task arrive in the future. Cancelling the future cancels the task.
// Throws: RuntimeError when the loop is closed.
template <CoroutineLike A>
auto run_coroutine_threadsafe(A&& awaitable, EventLoop& loop) {
    using T = await_result_t<A>;
    concurrent::futures::Future<T> future;
    loop.call_soon_threadsafe(
        [&loop, future](auto stored) {
            try {
                Task<T> task =
                    detail::spawn(loop, detail::as_coroutine(std::move(stored)), nullptr, {});
                task.add_done_callback(
                    [future](const Task<T>& done) { detail::copy_outcome(done, future); });
                future.add_done_callback([future, state = task.reference()] {
                    if (!future.cancelled()) return;
                    detail::post_to_loop_of(*state, [state] { state->cancel(std::nullopt); });
                });
            } catch (...) {
                if (future.set_running_or_notify_cancel()) {
                    future.set_exception(std::current_exception());
                }
                throw;
            }
        },
        std::remove_cvref_t<A>(std::forward<A>(awaitable)));
    return future;
}
template <class F>
    requires CoroutineFunction<F>
auto run_coroutine_threadsafe(F&& f, EventLoop& loop) {
    return run_coroutine_threadsafe(detail::call_stored<std::decay_t<F>>(std::forward<F>(f)), loop);
}

template <class Executor, class F, class... Args>
    requires requires(Executor& executor) { executor.shutdown(); }
auto EventLoop::run_in_executor(Executor& executor, F&& f, Args&&... args) {
    static_assert(!CoroutineLike<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>,
                  "a coroutine function cannot run in an executor; await it, or make it a task");
    check_open();
    check_thread();
    return wrap_future(executor.submit(std::forward<F>(f), std::forward<Args>(args)...), this);
}
template <class F, class... Args>
auto EventLoop::run_in_executor(std::nullptr_t, F&& f, Args&&... args) {
    check_open();
    return run_in_executor(detail::default_executor(*this), std::forward<F>(f),
                           std::forward<Args>(args)...);
}

// Runs `f(args...)` in the default executor, in a copy of the current context, and gives its
// result. Starts when awaited, or made a task.
// Cancellation: frees the awaiter at once; the call runs on and its result is dropped.
template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
auto to_thread(F&& f, Args&&... args)
    -> Coroutine<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>> {
    return detail::to_thread_stored<std::decay_t<F>, std::decay_t<Args>...>(
        std::forward<F>(f), std::forward<Args>(args)...);
}

}  // namespace asyncio
