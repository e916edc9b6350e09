// asyncio/outcome.hpp - a value or an exception, to branch on outside of any handler.
//
// C++ forbids co_await inside catch. Where the handling of an error itself awaits:
//
//   Outcome<Page> page = co_await asyncio::try_(fetch(url));
//   if (!page) co_await report(page.exception());
//   use(page.value());                       // throws what fetch threw
//
// A cancellation is an outcome too; go on only if you mean to, and else call value().
// Nothing is thrown and caught on the way when a task, future or coroutine is tried.
#pragma once

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

#include <asyncio/awaiters_detail.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/futures.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

// T: a value or void. Movable as T is.
template <class T = void>
class [[nodiscard]] Outcome {
    using Stored = std::conditional_t<std::is_void_v<T>, None, T>;

  public:
    using value_type = T;

    // A failure. The pointer must not be null.
    explicit Outcome(std::exception_ptr error) : state_(std::move(error)) {}
    template <class... A>
        requires std::constructible_from<Stored, A...>
    explicit Outcome(std::in_place_t, A&&... args)
        : state_(std::in_place_index<1>, std::forward<A>(args)...) {}

    [[nodiscard]] bool has_value() const noexcept { return state_.index() == 1; }
    explicit operator bool() const noexcept { return has_value(); }
    // Null when there is a value.
    [[nodiscard]] std::exception_ptr exception() const noexcept {
        return has_value() ? nullptr : std::get<0>(state_);
    }
    // Whether the failure is a CancelledError.
    [[nodiscard]] bool cancelled() const noexcept {
        return !has_value() && holds_exception<CancelledError>(std::get<0>(state_));
    }
    // The value. Throws: the exception, when that is the outcome.
    Stored& value() & {
        check();
        return std::get<1>(state_);
    }
    const Stored& value() const& {
        check();
        return std::get<1>(state_);
    }
    Stored&& value() && {
        check();
        return std::get<1>(std::move(state_));
    }
    Stored& operator*() & { return value(); }
    const Stored& operator*() const& { return value(); }
    Stored&& operator*() && { return std::move(*this).value(); }
    Stored* operator->() { return &value(); }
    const Stored* operator->() const { return &value(); }

  private:
    void check() const {
        if (!has_value()) std::rethrow_exception(std::get<0>(state_));
    }
    std::variant<std::exception_ptr, Stored> state_;
};

namespace detail {

template <class T>
Outcome<T> success_of(Slot<T>& slot, Take how) {
    if constexpr (std::is_void_v<T>) {
        return Outcome<T>(std::in_place);
    } else if constexpr (std::is_copy_constructible_v<T>) {
        if (how == Take::copy) return Outcome<T>(std::in_place, slot.get());
        return Outcome<T>(std::in_place, slot.take());
    } else {
        return Outcome<T>(std::in_place, slot.take());
    }
}

template <class T, Take how>
class TryFutureAwaiter final : public FutureAwaiterBase {
  public:
    using FutureAwaiterBase::FutureAwaiterBase;
    Outcome<T> await_resume() {
        if (std::exception_ptr error = take_error()) return Outcome<T>(std::move(error));
        return success_of(slot_of<T>(future()), how);
    }
};

template <class T, Take how>
class [[nodiscard]] TryFuture {
  public:
    explicit TryFuture(Ref<FutureBase> future) noexcept : future_(std::move(future)) {}
    TryFutureAwaiter<T, how> operator co_await() && {
        return TryFutureAwaiter<T, how>(std::move(future_));
    }

  private:
    Ref<FutureBase> future_;
};

template <class T>
class TryCoroutineAwaiter final : public CoroutineAwaiter<T> {
  public:
    using CoroutineAwaiter<T>::CoroutineAwaiter;
    Outcome<T> await_resume() {
        const typename CoroutineAwaiter<T>::Frame frame{this->release()};
        auto& promise = frame.handle.promise();
        if (promise.error()) return Outcome<T>(promise.take_error());
        return success_of(promise.slot(), Take::move);
    }
};
template <class T>
inline constexpr bool is_native_awaiter<TryCoroutineAwaiter<T>> = true;

template <class T>
class [[nodiscard]] TryCoroutine {
  public:
    explicit TryCoroutine(Coroutine<T>&& coroutine) noexcept : coroutine_(std::move(coroutine)) {}
    TryCoroutineAwaiter<T> operator co_await() && {
        return TryCoroutineAwaiter<T>(coroutine_.release_to_await());
    }

  private:
    Coroutine<T> coroutine_;
};

template <class A>
auto try_any(A awaitable) -> Coroutine<Outcome<await_result_t<A>>> {
    using T = await_result_t<A>;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(awaitable);
            co_return Outcome<T>(std::in_place);
        } else {
            co_return Outcome<T>(std::in_place, co_await std::move(awaitable));
        }
    } catch (...) {
        co_return Outcome<T>(std::current_exception());
    }
}

}  // namespace detail

// Awaits and gives the outcome. Throws nothing of what is awaited, nor the cancellation of
// the task that awaits.
template <class T>
auto try_(Coroutine<T>&& coroutine) {
    return detail::TryCoroutine<T>(std::move(coroutine));
}
template <class T>
auto try_(const Task<T>& task) {
    return detail::TryFuture<T, detail::Take::copy>(task.reference());
}
template <class T>
auto try_(Task<T>&& task) {
    return detail::TryFuture<T, detail::Take::move>(task.reference());
}
template <class T>
auto try_(const Future<T>& future) {
    return detail::TryFuture<T, detail::Take::copy>(future.reference());
}
template <class T>
auto try_(Future<T>&& future) {
    return detail::TryFuture<T, detail::Take::move>(future.reference());
}
template <CoroutineLike A>
    requires(!iscoroutine_v<std::remove_cvref_t<A>>)
auto try_(A&& awaitable) {
    return detail::try_any(std::remove_cvref_t<A>(std::forward<A>(awaitable)));
}

}  // namespace asyncio
