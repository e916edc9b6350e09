// asyncio/foreign_detail.hpp - private: awaiting what belongs to another library.
//
// A foreign awaitable wants a coroutine handle that it may resume whenever and wherever it
// likes. It gets a small bridge coroutine instead of the task's own frame; when the bridge
// ends, the task is resumed by its loop, from whatever thread the bridge ended on.
#pragma once

#include <atomic>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include <asyncio/awaiters_detail.hpp>

namespace asyncio::detail {

class ForeignAwaiterBase : public Suspension {
  public:
    ForeignAwaiterBase() = default;
    ForeignAwaiterBase(const ForeignAwaiterBase&) = delete;
    // A foreign operation cannot be cancelled: the request waits for its end.
    bool request_cancel(const CancelMessage&) override { return false; }

  protected:
    struct Bridge {
        struct promise_type {
            static void* operator new(std::size_t bytes) { return allocate(bytes); }
            static void operator delete(void* frame, std::size_t bytes) noexcept {
                release(frame, bytes);
            }
            explicit promise_type(ForeignAwaiterBase& owner) noexcept : owner(owner) {}
            template <class Self>
            promise_type(Self&, ForeignAwaiterBase& awaiter) noexcept : owner(awaiter) {}
            Bridge get_return_object() noexcept {
                return {std::coroutine_handle<promise_type>::from_promise(*this)};
            }
            std::suspend_always initial_suspend() noexcept { return {}; }
            struct Final {
                bool await_ready() const noexcept { return false; }
                std::coroutine_handle<> await_suspend(
                    std::coroutine_handle<promise_type> me) noexcept {
                    return me.promise().owner.bridge_ended();
                }
                void await_resume() const noexcept {}
            };
            Final final_suspend() noexcept { return {}; }
            void return_void() noexcept {}
            void unhandled_exception() noexcept { owner.error_ = std::current_exception(); }

            ForeignAwaiterBase& owner;
        };
        std::coroutine_handle<promise_type> frame;
    };

    // False when the bridge ended at once.
    bool start(Bridge bridge, FrameLink resume_at);
    // Throws what the foreign operation threw, or the task's cancellation.
    void check();
    ~ForeignAwaiterBase() {
        if (bridge_) bridge_.destroy();
    }

  private:
    enum class Phase : std::uint8_t { starting, suspended, ended };

    std::coroutine_handle<> bridge_ended() noexcept;

    std::coroutine_handle<> bridge_;
    FrameLink resume_at_;
    TaskBase* task_ = nullptr;
    std::atomic<Phase> phase_{Phase::starting};
    std::exception_ptr error_;
};

template <class Awaitable>
class ForeignAwaiter final : public ForeignAwaiterBase {
    using Awaiter = decltype(plain_awaiter(std::declval<Awaitable>()));
    using Result = decltype(std::declval<Awaiter&>().await_resume());

  public:
    explicit ForeignAwaiter(Awaitable&& awaitable) noexcept
        : awaitable_(std::forward<Awaitable>(awaitable)) {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        return start(bridge(*this), FrameLink(frame));
    }
    Result await_resume() {
        check();
        if constexpr (!std::is_void_v<Result>) return static_cast<Result>(result_.take());
    }

  private:
    static Bridge bridge(ForeignAwaiter& self) {
        if constexpr (std::is_void_v<Result>) {
            co_await std::forward<Awaitable>(self.awaitable_);
        } else {
            self.result_.emplace(co_await std::forward<Awaitable>(self.awaitable_));
        }
    }

    Awaitable&& awaitable_;
    Slot<Result> result_;
};

// The general case: awaitables of this library that await natively, then foreign ones.
template <class Awaitable>
struct AwaiterFor {
    template <class A>
    static decltype(auto) get(A&& awaitable) {
        using Plain = decltype(plain_awaiter(std::forward<A>(awaitable)));
        static_assert(Awaiter<Plain>,
                      "this cannot be awaited: it is no coroutine, task or future, and it has no "
                      "operator co_await and no awaiter members");
        if constexpr (is_native_awaiter<Plain> || DeclaredNative<Plain>) {
            return plain_awaiter(std::forward<A>(awaitable));
        } else {
            return ForeignAwaiter<A>(std::forward<A>(awaitable));
        }
    }
};

}  // namespace asyncio::detail
