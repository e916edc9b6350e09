// asyncio/async_iteration.hpp - going through what arrives one by one.
//
//   while (auto line = co_await anext(reader)) use(*line);            // `async for`
//   std::vector<int> all = co_await to_vector(ticker(3));             // `[i async for i in ...]`
//   auto firsts = atake(amap(parse, lines(file)), 10);                // nothing has run yet
//
//   struct Countdown {                                                // one of your own
//       int left;
//       Coroutine<std::optional<int>> anext();
//   };
//
// An async iterator is any object with a member `anext()` that gives an awaitable of something
// that is false at the end, usually a std::optional: async generators, queues, as_completed().
// `aclose()`, if it has one, lets it clean up. The adapters are in async_itertools.hpp, merged
// streams in async_merge.hpp.
//
// Source: Python's `async for`, aiter(), anext().
#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/awaitable_detail.hpp>
#include <asyncio/coroutines.hpp>

namespace asyncio {

namespace detail {

// What a step gives: false at the end, else with an item to be had by `*`.
template <class Step>
concept MaybeItem = requires(Step& step) {
    static_cast<bool>(step);
    *step;
};

}  // namespace detail

template <class I>
concept AsyncIterator = requires(std::remove_reference_t<I>& iterator) {
    { iterator.anext() } -> Awaitable;
    requires detail::MaybeItem<await_result_t<decltype(iterator.anext())>>;
};

// An iterator, or something whose aiter() gives one.
template <class I>
concept AsyncIterable = AsyncIterator<I> || requires(std::remove_reference_t<I>& iterable) {
    { iterable.aiter() } -> AsyncIterator;
};

// What one step gives, without the optional around it.
template <AsyncIterator I>
using async_value_t = std::remove_cvref_t<
    decltype(*std::declval<
             await_result_t<decltype(std::declval<std::remove_reference_t<I>&>().anext())>&>())>;

namespace detail {

template <class I>
consteval void require_async_iterator() {
    static_assert(AsyncIterator<I>,
                  "not an async iterator: it needs a member anext() that gives an awaitable of a "
                  "std::optional, or of something else that is false at the end");
}

// Closes an iterator that its user owns. I is a reference for one that was lent.
template <class I>
Coroutine<void> close_owned(std::remove_reference_t<I>& iterator) {
    if constexpr (!std::is_reference_v<I> && requires { iterator.aclose(); }) {
        co_await iterator.aclose();
    }
    co_return;
}

template <class I>
Coroutine<std::vector<async_value_t<I>>> collect(I iterator) {
    std::vector<async_value_t<I>> all;
    while (auto item = co_await iterator.anext()) all.push_back(std::move(*item));
    co_return all;
}

}  // namespace detail

// The iterator to go through `iterable`: what its aiter() gives, or itself.
template <class I>
[[nodiscard]] decltype(auto) aiter(I&& iterable) {
    if constexpr (requires { iterable.aiter(); }) {
        return iterable.aiter();
    } else {
        detail::require_async_iterator<I>();
        return static_cast<I>(std::forward<I>(iterable));
    }
}

// One step.
template <AsyncIterator I>
[[nodiscard]] auto anext(I& iterator) {
    return iterator.anext();
}
// One step, with `fallback` in place of the end.
template <AsyncIterator I>
Coroutine<async_value_t<I>> anext(I& iterator, async_value_t<I> fallback) {
    auto item = co_await iterator.anext();
    if (item) co_return std::move(*item);
    co_return fallback;
}

// Everything it gives, in a vector. An lvalue is used in place and must live until then.
// Throws: what it throws; what had come by then is gone. Cancellation: thrown inside it.
template <class I>
[[nodiscard]] auto to_vector(I&& iterator) {
    detail::require_async_iterator<I>();
    return detail::collect<I>(std::forward<I>(iterator));
}

}  // namespace asyncio
