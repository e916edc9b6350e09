// asyncio/taskgroups.hpp - tasks that end together.
//
//   co_await asyncio::with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
//       group.create_task(fetch(a));
//       group.create_task(fetch(b));
//       co_return;
//   });   // both are done here, or both were cancelled and an ExceptionGroup left
//
// The block ends when every child is done. The first child that fails cancels the others and
// the body; then everything that failed leaves as one ExceptionGroup. Cancelled children are
// no failures. A cancellation from outside cancels the children and goes on.
//
// Thread: loop thread only. Source: Python's asyncio.TaskGroup.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asyncio/coroutines.hpp>
#include <asyncio/exception_group.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

// Entered once. Its address is known to its children: it cannot be moved once entered.
class TaskGroup {
  public:
    TaskGroup() = default;
    TaskGroup(TaskGroup&& other);
    TaskGroup& operator=(TaskGroup&&) = delete;
    ~TaskGroup();

    // Starts a child: a coroutine, or a callable and its arguments, as asyncio::create_task().
    // Throws: RuntimeError before the block, after it, and while the group winds down.
    template <CoroutineLike A>
    auto create_task(A&& coroutine, std::source_location where = std::source_location::current()) {
        return start(detail::as_coroutine(std::forward<A>(coroutine)), nullptr, where);
    }
    template <CoroutineLike A>
    auto create_task(A&& coroutine, TaskOptions options,
                     std::source_location where = std::source_location::current()) {
        return start(detail::as_coroutine(std::forward<A>(coroutine)), &options, where);
    }
    template <class F, class... Args>
        requires CoroutineFunction<F, Args...>
    auto create_task(F&& f, Args&&... args) {
        return start(detail::stored_call(std::forward<F>(f), std::forward<Args>(args)...), nullptr,
                     std::source_location());
    }
    template <class F, class... Args>
        requires CoroutineFunction<F, Args...>
    auto create_task(TaskOptions options, F&& f, Args&&... args) {
        return start(detail::stored_call(std::forward<F>(f), std::forward<Args>(args)...), &options,
                     std::source_location());
    }

    // "<TaskGroup entered tasks=2>".
    [[nodiscard]] std::string repr() const;

    // The two ends of the block; with() calls them.
    // Throws: RuntimeError when entered before, or outside of a task.
    Coroutine<void> aenter();
    Coroutine<bool> aexit(std::exception_ptr error);

  private:
    template <class T>
    Task<T> start(Coroutine<T>&& coroutine, TaskOptions* options, std::source_location where) {
        if (const char* reason = why_closed()) {
            coroutine.close();
            throw RuntimeError(repr() + " " + reason);
        }
        Task<T> task = detail::spawn(*loop_, std::move(coroutine), options, where);
        adopt(task);
        return task;
    }
    // Null when children may be started.
    [[nodiscard]] const char* why_closed() const noexcept;
    void adopt(const AnyTask& task);
    void on_task_done(const AnyTask& task);
    void abort();
    Coroutine<void> wait_for_children(std::exception_ptr& cancellation);

    EventLoop* loop_ = nullptr;
    AnyTask parent_;
    std::unordered_map<AnyTask, DoneCallbackToken> tasks_;
    std::optional<Future<void>> all_done_;
    std::vector<std::exception_ptr> errors_;
    std::vector<AnyTask> failed_;    // keep the tracebacks of the errors
    std::exception_ptr base_error_;  // KeyboardInterrupt or SystemExit
    bool entered_ = false;
    bool exiting_ = false;
    bool aborting_ = false;
    bool parent_cancel_requested_ = false;
};

}  // namespace asyncio
