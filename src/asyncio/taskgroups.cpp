#include <asyncio/taskgroups.hpp>

#include <asyncio/futures.hpp>
#include <asyncio/outcome.hpp>

namespace asyncio {

namespace {

bool is_base_error(const std::exception_ptr& error) noexcept {
    return holds_exception<KeyboardInterrupt>(error) || holds_exception<SystemExit>(error);
}

}  // namespace

TaskGroup::TaskGroup(TaskGroup&& other) {
    if (other.entered_) throw RuntimeError(other.repr() + " cannot be moved: it is in use");
}

TaskGroup::~TaskGroup() {
    // Only where the block was abandoned: its children must not call back into nothing.
    for (const auto& [task, token] : tasks_) task.remove_done_callback(token);
}

std::string TaskGroup::repr() const {
    std::string text = "<TaskGroup";
    if (!tasks_.empty()) text += " tasks=" + std::to_string(tasks_.size());
    if (!errors_.empty()) text += " errors=" + std::to_string(errors_.size());
    if (aborting_) {
        text += " cancelling";
    } else if (entered_) {
        text += " entered";
    }
    return text + ">";
}

const char* TaskGroup::why_closed() const noexcept {
    if (!entered_) return "has not been entered; use with()";
    if (exiting_ && tasks_.empty()) return "is finished";
    if (aborting_) return "is shutting down";
    return nullptr;
}

Coroutine<void> TaskGroup::aenter() {
    if (entered_) throw RuntimeError(repr() + " has already been entered");
    loop_ = &get_running_loop();
    parent_ = current_task();
    if (!parent_) throw RuntimeError(repr() + " must be entered inside a task");
    entered_ = true;
    co_return;
}

// Through a callback even for a child that is done already: its error must not cancel the
// parent in the middle of create_task().
void TaskGroup::adopt(const AnyTask& task) {
    const auto [entry, added] = tasks_.emplace(task, DoneCallbackToken{});
    if (!added) return;
    future_add_to_awaited_by(task, parent_);
    entry->second = task.add_done_callback([this](const AnyTask& done) { on_task_done(done); });
}

void TaskGroup::abort() {
    aborting_ = true;
    // A cancelled child may end others: walk over a copy.
    std::vector<AnyTask> tasks;
    tasks.reserve(tasks_.size());
    for (const auto& entry : tasks_) tasks.push_back(entry.first);
    for (const AnyTask& task : tasks) task.cancel();
}

void TaskGroup::on_task_done(const AnyTask& task) {
    tasks_.erase(task);
    if (all_done_ && tasks_.empty() && !all_done_->done()) all_done_->set_result();
    if (task.cancelled()) return;
    std::exception_ptr error = task.exception();
    if (!error) return;
    errors_.push_back(error);
    failed_.push_back(task);
    if (!base_error_ && is_base_error(error)) base_error_ = error;
    if (parent_.done()) {
        ExceptionContext context;
        context.message =
            task.repr() + " failed but its parent " + parent_.repr() + " is already done";
        context.exception = error;
        context.future = task;
        loop_->call_exception_handler(context);
        return;
    }
    if (!aborting_ && !parent_cancel_requested_) {
        abort();
        parent_cancel_requested_ = true;
        parent_.cancel();
    }
}

Coroutine<void> TaskGroup::wait_for_children(std::exception_ptr& cancellation) {
    while (!tasks_.empty()) {
        all_done_ = loop_->create_future();
        const Outcome<void> woken = co_await try_(*all_done_);
        all_done_.reset();
        if (woken || aborting_) continue;
        cancellation = woken.exception();
        abort();
    }
}

Coroutine<bool> TaskGroup::aexit(std::exception_ptr error) {
    exiting_ = true;
    if (error && !base_error_ && is_base_error(error)) base_error_ = error;
    const bool body_cancelled = holds_exception<CancelledError>(error);
    std::exception_ptr cancellation = body_cancelled ? error : nullptr;
    if (error && !aborting_) abort();
    co_await wait_for_children(cancellation);
    const AnyTask parent = std::move(parent_);
    if (base_error_) std::rethrow_exception(base_error_);
    if (parent_cancel_requested_ && parent.uncancel() == 0) {
        // The cancellation that we sent is withdrawn; it is nobody else's business.
        cancellation = nullptr;
    }
    if (cancellation && errors_.empty()) std::rethrow_exception(cancellation);
    if (error && !body_cancelled) errors_.push_back(error);
    if (errors_.empty()) co_return true;
    if (parent.cancelling() > 0) {
        // A cancellation from outside is not lost: the parent's next await gets it.
        parent.uncancel();
        parent.cancel();
    }
    std::rethrow_exception(
        make_exception_group("unhandled errors in a TaskGroup", std::move(errors_)));
}

}  // namespace asyncio
