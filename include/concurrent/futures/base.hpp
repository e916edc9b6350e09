// concurrent/futures/base.hpp - futures that threads wait for.
//
//   ThreadPoolExecutor pool(4);
//   Future<int> answer = pool.submit(compute, 6, 7);
//   std::cout << answer.result(1s);                     // waits; TimeoutError after a second
//   for (auto& page : as_completed(pages)) show(page.result());
//
// Everything here may be called from any thread. See executor.hpp for what makes futures,
// asyncio::wrap_future for awaiting one.
//
// Source: Python's concurrent.futures._base.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/exceptions.hpp>
#include <concurrent/futures/base_detail.hpp>

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

// A future whose type of result does not matter here: what wait() needs for a mixed lot.
// Every Future is one. A handle: copies name the same future, and compare equal.
//
// Each operation throws RuntimeError on a handle that was moved from.
class AnyFuture {
  public:
    // Waits for nothing: true when the call will never run, false when it runs or has run.
    // Waiting threads and done callbacks are told at once, here.
    bool cancel() const { return state().cancel(); }
    // cancel() came in time, whether or not the executor has noticed.
    [[nodiscard]] bool cancelled() const { return state().cancelled(); }
    // Being executed just now.
    [[nodiscard]] bool running() const { return state().running(); }
    // Ended or cancelled: result() does not wait.
    [[nodiscard]] bool done() const { return state().done(); }

    // Waits at most `timeout` (nullopt: for ever) and gives what the call threw, null if it
    // gave a value. It is the exception itself, not a copy.
    // Throws: TimeoutError, CancelledError.
    [[nodiscard]] std::exception_ptr exception(
        std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const {
        return state().exception(timeout);
    }

    // Calls `function(future)` or `function()` once this is done: in the thread that ends or
    // cancels it, in the order added; here and now if it is done already. What it throws is
    // logged and dropped. `function` is moved in, and destroyed after the call.
    template <class F>
        requires(!std::convertible_to<F, detail::DoneCallback*>)
    void add_done_callback(F&& function) const {
        add_callback<AnyFuture>(std::forward<F>(function));
    }
    // The same without an allocation, for those who bring the node.
    void add_done_callback(detail::DoneCallback* node) const { state().add_done_callback(node); }

    // ---- for authors of executors, and tests ----

    // Before a call: false if it was cancelled, which is then noticed; nothing else is to
    // be set.
    // Throws: RuntimeError in another state than pending or cancelled.
    bool set_running_or_notify_cancel() const { return state().set_running_or_notify_cancel(); }
    // `error`: an exception, or a std::exception_ptr to one.
    // Throws: InvalidStateError when done; TypeError for a null pointer.
    template <class E>
    void set_exception(E&& error) const {
        if constexpr (std::same_as<std::remove_cvref_t<E>, std::exception_ptr>) {
            state().set_exception(std::forward<E>(error));
        } else {
            state().set_exception(std::make_exception_ptr(std::forward<E>(error)));
        }
    }

    friend bool operator==(const AnyFuture&, const AnyFuture&) noexcept = default;
    // Private to the library.
    [[nodiscard]] detail::StateBase& state() const {
        if (!state_) detail::throw_moved_from();
        return *state_;
    }

  protected:
    explicit AnyFuture(asyncio::detail::Ref<detail::StateBase> state) noexcept
        : state_(std::move(state)) {}

    template <class Handle, class F>
    void add_callback(F&& function) const {
        struct Node final : detail::DoneCallback {
            explicit Node(F&& f) : function(std::forward<F>(f)) {}
            void call(detail::StateBase& state) override {
                if constexpr (std::invocable<std::decay_t<F>&, Handle>) {
                    std::invoke(function, Handle::of(state));
                } else {
                    std::invoke(function);
                }
            }
            std::decay_t<F> function;
        };
        detail::StateBase& here = state();
        here.add_done_callback(new Node(std::forward<F>(function)));
    }

  private:
    template <class T>
    friend class Future;
    friend struct std::hash<AnyFuture>;
    static AnyFuture of(detail::StateBase& state) {
        return AnyFuture(asyncio::detail::Ref<detail::StateBase>(&state));
    }

    asyncio::detail::Ref<detail::StateBase> state_;
};

// A result that another thread will have.
// T: a value, also a move-only one, a reference, or void.
template <class T>
class Future : public AnyFuture {
  public:
    using value_type = T;

