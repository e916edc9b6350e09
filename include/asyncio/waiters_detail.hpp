// asyncio/waiters_detail.hpp - private: the lines in which coroutines wait at locks, events,
// conditions, semaphores and queues.
//
// Who waits is linked into the line through its own awaiter, in its own frame: waiting
// allocates nothing. Waking is what completing a future is in CPython: the task is put in the
// ready queue, and until it runs it counts as served. A cancelled waiter likewise stays known
// until its task runs. So whoever was chosen and then cancelled can hand the wake-up on, and a
// primitive that is destroyed under its waiters can tell every one of them.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>

#include <asyncio/awaiters_detail.hpp>
#include <asyncio/foreign_detail.hpp>
#include <asyncio/tasks_detail.hpp>

namespace asyncio::detail {

class WaitLine;

struct WaitLinks {
    WaitLinks* next;
    WaitLinks* previous;
};

// What a wait came to, where it was not simply served.
struct WaitEnd {
    bool chosen = false;       // it had been woken, whatever came after
    bool orphaned = false;     // what it waited at is gone and must not be touched
    std::exception_ptr error;  // the CancelledError that is due, if one is
};

// The awaiter of a coroutine that waits in a line. Idle unless it really suspended.
class Waiter : public WaitLinks, public Suspension {
  public:
    Waiter() noexcept {}  // most waits end before they begin: only the phase is set
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    bool request_cancel(const CancelMessage& message) final;

    [[nodiscard]] bool idle() const noexcept { return phase_ == Phase::idle; }
    // The task runs again. True in the usual case: it was woken, and nothing else happened.
    // Otherwise ask end_wait().
    [[nodiscard]] bool served() noexcept;
    [[nodiscard]] WaitEnd end_wait();
    // The same where being woken is all, by wake_first_and_forget(). Throws: CancelledError.
    void finish_signal() {
        if (phase_ != Phase::woken || task_->must_cancel()) [[unlikely]]
            finish_unserved();
        phase_ = Phase::idle;
    }
    // The frame goes away. True when it had been chosen by a line that still exists.
    bool leave() noexcept;

  protected:
    ~Waiter() {
        if (!idle()) [[unlikely]]
            leave();
    }
    [[nodiscard]] TaskBase& task() const noexcept { return *task_; }

  private:
    friend class RetryingWaiter;
    friend class WaitLine;
    enum class Phase : std::uint8_t { idle, waiting, woken, cancelled };

    void finish_unserved();
    void unlink() noexcept {
        previous->next = next;
        next->previous = previous;
    }

    TaskBase* task_;
    WaitLine* line_;          // null once the line is gone
    CancelMessage* message_;  // owned, and only while cancelled
    Phase phase_ = Phase::idle;
};

// A waiter that looks again when its turn comes, as Python's `while not ready: await ...`:
// the task is not resumed in vain, but goes to the end of the line. Where the line is gone,
// it waits on.
class RetryingWaiter : public Waiter {
  public:
    [[nodiscard]] virtual bool still_blocked() const noexcept = 0;
    // What the loop calls in place of the task's next step.
    static void take_turn(ReadyNode* node, Turn turn);

  protected:
    ~RetryingWaiter() = default;
};

// The loop a primitive belongs to: the first on which somebody had to wait.
class LoopBinding {
  public:
    // Throws: RuntimeError when it is another; `what` names the primitive.
    void bind(EventLoop& loop, const char* what) {
        if (!loop_) [[unlikely]] {
            loop_.emplace(loop);
        } else if (loop_->get() != &loop) [[unlikely]] {
            throw_other_loop(what);
        }
    }

  private:
    [[noreturn]] static void throw_other_loop(const char* what);

    // Holds the memory: no later loop can be taken for this one.
    std::optional<LoopReference> loop_;
};

class WaitLine {
  public:
    // Whether who was woken or cancelled keeps its place until its task runs.
    enum class Places : bool { given_up, kept };

    explicit WaitLine(Places places = Places::given_up) noexcept : places_(places) {
        waiting_.next = waiting_.previous = &waiting_;
        leaving_.next = leaving_.previous = &leaving_;
    }
    WaitLine(const WaitLine&) = delete;
    WaitLine& operator=(const WaitLine&) = delete;
    ~WaitLine() {
        if (has_any()) [[unlikely]]
            orphan_all();
    }

