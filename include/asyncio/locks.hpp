// asyncio/locks.hpp - tasks of one loop that wait for one another.
//
//   asyncio::Lock lock;
//   {
//       auto guard = co_await lock.scoped();          // released at the end of the block
//       co_await change(shared);
//   }
//   co_await with(lock, [&]() -> Coroutine<void> { ... });    // `async with lock:`
//
//   co_await event.wait();
//   auto guard = co_await condition.scoped();
//   co_await condition.wait_for([&] { return ready; });
//   auto permit = co_await semaphore.scoped();
//   std::size_t index = co_await barrier.wait();
//
// Waiters are served in the order in which they came. A cancelled wait loses nothing: who was
// chosen already hands the wake-up on. Nothing here is copied or moved, and what tasks use
// must outlive them; a task that waits at something destroyed waits until it is cancelled.
//
// Waiting allocates nothing, and what need not wait does not leave the task's step. Every
// operation is O(1) but those that wake many.
//
// Thread: loop thread only; see to_thread() for locks between threads. Each object belongs to
// the first loop on which a task had to wait for it: RuntimeError on any other.
//
// Source: Python's asyncio.locks.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <asyncio/coroutines.hpp>
#include <asyncio/exceptions.hpp>
#include <asyncio/waiters_detail.hpp>

namespace asyncio {

namespace detail {

// A guard's release failed: somebody had released what it held. Tells the exception handler.
void report_failed_release() noexcept;

}  // namespace detail

// Gives back at the end of its scope what `co_await lock.scoped()` took.
template <class L>
class [[nodiscard]] LockGuard {
  public:
    explicit LockGuard(L& lock) noexcept : lock_(&lock) {}
    LockGuard(LockGuard&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
    LockGuard& operator=(LockGuard&& other) noexcept {
        LockGuard old(std::move(*this));
        lock_ = std::exchange(other.lock_, nullptr);
        return *this;
    }
    ~LockGuard() {
        if (lock_ == nullptr) return;
        try {
            lock_->release();
        } catch (...) {
            detail::report_failed_release();
        }
    }
    // Earlier than the end of the scope. Throws: as the lock's release().
    void release() {
        if (L* lock = std::exchange(lock_, nullptr)) lock->release();
    }

  private:
    L* lock_;
};

namespace detail {

// L: something with places to take, and a line to wait in.
template <class L, class Result>
class AcquireAwaiter final : public Waiter {
  public:
    explicit AcquireAwaiter(L& lock) noexcept : lock_(lock) {}
    ~AcquireAwaiter() {
        if (!idle()) [[unlikely]] {
            if (leave()) lock_.pass_on_unused();
        }
    }
    [[nodiscard]] bool await_ready() noexcept { return lock_.take_if_free(); }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        lock_.line_.wait(*this, FrameLink(frame), lock_.loop_, L::name);
    }
    Result await_resume() {
        if constexpr (std::same_as<Result, WaitEnd>) {
            return idle() ? WaitEnd() : L::end_wait(lock_, *this);
        } else {
            if (!idle()) {
                if (served()) [[likely]] {
                    lock_.take_served();
                } else {
                    L::fail_unserved(lock_, *this);
                }
            }
            if constexpr (std::same_as<Result, bool>) {
                return true;
            } else if constexpr (!std::is_void_v<Result>) {
                return Result(lock_);
            }
        }
    }

  private:
    L& lock_;
};

// What acquire() and scoped() give. Result: bool, void, a LockGuard, or a WaitEnd, which also
// holds a cancellation instead of throwing it.
template <class L, class Result>
class [[nodiscard]] Acquire {
  public:
    explicit Acquire(L& lock) noexcept : lock_(&lock) {}
    AcquireAwaiter<L, Result> operator co_await() const noexcept {
        return AcquireAwaiter<L, Result>(*lock_);
    }

  private:
    L* lock_;
};

}  // namespace detail

// Only one task at a time. Not reentrant, and not tied to the task that took it: any task may
// release it.
class Lock {
  public:
    Lock() = default;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

    // Waits until it is free, takes it, and gives true. Fair: while others wait, a newcomer
    // queues behind them, even if the lock is free at that moment.
    // Cancellation: safe; the lock is not taken.
    [[nodiscard]] auto acquire() noexcept { return detail::Acquire<Lock, bool>(*this); }
    // The same, and gives a LockGuard.
    [[nodiscard]] auto scoped() noexcept { return detail::Acquire<Lock, LockGuard<Lock>>(*this); }
    // Wakes who has waited longest; that task takes the lock when it runs.
    // Throws: RuntimeError when it is not locked.
    void release() {
        if (!line_.let_go_if_unclaimed()) release_to_next();
    }
    [[nodiscard]] bool locked() const noexcept { return line_.held(); }

