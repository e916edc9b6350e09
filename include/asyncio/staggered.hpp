// asyncio/staggered.hpp - several ways to the same end, each given a head start over the next.
//
//   std::vector<std::function<Coroutine<Connection>()>> ways = {by_ipv6, by_ipv4, by_relay};
//   auto [winner, index, exceptions] = co_await asyncio::staggered_race(ways, 250ms);
//   if (!winner) throw_all(exceptions);      // nobody made it
//
// The first function is started at once. The next one is started when the one before it has
// failed, or `delay` after it began, whichever comes first. The first to succeed wins; all
// others are cancelled and have ended when the race returns. It is how connections are made to
// hosts with several addresses ("happy eyeballs", RFC 8305).
//
// Source: Python's asyncio.staggered.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <asyncio/awaitable_detail.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/locks.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/tasks.hpp>
#include <asyncio/waiting.hpp>

namespace asyncio {

// How a race went. For functions that give nothing, T is std::monostate.
template <class T>
struct StaggeredRace {
    std::optional<T> winner;           // nullopt: nobody succeeded
    std::optional<std::size_t> index;  // whose result it is
    // One for each function that was started, in their order; null for the winner.
    std::vector<std::exception_ptr> exceptions;
};

namespace detail {

template <class F>
using race_result_t = await_result_t<std::invoke_result_t<F&>>;
template <class F>
using race_value_t = std::conditional_t<std::is_void_v<race_result_t<F>>, std::monostate,
                                        std::remove_cvref_t<race_result_t<F>>>;

template <class R>
using racer_t = std::remove_reference_t<std::ranges::range_reference_t<R&>>;

// A container, say: its elements stay where they are while their coroutines run.
template <class R>
concept RangeOfCoroutineFunctions =
    std::ranges::input_range<R> && std::is_lvalue_reference_v<std::ranges::range_reference_t<R&>> &&
    std::invocable<racer_t<R>&> && Awaitable<std::invoke_result_t<racer_t<R>&>>;

// Awaits all attempts. A cancellation, given or coming meanwhile, is passed on to them, and
// leaves here once they have ended.
Coroutine<void> await_attempts(std::vector<Task<void>>& attempts, std::exception_ptr cancelled);

template <class F>
class Race {
  public:
    void start(F& function) {
        latest_ = attempts.size();
        moving_on_.clear();
        result.exceptions.emplace_back();
        attempts.push_back(create_task(attempt(function, latest_)));
    }

    // Until the latest attempt has failed, somebody has won, or `delay` has passed.
    // Gives the cancellation that came instead.
    Coroutine<std::exception_ptr> head_start(std::optional<std::chrono::nanoseconds> delay) {
        const Outcome<bool> over = delay ? co_await try_(wait_for(moving_on_.wait(), *delay))
                                         : co_await try_(moving_on_.wait());
        co_return over.cancelled() ? over.exception() : nullptr;
    }

    StaggeredRace<race_value_t<F>> result;
    std::vector<Task<void>> attempts;

  private:
    // What the call itself throws is a failure like any other.
    static Coroutine<race_result_t<F>> call(F& function) {
        co_return co_await std::invoke(function);
    }

    Coroutine<void> attempt(F& function, std::size_t index) {
        auto outcome = co_await try_(call(function));
        if (!outcome.has_value()) {
            result.exceptions[index] = outcome.exception();
        } else if (!result.index) {  // a loser may have ignored its cancellation
            win(outcome, index);
        }
        if (index == latest_ || result.index) moving_on_.set();
    }

    void win(Outcome<race_result_t<F>>& outcome, std::size_t index) {
        result.index = index;
        if constexpr (std::is_void_v<race_result_t<F>>) {
            result.winner.emplace();
        } else {
            result.winner.emplace(std::move(outcome).value());
        }
        for (std::size_t i = 0; i < attempts.size(); ++i) {
            if (i != index) attempts[i].cancel();
        }
    }

    Event moving_on_;
    std::size_t latest_ = 0;
};

}  // namespace detail

// functions: a range of callables that return an awaitable; stored for the time of the race,
//     copied from an lvalue. Without a delay they run one after the other.
// Gives StaggeredRace<T> for functions that give T. An attempt's failure never leaves it.
// Cancellation: cancels the attempts and awaits their ends.
template <detail::RangeOfCoroutineFunctions R>
[[nodiscard]] auto staggered_race(R functions,
                                  std::optional<std::chrono::nanoseconds> delay = std::nullopt)
    -> Coroutine<StaggeredRace<detail::race_value_t<detail::racer_t<R>>>> {
    detail::Race<detail::racer_t<R>> race;
    std::exception_ptr cancelled;
    for (auto& function : functions) {
        race.start(function);
        cancelled = co_await race.head_start(delay);
        if (cancelled || race.result.index) break;
    }
    co_await detail::await_attempts(race.attempts, cancelled);
    co_return std::move(race.result);
}

}  // namespace asyncio
