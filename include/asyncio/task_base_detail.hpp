// asyncio/task_base_detail.hpp - private: what a task is, whatever its result.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

#include <asyncio/coroutines_detail.hpp>
#include <asyncio/events.hpp>
#include <asyncio/futures_detail.hpp>

namespace asyncio::detail {

// The list of a loop's tasks that are not done.
struct TaskLinks {
    TaskLinks* next_task = nullptr;
    TaskLinks* previous_task = nullptr;
};

// A task's place in the ready queue.
struct TaskNode : ReadyNode {};

// A coroutine that the loop runs. The loop holds one reference until it is done, so dropping
// every handle neither cancels nor loses it.
class TaskBase : public FutureBase, private TaskNode, public TaskLinks {
  public:
    bool cancel(CancelMessage message) override;
    [[nodiscard]] std::string repr() const override;

    [[nodiscard]] unsigned cancelling() const noexcept { return cancel_requests_; }
    unsigned uncancel() noexcept;
    [[nodiscard]] std::string name() const;
    void set_name(std::string name);
    [[nodiscard]] ContextSlot& context() noexcept { return context_; }
    void set_context(ContextSlot context) noexcept { context_ = std::move(context); }
    // The innermost frame of a suspended or running task, null once it is done.
    [[nodiscard]] PromiseBase* innermost() const noexcept;
    [[nodiscard]] std::coroutine_handle<> root() const noexcept { return root_; }
    [[nodiscard]] Suspension* waiting_on() const noexcept { return waiting_on_; }
    void silence_destroyed_pending() noexcept { log_destroyed_pending_ = false; }

    // Gives it a name, "Task-1", "Task-2", ... over all loops, as in CPython, and queues its
    // first step.
    void start_plainly() noexcept;
    void name_by_number() noexcept;
    // The latter, or that step here and now.
    // Throws: RuntimeError in debug mode on a thread that is not the loop's.
    void start(bool eager);
    [[nodiscard]] bool started() const noexcept { return started_; }

    void suspend(FrameLink resume_at, Suspension* waiting_on) noexcept {
        resume_at_ = resume_at;
        waiting_on_ = waiting_on;
    }
    void wake() noexcept { loop().ready_.push(&node()); }
    void throw_if_cancelled(bool already_cancelled) {
        if (must_cancel_) [[unlikely]]
            deliver_cancel(already_cancelled);
    }
    // The cancellation that is due, delivered without a throw.
    [[nodiscard]] std::exception_ptr take_cancel();
    [[nodiscard]] bool must_cancel() const noexcept { return must_cancel_; }
    // A cancel that came while running, handed on to what the task now waits for.
    void hand_on_cancel();
    // In debug mode: where the task stands that is asked to end.
    // Throws: RuntimeError on a thread that is not the loop's.
    void note_cancel();
    [[nodiscard]] ReadyNode& node() noexcept { return static_cast<TaskNode&>(*this); }
    static TaskBase& from_node(ReadyNode* node) noexcept {
        return static_cast<TaskBase&>(static_cast<TaskNode&>(*node));
    }
    // Whether a place in the ready queue is a task's, not a handle's.
    [[nodiscard]] static bool owns(const ReadyNode* node) noexcept;
    static void take_step(ReadyNode* node, Turn turn);

    // The loop lets a pending task go: nothing will ever run it again.
    void abandon() noexcept;

  protected:
    TaskBase(EventLoop& loop, std::coroutine_handle<> root, FrameLink start,
             std::source_location where) noexcept
        : FutureBase(loop, where, true), resume_at_(start), root_(root) {
        node().take = &TaskBase::take_first_step;
    }
    ~TaskBase() override {
        if (root_ || (name_ & 1) == 0) [[unlikely]]
            let_go_of_body();
    }
    void report_loss() override;
    [[nodiscard]] bool is_loss() const noexcept override;

    // Takes the outcome out of the finished frame and destroys it. Returns the exception, a
    // CancelledError included.
    virtual std::exception_ptr collect() = 0;

  private:
    friend struct Inspection;
    static void take_first_step(ReadyNode* node, Turn turn);
    void step(std::coroutine_handle<> frame);
    void end_step();
    void finish();
    void let_go_of_body() noexcept;
    void link() noexcept;
    void unlink() noexcept;
    [[nodiscard]] std::exception_ptr make_cancelled_error();
    void deliver_cancel(bool already_cancelled);
    void destroy_frames() noexcept;

    FrameLink resume_at_;
    Suspension* waiting_on_ = nullptr;
    ContextSlot context_;
    std::coroutine_handle<> root_;
    std::int64_t since_ =
        0;  // when it last stopped running, as of the loop's last look at the clock
    std::uintptr_t name_ = 1;  // a number for "Task-N" with the low bit set, or a std::string*
};

[[noreturn]] void throw_outside_of_task(const char* what);

// The task in whose step this thread is.
// Throws: RuntimeError outside of a task; `what` names the operation.
[[nodiscard]] inline TaskBase& require_current_task(const char* what) {
    TaskBase* task = this_thread.task;
    if (task == nullptr) [[unlikely]]
        throw_outside_of_task(what);
    return *task;
}

// For awaiters: suspends until wake_task(); what to resume, and what to ask on a cancel.
inline void suspend_task(TaskBase& task, FrameLink resume_at, Suspension* waiting_on) noexcept {
    task.suspend(resume_at, waiting_on);
}
// Makes a suspended task ready.
inline void wake_task(TaskBase& task) noexcept {
    task.wake();
}
// After a resume: throws CancelledError if one is due. `already_cancelled` says that the
// operation itself ended cancelled, in which case the task's own request is used up by it.
inline void throw_if_cancelled(TaskBase& task, bool already_cancelled) {
    task.throw_if_cancelled(already_cancelled);
}

}  // namespace asyncio::detail