    // Somebody waits and was neither woken nor cancelled. Not for a line with kept places.
    [[nodiscard]] bool has_waiting() const noexcept { return waiting_.next != &waiting_; }
    [[nodiscard]] bool has_any() const noexcept {
        return waiting_.next != &waiting_ || leaving_.next != &leaving_;
    }
    // How many wait or were woken: all but the cancelled.
    [[nodiscard]] std::size_t live() const noexcept { return claims_ & ~holder; }
    // As CPython counts its list of waiters, for repr().
    [[nodiscard]] std::size_t count() const noexcept;

    // Who holds a lock stands in the same word as those who want it, so that "free, and nobody
    // is before me" is one test.
    [[nodiscard]] bool held() const noexcept { return (claims_ & holder) != 0; }
    void hold() noexcept { claims_ |= holder; }
    void let_go() noexcept { claims_ &= ~holder; }
    [[nodiscard]] bool hold_if_unclaimed() noexcept {
        if (claims_ != 0) return false;
        claims_ = holder;
        return true;
    }
    [[nodiscard]] bool let_go_if_unclaimed() noexcept {
        if (claims_ != holder) return false;
        claims_ = 0;
        return true;
    }

    // Suspends the current task at the end of the line. `what` names the primitive.
    // Throws: RuntimeError outside of a task and on another loop.
    void wait(Waiter& waiter, FrameLink frame, LoopBinding& binding, const char* what) {
        TaskBase& task = require_current_task(what);
        binding.bind(task.loop(), what);
        waiter.task_ = &task;
        waiter.line_ = this;
        enqueue(waiter);
        ++claims_;
        task.suspend(frame, &waiter);
        if (task.must_cancel()) [[unlikely]]
            task.hand_on_cancel();
    }
    // Wakes who has waited longest. Requires has_waiting().
    void wake_first() noexcept { wake(first()); }
    void wake_first_to_retry() noexcept {
        Waiter& waiter = first();
        waiter.task_->node().take = &RetryingWaiter::take_turn;
        wake(waiter);
    }
    // For waiters that then need nothing of the line: it may go before they run.
    void wake_first_and_forget() noexcept {
        Waiter& waiter = first();
        waiter.unlink();
        waiter.line_ = nullptr;
        --claims_;
        waiter.phase_ = Waiter::Phase::woken;
        waiter.task_->wake();
    }
    // With kept places: wakes the first, unless it was woken or cancelled already.
    void wake_first_in_place() noexcept {
        if (!has_waiting() || first().phase_ != Waiter::Phase::waiting) return;
        wake(first());
    }

  private:
    friend class Waiter;
    friend class RetryingWaiter;

    [[nodiscard]] Waiter& first() const noexcept { return static_cast<Waiter&>(*waiting_.next); }
    static void push_back(WaitLinks& head, Waiter& waiter) noexcept {
        waiter.next = &head;
        waiter.previous = head.previous;
        head.previous->next = &waiter;
        head.previous = &waiter;
    }
    void enqueue(Waiter& waiter) noexcept {
        waiter.phase_ = Waiter::Phase::waiting;
        push_back(waiting_, waiter);
    }
    void wake(Waiter& waiter) noexcept {
        waiter.phase_ = Waiter::Phase::woken;
        step_aside(waiter);
        waiter.task_->wake();
    }
    void step_aside(Waiter& waiter) noexcept {
        if (places_ == Places::kept) return;
        waiter.unlink();
        push_back(leaving_, waiter);
    }
    void orphan_all() noexcept;

    WaitLinks waiting_;
    WaitLinks leaving_;
    static constexpr std::size_t holder = ~(SIZE_MAX >> 1);
    std::size_t claims_ = 0;
    const Places places_;
};

inline bool Waiter::served() noexcept {
    if (phase_ != Phase::woken || line_ == nullptr || task_->must_cancel()) [[unlikely]] {
        return false;
    }
    unlink();
    --line_->claims_;
    phase_ = Phase::idle;
    return true;
}

// Throws the RuntimeError of a primitive destroyed while a task waited for it.
[[noreturn]] void throw_orphaned(const char* what);

}  // namespace asyncio::detail
