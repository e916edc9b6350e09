// concurrent/futures/base.hpp - futures that threads wait for, and what executors share.
//
//   ThreadPoolExecutor pool(4);
//   Future<int> answer = pool.submit(compute, 6, 7);
//   std::cout << answer.result(1s);                     // waits; TimeoutError after a second
//   for (auto& page : as_completed(pages)) show(page.result());
//
// Everything here may be called from any thread.
//
// Source: Python's concurrent.futures._base.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/exceptions.hpp>
#include <asyncio/memory_detail.hpp>
#include <asyncio/slot_detail.hpp>

namespace concurrent::futures {

// The root of this module's own errors.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~Error() override;
};
// The future was cancelled. Not asyncio::CancelledError: ordinary handlers see this one.
class CancelledError : public Error {
  public:
    CancelledError() : Error("the future was cancelled") {}
    ~CancelledError() override;
};
// A future asked for what its state does not allow.
class InvalidStateError : public Error {
  public:
    using Error::Error;
    ~InvalidStateError() override;
};
// An executor that can run nothing any more.
class BrokenExecutor : public asyncio::RuntimeError {
  public:
    using asyncio::RuntimeError::RuntimeError;
    ~BrokenExecutor() override;
};
using asyncio::TimeoutError;

namespace detail {

using Deadline = std::optional<std::chrono::steady_clock::time_point>;
using Limit = std::optional<std::chrono::nanoseconds>;
[[nodiscard]] Deadline deadline_after(Limit limit);

enum class FutureState : std::uint8_t {
    pending,
    running,
    cancelled,               // by cancel()
    cancelled_and_notified,  // and the executor has seen it
    finished
};

class StateBase;

// One done callback.
struct DoneCallback : asyncio::detail::Recycled {
    virtual ~DoneCallback() = default;
    virtual void call(StateBase& state) = 0;
    DoneCallback* next = nullptr;
};

// Somebody in wait() or as_completed(), told of each future that ends.
class Waiter {
  public:
    void ended(StateBase& state, bool failed);

  private:
    friend class WaitScope;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<StateBase*> ended_;
    bool failed_ = false;
};

class StateBase : public asyncio::detail::Recycled {
  public:
    StateBase() = default;
    StateBase(const StateBase&) = delete;
    StateBase& operator=(const StateBase&) = delete;
    virtual ~StateBase();

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) delete this;
    }

    bool cancel();
    [[nodiscard]] FutureState state() const;
    [[nodiscard]] bool cancelled() const;
    [[nodiscard]] bool done() const;
    // Waits until done. Throws: TimeoutError, CancelledError.
    void wait(Limit limit) const;
    // The same, then the exception, null for a value.
    [[nodiscard]] std::exception_ptr exception(Limit limit) const;
    bool set_running_or_notify_cancel();
    void set_exception(std::exception_ptr error);
    // Takes the callback over; calls it here and now when done.
    void add_done_callback(DoneCallback* callback);

    // True when ended already, also by a cancellation that the executor has seen; else the
    // waiter will be told.
    bool add_waiter(Waiter& waiter);
    void remove_waiter(Waiter& waiter);

  protected:
    // Stores under the lock, then wakes and calls back.
    template <class Store>
    void finish(Store store) {
        std::unique_lock lock(mutex_);
        require_unfinished();
        store();
        finish_locked(lock, nullptr);
    }

  private:
    void require_unfinished() const;
    void finish_locked(std::unique_lock<std::mutex>& lock, std::exception_ptr error);
    void run_callbacks() noexcept;
    void notify_waiters(bool failed);

    asyncio::detail::RefCount references_;
    FutureState state_ = FutureState::pending;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::exception_ptr error_;
    DoneCallback* callbacks_ = nullptr;  // in order
    std::vector<Waiter*> waiters_;
};

template <class T>
class State : public StateBase {
  public:
    template <class... A>
    void set_result(A&&... value) {
        finish([&] { slot.emplace(std::forward<A>(value)...); });
    }
    asyncio::detail::Slot<T> slot;
};

}  // namespace detail

