// asyncio/tasks.hpp - running coroutines side by side.
//
//   Task<int> task = create_task(square(3));            // scheduled; runs when we await
//   auto [a, b] = co_await gather(square(1), task);     // both, results in order
//   co_await sleep(10ms);
//   task.cancel();                                      // asks: CancelledError at its await
//
// A Task is a handle: copies name the same task. The loop owns the task until it is done;
// dropping every handle neither cancels nor loses it. cancel() asks: CancelledError is thrown
// at the await the task stands at, in the next iteration, and the task is cancelled only if
// its body lets that out.
//
// Thread: loop thread only, except copying and dropping handles, and
// run_coroutine_threadsafe().
//
// Source: Python's asyncio.tasks. See also: waiting.hpp for gather, wait, wait_for, shield
// and as_completed.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdio>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/foreign_detail.hpp>
#include <asyncio/futures.hpp>
#include <asyncio/tasks_detail.hpp>

namespace asyncio {

// One place in a suspended task's chain of awaits.
struct StackFrame {
    std::string function;
    std::string file;
    unsigned line = 0;
};

// What every task can do, whatever its result.
class AnyTask : public AnyFuture {
  public:
    AnyTask() noexcept = default;  // Python's None
    // Private to the library.
    explicit AnyTask(detail::Ref<detail::FutureBase> state) noexcept
        : AnyFuture(std::move(state)) {}

    // Asks the task to end: true unless it is done. Each request adds one to cancelling().
    bool cancel(std::optional<std::string> message = std::nullopt) const {
        return task().cancel(std::move(message));
    }
    // How many requests were made and not withdrawn.
    [[nodiscard]] unsigned cancelling() const { return task().cancelling(); }
    // Withdraws one and returns how many are left. At zero, a cancellation not yet delivered
    // is dropped.
    unsigned uncancel() const { return task().uncancel(); }

    [[nodiscard]] std::string get_name() const { return task().name(); }
    void set_name(std::string name) const { task().set_name(std::move(name)); }
    // Every step runs in it.
    [[nodiscard]] Context get_context() const { return detail::share(task().context()); }
    // The coroutine's frame; null once it is done.
    [[nodiscard]] std::coroutine_handle<> get_coro() const { return task().root(); }
    // Where a suspended task stands, outermost await first; of one that failed, the traceback;
    // empty when done otherwise. `limit` keeps the newest frames of a stack, the oldest of a
    // traceback.
    [[nodiscard]] std::vector<StackFrame> get_stack(
        std::optional<std::size_t> limit = std::nullopt) const;
    // Writes get_stack() in Python's form.
    void print_stack(std::optional<std::size_t> limit = std::nullopt,
                     std::FILE* file = stderr) const;

    template <class F>
    DoneCallbackToken add_done_callback(F&& function, CallOptions options = {}) const {
        return this->template add_callback<AnyTask>(std::forward<F>(function), std::move(options));
    }

  protected:
    [[nodiscard]] detail::TaskBase& task() const { return static_cast<detail::TaskBase&>(state()); }
};

// T: a value, a move-only value, a reference, or void.
template <class T = void>
class Task : public AnyTask {
  public:
    using value_type = T;

    Task() noexcept = default;  // names nothing
    // Private to the library.
    explicit Task(detail::Ref<detail::FutureBase> state) noexcept : AnyTask(std::move(state)) {}

    // A task is a future, on the reading side.
    operator Future<T>() const { return Future<T>(state_); }

    // As Future::result().
    typename detail::SharedResult<T>::type result() const& {
        state().throw_unless_result();
        return detail::slot_of<T>(state()).get();
    }
    T result() && {
        state().throw_unless_result();
        return detail::slot_of<T>(state()).take();
    }

    template <class F>
    DoneCallbackToken add_done_callback(F&& function, CallOptions options = {}) const {
        return this->template add_callback<Task>(std::forward<F>(function), std::move(options));
    }

