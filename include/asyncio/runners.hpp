// asyncio/runners.hpp - from main() into the loop and back.
//
//   asyncio::Coroutine<int> program() { co_await asyncio::sleep(1s); co_return 0; }
//   int main() { return asyncio::run(program()); }
//
// run() makes a loop, runs `program` to its end, cancels what is left over and waits for it,
// ends async generators, joins the default executor and closes the loop, in this order.
//
// Ctrl-C, in the main thread: the first cancels the main task, so that it can clean up, and
// then KeyboardInterrupt leaves run(); a second throws KeyboardInterrupt at once; a third
// ends the process, should a callback never return. A program with a SIGINT handler of its
// own keeps it.
//
// Source: Python's asyncio.runners.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include <asyncio/contextvars.hpp>
#include <asyncio/events.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

struct RunnerOptions {
    std::optional<bool> debug = {};  // default: as ASYNCIO_DEBUG says
    // Makes the loop; then it is not installed with set_event_loop().
    std::function<EventLoopPtr()> loop_factory = {};
    Proactor proactor = Proactor::automatic;  // where there is no factory
};

namespace detail {
// As: how the future was given; an lvalue's result stays with it where it can be copied.
template <class As, class F>
auto await_future(F future) -> Coroutine<await_result_t<F>> {
    co_return co_await keep_or_move<As>(future);
}
}  // namespace detail

// A loop for several runs, made at the first. The destructor closes.
class Runner {
  public:
    explicit Runner(RunnerOptions options = {});
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;
    // As close(); what that would throw is logged.
    ~Runner();

    // Runs a coroutine (or a callable and its arguments) in a new task and gives its result;
    // so too a future or task of this loop. All runs share one context unless one is given.
    // Throws: what it throws; KeyboardInterrupt; RuntimeError when closed, and inside a
    // running loop.
    template <CoroutineLike A>
    decltype(auto) run(A&& coroutine, std::optional<Context> context = std::nullopt) {
        prepare();
        TaskOptions options;
        options.context = context ? std::move(*context) : context_;
        return run_task(get_loop().create_task(std::forward<A>(coroutine), std::move(options)));
    }
    template <class A>
        requires isfuture_v<std::remove_cvref_t<A>>
    decltype(auto) run(A&& future, std::optional<Context> context = std::nullopt) {
        prepare();
        return run(detail::await_future<A>(std::remove_cvref_t<A>(std::forward<A>(future))),
                   std::move(context));
    }
    template <class F, class... Args>
        requires CoroutineFunction<F, Args...>
    decltype(auto) run(F&& f, Args&&... args) {
        prepare();
        return run(detail::stored_call(std::forward<F>(f), std::forward<Args>(args)...));
    }

    // Winds everything down, in Python's order. A second call does nothing.
    void close();
    // Made at the first call. Throws: RuntimeError when closed.
    EventLoop& get_loop();

  private:
    enum class State : std::uint8_t { created, initialized, closed };

    template <class T>
    T run_task(Task<T> task) {
        drive(task);
        return std::move(task).result();
    }
    // Throws: RuntimeError inside a running loop, before a coroutine is taken over.
    void prepare();
    void initialize();
    void drive(const AnyTask& main);
    void cancel_all_tasks();

    RunnerOptions options_;
    State state_ = State::created;
    EventLoopPtr loop_;
    std::optional<Context> context_;
};

namespace detail {
template <class... Args>
decltype(auto) run_and_close(RunnerOptions options, Args&&... args) {
    Runner runner(std::move(options));
    if constexpr (std::is_void_v<decltype(runner.run(std::forward<Args>(args)...))>) {
        runner.run(std::forward<Args>(args)...);
        runner.close();
    } else {
        decltype(auto) result = runner.run(std::forward<Args>(args)...);
        runner.close();
        return result;
    }
}
}  // namespace detail

// Runs `program` in a loop of its own.
// Throws: what it throws; KeyboardInterrupt; RuntimeError inside a running loop.
template <CoroutineLike A>
decltype(auto) run(A&& program, RunnerOptions options = {}) {
    return detail::run_and_close(std::move(options), std::forward<A>(program));
}
// run(f, args...): both stored by value until it ends; the form for lambdas.
template <class F, class... Args>
    requires CoroutineFunction<F, Args...>
decltype(auto) run(F&& f, Args&&... args) {
    return detail::run_and_close(RunnerOptions(), std::forward<F>(f), std::forward<Args>(args)...);
}
template <class F, class... Args>
    requires CoroutineFunction<F, Args...>
decltype(auto) run(RunnerOptions options, F&& f, Args&&... args) {
    return detail::run_and_close(std::move(options), std::forward<F>(f),
                                 std::forward<Args>(args)...);
}

}  // namespace asyncio