// A result that another thread will have. A handle: copies name the same future.
// T: a value, a move-only value, a reference, or void.
template <class T>
class Future {
  public:
    using value_type = T;

    // A new pending one, for authors of executors.
    Future() : state_(new detail::State<T>) {}
    // Private to the library.
    explicit Future(asyncio::detail::Ref<detail::State<T>> state) noexcept
        : state_(std::move(state)) {}

    // True unless it runs or has run: then nothing will run.
    bool cancel() const { return state_->cancel(); }
    [[nodiscard]] bool cancelled() const { return state_->cancelled(); }
    [[nodiscard]] bool running() const { return state_->state() == detail::FutureState::running; }
    // Ended or cancelled: result() does not wait.
    [[nodiscard]] bool done() const { return state_->done(); }

    // Waits at most `timeout` (nullopt: for ever) and gives the value: a copy, or a reference
    // into the future where T cannot be copied. On an rvalue handle it is moved out.
    // Throws: TimeoutError, CancelledError, or what the call threw.
    typename asyncio::detail::SharedResult<T>::type result(
        std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const& {
        check(timeout);
        return state_->slot.get();
    }
    T result(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) && {
        check(timeout);
        return state_->slot.take();
    }
    // The same, giving the exception; null for a value.
    [[nodiscard]] std::exception_ptr exception(
        std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const {
        return state_->exception(timeout);
    }

    // Calls `function(future)` or `function()` once done: in the thread that ends it, in
    // the order added; here and now when it is done already. What it throws is logged.
    template <class F>
    void add_done_callback(F&& function) const {
        struct Node final : detail::DoneCallback {
            explicit Node(F&& f) : function(std::forward<F>(f)) {}
            void call(detail::StateBase& state) override {
                if constexpr (std::invocable<std::decay_t<F>&, Future>) {
                    using State = detail::State<T>;
                    std::invoke(function,
                                Future(asyncio::detail::Ref<State>(static_cast<State*>(&state))));
                } else {
                    std::invoke(function);
                }
            }
            std::decay_t<F> function;
        };
        state_->add_done_callback(new Node(std::forward<F>(function)));
    }

    // ---- for executors ----

    // Before a call: false if it was cancelled, and then nothing else is to be set.
    // Throws: RuntimeError in another state than pending or cancelled.
    bool set_running_or_notify_cancel() const { return state_->set_running_or_notify_cancel(); }
    // Throws: InvalidStateError when ended or cancelled.
    template <class U = T>
        requires(!std::is_void_v<T> && std::constructible_from<T, U>)
    void set_result(U&& value) const {
        state_->set_result(std::forward<U>(value));
    }
    void set_result() const
        requires std::is_void_v<T>
    {
        state_->set_result();
    }
    template <class E>
    void set_exception(E&& error) const {
        if constexpr (std::same_as<std::remove_cvref_t<E>, std::exception_ptr>) {
            state_->set_exception(std::forward<E>(error));
        } else {
            state_->set_exception(std::make_exception_ptr(std::forward<E>(error)));
        }
    }

    friend bool operator==(const Future&, const Future&) noexcept = default;
    // Private to the library.
    [[nodiscard]] const asyncio::detail::Ref<detail::State<T>>& reference() const noexcept {
        return state_;
    }

  private:
    void check(detail::Limit timeout) const {
        if (std::exception_ptr error = state_->exception(timeout)) std::rethrow_exception(error);
    }
    asyncio::detail::Ref<detail::State<T>> state_;
};

enum class ReturnWhen : std::uint8_t { FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED };
using enum ReturnWhen;

// Each future once, in the order given.
template <class F>
struct DoneAndNotDoneFutures {
    std::vector<F> done;
    std::vector<F> not_done;
};

struct WaitOptions {
    std::optional<std::chrono::nanoseconds> timeout = {};
    ReturnWhen return_when = ALL_COMPLETED;
};

namespace detail {

// Registered with some futures for as long as it lives.
class WaitScope {
  public:
    explicit WaitScope(std::vector<StateBase*> states);
    WaitScope(const WaitScope&) = delete;
    WaitScope& operator=(const WaitScope&) = delete;
    ~WaitScope();
    // Until the condition holds; false when the time is up.
    bool wait(ReturnWhen condition, Deadline deadline);
    // The next one that ended; null when the time is up.
    [[nodiscard]] StateBase* next(Deadline deadline);

  private:
    std::vector<StateBase*> states_;
    Waiter waiter_;
    std::size_t given_ = 0;
};

template <class F>
std::vector<F> distinct(std::vector<F> futures) {
    std::vector<F> seen;
    for (F& future : futures) {
        if (std::ranges::find(seen, future) == seen.end()) seen.push_back(std::move(future));
    }
    return seen;
}

template <class F>
std::vector<StateBase*> states_of(const std::vector<F>& futures) {
    std::vector<StateBase*> states;
    states.reserve(futures.size());
    for (const F& future : futures) states.push_back(future.reference().get());
    return states;
}

[[noreturn]] void throw_unfinished(std::size_t left, std::size_t total);

}  // namespace detail

// Blocks until the condition holds or the time is up; never throws TimeoutError. A cancelled
// future counts as done once its executor has seen it.
template <std::ranges::input_range R>
auto wait(R&& futures, WaitOptions options = {}) {
    using F = std::ranges::range_value_t<R>;
    const detail::Deadline deadline = detail::deadline_after(options.timeout);
    auto all =
        detail::distinct(std::vector<F>(std::ranges::begin(futures), std::ranges::end(futures)));
    detail::WaitScope(detail::states_of(all)).wait(options.return_when, deadline);
    DoneAndNotDoneFutures<F> result;
    for (F& future : all) {
        const detail::FutureState state = future.reference()->state();
        const bool done = state == detail::FutureState::finished ||
                          state == detail::FutureState::cancelled_and_notified;
        (done ? result.done : result.not_done).push_back(std::move(future));
    }
    return result;
}
template <class T>
auto wait(std::initializer_list<Future<T>> futures, WaitOptions options = {}) {
    return concurrent::futures::wait(std::vector<Future<T>>(futures), options);
}

// What as_completed() returns: a range to go through once, blocking at each step.
template <class F>
class AsCompleted {
  public:
    AsCompleted(std::vector<F> futures, std::optional<std::chrono::nanoseconds> timeout)
        : deadline_(detail::deadline_after(timeout)),
          futures_(detail::distinct(std::move(futures))),
          scope_(detail::states_of(futures_)),
          left_(futures_.size()) {}

    class iterator {
      public:
        using value_type = F;
        using difference_type = std::ptrdiff_t;
        explicit iterator(AsCompleted& from) : from_(&from) { ++*this; }
        const F& operator*() const noexcept { return *current_; }
        iterator& operator++() {
            current_ = from_->next();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
            return !it.current_;
        }

      private:
        AsCompleted* from_;
        std::optional<F> current_;
    };
    // Throws (also on ++): TimeoutError that says how many are unfinished.
    iterator begin() { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    std::optional<F> next() {
        if (left_ == 0) return std::nullopt;
        detail::StateBase* state = scope_.next(deadline_);
        if (state == nullptr) detail::throw_unfinished(left_, futures_.size());
        --left_;
        return *std::ranges::find_if(
            futures_, [state](const F& future) { return future.reference().get() == state; });
    }

    detail::Deadline deadline_;
    std::vector<F> futures_;
    detail::WaitScope scope_;
    std::size_t left_;
};

// The futures in the order in which they end, those that have ended first, each once. The
// time counts from this call.
template <std::ranges::input_range R>
[[nodiscard]] auto as_completed(R&& futures,
                                std::optional<std::chrono::nanoseconds> timeout = std::nullopt) {
    using F = std::ranges::range_value_t<R>;
    return AsCompleted<F>(std::vector<F>(std::ranges::begin(futures), std::ranges::end(futures)),
                          timeout);
}

}  // namespace concurrent::futures
