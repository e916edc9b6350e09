// asyncio/waiting.hpp - waiting for several things, or for one with a limit.
//
//   auto [page, size] = co_await gather(fetch(url), measure(file));   // all, in order
//   std::vector<int> all = co_await gather(tasks);                    // of a range
//   int n = co_await wait_for(compute(), 5s);                         // or TimeoutError
//   auto [done, pending] = co_await wait(tasks, {.return_when = FIRST_COMPLETED});
//   co_await shield(commit());                                        // not cancelled with us
//
// Where one failure should end the rest, use a TaskGroup: gather() lets siblings run on.
// Coroutines given to these functions are taken over; tasks and futures are shared.
//
// Thread: loop thread only. Source: Python's asyncio.tasks.
#pragma once

#include <chrono>
#include <deque>
#include <initializer_list>
#include <optional>
#include <ranges>
#include <unordered_set>
#include <utility>
#include <vector>

#include <asyncio/outcome.hpp>
#include <asyncio/tasks.hpp>
#include <asyncio/timeouts.hpp>
#include <asyncio/waiting_detail.hpp>

namespace asyncio {

// Something to await together with others: a coroutine, another awaitable, a task, a future,
// or a callable without arguments that gives a coroutine.
template <class A>
concept Gatherable = Awaitable<A> || CoroutineFunction<A>;

namespace detail {

// As a future of `loop`: what is one stays as it is.
template <Awaitable A>
auto to_future(A&& awaitable, EventLoop& loop) {
    if constexpr (isfuture_v<std::remove_cvref_t<A>>) {
        return std::remove_cvref_t<A>(std::forward<A>(awaitable));
    } else {
        return ensure_future(std::forward<A>(awaitable), &loop);
    }
}
template <class F>
    requires CoroutineFunction<F>
auto to_future(F&& f, EventLoop& loop) {
    return ensure_future(call_stored<std::decay_t<F>>(std::forward<F>(f)), &loop);
}

template <class A>
using future_of_t = decltype(to_future(std::declval<A>(), std::declval<EventLoop&>()));
template <class A>
using result_of_t = typename future_of_t<A>::value_type;
template <class A>
inline constexpr bool made_here = !isfuture_v<std::remove_cvref_t<A>>;

template <class Result, class Collector, class... A>
Future<Result> gather_tuple(bool return_exceptions, std::source_location where, A&&... items) {
    EventLoop* loop = nullptr;
    ((loop = loop != nullptr ? loop : loop_of(items)), ...);
    if (loop == nullptr) loop = &get_event_loop();
    auto* state = new GatherState<Result, Collector>(*loop, sizeof...(A), return_exceptions, where);
    auto outer = Ref<FutureBase>::adopt(state);
    std::size_t i = 0;
    (state->set_child(i++, to_future(std::forward<A>(items), *loop).reference(), made_here<A>),
     ...);
    state->start();
    return Future<Result>(std::move(outer));
}

template <class Result, class Collector, class Range>
Future<Result> gather_range(bool return_exceptions, std::source_location where, Range&& range) {
    using Item = std::ranges::range_value_t<Range>;
    if constexpr (!std::ranges::sized_range<Range> || !std::ranges::forward_range<Range>) {
        std::vector<Item> items;
        for (auto&& item : range) {
            if constexpr (made_here<Item>) {
                items.push_back(std::move(item));
            } else {
                items.push_back(item);
            }
        }
        return gather_range<Result, Collector>(return_exceptions, where, items);
    } else {
        const auto first = std::ranges::begin(range);
        const auto size = static_cast<std::size_t>(std::ranges::size(range));
        EventLoop* loop = size > 0 ? loop_of(*first) : nullptr;
        if (loop == nullptr) loop = &get_event_loop();
        auto* state = new GatherState<Result, Collector>(*loop, size, return_exceptions, where);
        auto outer = Ref<FutureBase>::adopt(state);
        std::size_t i = 0;
        for (auto&& item : range) {
            // Coroutines cannot be shared: they are taken out of the range.
            if constexpr (made_here<Item>) {
                state->set_child(i++, to_future(std::move(item), *loop).take_reference(), true);
            } else {
                state->set_child(i++, item.reference(), false);
            }
        }
        state->start();
        return Future<Result>(std::move(outer));
    }
}

template <class T>
struct VectorOf {
    using type = std::vector<element_t<T>>;
};
template <>
struct VectorOf<void> {
    using type = void;
};

}  // namespace detail

// Passed first to gather(): errors become elements instead of leaving it.
struct ReturnExceptions {};
inline constexpr ReturnExceptions return_exceptions;

template <class R>
concept GatherableRange = std::ranges::input_range<R> && Gatherable<std::ranges::range_value_t<R>>;

// Runs all at the same time; gives a future of a tuple of results in order of the arguments.
// void results are None. The same task twice fills both places.
// Throws (at the await): the first error, at once, while the others run on.
// Cancellation: cancels every child not done; CancelledError comes once they are.
template <Gatherable... A>
[[nodiscard]] auto gather(A&&... items) {
    using Result = std::tuple<detail::element_t<detail::result_of_t<A>>...>;
    using Collector = detail::CollectTuple<detail::result_of_t<A>...>;
    return detail::gather_tuple<Result, Collector>(false, std::source_location(),
                                                   std::forward<A>(items)...);
}
// gather(return_exceptions, a, b): a tuple of Outcome, nothing thrown but our cancellation.
template <Gatherable... A>
[[nodiscard]] auto gather(ReturnExceptions, A&&... items) {
    using Result = std::tuple<Outcome<detail::result_of_t<A>>...>;
    using Collector = detail::CollectOutcomes<detail::result_of_t<A>...>;
    return detail::gather_tuple<Result, Collector>(true, std::source_location(),
                                                   std::forward<A>(items)...);
}
// Of a range: a vector in its order; of awaitables without a result, nothing. Coroutines in
// the range are moved out of it.
template <GatherableRange R>
[[nodiscard]] auto gather(R&& range, std::source_location where = std::source_location::current()) {
    using T = detail::result_of_t<std::ranges::range_value_t<R>>;
    using Result = typename detail::VectorOf<T>::type;
    return detail::gather_range<Result, detail::CollectVector<T>>(false, where,
                                                                  std::forward<R>(range));
}
template <GatherableRange R>
[[nodiscard]] auto gather(ReturnExceptions, R&& range,
                          std::source_location where = std::source_location::current()) {
    using T = detail::result_of_t<std::ranges::range_value_t<R>>;
    return detail::gather_range<std::vector<Outcome<T>>, detail::CollectOutcomeVector<T>>(
        true, where, std::forward<R>(range));
}

// A future of what `item` gives that can be cancelled without cancelling `item`. Cancelling
// `item` cancels it. Keep a handle to a task you shield if you want its result later.
// Errors: if the waiter left and the item fails, the exception handler hears of it once.
template <Gatherable A>
[[nodiscard]] auto shield(A&& item, std::source_location where = std::source_location::current()) {
    EventLoop* loop = detail::loop_of(item);
    auto inner = detail::to_future(std::forward<A>(item), loop ? *loop : get_event_loop());
    using T = typename decltype(inner)::value_type;
    if (inner.done()) return Future<T>(inner.reference());
    return Future<T>(detail::Ref<detail::FutureBase>::adopt(
        new detail::ShieldState<T>(inner.reference(), detail::made_here<A>, where)));
}

enum class ReturnWhen : std::uint8_t { FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED };
// When any is done. / When any fails (a cancellation is no failure) or all are done.
using enum ReturnWhen;

struct WaitOptions {
    std::optional<std::chrono::nanoseconds> timeout = {};
    ReturnWhen return_when = ALL_COMPLETED;
};

namespace detail {

// Suspends until the condition holds or the time is up.
Coroutine<void> wait_until(std::vector<AnyFuture> futures, WaitOptions options);
// Cancels `future` and waits until it is done, whatever its outcome.
Coroutine<void> cancel_and_wait(Ref<FutureBase> future);

// As: how the caller passed A.
template <class As, class A>
auto wait_for_some_time(A awaitable, std::optional<std::chrono::nanoseconds> limit)
    -> Coroutine<await_result_t<A>> {
    if (!limit) co_return co_await keep_or_move<As>(awaitable);
    EventLoop& loop = get_running_loop();
    if (*limit <= std::chrono::nanoseconds(0)) {
        auto future = to_future(std::move(awaitable), loop);
        if (!future.done()) {
            co_await cancel_and_wait(future.reference());
            if (future.cancelled()) throw TimeoutError();
        }
        co_return keep_or_move<As>(future).result();
    }
    Timeout timeout(loop.time() + *limit);
    timeout.enter();
    auto outcome = co_await try_(keep_or_move<As>(awaitable));
    if (std::exception_ptr error = timeout.exit(outcome.exception())) {
        std::rethrow_exception(std::move(error));
    }
    if constexpr (!std::is_void_v<await_result_t<A>>) co_return std::move(outcome).value();
}

}  // namespace detail

// Awaits `awaitable` in this task for at most `timeout`; zero or less never starts a
// coroutine; nullopt sets no limit. A task or future passed as an lvalue keeps its result.
// Throws: TimeoutError after the time, once what was awaited has wound down its
// cancellation; what it throws meanwhile instead. A result that comes all the same counts.
// Cancellation: cancels what is awaited.
template <Awaitable A>
auto wait_for(A&& awaitable, std::optional<std::chrono::nanoseconds> timeout) {
    return detail::wait_for_some_time<A>(std::remove_cvref_t<A>(std::forward<A>(awaitable)),
                                         timeout);
}
template <Awaitable A, class Rep, class Period>
auto wait_for(A&& awaitable, std::chrono::duration<Rep, Period> timeout) {
    return detail::wait_for_some_time<A>(std::remove_cvref_t<A>(std::forward<A>(awaitable)),
                                         std::optional(detail::to_nanoseconds(timeout)));
}

// F: Task<T>, Future<T>, AnyTask or AnyFuture. Each future once, in the order given.
template <class F>
struct WaitResult {
    std::vector<F> done;
    std::vector<F> pending;
};

namespace detail {

template <class F>
std::vector<F> without_duplicates(std::vector<F> futures) {
    std::unordered_set<AnyFuture> seen;
    std::erase_if(futures, [&](const F& future) { return !seen.insert(future).second; });
    return futures;
}

template <class F>
Coroutine<WaitResult<F>> wait_for_futures(std::vector<F> futures, WaitOptions options) {
    futures = without_duplicates(std::move(futures));
    co_await wait_until(std::vector<AnyFuture>(futures.begin(), futures.end()), options);
    WaitResult<F> result;
    for (F& future : futures) {
        (future.done() ? result.done : result.pending).push_back(std::move(future));
    }
    co_return result;
}

}  // namespace detail

// Waits for tasks or futures; throws nothing of theirs and cancels none, also on a timeout
// or when cancelled itself. Everything done by then is in `done`, not only the trigger.
// Throws: ValueError for no futures.
template <std::ranges::input_range R>
    requires isfuture_v<std::ranges::range_value_t<R>>
auto wait(R&& futures, WaitOptions options = {}) {
    using F = std::ranges::range_value_t<R>;
    return detail::wait_for_futures(
        std::vector<F>(std::ranges::begin(futures), std::ranges::end(futures)), options);
}
template <class F>
    requires isfuture_v<F>
auto wait(std::initializer_list<F> futures, WaitOptions options = {}) {
    return detail::wait_for_futures(std::vector<F>(futures), options);
}

}  // namespace asyncio
