// asyncio/async_itertools.hpp - async iterators made of others.
//
//   auto words = afilter([](const std::string& word) { return !word.empty(); }, input(file));
//   auto pages = amap(fetch, atake(std::move(words), 10));         // fetch() may be async
//   while (auto page = co_await anext(pages)) use(*page);
//   co_await pages.aclose();                                       // and input(file) with it
//
// Python's built-ins and itertools with an `a` in front, as in aiter() and anext(), so that
// `using namespace asyncio` leaves map and filter to others; arguments in Python's order.
//
// Lazy: a step of the adapter takes what it needs from its source, nothing ahead. An iterator
// passed as an rvalue is owned: closing the adapter closes it, and so does an adapter that ends
// before it. One passed as an lvalue is lent: it must outlive the adapter, and is left as it is.
// An adapter must live, at its place, until the step that is awaited is done.
//
// Each adapter: what a source or function throws passes through, and the adapter may be stepped
// on as far as its source can be. A cancellation is thrown inside the source's step.
// Each step costs one recycled coroutine frame, no allocation once warm. Loop thread only.
// Source: Python's map, filter, zip, enumerate, itertools.chain, itertools.islice.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <asyncio/async_iteration.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/exceptions.hpp>
#include <asyncio/outcome.hpp>

namespace asyncio {

namespace detail {

// What a function that may be async gives in the end.
template <class R>
struct Awaited {
    using type = std::remove_cvref_t<R>;
};
template <Awaitable R>
struct Awaited<R> {
    using type = std::remove_cvref_t<await_result_t<R>>;
};
template <class F, class T>
using awaited_t = typename Awaited<std::invoke_result_t<F&, T>>::type;

template <class I>
Coroutine<void> close_noting(std::remove_reference_t<I>& source, std::exception_ptr& first) {
    const Outcome<void> outcome = co_await try_(close_owned<I>(source));
    if (!first) first = outcome.exception();
}
// Closes all that are owned, whatever happens to one of them. Throws: the first error.
template <class... I, std::size_t... K>
Coroutine<void> close_all(std::tuple<I...>& sources, std::index_sequence<K...>) {
    std::exception_ptr first;
    (co_await close_noting<I>(std::get<K>(sources), first), ...);
    if (first) std::rethrow_exception(first);
}

template <class F, class I>
class MapIterator {
    using Value = async_value_t<I>;

  public:
    using value_type = awaited_t<F, Value>;
    static_assert(!std::is_void_v<value_type>, "the function of amap() must give something");

    MapIterator(F function, I&& source)
        : function_(std::move(function)), source_(std::forward<I>(source)) {}

    Coroutine<std::optional<value_type>> anext() {
        auto item = co_await source_.anext();
        if (!item) co_return std::nullopt;
        if constexpr (Awaitable<std::invoke_result_t<F&, Value>>) {
            co_return co_await std::invoke(function_, std::move(*item));
        } else {
            co_return std::invoke(function_, std::move(*item));
        }
    }
    Coroutine<void> aclose() { return close_owned<I>(source_); }

  private:
    F function_;
    I source_;
};

template <class F, class I>
class FilterIterator {
  public:
    using value_type = async_value_t<I>;

    FilterIterator(F predicate, I&& source)
        : predicate_(std::move(predicate)), source_(std::forward<I>(source)) {}

    Coroutine<std::optional<value_type>> anext() {
        while (auto item = co_await source_.anext()) {
            if constexpr (Awaitable<std::invoke_result_t<F&, const value_type&>>) {
                if (co_await std::invoke(predicate_, std::as_const(*item))) {
                    co_return std::move(*item);
                }
            } else {
                if (std::invoke(predicate_, std::as_const(*item))) co_return std::move(*item);
            }
        }
        co_return std::nullopt;
    }
    Coroutine<void> aclose() { return close_owned<I>(source_); }

  private:
    F predicate_;
    I source_;
};

template <class I>
class TakeIterator {
  public:
    using value_type = async_value_t<I>;

    TakeIterator(I&& source, std::ptrdiff_t count)
        : source_(std::forward<I>(source)), left_(count) {}

    Coroutine<std::optional<value_type>> anext() {
        if (left_ > 0) {
            if (auto item = co_await source_.anext()) {
                --left_;
                co_return std::move(*item);
            }
            left_ = closed;
        }
        if (left_ != closed) co_await aclose();
        co_return std::nullopt;
    }
    Coroutine<void> aclose() {
        left_ = closed;
        return close_owned<I>(source_);
    }

  private:
    static constexpr std::ptrdiff_t closed = -1;
    I source_;
    std::ptrdiff_t left_;
};

template <class I>
class EnumerateIterator {
  public:
    using value_type = std::pair<std::ptrdiff_t, async_value_t<I>>;