    [[nodiscard]] auto aenter() noexcept { return detail::Acquire<Lock, void>(*this); }
    Coroutine<void> aexit(std::exception_ptr error);
    // "<Lock [locked, waiters:2]>"
    [[nodiscard]] std::string repr() const;

  private:
    template <class, class>
    friend class detail::AcquireAwaiter;
    static constexpr const char* name = "Lock";

    bool take_if_free() noexcept { return line_.hold_if_unclaimed(); }
    void take_served() noexcept { line_.hold(); }
    // Static, because the lock may be gone.
    static detail::WaitEnd end_wait(Lock& lock, detail::Waiter& waiter);
    [[noreturn]] static void fail_unserved(Lock& lock, detail::Waiter& waiter);
    void pass_on_unused() noexcept {
        if (!locked()) line_.wake_first_in_place();
    }
    void release_to_next();

    // TRICKY: with kept places, because CPython wakes nobody while the first in line was woken
    // or cancelled and has not run yet; that task then wakes the next.
    detail::WaitLine line_{detail::WaitLine::Places::kept};
    detail::LoopBinding loop_;
};

// A flag to wait for. It stays set until clear().
class Event {
  public:
    class Wait;

    Event() = default;
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    // Gives true once the flag is set: at once if it is, else as soon as set() was called,
    // whatever happens to the flag after that.
    // Cancellation: safe.
    [[nodiscard]] inline Wait wait() noexcept;
    // Wakes everybody. Complexity: O(waiters).
    void set() noexcept {
        set_ = true;
        while (line_.has_waiting()) line_.wake_first_and_forget();
    }
    void clear() noexcept { set_ = false; }
    [[nodiscard]] bool is_set() const noexcept { return set_; }
    // "<Event [unset, waiters:2]>"
    [[nodiscard]] std::string repr() const;

  private:
    class Awaiter final : public detail::Waiter {
      public:
        explicit Awaiter(Event& event) noexcept : event_(event) {}
        [[nodiscard]] bool await_ready() const noexcept { return event_.set_; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> frame) {
            event_.line_.wait(*this, detail::FrameLink(frame), event_.loop_, "Event");
        }
        bool await_resume() {
            if (!idle()) finish_signal();
            return true;
        }

      private:
        Event& event_;
    };

    bool set_ = false;
    detail::WaitLine line_;
    detail::LoopBinding loop_;
};

class [[nodiscard]] Event::Wait {
  public:
    explicit Wait(Event& event) noexcept : event_(&event) {}
    auto operator co_await() const noexcept { return Awaiter(*event_); }

  private:
    Event* event_;
};

inline Event::Wait Event::wait() noexcept {
    return Wait(*this);
}

// A lock, and tasks that wait until whoever holds it says that something changed.
class Condition {
  public:
    // Over a lock of its own.
    Condition() noexcept : lock_(&own_) {}
    // Over `lock`, which must outlive it; several conditions may share one.
    explicit Condition(Lock& lock) noexcept : lock_(&lock) {}
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;

    [[nodiscard]] auto acquire() noexcept { return lock_->acquire(); }
    [[nodiscard]] auto scoped() noexcept { return lock_->scoped(); }
    void release() { lock_->release(); }
    [[nodiscard]] bool locked() const noexcept { return lock_->locked(); }

    // Releases the lock, waits for a notification, takes the lock again, and gives true. May
    // return without a reason: check what you wait for, or use wait_for().
    // Throws: RuntimeError when the lock is not held.
    // Cancellation: CancelledError leaves only once the lock is held again; a notification
    // that came is passed on.
    Coroutine<bool> wait();
    // wait() until `predicate()` is true; gives what it gave. The lock is held at each call.
    template <class Predicate>
        requires std::invocable<Predicate&>
    auto wait_for(Predicate predicate)
        -> Coroutine<std::decay_t<std::invoke_result_t<Predicate&>>> {
        for (;;) {
            std::decay_t<std::invoke_result_t<Predicate&>> result = std::invoke(predicate);
            if (result) co_return result;
            co_await wait();
        }
    }
    // Wakes up to `n` waiters, oldest first. They go on one by one once the lock is released.
    // Throws: RuntimeError when the lock is not held.
    void notify(std::ptrdiff_t n = 1);
    void notify_all() { notify(std::numeric_limits<std::ptrdiff_t>::max()); }

    [[nodiscard]] auto aenter() noexcept { return lock_->aenter(); }
    Coroutine<void> aexit(std::exception_ptr error) { return lock_->aexit(std::move(error)); }
    // "<Condition [locked, waiters:2]>"
    [[nodiscard]] std::string repr() const;

  private:
    struct Notification;
    class NotificationAwaiter;

