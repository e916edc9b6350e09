// asyncio/tasks_detail.hpp - private: the state behind Task handles.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

#include <asyncio/awaiters_detail.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/futures_detail.hpp>

namespace asyncio::detail {

template <class T>
class TaskStateOf final : public TaskBase {
  public:
    TaskStateOf(EventLoop& loop, std::coroutine_handle<CoroutinePromise<T>> root,
                std::source_location where) noexcept
        : TaskBase(loop, root, FrameLink(root), where) {}

    Slot<T> slot;

  private:
    std::exception_ptr collect() override {
        auto frame = std::coroutine_handle<CoroutinePromise<T>>::from_address(root().address());
        auto& promise = frame.promise();
        if (promise.error()) return promise.take_error();
        try {
            if constexpr (std::is_void_v<T>) {
                slot.emplace();
            } else {
                slot.emplace(promise.slot().take());
            }
        } catch (...) {
            return std::current_exception();
        }
        return nullptr;
    }
};

template <class T>
Slot<T>& slot_of(FutureBase& future) noexcept {
    return future.is_task() ? static_cast<TaskStateOf<T>&>(future).slot
                            : static_cast<FutureStateOf<T>&>(future).slot;
}

}  // namespace asyncio::detail