    EnumerateIterator(I&& source, std::ptrdiff_t start)
        : source_(std::forward<I>(source)), next_(start) {}

    Coroutine<std::optional<value_type>> anext() {
        auto item = co_await source_.anext();
        if (!item) co_return std::nullopt;
        co_return value_type(next_++, std::move(*item));
    }
    Coroutine<void> aclose() { return close_owned<I>(source_); }

  private:
    I source_;
    std::ptrdiff_t next_;
};

template <class... I>
class ZipIterator {
  public:
    using value_type = std::tuple<async_value_t<I>...>;

    explicit ZipIterator(I&&... sources) : sources_(std::forward<I>(sources)...) {}

    Coroutine<std::optional<value_type>> anext() { return step(std::index_sequence_for<I...>()); }
    Coroutine<void> aclose() {
        ended_ = true;
        return close_all(sources_, std::index_sequence_for<I...>());
    }

  private:
    template <std::size_t... K>
    Coroutine<std::optional<value_type>> step(std::index_sequence<K...>) {
        if (ended_) co_return std::nullopt;
        std::tuple<std::optional<async_value_t<I>>...> items;
        if ((keep(std::get<K>(items), co_await std::get<K>(sources_).anext()) && ...)) {
            co_return value_type(std::move(*std::get<K>(items))...);
        }
        co_await aclose();
        co_return std::nullopt;
    }
    template <class T, class Item>
    static bool keep(std::optional<T>& slot, Item item) {
        if (item) slot.emplace(std::move(*item));
        return slot.has_value();
    }

    std::tuple<I...> sources_;
    bool ended_ = false;
};

template <class... I>
class ChainIterator {
  public:
    using value_type = std::common_type_t<async_value_t<I>...>;

    explicit ChainIterator(I&&... sources) : sources_(std::forward<I>(sources)...) {}

    Coroutine<std::optional<value_type>> anext() { return step(std::index_sequence_for<I...>()); }
    Coroutine<void> aclose() {
        at_ = sizeof...(I);
        return close_all(sources_, std::index_sequence_for<I...>());
    }

  private:
    template <std::size_t... K>
    Coroutine<std::optional<value_type>> step(std::index_sequence<K...>) {
        std::optional<value_type> item;
        static_cast<void>(((at_ == K && co_await from<K>(item)) || ...));
        co_return item;
    }
    // Whether source K gave an item; else it is the next one's turn.
    template <std::size_t K>
    Coroutine<bool> from(std::optional<value_type>& item) {
        if (auto next = co_await std::get<K>(sources_).anext()) {
            item.emplace(std::move(*next));
            co_return true;
        }
        if (at_ == K) ++at_;  // unless closed meanwhile
        co_return false;
    }

    std::tuple<I...> sources_;
    std::size_t at_ = 0;
};

[[noreturn]] void throw_negative_count(std::ptrdiff_t count);

}  // namespace detail

// `function(item)` of each item; awaited, if it gives an awaitable.
template <class F, class I>
[[nodiscard]] auto amap(F function, I&& source) {
    detail::require_async_iterator<I>();
    return detail::MapIterator<F, I>(std::move(function), std::forward<I>(source));
}
// The items of which `predicate(item)` is true; awaited, if it gives an awaitable.
// Cancellation: the item that an async predicate was asked about is lost.
template <class F, class I>
[[nodiscard]] auto afilter(F predicate, I&& source) {
    detail::require_async_iterator<I>();
    return detail::FilterIterator<F, I>(std::move(predicate), std::forward<I>(source));
}
// The first `count` items: itertools.islice(source, count).
// Throws: ValueError when `count` is negative.
template <class I>
[[nodiscard]] auto atake(I&& source, std::ptrdiff_t count) {
    detail::require_async_iterator<I>();
    if (count < 0) detail::throw_negative_count(count);
    return detail::TakeIterator<I>(std::forward<I>(source), count);
}
// Pairs of a number, counting from `start`, and an item.
template <class I>
[[nodiscard]] auto aenumerate(I&& source, std::ptrdiff_t start = 0) {
    detail::require_async_iterator<I>();
    return detail::EnumerateIterator<I>(std::forward<I>(source), start);
}
// Tuples of one item of each, stepped left to right; ends with the shortest.
// Cancellation: items that earlier sources gave in this step are lost.
template <class... I>
    requires(sizeof...(I) > 0)
[[nodiscard]] auto azip(I&&... sources) {
    (detail::require_async_iterator<I>(), ...);
    return detail::ZipIterator<I...>(std::forward<I>(sources)...);
}
// The items of the first, then of the second, and so on, as their common type.
template <class... I>
    requires(sizeof...(I) > 0)
[[nodiscard]] auto achain(I&&... sources) {
    (detail::require_async_iterator<I>(), ...);
    return detail::ChainIterator<I...>(std::forward<I>(sources)...);
}

}  // namespace asyncio
