// asyncio/async_iteration.hpp - going through what arrives one by one.
//
//   while (auto line = co_await anext(reader)) use(*line);           // `async for`
//   std::vector<int> all = co_await to_vector(ticker(3));
//   auto firsts = atake(amap(lines(file), parse), 10);               // nothing has run yet
//
// An async iterator is any object whose `anext()` gives an awaitable of something that is
// false at the end, usually a std::optional: async generators, stream readers, as_completed().
// The adapters own the iterators that they are given, so give them rvalues.
//
// Source: Python's `async for`, aiter(), anext(), and the itertools people use with them.
#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/awaitable_detail.hpp>
#include <asyncio/coroutines.hpp>

namespace asyncio {

template <class I>
concept AsyncIterator = requires(std::remove_reference_t<I>& iterator) {
    { iterator.anext() } -> Awaitable;
};

// What one step gives, without the optional around it.
template <AsyncIterator I>
using async_value_t = std::remove_cvref_t<
    decltype(*std::declval<
             await_result_t<decltype(std::declval<std::remove_reference_t<I>&>().anext())>&>())>;

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

// Everything it gives, in a vector.
template <AsyncIterator I>
Coroutine<std::vector<async_value_t<I>>> to_vector(I iterator) {
    std::vector<async_value_t<I>> all;
    while (auto item = co_await iterator.anext()) all.push_back(std::move(*item));
    co_return all;
}

}  // namespace asyncio
