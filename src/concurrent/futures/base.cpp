#include <concurrent/futures/base.hpp>

#include <algorithm>

#include <asyncio/log.hpp>
#include <concurrent/futures/executor.hpp>

namespace concurrent::futures {

Error::~Error() = default;
CancelledError::~CancelledError() = default;
InvalidStateError::~InvalidStateError() = default;
BrokenExecutor::~BrokenExecutor() = default;
Executor::~Executor() = default;

namespace detail {

namespace {

bool ended(FutureState state) noexcept {
    return state == FutureState::finished || state == FutureState::cancelled ||
           state == FutureState::cancelled_and_notified;
}

bool is_cancelled(FutureState state) noexcept {
    return state == FutureState::cancelled || state == FutureState::cancelled_and_notified;
}

const char* name_of(FutureState state) noexcept {
    switch (state) {
        case FutureState::pending:
            return "pending";
        case FutureState::running:
            return "running";
        case FutureState::cancelled:
        case FutureState::cancelled_and_notified:
            return "cancelled";
        case FutureState::finished:
            return "finished";
    }
    return "?";
}

}  // namespace

Deadline deadline_after(Limit limit) {
    if (!limit) return std::nullopt;
    const auto now = std::chrono::steady_clock::now();
    if (*limit > std::chrono::steady_clock::time_point::max() - now) return std::nullopt;
    return now + *limit;
}

StateBase::~StateBase() {
    while (callbacks_ != nullptr) delete std::exchange(callbacks_, callbacks_->next);
}

bool StateBase::cancel() {
    {
        const std::lock_guard lock(mutex_);
        if (state_ == FutureState::running || state_ == FutureState::finished) return false;
        if (is_cancelled(state_)) return true;
        state_ = FutureState::cancelled;
        changed_.notify_all();
    }
    run_callbacks();
    return true;
}

FutureState StateBase::state() const {
    const std::lock_guard lock(mutex_);
    return state_;
}
bool StateBase::cancelled() const {
    return is_cancelled(state());
}
bool StateBase::done() const {
    return ended(state());
}

void StateBase::wait(Limit limit) const {
    std::unique_lock lock(mutex_);
    const auto is_done = [this] { return ended(state_); };
    if (const Deadline deadline = is_done() ? std::nullopt : deadline_after(limit)) {
        if (!changed_.wait_until(lock, *deadline, is_done)) throw TimeoutError();
    } else {
        changed_.wait(lock, is_done);
    }
    if (is_cancelled(state_)) throw CancelledError();
}

std::exception_ptr StateBase::exception(Limit limit) const {
    wait(limit);
    return error_;
}

bool StateBase::set_running_or_notify_cancel() {
    const std::lock_guard lock(mutex_);
    if (state_ == FutureState::cancelled) {
        state_ = FutureState::cancelled_and_notified;
        notify_waiters(false);
        return false;
    }
    if (state_ == FutureState::pending) {
        state_ = FutureState::running;
        return true;
    }
    throw asyncio::RuntimeError(std::string("a future that is ") + name_of(state_) +
                                " cannot start to run; an executor starts each once");
}

void StateBase::require_unfinished() const {
    if (ended(state_)) {
        throw InvalidStateError(std::string("the future is ") + name_of(state_) +
                                " already; it takes one result");
    }
}

void StateBase::set_exception(std::exception_ptr error) {
    if (!error) throw asyncio::TypeError("set_exception() needs an exception, not a null pointer");
    std::unique_lock lock(mutex_);
    require_unfinished();
    finish_locked(lock, std::move(error));
}

void StateBase::finish_locked(std::unique_lock<std::mutex>& lock, std::exception_ptr error) {
    error_ = std::move(error);
    state_ = FutureState::finished;
    notify_waiters(error_ != nullptr);
    changed_.notify_all();
    lock.unlock();
    run_callbacks();
}

void StateBase::notify_waiters(bool failed) {
    for (Waiter* waiter : waiters_) waiter->ended(*this, failed);
}

void StateBase::add_done_callback(DoneCallback* callback) {
    {
        const std::lock_guard lock(mutex_);
        if (!ended(state_)) {
            DoneCallback** last = &callbacks_;
            while (*last != nullptr) last = &(*last)->next;
            *last = callback;
            return;
        }
        callback->next = nullptr;
    }
    const std::unique_ptr<DoneCallback> owned(callback);
    try {
        owned->call(*this);
    } catch (...) {
        asyncio::log(asyncio::LogLevel::error,
                     "exception calling a done callback of a concurrent.futures future: " +
                         asyncio::describe_exception(std::current_exception()));
    }
}

void StateBase::run_callbacks() noexcept {
    DoneCallback* callback;
    {
        const std::lock_guard lock(mutex_);
        callback = std::exchange(callbacks_, nullptr);
    }
    while (callback != nullptr) {
        const std::unique_ptr<DoneCallback> owned(callback);
        callback = callback->next;
        try {
            owned->call(*this);
        } catch (...) {
            asyncio::log(asyncio::LogLevel::error,
                         "exception calling a done callback of a concurrent.futures future: " +
                             asyncio::describe_exception(std::current_exception()));
        }
    }
}

bool StateBase::add_waiter(Waiter& waiter) {
    const std::lock_guard lock(mutex_);
    if (state_ == FutureState::finished || state_ == FutureState::cancelled_and_notified) {
        waiter.ended(*this, error_ != nullptr);
        return true;
    }
    waiters_.push_back(&waiter);
    return false;
}

void StateBase::remove_waiter(Waiter& waiter) {
    const std::lock_guard lock(mutex_);
    std::erase(waiters_, &waiter);
}

// ---- waiting for several ------------------------------------------------------------------

void Waiter::ended(StateBase& state, bool failed) {
    const std::lock_guard lock(mutex_);
    ended_.push_back(&state);
    failed_ = failed_ || failed;
    changed_.notify_all();
}

WaitScope::WaitScope(std::vector<StateBase*> states) : states_(std::move(states)) {
    for (StateBase* state : states_) state->add_waiter(waiter_);
}

WaitScope::~WaitScope() {
    for (StateBase* state : states_) state->remove_waiter(waiter_);
}

bool WaitScope::wait(ReturnWhen condition, Deadline deadline) {
    std::unique_lock lock(waiter_.mutex_);
    const auto holds = [&] {
        if (waiter_.ended_.size() == states_.size()) return true;
        if (condition == FIRST_COMPLETED) return !waiter_.ended_.empty();
        return condition == FIRST_EXCEPTION && waiter_.failed_;
    };
    if (deadline) return waiter_.changed_.wait_until(lock, *deadline, holds);
    waiter_.changed_.wait(lock, holds);
    return true;
}

StateBase* WaitScope::next(Deadline deadline) {
    std::unique_lock lock(waiter_.mutex_);
    const auto has_next = [this] { return waiter_.ended_.size() > given_; };
    if (!deadline) {
        waiter_.changed_.wait(lock, has_next);
    } else if (!waiter_.changed_.wait_until(lock, *deadline, has_next)) {
        return nullptr;
    }
    return waiter_.ended_[given_++];
}

void throw_unfinished(std::size_t left, std::size_t total) {
    throw TimeoutError(std::to_string(left) + " (of " + std::to_string(total) +
                       ") futures unfinished");
}

}  // namespace detail

}  // namespace concurrent::futures