    // A new pending one, for authors of executors.
    Future() : Future(asyncio::detail::Ref<detail::State<T>>(new detail::State<T>)) {}
    // Private to the library.
    explicit Future(asyncio::detail::Ref<detail::State<T>> state) noexcept
        : AnyFuture(std::move(state)) {}

    // Waits at most `timeout` (nullopt: for ever) and gives the value: a copy, or where T
    // cannot be copied a reference, good for as long as any handle. On an rvalue handle,
    // `std::move(future).result()`, the value is moved out, for all handles.
    // Throws: TimeoutError, CancelledError, or what the call threw.
    typename asyncio::detail::SharedResult<T>::type result(
        std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const& {
        return checked(timeout).slot.get();
    }
    T result(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) && {
        return checked(timeout).slot.take();
    }

    // As AnyFuture's, with this type of handle.
    template <class F>
        requires(!std::convertible_to<F, detail::DoneCallback*>)
    void add_done_callback(F&& function) const {
        this->template add_callback<Future>(std::forward<F>(function));
    }
    void add_done_callback(detail::DoneCallback* node) const { AnyFuture::add_done_callback(node); }

    // For authors of executors. Wakes those who wait, then runs the done callbacks here.
    // Throws: InvalidStateError when done.
    template <class U = T>
        requires(!std::is_void_v<T> && std::constructible_from<T, U>)
    void set_result(U&& value) const {
        own_state().set_result(std::forward<U>(value));
    }
    void set_result() const
        requires std::is_void_v<T>
    {
        own_state().set_result();
    }

  private:
    friend class AnyFuture;
    static Future of(detail::StateBase& state) {
        using Own = detail::State<T>;
        return Future(asyncio::detail::Ref<Own>(static_cast<Own*>(&state)));
    }
    [[nodiscard]] detail::State<T>& own_state() const {
        return static_cast<detail::State<T>&>(state());
    }
    detail::State<T>& checked(detail::Limit timeout) const {
        detail::State<T>& own = own_state();
        own.wait_for_value(timeout);
        return own;
    }
};

// Python's names for when wait() returns.
enum class ReturnWhen : std::uint8_t {
    FIRST_COMPLETED,  // one has ended or was cancelled
    FIRST_EXCEPTION,  // one has thrown; all have ended if none throws
    ALL_COMPLETED
};
using enum ReturnWhen;

// What wait() found: each future once, in the order given.
template <class F>
struct DoneAndNotDoneFutures {
    std::vector<F> done;
    std::vector<F> not_done;
};

struct WaitOptions {
    std::optional<std::chrono::nanoseconds> timeout = {};  // nullopt: for ever
    ReturnWhen return_when = ALL_COMPLETED;
};

namespace detail {

template <class R>
using FutureIn = std::remove_cvref_t<decltype(*std::begin(std::declval<R&>()))>;

// Something with futures to go through.
template <class R>
concept FutureRange = std::derived_from<FutureIn<R>, AnyFuture>;

template <class F>
std::vector<StateBase*> states_of(const std::vector<F>& futures) {
    std::vector<StateBase*> states;
    states.reserve(futures.size());
    for (const F& future : futures) states.push_back(&future.state());
    return states;
}

// Each future once, in the order given.
template <class R>
auto distinct(R&& futures) {
    std::vector<FutureIn<R>> all;
    for (auto&& future : futures) all.push_back(future);
    const std::vector<bool> again = repeated(states_of(all));
    if (again.empty()) return all;
    std::vector<FutureIn<R>> once;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (!again[i]) once.push_back(std::move(all[i]));
    }
    return once;
}

}  // namespace detail

// Blocks until the condition holds or the time is up; never throws TimeoutError. A cancelled
// future counts as done once its executor has noticed.
//
//   auto [done, not_done] = wait(futures, {.timeout = 5s, .return_when = FIRST_COMPLETED});
template <class R>
    requires detail::FutureRange<R>
auto wait(R&& futures, WaitOptions options = {}) {
    const detail::Deadline deadline = detail::deadline_after(options.timeout);
    auto all = detail::distinct(std::forward<R>(futures));
    detail::Waiting(detail::states_of(all))
        .wait(static_cast<detail::Condition>(options.return_when), deadline);
    DoneAndNotDoneFutures<detail::FutureIn<R>> result;
    for (auto& future : all) {
        (future.state().noticed() ? result.done : result.not_done).push_back(std::move(future));
    }
    return result;
}
// wait({a, b}), of one type or of several.
template <class T>
auto wait(std::initializer_list<Future<T>> futures, WaitOptions options = {}) {
    return wait<std::initializer_list<Future<T>>&>(futures, options);
}
inline auto wait(std::initializer_list<AnyFuture> futures, WaitOptions options = {}) {
    return wait<std::initializer_list<AnyFuture>&>(futures, options);
}

// What as_completed() returns: a range to go through once, which waits where an element is
// looked at. It lets go of each future with the step to the next.
template <class F>
class AsCompleted {
  public:
    using iterator = detail::PullIterator<AsCompleted>;
    using value_type = F;