    // As awaiting a Future; cancelling the one who waits cancels this task.
    detail::FutureAwaiter<T, detail::Take::copy> operator co_await() const& {
        static_cast<void>(state());
        return detail::FutureAwaiter<T, detail::Take::copy>(state_);
    }
    detail::FutureAwaiter<T, detail::Take::move> operator co_await() && {
        static_cast<void>(state());
        return detail::FutureAwaiter<T, detail::Take::move>(state_);
    }
};

struct TaskOptions {
    std::string name = {};                 // default: "Task-N"
    std::optional<Context> context = {};   // shared; default: a copy of the current one
    std::optional<bool> eager_start = {};  // run up to the first suspension inside create_task()
};

// A task that is made but not started: what a task factory is given.
class TaskBuilder {
  public:
    [[nodiscard]] const TaskOptions& options() const noexcept { return options_; }
    // Names what is to run, for logs.
    [[nodiscard]] AnyTask task() const { return AnyTask(task_); }
    // Makes it a task of the loop, once. Throws: RuntimeError the second time.
    AnyTask start(std::optional<bool> eager_start = std::nullopt);

    // Private to the library.
    TaskBuilder(detail::Ref<detail::FutureBase> task, TaskOptions options) noexcept
        : task_(std::move(task)), options_(std::move(options)) {}

  private:
    detail::Ref<detail::FutureBase> task_;
    TaskOptions options_;
};

// A task factory that starts tasks at once: a coroutine that never suspends costs no trip
// through the loop. `loop.set_task_factory(eager_task_factory)`.
AnyTask eager_task_factory(EventLoop& loop, TaskBuilder builder);
// The same around a function of your own, `AnyTask make(TaskBuilder, bool eager_start)`.
template <class Make>
[[nodiscard]] EventLoop::TaskFactory create_eager_task_factory(Make make) {
    return [make = std::move(make)](EventLoop&, TaskBuilder builder) mutable {
        const bool eager = builder.options().eager_start.value_or(true);
        return make(std::move(builder), eager);
    };
}

namespace detail {

// Starts the task, through the loop's factory if it has one; `options` may be null.
void launch(const Ref<FutureBase>& task, TaskOptions* options);
[[noreturn]] void throw_closed_loop(const EventLoop& loop);

template <class T>
Task<T> spawn(EventLoop& loop, Coroutine<T>&& coroutine, TaskOptions* options,
              std::source_location where) {
    if (loop.is_closed()) [[unlikely]] {
        coroutine.close();
        throw_closed_loop(loop);
    }
    auto task =
        Ref<FutureBase>::adopt(new TaskStateOf<T>(loop, coroutine.release_to_await(), where));
    launch(task, options);
    return Task<T>(std::move(task));
}

// Runs a callable that was stored with its arguments. Both live in this frame, so a
// capturing lambda coroutine is safe for as long as it runs; and so does what an argument is
// converted to for the call, which is why that is here and not inside std::invoke().
template <class F, class... Args>
auto call_stored(F function, Args... args)
    -> Coroutine<await_result_t<std::invoke_result_t<F&, Args&&...>>> {
    if constexpr (requires { function(std::move(args)...); }) {
        co_return co_await function(std::move(args)...);
    } else {
        co_return co_await std::invoke(function, std::move(args)...);
    }
}

template <class F, class... Args>
auto stored_call(F&& function, Args&&... args) {
    return call_stored<std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(function),
                                                               std::forward<Args>(args)...);
}

template <class A>
auto await_stored(A awaitable) -> Coroutine<await_result_t<A>> {
    co_return co_await std::move(awaitable);
}

// An awaitable as a coroutine; one that is a coroutine stays where it is, and its frame is
// taken out of it.
template <class T>
Coroutine<T>&& as_coroutine(Coroutine<T>& coroutine) noexcept {
    return std::move(coroutine);
}
template <class T>
Coroutine<T>&& as_coroutine(Coroutine<T>&& coroutine) noexcept {
    return std::move(coroutine);
}
template <class A>
    requires(!iscoroutine_v<std::remove_cvref_t<A>>)
auto as_coroutine(A&& awaitable) {
    return await_stored(std::remove_cvref_t<A>(std::forward<A>(awaitable)));
}

}  // namespace detail

