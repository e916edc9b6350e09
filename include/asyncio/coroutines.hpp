// asyncio/coroutines.hpp - what an async function returns.
//
//   asyncio::Coroutine<int> square(int x) {
//       co_await asyncio::sleep(10ms);
//       co_return x * x;
//   }
//
//   int nine = co_await square(3);              // runs at once, in this task
//   Task<int> later = create_task(square(3));   // scheduled on the loop
//
// A coroutine runs nothing until it is awaited or made a task, and it runs once. It owns its
// frame: dropping one that never ran is reported ("was never awaited"). Arguments that the
// function takes by reference must live until it is done; callables and arguments given to
// create_task(f, args...) are stored by value instead.
//
// Source: Python's coroutine objects, asyncio.coroutines.
#pragma once

#include <asyncio/coroutines_detail.hpp>

namespace asyncio {

// T: a value, a move-only value, a reference, or void. Move-only. Loop thread only.
template <class T = void>
class [[nodiscard]] Coroutine {
  public:
    using promise_type = detail::CoroutinePromise<T>;
    using value_type = T;

    Coroutine(Coroutine&& other) noexcept
        : frame_(std::exchange(other.frame_, nullptr)), awaited_(other.awaited_) {}
    Coroutine& operator=(Coroutine&& other) noexcept {
        if (this != &other) {
            drop();
            frame_ = std::exchange(other.frame_, nullptr);
            awaited_ = other.awaited_;
        }
        return *this;
    }
    ~Coroutine() { drop(); }

    // Python's close(): ends a coroutine that was never awaited, without a report.
    void close() noexcept {
        if (auto frame = std::exchange(frame_, nullptr)) frame.destroy();
    }

    // For run(), create_task() and the awaiter: gives the frame up.
    // Throws: RuntimeError when it was awaited before or moved from.
    [[nodiscard]] std::coroutine_handle<promise_type> release_to_await() {
        if (!frame_) [[unlikely]] detail::throw_not_awaitable(!awaited_);
        awaited_ = true;
        return std::exchange(frame_, nullptr);
    }

    // Python's cr_frame position: the function before it has run.
    [[nodiscard]] std::source_location where() const noexcept {
        return frame_ ? frame_.promise().where() : std::source_location();
    }

    // For coroutines of other libraries that await ours.
    detail::CoroutineAwaiter<T> operator co_await() & {
        return detail::CoroutineAwaiter<T>(release_to_await());
    }
    detail::CoroutineAwaiter<T> operator co_await() && {
        return detail::CoroutineAwaiter<T>(release_to_await());
    }

  private:
    friend promise_type;
    explicit Coroutine(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {
        static_assert(detail::promise_where_expected<promise_type>,
                      "a coroutine's result may be aligned to 16 bytes at most; "
                      "return over-aligned objects by std::unique_ptr");
    }

    void drop() noexcept {
        if (!frame_) [[likely]] return;
        detail::report_never_awaited(frame_.promise());
        close();
    }

    std::coroutine_handle<promise_type> frame_;
    bool awaited_ = false;
};

namespace detail {

template <class T>
Coroutine<T> CoroutinePromise<T>::get_return_object() noexcept {
    return Coroutine<T>(std::coroutine_handle<CoroutinePromise>::from_promise(*this));
}
template <class T>
Coroutine<T&> CoroutinePromise<T&>::get_return_object() noexcept {
    return Coroutine<T&>(std::coroutine_handle<CoroutinePromise>::from_promise(*this));
}
inline Coroutine<void> CoroutinePromise<void>::get_return_object() noexcept {
    return Coroutine<void>(std::coroutine_handle<CoroutinePromise>::from_promise(*this));
}

}  // namespace detail

// Whether X is a coroutine object: Python's asyncio.iscoroutine().
template <class X>
inline constexpr bool iscoroutine_v = false;
template <class T>
inline constexpr bool iscoroutine_v<Coroutine<T>> = true;
template <class X>
[[nodiscard]] constexpr bool iscoroutine(const X&) noexcept {
    return iscoroutine_v<X>;
}

}  // namespace asyncio