    AsCompleted(std::vector<F> futures, detail::Deadline deadline)
        : futures_(std::move(futures)),
          waiting_(detail::states_of(futures_)),
          deadline_(deadline),
          left_(futures_.size()) {}
    AsCompleted(AsCompleted&&) = default;
    AsCompleted& operator=(AsCompleted&& other) noexcept {
        waiting_ = std::move(other.waiting_);  // first: it looks at futures_
        futures_ = std::move(other.futures_);
        deadline_ = other.deadline_;
        left_ = other.left_;
        current_ = std::move(other.current_);
        return *this;
    }

    iterator begin() noexcept { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    friend iterator;
    [[nodiscard]] bool exhausted() const noexcept { return left_ == 0 && !current_; }
    F& current() {
        if (!current_) {
            const std::optional<std::size_t> index = waiting_.next(deadline_);
            if (!index) detail::throw_unfinished(left_, futures_.size());
            --left_;
            current_.emplace(std::move(futures_[*index]));
        }
        return *current_;
    }
    void advance() {
        current();
        current_.reset();
    }

    std::vector<F> futures_;
    detail::Waiting waiting_;
    detail::Deadline deadline_;
    std::size_t left_;
    std::optional<F> current_;
};

// The futures in the order in which they end, those that have ended first, each once. The
// time counts from this call.
// Throws, where an element is looked at: TimeoutError that says how many are unfinished.
template <class R>
    requires detail::FutureRange<R>
[[nodiscard]] auto as_completed(R&& futures,
                                std::optional<std::chrono::nanoseconds> timeout = std::nullopt) {
    const detail::Deadline deadline = detail::deadline_after(timeout);
    return AsCompleted<detail::FutureIn<R>>(detail::distinct(std::forward<R>(futures)), deadline);
}
template <class T>
[[nodiscard]] auto as_completed(std::initializer_list<Future<T>> futures,
                                std::optional<std::chrono::nanoseconds> timeout = std::nullopt) {
    return as_completed<std::initializer_list<Future<T>>&>(futures, timeout);
}
[[nodiscard]] inline auto as_completed(
    std::initializer_list<AnyFuture> futures,
    std::optional<std::chrono::nanoseconds> timeout = std::nullopt) {
    return as_completed<std::initializer_list<AnyFuture>&>(futures, timeout);
}

}  // namespace concurrent::futures

// As keys of hash tables, by identity.
template <>
struct std::hash<concurrent::futures::AnyFuture> {
    std::size_t operator()(const concurrent::futures::AnyFuture& future) const noexcept {
        return std::hash<const void*>()(future.state_.get());
    }
};
template <class T>
struct std::hash<concurrent::futures::Future<T>> : std::hash<concurrent::futures::AnyFuture> {};
