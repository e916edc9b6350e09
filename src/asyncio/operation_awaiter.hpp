// Awaiting one operation of the proactor. The frame is resumed by the operation's own last
// completion and by nothing else, so what it reads and writes may be locals of the caller.
#pragma once

#include <asyncio/awaiters_detail.hpp>
#include <asyncio/foreign_detail.hpp>
#include <asyncio/tasks_detail.hpp>

#include "loop_state.hpp"

namespace asyncio::detail {

// Gives the result as Operation tells it: negative for an error.
// Throws: CancelledError when cancelled, whatever the operation came to.
class OperationAwaiter final : public Suspension {
  public:
    OperationAwaiter(EventLoop& loop, const Operation& operation) noexcept
        : loop_(loop), operation_(operation) {}
    OperationAwaiter(const OperationAwaiter&) = delete;
    OperationAwaiter& operator=(const OperationAwaiter&) = delete;

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        start(FrameLink(frame));
    }
    [[nodiscard]] int await_resume();
    bool request_cancel(const CancelMessage& message) override;

  private:
    void start(FrameLink frame);

    EventLoop& loop_;
    Operation operation_;
    TaskBase* task_ = nullptr;
    int result_ = 0;
    bool done_ = false;
    bool cancelled_ = false;
    CancelMessage message_;
};

// `int result = co_await Perform{loop, operation};`
struct Perform {
    using asyncio_native_awaiter = void;
    EventLoop& loop;
    Operation operation;
    OperationAwaiter operator co_await() const noexcept { return {loop, operation}; }
};

}  // namespace asyncio::detail
