// asyncio/futures.hpp - a result that somebody sets later.
//
//   Future<int> answer = get_running_loop().create_future<int>();
//   loop.call_later(1s, [answer] { answer.set_result(42); });
//   int n = co_await answer;
//
// A Future is a handle: copies name the same future. Completing it never runs anything
// inline; whoever waits is scheduled with call_soon(), in the order of waiting. A failed
// future that nobody looked at is reported when its last handle goes.
//
// Thread: everything but copying and dropping handles belongs to the loop's thread.
//
// Source: Python's asyncio.futures.
#pragma once

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <asyncio/awaiters_detail.hpp>
#include <asyncio/events.hpp>
#include <asyncio/futures_detail.hpp>

namespace asyncio {

// What Python's None is as an element: of gather()'s tuple, for an awaitable of no value.
using None = std::monostate;

namespace detail {

// A done callback: its own place in the list of waiters, then in the ready queue.
class DoneHandle : public HandleState, public DoneNode {
  public:
    using HandleState::HandleState;
    void fire(FutureBase& future) noexcept final;
    void abandon() noexcept final { drop_reference(); }
    [[nodiscard]] virtual bool equals(const void* function,
                                      const std::type_info& type) const noexcept = 0;

    std::uint64_t token = 0;

  protected:
    Ref<FutureBase> future_;  // from fire() on, so that a pending future is no cycle
};

template <class F, class FutureHandle>
class DoneCallback final : public DoneHandle {
  public:
    template <class G>
    DoneCallback(EventLoop& loop, ContextSlot context, G&& function)
        : DoneHandle(loop, std::move(context)), function_(std::forward<G>(function)) {}

    [[nodiscard]] bool equals(const void* function,
                              const std::type_info& type) const noexcept override {
        if constexpr (std::equality_comparable<F>) {
            return type == typeid(F) && function_ && *static_cast<const F*>(function) == *function_;
        } else {
            return false;
        }
    }
    [[nodiscard]] const std::type_info& callback_type() const noexcept override {
        return typeid(F);
    }

  private:
    void invoke() override {
        if constexpr (std::invocable<F&, FutureHandle>) {
            std::invoke(*function_, FutureHandle(std::move(future_)));
        } else {
            std::invoke(*function_);
        }
    }
    void drop_callback() noexcept override { function_.reset(); }

    std::optional<F> function_;
};

// Registers; returns the token for remove_done_callback().
std::uint64_t add_done_callback(FutureBase& future, Ref<DoneHandle> handle);
std::size_t remove_done_callback(FutureBase& future, std::uint64_t token) noexcept;
std::size_t remove_done_callbacks(FutureBase& future, const void* function,
                                  const std::type_info& type);

template <class E>
[[nodiscard]] std::exception_ptr to_exception(E&& error) {
    if constexpr (std::same_as<std::remove_cvref_t<E>, std::exception_ptr>) {
        return std::forward<E>(error);
    } else {
        return std::make_exception_ptr(std::forward<E>(error));
    }
}

}  // namespace detail

// Names one registration of a done callback.
enum class DoneCallbackToken : std::uint64_t {};

// What every future and task can do, whatever its result. The base of the typed handles;
// also what current_task(), all_tasks() and exception handlers deal in.
class AnyFuture {
  public:
    AnyFuture() noexcept = default;  // names nothing: only operator bool may be asked
    explicit AnyFuture(detail::Ref<detail::FutureBase> state) noexcept : state_(std::move(state)) {}

    [[nodiscard]] bool done() const { return state().done(); }
    // A task that swallowed the request is not cancelled.
    [[nodiscard]] bool cancelled() const { return state().cancelled(); }
    // Pending: becomes cancelled, and its waiters are scheduled. Done: false.
    // A task is asked instead; see Task::cancel().
    bool cancel(std::optional<std::string> message = std::nullopt) const {
        return state().cancel(std::move(message));
    }
    // Null when it has a result. Counts as having looked.
    // Throws: InvalidStateError while pending, CancelledError when cancelled.
    [[nodiscard]] std::exception_ptr exception() const { return state().exception(); }
    [[nodiscard]] EventLoop& get_loop() const { return state().loop(); }
    // "<Future pending>", for messages.
    [[nodiscard]] std::string repr() const {
        return state_ ? state_->repr() : std::string("<no future>");
    }

    // Removes one registration, or every one of an equal callable; returns how many. What is
    // scheduled already cannot be recalled.
    std::size_t remove_done_callback(DoneCallbackToken token) const noexcept {
        return detail::remove_done_callback(state(), static_cast<std::uint64_t>(token));
    }
    template <class F>
        requires std::equality_comparable<std::decay_t<F>>
    std::size_t remove_done_callback(const F& function) const {
        const std::decay_t<F> key = function;
        return detail::remove_done_callbacks(state(), &key, typeid(std::decay_t<F>));
    }

    explicit operator bool() const noexcept { return static_cast<bool>(state_); }
    friend bool operator==(const AnyFuture&, const AnyFuture&) noexcept = default;
    [[nodiscard]] std::size_t hash() const noexcept {
        return std::hash<const void*>()(state_.get());
    }

    // Private: the state behind the handle.
    [[nodiscard]] detail::FutureBase& state() const {
        if (!state_) [[unlikely]]
            throw_empty();
        return *state_;
    }
    [[nodiscard]] const detail::Ref<detail::FutureBase>& reference() const noexcept {
        return state_;
    }
    [[nodiscard]] detail::Ref<detail::FutureBase> take_reference() noexcept {
        return std::move(state_);
    }