    void wake(std::ptrdiff_t n) noexcept;

    Lock own_;
    Lock* lock_;
    detail::WaitLine line_;
    detail::LoopBinding loop_;
};

// A number of permits.
class Semaphore {
  public:
    // Throws: ValueError when negative.
    explicit Semaphore(std::ptrdiff_t value = 1)
        : Semaphore(value, std::numeric_limits<std::size_t>::max()) {}
    Semaphore(const Semaphore&) = delete;
    Semaphore& operator=(const Semaphore&) = delete;

    // Waits for a permit, takes it, and gives true. Fair, as Lock.
    // Cancellation: safe; no permit is taken, and one already granted goes to the next.
    [[nodiscard]] auto acquire() noexcept { return detail::Acquire<Semaphore, bool>(*this); }
    // The same, and gives a LockGuard.
    [[nodiscard]] auto scoped() noexcept {
        return detail::Acquire<Semaphore, LockGuard<Semaphore>>(*this);
    }
    // One more permit; it is reserved for who has waited longest.
    // Throws: ValueError for one too many of a BoundedSemaphore.
    void release() {
        if (value_ >= bound_) [[unlikely]]
            throw_too_many();
        ++value_;
        if (line_.has_waiting()) grant();
    }
    // Whether acquire() would wait: nothing left, or others are before us.
    [[nodiscard]] bool locked() const noexcept { return value_ == 0 || line_.live() != 0; }

    [[nodiscard]] auto aenter() noexcept { return detail::Acquire<Semaphore, void>(*this); }
    Coroutine<void> aexit(std::exception_ptr error);
    // "<Semaphore [unlocked, value:3]>"
    [[nodiscard]] std::string repr() const;

  protected:
    Semaphore(std::ptrdiff_t value, std::size_t bound);

  private:
    template <class, class>
    friend class detail::AcquireAwaiter;
    static constexpr const char* name = "Semaphore";

    bool take_if_free() noexcept {
        if (locked()) return false;
        --value_;
        return true;
    }
    void grant() noexcept {
        --value_;
        line_.wake_first();
    }
    void grant_all() noexcept {
        while (value_ > 0 && line_.has_waiting()) grant();
    }
    void take_served() noexcept {
        // Others may have come while this permit waited for its task, and permits with them.
        if (value_ > 0) grant_all();
    }
    [[noreturn]] static void fail_unserved(Semaphore& semaphore, detail::Waiter& waiter);
    void pass_on_unused() noexcept {
        ++value_;
        grant_all();
    }
    [[noreturn]] static void throw_too_many();

    std::size_t value_;  // without those granted to tasks that have not run yet
    const std::size_t bound_;
    detail::WaitLine line_;
    detail::LoopBinding loop_;
};

// A semaphore that refuses to hold more permits than it began with.
class BoundedSemaphore : public Semaphore {
  public:
    explicit BoundedSemaphore(std::ptrdiff_t value = 1)
        : Semaphore(value, static_cast<std::size_t>(value)) {}
};

// A place where `parties` tasks wait for one another, as often as they like.
class Barrier {
  public:
    // Throws: ValueError when less than one.
    explicit Barrier(std::ptrdiff_t parties);
    Barrier(const Barrier&) = delete;
    Barrier& operator=(const Barrier&) = delete;
    ~Barrier();

    // Waits until all parties are here. Gives each of them another index, 0 to parties - 1, in
    // the order of arrival. Who comes while a round ends waits for the next.
    // Throws: BrokenBarrierError when reset or aborted meanwhile, or aborted before.
    // Cancellation: the task leaves, and the barrier waits for another in its place.
    Coroutine<std::size_t> wait();
    // Breaks the wait of everybody here and begins anew.
    Coroutine<void> reset();
    // Breaks every wait from now on, until reset().
    Coroutine<void> abort();

    [[nodiscard]] std::size_t parties() const noexcept;
    // How many are here while it fills; zero at other times.
    [[nodiscard]] std::size_t n_waiting() const noexcept;
    [[nodiscard]] bool broken() const noexcept;

    // with(barrier, body) waits, and gives the body the index.
    Coroutine<std::size_t> aenter() { return wait(); }
    Coroutine<void> aexit(std::exception_ptr error);
    // "<Barrier [filling, waiters:1/3]>"
    [[nodiscard]] std::string repr() const;

  private:
    struct State;

    static Coroutine<std::size_t> wait_in(std::shared_ptr<State> state);
    static Coroutine<void> reset_in(std::shared_ptr<State> state);
    static Coroutine<void> abort_in(std::shared_ptr<State> state);

    // Shared with its waiters, whose clean-up needs it even when the Barrier is gone.
    std::shared_ptr<State> state_;
};

}  // namespace asyncio
