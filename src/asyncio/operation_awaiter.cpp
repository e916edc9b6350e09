#include "operation_awaiter.hpp"

#include <asyncio/tasks.hpp>

namespace asyncio::detail {

void OperationAwaiter::start(FrameLink frame) {
    task_ = &require_current_task("an operation of the loop");
    if (&task_->loop() != &loop_) {
        throw RuntimeError(task_->repr() + " awaits an operation of a different loop");
    }
    operation_.owner = this;
    operation_.complete = [](Operation& operation, int result, bool more) {
        if (more) return;
        auto& self = *static_cast<OperationAwaiter*>(operation.owner);
        self.result_ = result;
        self.done_ = true;
        self.task_->wake();
    };
    EventLoop::Internals::state(loop_).proactor->submit(operation_);
    task_->suspend(frame, this);
    if (task_->must_cancel()) [[unlikely]]
        task_->hand_on_cancel();
}

int OperationAwaiter::await_resume() {
    task_->throw_if_cancelled(cancelled_);
    if (cancelled_) throw message_ ? CancelledError(*message_) : CancelledError();
    return result_;
}

bool OperationAwaiter::request_cancel(const CancelMessage& message) {
    if (done_ || cancelled_) return false;
    cancelled_ = true;
    message_ = message;
    EventLoop::Internals::state(loop_).proactor->cancel(operation_);
    return true;
}

}  // namespace asyncio::detail