// Schedules `coroutine` on the running loop.
// Throws: RuntimeError when no loop runs here; what made it never-awaited otherwise.
template <CoroutineLike A>
auto create_task(A&& coroutine, std::source_location where = std::source_location::current()) {
    return detail::spawn(get_running_loop(), detail::as_coroutine(std::forward<A>(coroutine)),
                         nullptr, where);
}
template <CoroutineLike A>
auto create_task(A&& coroutine, TaskOptions options,
                 std::source_location where = std::source_location::current()) {
    return detail::spawn(get_running_loop(), detail::as_coroutine(std::forward<A>(coroutine)),
                         &options, where);
}
// Stores `f` and `args` by value in the task, then calls: the form for lambdas.
template <class F>
    requires CoroutineFunction<F>
auto create_task(F&& f, std::source_location where = std::source_location::current()) {
    return detail::spawn(get_running_loop(), detail::stored_call(std::forward<F>(f)), nullptr,
                         where);
}
template <class F>
    requires CoroutineFunction<F>
auto create_task(TaskOptions options, F&& f,
                 std::source_location where = std::source_location::current()) {
    return detail::spawn(get_running_loop(), detail::stored_call(std::forward<F>(f)), &options,
                         where);
}
template <class F, class... Args>
    requires(sizeof...(Args) > 0 && CoroutineFunction<F, Args...>)
auto create_task(F&& f, Args&&... args) {
    return detail::spawn(get_running_loop(),
                         detail::stored_call(std::forward<F>(f), std::forward<Args>(args)...),
                         nullptr, std::source_location());
}
template <class F, class... Args>
    requires(sizeof...(Args) > 0 && CoroutineFunction<F, Args...>)
auto create_task(TaskOptions options, F&& f, Args&&... args) {
    return detail::spawn(get_running_loop(),
                         detail::stored_call(std::forward<F>(f), std::forward<Args>(args)...),
                         &options, std::source_location());
}

// A task or future as it is; a coroutine or other awaitable as a new task of `loop`.
// Throws: ValueError for a future of another loop than `loop`.
template <class T>
Task<T> ensure_future(Task<T> task, EventLoop* loop = nullptr) {
    detail::Ref<detail::FutureBase> state = task.reference();
    if (loop != nullptr && &task.get_loop() != loop) {
        throw ValueError(task.repr() + " belongs to another loop than the one given");
    }
    return task;
}
template <class T>
Future<T> ensure_future(Future<T> future, EventLoop* loop = nullptr) {
    if (loop != nullptr && &future.get_loop() != loop) {
        throw ValueError(future.repr() + " belongs to another loop than the one given");
    }
    return future;
}
template <CoroutineLike A>
auto ensure_future(A&& awaitable, EventLoop* loop = nullptr,
                   std::source_location where = std::source_location::current()) {
    return detail::spawn(loop != nullptr ? *loop : get_event_loop(),
                         detail::as_coroutine(std::forward<A>(awaitable)), nullptr, where);
}

// What sleep() returns. Awaited as an rvalue, or handed to create_task(), gather(), ...
template <class T>
class [[nodiscard]] Sleep {
  public:
    template <class... A>
    explicit Sleep(std::chrono::nanoseconds delay, A&&... result)
        : delay_(delay), result_(std::forward<A>(result)...) {}
    detail::SleepAwaiter<T> operator co_await() && {
        return detail::SleepAwaiter<T>(delay_, std::move(result_));
    }

