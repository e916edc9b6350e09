#include <asyncio/waiters_detail.hpp>

namespace asyncio::detail {

bool Waiter::request_cancel(const CancelMessage& message) {
    if (phase_ != Phase::waiting) return false;
    message_ = message ? new CancelMessage(message) : nullptr;
    phase_ = Phase::cancelled;
    if (line_ != nullptr) {
        --line_->claims_;
        line_->step_aside(*this);
    }
    task_->wake();
    return true;
}

bool Waiter::leave() noexcept {
    const Phase how = std::exchange(phase_, Phase::idle);
    if (how == Phase::cancelled) delete std::exchange(message_, nullptr);
    if (line_ == nullptr) return false;
    unlink();
    if (how != Phase::cancelled) --line_->claims_;
    return how == Phase::woken;
}

WaitEnd Waiter::end_wait() {
    WaitEnd end;
    end.chosen = phase_ == Phase::woken;
    end.orphaned = line_ == nullptr;
    if (phase_ == Phase::cancelled) {
        task_->throw_if_cancelled(true);  // a later request is used up by this one
        end.error = std::make_exception_ptr(message_ != nullptr ? CancelledError(**message_)
                                                                : CancelledError());
    } else if (task_->must_cancel()) {
        end.error = task_->take_cancel();
    }
    leave();
    return end;
}

void Waiter::finish_unserved() {
    const WaitEnd end = end_wait();
    if (end.error) std::rethrow_exception(end.error);
}

void RetryingWaiter::take_turn(ReadyNode* node, Turn turn) {
    if (turn == Turn::discard) return;
    TaskBase& task = TaskBase::from_node(node);
    node->take = &TaskBase::take_step;
    auto& waiter = static_cast<RetryingWaiter&>(*task.waiting_on());
    if (!task.must_cancel()) {
        if (waiter.line_ == nullptr) {
            waiter.phase_ = Phase::waiting;  // for ever, unless it is cancelled
            return;
        }
        if (waiter.still_blocked()) {
            waiter.unlink();
            waiter.line_->enqueue(waiter);
            return;
        }
    }
    TaskBase::take_step(node, turn);
}

void LoopBinding::throw_other_loop(const char* what) {
    throw RuntimeError(std::string("this ") + what +
                       " is bound to a different event loop, the first on which a task waited "
                       "for it; make one for each loop");
}

std::size_t WaitLine::count() const noexcept {
    std::size_t all = 0;
    for (const WaitLinks* head : {&waiting_, &leaving_}) {
        for (const WaitLinks* link = head->next; link != head; link = link->next) ++all;
    }
    return all;
}

void WaitLine::orphan_all() noexcept {
    for (WaitLinks* head : {&waiting_, &leaving_}) {
        for (WaitLinks* link = head->next; link != head; link = link->next) {
            static_cast<Waiter*>(link)->line_ = nullptr;
        }
    }
}

void throw_orphaned(const char* what) {
    throw RuntimeError(std::string("the ") + what +
                       " that this task waited for was destroyed; keep it until its tasks end");
}

}  // namespace asyncio::detail
