// asyncio/awaitable_detail.hpp - what counts as awaitable, as a future and as an async
// function: the concepts that the library's entry points ask for.
#pragma once

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

namespace asyncio {

template <class T>
class Coroutine;
template <class T>
class Future;
template <class T>
class Task;
class AnyFuture;

namespace detail {

template <class A>
concept HasMemberCoAwait =
    requires(A&& awaitable) { std::forward<A>(awaitable).operator co_await(); };
template <class A>
concept HasFreeCoAwait = requires(A&& awaitable) { operator co_await(std::forward<A>(awaitable)); };

template <class A>
decltype(auto) plain_awaiter(A&& awaitable) {
    if constexpr (HasMemberCoAwait<A>) {
        return std::forward<A>(awaitable).operator co_await();
    } else if constexpr (HasFreeCoAwait<A>) {
        return operator co_await(std::forward<A>(awaitable));
    } else {
        return std::forward<A>(awaitable);
    }
}

template <class A>
concept Awaiter = requires(A& awaiter) {
    { awaiter.await_ready() } -> std::convertible_to<bool>;
    awaiter.await_resume();
};

// The std::function that a callable becomes, for the types of its parameters. Void for a generic
// lambda and whatever else does not say.
template <class F>
struct SignatureOf {
    using type = void;
};
template <class F>
    requires requires { std::function(std::declval<F>()); }
struct SignatureOf<F> {
    using type = decltype(std::function(std::declval<F>()));
};

}  // namespace detail

// Anything `co_await` takes inside a Coroutine.
template <class A>
concept Awaitable = requires(A&& awaitable) {
    { detail::plain_awaiter(std::forward<A>(awaitable)) } -> detail::Awaiter;
};

// What awaiting an A (moved) gives.
template <Awaitable A>
using await_result_t =
    decltype(detail::plain_awaiter(std::declval<std::remove_cvref_t<A>&&>()).await_resume());

// Whether X is a future or task: Python's asyncio.isfuture().
template <class X>
inline constexpr bool isfuture_v = std::is_base_of_v<AnyFuture, X>;
template <class X>
[[nodiscard]] constexpr bool isfuture(const X&) noexcept {
    return isfuture_v<X>;
}

// A coroutine (or another awaitable that is no future), passed as an rvalue.
template <class A>
concept CoroutineLike = Awaitable<A> && !isfuture_v<std::remove_cvref_t<A>>;

// A callable that gives a coroutine when called with copies of these arguments.
template <class F, class... Args>
concept CoroutineFunction =
    !CoroutineLike<F> && !isfuture_v<std::remove_cvref_t<F>> &&
    std::invocable<std::decay_t<F>&, std::decay_t<Args>...> &&
    Awaitable<std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>>;

}  // namespace asyncio