  protected:
    template <class Self, class F>
    DoneCallbackToken add_callback(F&& function, CallOptions options) const {
        using Node = detail::DoneCallback<std::decay_t<F>, Self>;
        detail::FutureBase& future = state();
        detail::Ref<detail::DoneHandle> node(new Node(future.loop(),
                                                      options.context
                                                          ? ContextAccess::slot(*options.context)
                                                          : detail::copy_current_context(),
                                                      std::forward<F>(function)));
        return DoneCallbackToken(detail::add_done_callback(future, std::move(node)));
    }
    [[noreturn]] static void throw_empty();

    detail::Ref<detail::FutureBase> state_;
};

// T: a value, a move-only value, a reference, or void.
template <class T>
class Future : public AnyFuture {
  public:
    using value_type = T;

    // A new pending future of get_event_loop(), as Python's asyncio.Future().
    // Throws: RuntimeError when there is no loop.
    Future() : Future(get_event_loop()) {}
    explicit Future(EventLoop& loop, std::source_location where = std::source_location::current())
        : AnyFuture(
              detail::Ref<detail::FutureBase>::adopt(new detail::FutureStateOf<T>(loop, where))) {}
    // A handle that names nothing.
    explicit Future(std::nullptr_t) noexcept {}
    // From a state that is known to hold a T. Private to the library.
    explicit Future(detail::Ref<detail::FutureBase> state) noexcept : AnyFuture(std::move(state)) {}

    // The value: a copy, or a const reference into the future where T cannot be copied. On
    // an rvalue handle the value is moved out.
    // Throws: InvalidStateError while pending, CancelledError, or the exception set.
    typename detail::SharedResult<T>::type result() const& {
        state().throw_unless_result();
        return detail::slot_of<T>(state()).get();
    }
    T result() && {
        state().throw_unless_result();
        return detail::slot_of<T>(state()).take();
    }

    // Throws: InvalidStateError when done, RuntimeError for a task.
    template <class U = T>
        requires(!std::is_void_v<T> && std::constructible_from<T, U>)
    void set_result(U&& value) const {
        settable().set_result(std::forward<U>(value));
    }
    void set_result() const
        requires std::is_void_v<T>
    {
        settable().set_result();
    }
    // An exception object or a std::exception_ptr.
    // Throws: InvalidStateError when done, TypeError for a null pointer, RuntimeError for a
    // task.
    template <class E>
    void set_exception(E&& error) const {
        settable();
        state().set_exception(detail::to_exception(std::forward<E>(error)));
    }

    // Calls `function(future)` or `function()` through call_soon() once done; in the context
    // given, else in a copy of the current one.
    template <class F>
    DoneCallbackToken add_done_callback(F&& function, CallOptions options = {}) const {
        return this->template add_callback<Future>(std::forward<F>(function), std::move(options));
    }

    // Suspends until done. Several may wait. An lvalue gives what result() gives; an rvalue
    // moves the result out.
    // Throws: as result(); RuntimeError for a future of another loop.
    // Cancellation: cancels the future, as in Python; shield() prevents that.
    detail::FutureAwaiter<T, detail::Take::copy> operator co_await() const& {
        return detail::FutureAwaiter<T, detail::Take::copy>(checked());
    }
    detail::FutureAwaiter<T, detail::Take::move> operator co_await() && {
        return detail::FutureAwaiter<T, detail::Take::move>(checked());
    }

  private:
    detail::FutureStateOf<T>& settable() const {
        if (state().is_task()) [[unlikely]]
            throw_task_is_not_settable();
        return static_cast<detail::FutureStateOf<T>&>(state());
    }
    [[nodiscard]] const detail::Ref<detail::FutureBase>& checked() const {
        static_cast<void>(state());
        return state_;
    }
    [[noreturn]] void throw_task_is_not_settable() const {
        throw RuntimeError(repr() + " gets its result from its coroutine; it cannot be set");
    }
};

// Records that `waiter` waits for `future`, for call graphs only; several times if told so
// several times. Forgotten once `future` is done. Nothing for a handle that names nothing.
void future_add_to_awaited_by(const AnyFuture& future, const AnyFuture& waiter);
// Takes one such record back.
void future_discard_from_awaited_by(const AnyFuture& future, const AnyFuture& waiter) noexcept;

namespace detail {

// Whether A is the handle of a task or future that its owner keeps: then the result is copied
// out of it, where it can be.
template <class A>
inline constexpr bool keeps_result = false;
template <class A>
    requires isfuture_v<std::remove_cvref_t<A>>
inline constexpr bool keeps_result<A&> =
    std::is_copy_constructible_v<typename std::remove_cvref_t<A>::value_type> ||
    std::is_void_v<typename std::remove_cvref_t<A>::value_type>;

// std::forward<As>(value), but an lvalue only where that is to be kept.
template <class As, class A>
decltype(auto) keep_or_move(A& value) noexcept {
    if constexpr (keeps_result<As>) {
        return (value);
    } else {
        return std::move(value);
    }
}

}  // namespace detail

class BaseProtocol;
class BaseTransport;

// What a loop's exception handler is told.
struct ExceptionContext {
    std::string message{};
    std::exception_ptr exception{};  // may be null
    AnyFuture future{};              // the future or task concerned, if any
    Handle handle{};                 // the callback concerned, if any
    std::string source{};            // where it was made, if known: "file:line in function"
    std::shared_ptr<BaseTransport> transport{};  // the connection concerned, if any
    std::shared_ptr<BaseProtocol> protocol{};    // and its protocol
};

template <class T>
Future<T> EventLoop::create_future(std::source_location where) {
    return Future<T>(*this, where);
}

}  // namespace asyncio

template <>
struct std::hash<asyncio::AnyFuture> {
    std::size_t operator()(const asyncio::AnyFuture& future) const noexcept {
        return future.hash();
    }
};
template <class T>
struct std::hash<asyncio::Future<T>> : std::hash<asyncio::AnyFuture> {};
