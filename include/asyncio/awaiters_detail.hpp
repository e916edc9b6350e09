// asyncio/awaiters_detail.hpp - private: what `co_await` turns into for each awaitable.
//
// Every await that really suspends goes through TaskBase::suspend(): it records in the running
// task where to resume, and on what it waits (a Suspension), so that Task::cancel() can ask
// the right thing to stop. Resuming always comes from the loop's ready queue.
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include <asyncio/coroutines.hpp>
#include <asyncio/coroutines_detail.hpp>
#include <asyncio/events.hpp>
#include <asyncio/futures_detail.hpp>
#include <asyncio/task_base_detail.hpp>

namespace asyncio {
template <class T>
class Future;
template <class T>
class Task;
}  // namespace asyncio

namespace asyncio::detail {

// ---- futures and tasks ------------------------------------------------------------------

class FutureAwaiterBase : public DoneNode, public Suspension {
  public:
    explicit FutureAwaiterBase(Ref<FutureBase> future) noexcept : future_(std::move(future)) {}
    FutureAwaiterBase(const FutureAwaiterBase&) = delete;
    ~FutureAwaiterBase() {
        if (linked()) future_->remove_waiter(this);
    }

    [[nodiscard]] bool await_ready() const noexcept { return future_->done(); }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        suspend(FrameLink(frame));
    }

    bool request_cancel(const CancelMessage& message) override;
    [[nodiscard]] FutureBase* awaited() const noexcept override { return future_.get(); }
    void fire(FutureBase&) noexcept override { task_->wake(); }
    [[nodiscard]] FutureBase* waiter() const noexcept override;

  protected:
    // Throws the future's error, or the cancellation of the task.
    void check() {
        if (task_ != nullptr) {
            // The future has told its outcome, whatever comes before it.
            if (task_->must_cancel()) [[unlikely]]
                future_->mark_retrieved();
            task_->throw_if_cancelled(future_->cancelled());
        }
        future_->throw_unless_result();
    }
    // The same, returned; null for a result.
    [[nodiscard]] std::exception_ptr take_error();
    FutureBase& future() const noexcept { return *future_; }

  private:
    friend struct Inspection;
    void suspend(FrameLink frame) {
        TaskBase& task = require_current_task("a future");
        if (&future_->loop() != &task.loop() || future_.get() == &task) [[unlikely]] {
            refuse(task, frame);
            return;
        }
        task_ = &task;
        future_->add_waiter(this);
        task.suspend(frame, this);
        if (task.must_cancel()) [[unlikely]]
            task.hand_on_cancel();
    }
    // As CPython: RuntimeError at this await, in the next iteration.
    void refuse(TaskBase& task, FrameLink frame);

    Ref<FutureBase> future_;
    TaskBase* task_ = nullptr;
};

enum class Take : bool { copy, move };

template <class T, Take how>
class FutureAwaiter final : public FutureAwaiterBase {
  public:
    using FutureAwaiterBase::FutureAwaiterBase;
    using Result = std::conditional_t<how == Take::move, T, typename SharedResult<T>::type>;

    Result await_resume() {
        check();
        if constexpr (how == Take::move) {
            return slot_of<T>(future()).take();
        } else {
            return slot_of<T>(future()).get();
        }
    }
};

// ---- sleeping and yielding --------------------------------------------------------------

// One trip through the ready queue.
class Yield : public Suspension {
  public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        suspend(FrameLink(frame));
    }
    void await_resume() const { task_->throw_if_cancelled(false); }
    // The task is ready already; it takes the cancellation when it runs.
    bool request_cancel(const CancelMessage&) override { return false; }

  private:
    void suspend(FrameLink frame) {
        task_ = &require_current_task("a yield");
        task_->suspend(frame, this);
        task_->wake();
    }
    TaskBase* task_ = nullptr;
};

// Waits for a deadline. Zero or less is a Yield.
class SleepAwaiterBase : public Suspension {
  public:
    explicit SleepAwaiterBase(std::chrono::nanoseconds delay) noexcept {
        timer_.deadline = delay.count();
    }
    SleepAwaiterBase(const SleepAwaiterBase&) = delete;
    ~SleepAwaiterBase() {
        if (phase_ != Phase::yielding) end();
    }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        suspend(FrameLink(frame));
    }
    bool request_cancel(const CancelMessage& message) override;
    // CPython completes a future when the timer fires, and the task runs one iteration
    // later: this first turn of the task's node stands for the timer's callback.
    static void take_timer_turn(ReadyNode* node, Turn turn);

  protected:
    void check() {
        if (phase_ == Phase::cancelled || task().must_cancel()) [[unlikely]]
            throw_cancelled();
    }

  private:
    friend struct Inspection;
    enum class Phase : std::uint8_t { sleeping, fired, cancelled, yielding };

    void suspend(FrameLink frame) {
        TaskBase& task = require_current_task("sleep()");
        timer_.target = &task.node();
        task.suspend(frame, this);
        if (timer_.deadline > 0) {
            arm();
            return;
        }
        phase_ = Phase::yielding;
        task.wake();
    }
    [[nodiscard]] TaskBase& task() const noexcept { return TaskBase::from_node(timer_.target); }
    void arm();
    void disarm() noexcept;
    void end() noexcept;
    void keep_message(const CancelMessage& message);
    [[nodiscard]] CancelMessage* take_message() noexcept;
    [[noreturn]] void throw_cancelled();

    TimerNode timer_;
    Phase phase_ = Phase::sleeping;
};

template <class T>
class SleepAwaiter final : public SleepAwaiterBase {
  public:
    template <class... A>
    explicit SleepAwaiter(std::chrono::nanoseconds delay, A&&... result)
        : SleepAwaiterBase(delay), result_(std::forward<A>(result)...) {}
    T await_resume() {
        check();
        return std::move(result_);
    }

  private:
    T result_;
};

template <>
class SleepAwaiter<void> final : public SleepAwaiterBase {
  public:
    using SleepAwaiterBase::SleepAwaiterBase;
    void await_resume() { check(); }
};

// ---- natively or through a bridge -------------------------------------------------------

// Awaiters of this library suspend through TaskBase::suspend() and need no bridge.
template <class A>
inline constexpr bool is_native_awaiter = std::is_base_of_v<Suspension, std::remove_cvref_t<A>>;
template <class T>
inline constexpr bool is_native_awaiter<CoroutineAwaiter<T>> = true;
// A class of ours whose awaiter suspends natively says so with this member.
template <class A>
concept DeclaredNative = requires { typename std::remove_cvref_t<A>::asyncio_native_awaiter; };

}  // namespace asyncio::detail
