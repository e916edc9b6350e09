#include <asyncio/futures.hpp>

#include <vector>

#include <asyncio/tasks_detail.hpp>

#include "awaited_by.hpp"
#include "describe.hpp"
#include "loop_state.hpp"
#include "traceback_state.hpp"

namespace asyncio {

namespace detail {

void FutureBase::let_go_of_all() noexcept {
    while (DoneNode* node = waiters_.pop_front()) node->abandon();
    if (has_traceback_) forget_traceback(*this);
}

void FutureBase::dispose_of_loss() noexcept {
    if (!is_loss()) {
        delete this;
        return;
    }
    const Ref<FutureBase> alive_again(this);
    try {
        report_loss();
    } catch (...) {
        // KeyboardInterrupt out of a handler cannot leave a destructor.
    }
}

void FutureBase::report_loss() {
    report_exception_ = false;
    call_handler("Future exception was never retrieved");
}

void FutureBase::call_handler(std::string message) {
    ExceptionContext context;
    context.message = std::move(message);
    context.exception = exception_;
    context.source = place_text(created);
    context.future = AnyFuture(Ref<FutureBase>(this));
    loop().call_exception_handler(context);
}

bool FutureBase::cancel(CancelMessage message) {
    report_exception_ = false;
    if (done()) return false;
    set_message(std::move(message));
    finish_cancelled(nullptr);
    return true;
}

std::string FutureBase::repr() const {
    switch (state_) {
        case FutureState::pending:
            return "<Future pending>";
        case FutureState::cancelled:
            return "<Future cancelled>";
        case FutureState::finished:
            break;
    }
    return exception_ ? "<Future finished exception=" + describe_exception(exception_) + ">"
                      : "<Future finished>";
}

void FutureBase::throw_error() {
    if (state_ == FutureState::pending) {
        throw InvalidStateError("the result of " + repr() + " is not set yet; await it first");
    }
    report_exception_ = false;
    if (has_traceback_) resume_traceback(*this, exception_);
    std::rethrow_exception(cancelled() ? cancelled_error() : exception_);
}

std::exception_ptr FutureBase::exception() {
    if (state_ == FutureState::pending) {
        throw InvalidStateError("the exception of " + repr() + " is not set yet; await it first");
    }
    report_exception_ = false;
    if (cancelled()) std::rethrow_exception(cancelled_error());
    return exception_;
}

std::exception_ptr FutureBase::cancelled_error() const {
    if (exception_) return exception_;
    const CancelMessage* text = cancel_message_.get();
    return std::make_exception_ptr(text && *text ? CancelledError(**text) : CancelledError());
}

std::exception_ptr FutureBase::take_error() {
    report_exception_ = false;
    if (has_traceback_) resume_traceback(*this, exception_);
    return cancelled() ? cancelled_error() : exception_;
}

void FutureBase::set_message(CancelMessage message) {
    if (message) {
        cancel_message_ = std::make_unique<CancelMessage>(std::move(message));
    } else {
        cancel_message_.reset();
    }
}

void FutureBase::require_settable(const char* operation) const {
    EventLoop::Internals::check_thread(loop());
    if (done()) {
        throw InvalidStateError(std::string(operation) + " on " + repr() +
                                ": it is done already; ask done() first");
    }
}

void FutureBase::set_exception(std::exception_ptr error) {
    require_pending("set_exception()");
    if (!error) throw TypeError("set_exception() needs an exception, not a null pointer");
    finish_with_error(std::move(error));
}

void FutureBase::finish_with_error(std::exception_ptr error) noexcept {
    exception_ = std::move(error);
    state_ = FutureState::finished;
    report_exception_ = !error_forgiven_;
    has_traceback_ = keep_traceback(*this, exception_);
    schedule_callbacks();
}

void FutureBase::finish_cancelled(std::exception_ptr error) noexcept {
    exception_ = std::move(error);
    state_ = FutureState::cancelled;
    schedule_callbacks();
}

void FutureBase::schedule_callbacks() noexcept {
    while (DoneNode* node = waiters_.pop_front()) node->fire(*this);
}

// ---- done callbacks -----------------------------------------------------------------------

void DoneHandle::fire(FutureBase& future) noexcept {
    future_ = Ref<FutureBase>(&future);
    HandleState& self = *this;
    // The list's reference becomes the ready queue's.
    EventLoop::Internals::ready(loop()).push(&self);
}

std::uint64_t add_done_callback(FutureBase& future, Ref<DoneHandle> handle) {
    static constinit std::atomic<std::uint64_t> next{1};
    if (future.loop().is_closed() && future.done()) {
        throw RuntimeError("the event loop is closed");
    }
    const std::uint64_t token = next.fetch_add(1, std::memory_order_relaxed);
    handle->token = token;
    DoneHandle* node = handle.detach();
    if (future.done()) {
        node->fire(future);
    } else {
        future.add_waiter(node);
    }
    return token;
}

namespace {

// Gives up the list's reference.
void remove_from_list(DoneHandle& handle) noexcept {
    DoneList::unlink(&handle);
    handle.abandon();
}

}  // namespace

std::size_t remove_done_callback(FutureBase& future, std::uint64_t token) noexcept {
    DoneList& waiters = future.waiters();
    for (DoneNode* node = waiters.first(); node != nullptr; node = waiters.after(node)) {
        auto* handle = dynamic_cast<DoneHandle*>(node);
        if (handle == nullptr || handle->token != token) continue;
        remove_from_list(*handle);
        return 1;
    }
    return 0;
}

std::size_t remove_done_callbacks(FutureBase& future, const void* function,
                                  const std::type_info& type) {
    // Over a copy: comparing, and destroying what was removed, run code of the program, which
    // may change the list, or complete the future.
    const Ref<FutureBase> keep(&future);
    std::vector<Ref<DoneHandle>> handles;
    DoneList& waiters = future.waiters();
    for (DoneNode* node = waiters.first(); node != nullptr; node = waiters.after(node)) {
        if (auto* handle = dynamic_cast<DoneHandle*>(node)) handles.emplace_back(handle);
    }
    std::size_t removed = 0;
    for (const Ref<DoneHandle>& handle : handles) {
        const DoneNode& node = *handle;
        const auto is_listed = [&node] { return node.next != nullptr; };
        if (!is_listed() || !handle->equals(function, type) || !is_listed()) continue;
        remove_from_list(*handle);
        ++removed;
    }
    return removed;
}

}  // namespace detail

void future_add_to_awaited_by(const AnyFuture& future, const AnyFuture& waiter) {
    if (!future || !waiter || future.done()) return;
    future.state().add_waiter(new detail::AwaitedBy(waiter.reference()));
}

void future_discard_from_awaited_by(const AnyFuture& future, const AnyFuture& waiter) noexcept {
    if (!future || !waiter) return;
    detail::DoneList& waiters = future.state().waiters();
    for (detail::DoneNode* node = waiters.first(); node; node = waiters.after(node)) {
        auto* record = dynamic_cast<detail::AwaitedBy*>(node);
        if (record == nullptr || record->waiter() != &waiter.state()) continue;
        detail::DoneList::unlink(record);
        record->abandon();
        return;
    }
}

void AnyFuture::throw_empty() {
    throw RuntimeError("this handle names no future: it was moved from or never assigned");
}

}  // namespace asyncio