  private:
    std::chrono::nanoseconds delay_;
    T result_;
};
template <>
class [[nodiscard]] Sleep<void> {
  public:
    explicit Sleep(std::chrono::nanoseconds delay) noexcept : delay_(delay) {}
    detail::SleepAwaiter<void> operator co_await() && { return detail::SleepAwaiter<void>(delay_); }

  private:
    std::chrono::nanoseconds delay_;
};

// Suspends the task for `delay`, any std::chrono duration; zero or less gives up exactly one
// iteration. Gives `result` if there is one.
// Throws: ValueError for NaN.
// Cancellation: the timer goes at once. Complexity: O(1) amortised, no allocation.
template <class Rep, class Period>
Sleep<void> sleep(std::chrono::duration<Rep, Period> delay) {
    return Sleep<void>(detail::to_nanoseconds(delay));
}
// Seconds, as in Python, where sleep(0) is the way to yield.
inline Sleep<void> sleep(int seconds) {
    return Sleep<void>(std::chrono::nanoseconds(std::chrono::seconds(seconds)));
}
template <std::floating_point Seconds>
Sleep<void> sleep(Seconds delay) {
    return Sleep<void>(detail::to_nanoseconds(std::chrono::duration<Seconds>(delay)));
}
template <class Rep, class Period, class T>
Sleep<std::decay_t<T>> sleep(std::chrono::duration<Rep, Period> delay, T&& result) {
    return Sleep<std::decay_t<T>>(detail::to_nanoseconds(delay), std::forward<T>(result));
}

// The task in whose step we are; an empty handle in a plain callback.
// Throws: RuntimeError when no loop runs in this thread.
[[nodiscard]] AnyTask current_task();
[[nodiscard]] AnyTask current_task(EventLoop& loop);
// The tasks of a loop that are not done, in the order they were created.
[[nodiscard]] std::vector<AnyTask> all_tasks();
[[nodiscard]] std::vector<AnyTask> all_tasks(EventLoop& loop);

template <CoroutineLike A>
auto EventLoop::create_task(A&& coroutine, TaskOptions options) {
    return detail::spawn(*this, detail::as_coroutine(std::forward<A>(coroutine)), &options,
                         std::source_location());
}
template <CoroutineLike A>
auto EventLoop::create_task(A&& coroutine) {
    return detail::spawn(*this, detail::as_coroutine(std::forward<A>(coroutine)), nullptr,
                         std::source_location());
}
template <class F, class... Args>
    requires CoroutineFunction<F, Args...>
auto EventLoop::create_task(F&& f, Args&&... args) {
    return detail::spawn(*this,
                         detail::stored_call(std::forward<F>(f), std::forward<Args>(args)...),
                         nullptr, std::source_location());
}
template <class F, class... Args>
    requires CoroutineFunction<F, Args...>
auto EventLoop::create_task(TaskOptions options, F&& f, Args&&... args) {
    return detail::spawn(*this,
                         detail::stored_call(std::forward<F>(f), std::forward<Args>(args)...),
                         &options, std::source_location());
}

namespace detail {
// Throws RuntimeError when this loop or another one runs in this thread.
void check_not_running(const EventLoop& loop);
// Runs the loop until `future` is done.
void run_loop_until(EventLoop& loop, const Ref<FutureBase>& future, bool new_task);
}  // namespace detail

template <class A>
decltype(auto) EventLoop::run_until_complete(A&& awaitable) {
    check_open();
    detail::check_not_running(*this);  // before a coroutine becomes a task
    auto future = ensure_future(std::forward<A>(awaitable), this);
    detail::run_loop_until(*this, future.reference(), CoroutineLike<A>);
    return detail::keep_or_move<A>(future).result();
}

}  // namespace asyncio

template <>
struct std::hash<asyncio::AnyTask> : std::hash<asyncio::AnyFuture> {};
template <class T>
struct std::hash<asyncio::Task<T>> : std::hash<asyncio::AnyFuture> {};
