// asyncio/as_completed.hpp - results in the order in which they come.
//
//   auto finished = as_completed(tasks, {.timeout = 10s});
//   while (auto task = co_await anext(finished)) use(task->result());   // your own tasks
//
//   for (auto&& next : as_completed(coroutines))                        // or just results
//       use(co_await std::move(next));
//
// Source: Python's asyncio.as_completed().
#pragma once

#include <chrono>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <utility>
#include <vector>

#include <asyncio/async_iteration.hpp>
#include <asyncio/waiting.hpp>

namespace asyncio {

struct AsCompletedOptions {
    std::optional<std::chrono::nanoseconds> timeout = {};  // for the whole iteration
};

namespace detail {

// The futures not yet given out, shared with their done callbacks.
class Completions : public std::enable_shared_from_this<Completions> {
  public:
    void start(std::vector<AnyFuture> futures, std::optional<std::chrono::nanoseconds> timeout);
    ~Completions();
    // Waits for the next one that is done.
    // Throws: TimeoutError once the time is up.
    Coroutine<AnyFuture> next();

  private:
    void arrived(const AnyFuture& future);
    void time_is_up();
    void wake_one();

    std::vector<std::pair<AnyFuture, DoneCallbackToken>> waiting_for_;
    std::deque<std::optional<AnyFuture>> arrived_;  // empty: the time was up
    std::deque<Future<void>> waiters_;
    TimerHandle alarm_;
};

}  // namespace detail

// F: the type of the tasks or futures, yours where you passed some.
template <class F>
class AsCompleted {
  public:
    using value_type = F;

    explicit AsCompleted(std::vector<F> futures, AsCompletedOptions options)
        : left_(futures.size()), completions_(std::make_shared<detail::Completions>()) {
        completions_->start(std::vector<AnyFuture>(futures.begin(), futures.end()),
                            options.timeout);
    }

    // The next one that is done, nullopt after the last.
    // Throws: TimeoutError once the time is up, for each that was not done by then.
    // Cancellation: safe; cancels none of the futures.
    Coroutine<std::optional<F>> anext() {
        if (left_ == 0) return finished();
        --left_;
        return next_future(completions_);
    }

    // Plain iteration gives one coroutine for each, whose result is that of the next done.
    class iterator {
      public:
        using value_type = Coroutine<typename F::value_type>;
        using difference_type = std::ptrdiff_t;
        explicit iterator(AsCompleted& from) noexcept : from_(&from) {}
        // Counted here rather than by ++, so that a loop may be left and taken up again.
        value_type operator*() const {
            if (!std::exchange(from_->counted_, true)) --from_->left_;
            return next_result(from_->completions_);
        }
        iterator& operator++() noexcept {
            if (!std::exchange(from_->counted_, false)) --from_->left_;
            return *this;
        }
        void operator++(int) noexcept { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
            return it.from_->left_ == 0;
        }

      private:
        AsCompleted* from_;
    };
    // Goes on where an earlier loop was left.
    iterator begin() noexcept {
        counted_ = false;
        return iterator(*this);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    using Shared = std::shared_ptr<detail::Completions>;

    static Coroutine<std::optional<F>> finished() { co_return std::nullopt; }
    static Coroutine<std::optional<F>> next_future(Shared completions) {
        AnyFuture future = co_await completions->next();
        co_return F(future.reference());
    }
    static Coroutine<typename F::value_type> next_result(Shared completions) {
        const AnyFuture done = co_await completions->next();
        F future(done.reference());
        co_return detail::keep_or_move<F&>(future).result();  // it may be the caller's
    }

    std::size_t left_;
    bool counted_ = false;  // whether the iterator's current element is taken from left_
    Shared completions_;
};

// Coroutines in the range become tasks; tasks and futures stay your own, each given once.
template <GatherableRange R>
[[nodiscard]] auto as_completed(R&& range, AsCompletedOptions options = {}) {
    using Item = std::ranges::range_value_t<R>;
    using F = detail::future_of_t<Item>;
    EventLoop& loop = get_event_loop();
    std::vector<F> futures;
    for (auto&& item : range) {
        if constexpr (detail::made_here<Item>) {
            futures.push_back(detail::to_future(std::move(item), loop));
        } else {
            futures.push_back(item);
        }
    }
    return AsCompleted<F>(detail::without_duplicates(std::move(futures)), options);
}

}  // namespace asyncio
