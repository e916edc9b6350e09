// asyncio/contextlib.hpp - cleanup that awaits.
//
// C++ forbids co_await in destructors and in catch. with() is `async with`: it enters a
// manager, runs a body, and leaves the manager whatever ended the body, cancellation
// included.
//
//   co_await with(open_connection(host, 80), [](Stream& stream) -> Coroutine<void> {
//       co_await stream.write("hello");
//   });                                          // closed, and waited for, here
//
//   co_await with(lock, timeout(5s), [&]() -> Coroutine<void> { ... });   // nested
//   co_await finally(work(), [&] { return disconnect(); });
//
// A manager is any class with two members: `aenter()`, an awaitable whose result, if it has
// one, is what the body gets (else the body gets the manager, or nothing if it takes no
// argument), and `aexit(std::exception_ptr)`, an awaitable of bool or void, told what ended
// the body (null for a normal end): true swallows it, throwing replaces it.
//
// asynccontextmanager() makes one of an async generator with one co_yield.
//
// Source: Python's `async with`, contextlib.
#pragma once

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/async_generator.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

template <class M>
concept AsyncContextManager =
    requires(std::remove_reference_t<M>& manager, std::exception_ptr error) {
        { manager.aenter() } -> Awaitable;
        { manager.aexit(error) } -> Awaitable;
    };

namespace detail {

template <class M>
using entered_t = await_result_t<decltype(std::declval<std::remove_reference_t<M>&>().aenter())>;

// Calls the body with what entering gave, with the manager, or with nothing.
template <class Body, class Value>
decltype(auto) call_body(Body& body, Value& value) {
    if constexpr (std::invocable<Body&, Value&>) {
        return std::invoke(body, value);
    } else {
        static_assert(std::invocable<Body&>,
                      "the body of with() must take what the manager's aenter() gives, the "
                      "manager, or nothing");
        return std::invoke(body);
    }
}

template <class Manager>
Coroutine<bool> leave(Manager& manager, std::exception_ptr error) {
    using Result = await_result_t<decltype(manager.aexit(error))>;
    if constexpr (std::is_void_v<Result>) {
        co_await manager.aexit(error);
        co_return false;
    } else {
        co_return static_cast<bool>(co_await manager.aexit(error));
    }
}

// Ends a block: the outcome of its body, unless the manager swallowed or replaced it.
template <class T, class Manager>
Coroutine<T> end_block(Manager& manager, Outcome<T> outcome) {
    const std::exception_ptr error = outcome.exception();
    const bool swallowed = co_await leave(manager, error);
    if (error && !swallowed) std::rethrow_exception(error);
    if constexpr (!std::is_void_v<T>) {
        if (error) {
            throw RuntimeError(
                "the manager of a with() block swallowed its error, so the block has no value; "
                "let its body return nothing");
        }
        co_return std::move(outcome).value();
    }
}

// What the body is called with: what entering gives, else the manager itself.
template <class M>
using given_t = std::conditional_t<std::is_void_v<entered_t<M>>, std::remove_reference_t<M>,
                                   std::remove_reference_t<entered_t<M>>>;
template <class M, class Body>
using body_result_t =
    await_result_t<decltype(call_body(std::declval<Body&>(), std::declval<given_t<M>&>()))>;

// An lvalue manager is used in place, an rvalue lives in this frame.
template <class M, class Body>
Coroutine<body_result_t<M, Body>> with_one(M manager, Body body) {
    using T = body_result_t<M, Body>;
    if constexpr (std::is_void_v<entered_t<M>>) {
        co_await manager.aenter();
        auto outcome = co_await try_(call_body(body, manager));
        co_return co_await end_block<T>(manager, std::move(outcome));
    } else {
        decltype(auto) given = co_await manager.aenter();
        auto outcome = co_await try_(call_body(body, given));
        co_return co_await end_block<T>(manager, std::move(outcome));
    }
}

// The body with its first argument filled in, for managers inside managers.
template <class Body, class Value>
class WithFirst {
  public:
    WithFirst(Body& body, Value& value) noexcept : body_(&body), value_(&value) {}

    template <class... Rest>
        requires std::invocable<Body&, Value&, Rest&...>
    decltype(auto) operator()(Rest&... rest) const {
        return std::invoke(*body_, *value_, rest...);
    }
    // A body that wants none of them.
    decltype(auto) operator()() const
        requires std::invocable<Body&>
    {
        return std::invoke(*body_);
    }

  private:
    Body* body_;
    Value* value_;
};

}  // namespace detail

// Runs `body` inside `manager`. Both are stored until the end; a manager passed as an lvalue
// is used in place and must outlive the await.
// Throws: what the body or the manager throws. A result of the body is the result.
template <AsyncContextManager M, class Body>
    requires(!AsyncContextManager<Body>)
auto with(M&& manager, Body body) {
    return detail::with_one<M, Body>(std::forward<M>(manager), std::move(body));
}

