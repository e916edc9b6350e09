#include <concurrent/futures/base.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>

#include <asyncio/log.hpp>
#include <concurrent/futures/executor.hpp>

#include "futex.hpp"

namespace concurrent::futures {

Error::~Error() = default;
CancelledError::~CancelledError() = default;
InvalidStateError::~InvalidStateError() = default;
BrokenExecutor::~BrokenExecutor() = default;
Executor::~Executor() = default;

namespace detail {

// Told of each future that ends, and wakes the one thread that waits when it has enough.
class WaitGroup {
  public:
    explicit WaitGroup(const std::vector<StateBase*>& states);
    WaitGroup(const WaitGroup&) = delete;
    WaitGroup& operator=(const WaitGroup&) = delete;
    ~WaitGroup();

    void ended(WaitNode& node, bool failed) noexcept;
    void wait(Condition condition, Deadline deadline);
    std::optional<std::size_t> next(Deadline deadline);

  private:
    [[nodiscard]] bool enough() const noexcept;
    bool sleep(std::unique_lock<std::mutex>& lock, Deadline deadline);

    std::vector<WaitNode> nodes_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::size_t> ended_;
    std::size_t given_ = 0;
    std::size_t wanted_ = SIZE_MAX;  // so many ended ones are worth a wake-up
    bool failed_ = false;
    bool failure_is_enough_ = false;
};

Deadline deadline_after(Limit limit) {
    if (!limit) return std::nullopt;
    const auto now = std::chrono::steady_clock::now();
    if (*limit > std::chrono::steady_clock::time_point::max() - now) return std::nullopt;
    return now + std::max(*limit, std::chrono::nanoseconds::zero());
}

// ---- the state ----------------------------------------------------------------------------

// Holds the lists of a state.
class StateBase::Lock {
  public:
    // Sets the bits of `marks` as well.
    explicit Lock(StateBase& state, std::uint32_t marks = 0) noexcept : word_(state.word_) {
        for (int tries = 0;; ++tries) {
            std::uint32_t seen = word_.load(std::memory_order_relaxed);
            if ((seen & locked) == 0) {
                if (word_.compare_exchange_weak(seen, seen | locked | marks,
                                                std::memory_order_acquire,
                                                std::memory_order_relaxed)) {
                    return;
                }
            } else if (tries < 50) {
                pause_cpu();
            } else if ((seen & lock_wanted) != 0 ||
                       word_.compare_exchange_weak(seen, seen | lock_wanted,
                                                   std::memory_order_relaxed)) {
                futex_wait(word_, seen | lock_wanted);
            }
        }
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() {
        // Also wakes who waits for the result, if there is one who waits for the lock: rare.
        if ((word_.fetch_and(~(locked | lock_wanted), std::memory_order_release) & lock_wanted) !=
            0) {
            futex_wake_all(word_);
        }
    }

  private:
    std::atomic<std::uint32_t>& word_;
};

StateBase::~StateBase() {
    while (callbacks_ != nullptr) std::exchange(callbacks_, callbacks_->next)->release();
}

// Whoever moves the state on from pending or running does it with one of the following; then
// those who look at the lists under the lock afterwards see the new state, and those who
// looked before have left their mark in `listed` or are still inside.

std::uint32_t StateBase::change(FutureState state) noexcept {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    std::uint32_t next;
    do {
        next = (seen & ~(state_bits | awaited)) | static_cast<std::uint32_t>(state);
    } while (!word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
    if ((seen & awaited) != 0) futex_wake_all(word_);
    return seen;
}

bool StateBase::cancel() {
    std::uint32_t seen = word_.load(std::memory_order_acquire);
    std::uint32_t next;
    do {
        const auto state = static_cast<FutureState>(seen & state_bits);
        if (state != FutureState::pending) {
            return state == FutureState::cancelled || state == FutureState::cancelled_and_notified;
        }
        next = (seen & ~awaited) | static_cast<std::uint32_t>(FutureState::cancelled);
    } while (!word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
    if ((seen & awaited) != 0) futex_wake_all(word_);
    if ((seen & (listed | locked)) != 0) run_callbacks();
    return true;
}

bool StateBase::set_running_or_notify_cancel() {
    std::uint32_t seen = word_.load(std::memory_order_acquire);
    for (;;) {
        const auto state = static_cast<FutureState>(seen & state_bits);
        if (state != FutureState::pending && state != FutureState::cancelled) {
            throw asyncio::RuntimeError(
                describe("cannot start to run: an executor starts each future once"));
        }
        const auto next = state == FutureState::pending ? FutureState::running
                                                        : FutureState::cancelled_and_notified;
        if (word_.compare_exchange_weak(seen,
                                        (seen & ~state_bits) | static_cast<std::uint32_t>(next),
                                        std::memory_order_acq_rel, std::memory_order_acquire)) {
            if (next == FutureState::running) return true;
            if ((seen & (listed | locked)) != 0) tell_waiters();
            return false;
        }
    }
}

FutureState StateBase::claim() {
    std::uint32_t seen = word_.load(std::memory_order_acquire);
    for (;;) {
        const auto state = static_cast<FutureState>(seen & state_bits);
        if (state != FutureState::pending && state != FutureState::running) {
            throw InvalidStateError(describe("takes no other result; make a new future for each"));
        }
        const std::uint32_t next =
            (seen & ~state_bits) | static_cast<std::uint32_t>(FutureState::finishing);
        if (word_.compare_exchange_weak(seen, next, std::memory_order_acquire)) return state;
    }
}

void StateBase::unclaim(FutureState before) noexcept {
    change(before);  // a few are woken in vain
}

void StateBase::publish(FutureState state) {
    const std::uint32_t before = change(state);
    if ((before & (listed | locked)) == 0) return;
    tell_waiters();
    run_callbacks();
}

void StateBase::set_exception(std::exception_ptr error) {
    if (!error) throw asyncio::TypeError("set_exception() needs an exception, not a null pointer");
    claim();
    error_ = std::move(error);
    publish(FutureState::finished);
}

void StateBase::wait(Limit limit) const {
    std::uint32_t seen = word_.load(std::memory_order_acquire);
    const auto ended = [&seen] {
        return static_cast<FutureState>(seen & state_bits) >= FutureState::cancelled;
    };
    if (!ended()) {
        if (limit && *limit <= Limit::value_type::zero()) throw TimeoutError();
        const Deadline deadline = deadline_after(limit);
        while (!ended()) {
            if ((seen & awaited) == 0 &&
                !word_.compare_exchange_weak(seen, seen | awaited, std::memory_order_acquire)) {
                continue;
            }
            const bool in_time = futex_wait(word_, seen | awaited, deadline);
            seen = word_.load(std::memory_order_acquire);
            if (!in_time && !ended()) throw TimeoutError();
        }
    }
    if (static_cast<FutureState>(seen & state_bits) != FutureState::finished) {
        throw CancelledError();
    }
}

std::exception_ptr StateBase::exception(Limit limit) const {
    wait(limit);
    return error_;
}

void StateBase::wait_for_value(Limit limit) const {
    wait(limit);
    if (error_) std::rethrow_exception(error_);
}

std::string StateBase::describe(const char* what) const {
    const char* name = cancelled() ? "cancelled" : done() ? "finished" : "running";
    return std::string("a future that is ") + name + ' ' + what;
}

// ---- who is told --------------------------------------------------------------------------

void StateBase::add_done_callback(DoneCallback* callback) {
    {
        const Lock lock(*this, listed);
        if (!done()) {
            callback->next = callbacks_;
            callbacks_ = callback;
            return;
        }
    }
    call_back(callback);
}

void StateBase::run_callbacks() noexcept {
    DoneCallback* last_first;
    {
        const Lock lock(*this);
        last_first = std::exchange(callbacks_, nullptr);
    }
    DoneCallback* first = nullptr;
    while (last_first != nullptr) {
        DoneCallback* const callback = last_first;
        last_first = std::exchange(callback->next, first);
        first = callback;
    }
    while (first != nullptr) call_back(std::exchange(first, first->next));
}

void StateBase::call_back(DoneCallback* callback) noexcept {
    try {
        callback->call(*this);
    } catch (...) {
        asyncio::log(asyncio::LogLevel::error,
                     "exception calling a done callback of a concurrent.futures future: " +
                         asyncio::describe_exception(std::current_exception()));
    }
    callback->release();
}

// Told under the lock of the state, so that whoever removes a node under it knows that
// nobody looks at the node any more.

bool StateBase::add_waiter(WaitNode& node) {
    const Lock lock(*this, listed);
    if (noticed()) return true;
    node.next = waiters_;
    node.place = &waiters_;
    if (waiters_ != nullptr) waiters_->place = &node.next;
    waiters_ = &node;
    return false;
}

void StateBase::remove_waiter(WaitNode& node) noexcept {
    const Lock lock(*this);
    if (node.place == nullptr) return;
    *node.place = node.next;
    if (node.next != nullptr) node.next->place = node.place;
    node.place = nullptr;
}

void StateBase::tell_waiters() noexcept {
    const Lock lock(*this);
    while (waiters_ != nullptr) {
        WaitNode& node = *std::exchange(waiters_, waiters_->next);
        node.place = nullptr;
        node.group->ended(node, failed());
    }
}

// ---- waiting for several ------------------------------------------------------------------

WaitGroup::WaitGroup(const std::vector<StateBase*>& states) : nodes_(states.size()) {
    ended_.reserve(states.size());
    for (std::size_t i = 0; i < states.size(); ++i) {
        WaitNode& node = nodes_[i];
        node.group = this;
        node.state = states[i];
        if (node.state->add_waiter(node)) ended(node, node.state->failed());
    }
}

WaitGroup::~WaitGroup() {
    for (WaitNode& node : nodes_) {
        if (node.state != nullptr) node.state->remove_waiter(node);
    }
}

void WaitGroup::ended(WaitNode& node, bool failed) noexcept {
    const std::lock_guard lock(mutex_);
    ended_.push_back(static_cast<std::size_t>(&node - nodes_.data()));
    failed_ = failed_ || failed;
    // Under the lock: next() lets go of the future, and then nothing else holds up whoever was
    // woken from ending this group.
    if (enough()) changed_.notify_one();
}

bool WaitGroup::enough() const noexcept {
    return ended_.size() >= wanted_ || (failed_ && failure_is_enough_);
}

bool WaitGroup::sleep(std::unique_lock<std::mutex>& lock, Deadline deadline) {
    const auto woken = [this] { return enough(); };
    if (deadline) return changed_.wait_until(lock, *deadline, woken);
    changed_.wait(lock, woken);
    return true;
}

void WaitGroup::wait(Condition condition, Deadline deadline) {
    std::unique_lock lock(mutex_);
    wanted_ = nodes_.size();
    if (condition == Condition::first_completed) wanted_ = std::min<std::size_t>(wanted_, 1);
    failure_is_enough_ = condition == Condition::first_exception;
    sleep(lock, deadline);
}

std::optional<std::size_t> WaitGroup::next(Deadline deadline) {
    std::unique_lock lock(mutex_);
    wanted_ = given_ + 1;
    if (!sleep(lock, deadline)) return std::nullopt;
    const std::size_t index = ended_[given_++];
    nodes_[index].state = nullptr;  // the caller may let go of it
    return index;
}

Waiting::Waiting(const std::vector<StateBase*>& states)
    : group_(std::make_unique<WaitGroup>(states)) {}
Waiting::Waiting(Waiting&& other) noexcept = default;
Waiting& Waiting::operator=(Waiting&& other) noexcept = default;
Waiting::~Waiting() = default;

void Waiting::wait(Condition condition, Deadline deadline) {
    if (condition > Condition::all_completed) {
        throw asyncio::ValueError(
            "return_when must be FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED");
    }
    group_->wait(condition, deadline);
}
std::optional<std::size_t> Waiting::next(Deadline deadline) {
    return group_->next(deadline);
}

std::vector<bool> repeated(const std::vector<StateBase*>& states) {
    std::vector<std::pair<StateBase*, std::size_t>> sorted;
    sorted.reserve(states.size());
    for (StateBase* state : states) sorted.emplace_back(state, sorted.size());
    std::ranges::sort(sorted);
    std::vector<bool> again;
    for (std::size_t i = 1; i < sorted.size(); ++i) {
        if (sorted[i].first != sorted[i - 1].first) continue;
        again.resize(states.size());
        again[sorted[i].second] = true;
    }
    return again;
}

void throw_unfinished(std::size_t left, std::size_t total) {
    throw TimeoutError(std::to_string(left) + " (of " + std::to_string(total) +
                       ") futures unfinished");
}

void report_worker_error() noexcept {
    asyncio::log(asyncio::LogLevel::critical,
                 "exception in a worker of an executor: " +
                     asyncio::describe_exception(std::current_exception()));
}

void throw_moved_from() {
    throw asyncio::RuntimeError("this handle to a future was moved from; use the one it went to");
}

}  // namespace detail
}  // namespace concurrent::futures