// Several managers, entered left to right and left right to left. The body takes what each
// gives, in order, or nothing.
template <AsyncContextManager M, AsyncContextManager N, class... Rest>
    requires(sizeof...(Rest) > 0)
auto with(M&& manager, N&& inner, Rest&&... rest) {
    // Lives in the outer block's frame, and with it the inner managers and the body.
    auto nested = [parts = std::tuple<N, Rest...>(
                       std::forward<N>(inner), std::forward<Rest>(rest)...)](auto& value) mutable {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            auto& body = std::get<sizeof...(Rest)>(parts);
            return with(std::get<I>(parts)..., detail::WithFirst(body, value));
        }(std::make_index_sequence<sizeof...(Rest)>());
    };
    return with(std::forward<M>(manager), std::move(nested));
}

// A manager that gives `value`, or nothing, and does nothing.
template <class T = void>
class nullcontext {
  public:
    explicit nullcontext(T value) : value_(std::move(value)) {}
    Coroutine<T&> aenter() { co_return value_; }
    Coroutine<void> aexit(std::exception_ptr) { co_return; }

  private:
    T value_;
};
template <>
class nullcontext<void> {
  public:
    Coroutine<void> aenter() { co_return; }
    Coroutine<void> aexit(std::exception_ptr) { co_return; }
};
nullcontext() -> nullcontext<void>;

namespace detail {

[[noreturn]] void throw_manager_used_twice();
[[noreturn]] void throw_did_not_yield();
[[noreturn]] void throw_did_not_stop(bool after_error);

// Whether a parameter refers to what the argument, stored, is converted to for the call.
template <class Parameter, class Stored>
inline constexpr bool refers_to_converted =
    std::is_reference_v<Parameter> &&
    !std::is_convertible_v<Stored*, const std::remove_cvref_t<Parameter>*>;
template <class Parameter, class T>
inline constexpr bool refers_to_converted<Parameter, std::reference_wrapper<T>> = false;

// How the arguments of a generator function are kept: as they are given, but converted already
// where the function takes a reference to what they are converted to. That would be gone before
// the generator begins.
template <class Signature, class... Args>
struct KeptArguments {
    using type = std::tuple<Args...>;
};
template <class R, class... Parameters, class... Args>
    requires(sizeof...(Parameters) == sizeof...(Args))
struct KeptArguments<std::function<R(Parameters...)>, Args...> {
    using type = std::tuple<std::conditional_t<refers_to_converted<Parameters, Args>,
                                               std::remove_cvref_t<Parameters>, Args>...>;
};

// A manager that runs a generator up to its co_yield and, to leave, to its end. Used once. Keeps
// the function and its arguments, so that a lambda with captures lives as long as what it made.
template <class F, class... Args>
class GeneratorManager {
    using Made = std::invoke_result_t<F&, Args&...>;

  public:
    GeneratorManager(F function, Args... args)
        : function_(std::move(function)), args_(std::move(args)...) {}

    Coroutine<typename Made::value_type> aenter() {
        if (generator_) throw_manager_used_twice();
        generator_.emplace(std::apply(function_, args_));
        auto item = co_await generator_->anext();
        if (!item) throw_did_not_yield();
        co_return std::move(*item);
    }
    Coroutine<bool> aexit(std::exception_ptr error) {
        if (!error) {
            if (!co_await generator_->anext()) co_return false;
        } else {
            const auto step = co_await try_(generator_->athrow(error));
            if (step.exception() == error && !step) co_return false;
            if (!step.value()) co_return true;  // it ended as if nothing had been: swallowed
        }
        co_await generator_->aclose();
        throw_did_not_stop(error != nullptr);
    }

  private:
    F function_;
    typename KeptArguments<typename SignatureOf<F>::type, Args...>::type args_;
    std::optional<Made> generator_;
};

}  // namespace detail

// `function` gives an AsyncGenerator that yields once. The result is called with its arguments
// and gives a manager: what comes before the co_yield enters, what is yielded is given to the
// body, what comes after leaves. An error of the body is thrown at the co_yield; a generator that
// catches it and ends has swallowed it. Function and arguments are copied into each manager.
// The manager throws: RuntimeError for a generator that yields never or twice, and when entered
// twice.
template <class F>
[[nodiscard]] auto asynccontextmanager(F function) {
    return [function = std::move(function)](auto&&... args) {
        return detail::GeneratorManager<F, std::decay_t<decltype(args)>...>(
            function, std::forward<decltype(args)>(args)...);
    };
}

// A manager that gives `thing` and awaits its `aclose()` at the end.
template <class T>
class aclosing {
  public:
    explicit aclosing(T& thing) noexcept : thing_(&thing) {}
    Coroutine<T&> aenter() { co_return *thing_; }
    Coroutine<void> aexit(std::exception_ptr) { co_await thing_->aclose(); }

  private:
    T* thing_;
};

namespace detail {

template <class As, class A, class Cleanup>
auto run_finally(A body, Cleanup cleanup) -> Coroutine<await_result_t<A>> {
    auto outcome = co_await try_(keep_or_move<As>(body));
    co_await std::invoke(cleanup);  // its error replaces the body's
    if constexpr (std::is_void_v<await_result_t<A>>) {
        outcome.value();
    } else {
        co_return std::move(outcome).value();
    }
}

}  // namespace detail

// Awaits `body`, then `cleanup()` whatever the outcome, then gives the outcome. What the
// cleanup throws replaces it, as in Python's `finally`.
template <Awaitable A, class Cleanup>
    requires Awaitable<std::invoke_result_t<std::decay_t<Cleanup>&>>
auto finally(A&& body, Cleanup&& cleanup) {
    return detail::run_finally<A>(std::remove_cvref_t<A>(std::forward<A>(body)),
                                  std::decay_t<Cleanup>(std::forward<Cleanup>(cleanup)));
}

// A stack of things to leave, for when their number is known only at run time. Leaves them
// in the opposite order; each may swallow or replace the error for those below it.
class AsyncExitStack {
  public:
    using Exit = std::function<Coroutine<bool>(std::exception_ptr)>;

    AsyncExitStack() = default;
    AsyncExitStack(AsyncExitStack&&) = default;
    AsyncExitStack& operator=(AsyncExitStack&&) = default;

    // Enters a manager, stores it, and gives what entering gave (or the manager).
    template <AsyncContextManager M>
    auto enter_async_context(M manager) -> Coroutine<
        std::conditional_t<std::is_void_v<detail::entered_t<M>>, M&, detail::entered_t<M>>> {
        auto stored = std::make_shared<M>(std::move(manager));
        if constexpr (std::is_void_v<detail::entered_t<M>>) {
            co_await stored->aenter();
            push_manager(stored);
            co_return *stored;
        } else {
            decltype(auto) value = co_await stored->aenter();
            push_manager(stored);
            co_return static_cast<decltype(value)&&>(value);
        }
    }
    // A scope guard, or whatever else leaves what it is for as it is destroyed: stored until
    // its turn comes.
    template <class T>
    T& enter_context(T object) {
        auto stored = std::make_shared<T>(std::move(object));
        T& result = *stored;
        push([stored](const std::exception_ptr&) { return false; });  // and is then destroyed
        return result;
    }
    // `exit(error)` as an aexit().
    void push_async_exit(Exit exit) { exits_.push_back(std::move(exit)); }
    // The same with a plain function, which gives true to swallow the error.
    void push(std::function<bool(const std::exception_ptr&)> exit) {
        exits_.push_back([exit = std::move(exit)](std::exception_ptr error) {
            return run_exit(exit, std::move(error));
        });
    }
    // `f(args...)`, awaited; it cannot swallow.
    template <class F, class... Args>
        requires CoroutineFunction<F, Args...>
    void push_async_callback(F&& f, Args&&... args) {
        auto call = std::make_shared<std::tuple<std::decay_t<F>, std::decay_t<Args>...>>(
            std::forward<F>(f), std::forward<Args>(args)...);
        exits_.push_back([call](std::exception_ptr) { return run_callback(call); });
    }
    // A plain function.
    template <class F, class... Args>
        requires(std::invocable<std::decay_t<F>&, std::decay_t<Args>&...> &&
                 !CoroutineFunction<F, Args...>)
    void callback(F&& f, Args&&... args) {
        push_async_callback(
            [f = std::decay_t<F>(std::forward<F>(f))](
                std::decay_t<Args>... stored) mutable -> Coroutine<void> {
                std::invoke(f, stored...);
                co_return;
            },
            std::forward<Args>(args)...);
    }
    // Moves everything to a new stack, so that this one leaves nothing.
    [[nodiscard]] AsyncExitStack pop_all() noexcept {
        AsyncExitStack other;
        other.exits_.swap(exits_);
        return other;
    }
    // Leaves everything now.
    Coroutine<void> aclose();

    Coroutine<AsyncExitStack&> aenter() { co_return *this; }
    Coroutine<bool> aexit(std::exception_ptr error);

  private:
    template <class M>
    void push_manager(std::shared_ptr<M> manager) {
        exits_.push_back([manager](std::exception_ptr error) {
            return leave_stored(manager, std::move(error));
        });
    }
    template <class M>
    static Coroutine<bool> leave_stored(std::shared_ptr<M> manager, std::exception_ptr error) {
        co_return co_await detail::leave(*manager, std::move(error));
    }
    static Coroutine<bool> run_exit(std::function<bool(const std::exception_ptr&)> exit,
                                    std::exception_ptr error) {
        co_return exit(error);
    }
    template <class Call>
    static Coroutine<bool> run_callback(std::shared_ptr<Call> call) {
        co_await std::apply(
            [](auto& f, auto&... args) -> Coroutine<void> {
                // As in a task: what an argument is converted to lives here.
                if constexpr (requires { f(args...); }) {
                    co_await f(args...);
                } else {
                    co_await std::invoke(f, args...);
                }
            },
            *call);
        co_return false;
    }

    std::vector<Exit> exits_;
};

}  // namespace asyncio
