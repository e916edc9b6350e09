// asyncio/coroutines_detail.hpp - private: the promise behind Coroutine, and how one
// coroutine awaits another.
//
// Awaiting a coroutine transfers to it, and its end transfers back, both as tail calls: no
// loop turn, no stack growth. Each frame knows who awaits it (`parent`) and the source line
// it stands at (`where`); a suspended task knows its innermost frame. Call graphs, traces
// and clean-up follow these links.
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

#include <asyncio/exceptions.hpp>
#include <asyncio/futures_detail.hpp>
#include <asyncio/memory_detail.hpp>

namespace asyncio {
template <class T>
class Coroutine;
}

namespace asyncio::detail {

class PromiseBase;

// A coroutine to resume: one of ours, whose promise can be looked at, or a foreign one.
class FrameLink {
  public:
    FrameLink() noexcept = default;
    template <class Promise>
    explicit FrameLink(std::coroutine_handle<Promise> frame) noexcept {
        if constexpr (std::is_base_of_v<PromiseBase, Promise>) {
            word_ = reinterpret_cast<std::uintptr_t>(frame.address());
        } else {
            word_ = reinterpret_cast<std::uintptr_t>(frame.address()) | foreign;
        }
    }
    explicit operator bool() const noexcept { return word_ != 0; }
    [[nodiscard]] std::coroutine_handle<> handle() const noexcept {
        return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(word_ & ~marks));
    }
    // Null for a foreign coroutine.
    [[nodiscard]] PromiseBase* promise() const noexcept;

    // Marks the link from a generator to its consumer: the consumer does not own the frame
    // that the link stands in.
    [[nodiscard]] FrameLink into_generator() const noexcept {
        FrameLink link = *this;
        link.word_ |= generator;
        return link;
    }
    [[nodiscard]] bool of_generator() const noexcept { return (word_ & generator) != 0; }

  private:
    friend struct Inspection;
    // Frames are aligned to 16 bytes.
    static constexpr std::uintptr_t foreign = 1;
    static constexpr std::uintptr_t generator = 2;
    static constexpr std::uintptr_t marks = foreign | generator;
    std::uintptr_t word_ = 0;
};

// Hands out what a coroutine's `co_await` becomes. Specialised or overloaded beside each
// awaitable type of ours; anything else goes through ForeignAwaiter.
template <class Awaitable>
struct AwaiterFor;

class PromiseBase {
  public:
    // The default argument is evaluated in the coroutine, so `where` starts out as the
    // function itself and then follows its awaits.
    explicit PromiseBase(std::source_location where) noexcept : where_(where) {}
    PromiseBase(const PromiseBase&) = delete;
    PromiseBase& operator=(const PromiseBase&) = delete;

    static void* operator new(std::size_t bytes) { return allocate(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept { release(frame, bytes); }

    std::suspend_always initial_suspend() noexcept { return {}; }

    struct FinalAwaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> me) noexcept {
            const FrameLink parent = static_cast<PromiseBase&>(me.promise()).parent_;
            return parent ? parent.handle() : std::coroutine_handle<>(std::noop_coroutine());
        }
        void await_resume() const noexcept {}
    };
    FinalAwaiter final_suspend() noexcept { return {}; }

    template <class Awaitable>
    decltype(auto) await_transform(Awaitable&& awaitable,
                                   std::source_location where = std::source_location::current()) {
        where_ = where;
        return AwaiterFor<std::remove_cvref_t<Awaitable>>::get(std::forward<Awaitable>(awaitable));
    }

    [[nodiscard]] std::source_location where() const noexcept { return where_; }
    [[nodiscard]] FrameLink parent() const noexcept { return parent_; }
    void set_parent(FrameLink parent) noexcept { parent_ = parent; }
    [[nodiscard]] std::coroutine_handle<> handle() noexcept {
        return std::coroutine_handle<PromiseBase>::from_promise(*this);
    }

  protected:
    void set_where(std::source_location where) noexcept { where_ = where; }
    // In a handler: the exception that leaves this frame, whose traceback gets the frame's place.
    [[nodiscard]] std::exception_ptr exception_left() const noexcept;

  private:
    friend struct Inspection;
    FrameLink parent_;
    std::source_location where_;
};

inline PromiseBase* FrameLink::promise() const noexcept {
    if (word_ == 0 || (word_ & foreign) != 0) return nullptr;
    return &std::coroutine_handle<PromiseBase>::from_address(
                reinterpret_cast<void*>(word_ & ~marks))
                .promise();
}

// The outcome of a coroutine: nothing yet, a value, or an exception.
template <class T>
class CoroutineResult {
  public:
    [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }
    [[nodiscard]] std::exception_ptr take_error() noexcept { return std::move(error_); }
    [[nodiscard]] Slot<T>& slot() noexcept { return slot_; }

  protected:
    std::exception_ptr error_;
    Slot<T> slot_;
};

template <class T>
class CoroutinePromise final : public PromiseBase, public CoroutineResult<T> {
  public:
    explicit CoroutinePromise(std::source_location where = std::source_location::current()) noexcept
        : PromiseBase(where) {}

    Coroutine<T> get_return_object() noexcept;
    void unhandled_exception() noexcept { this->error_ = exception_left(); }

    template <class U = T>
        requires std::constructible_from<T, U>
    void return_value(U&& value) {
        this->slot_.emplace(std::forward<U>(value));
    }
};

template <class T>
class CoroutinePromise<T&> final : public PromiseBase, public CoroutineResult<T&> {
  public:
    explicit CoroutinePromise(std::source_location where = std::source_location::current()) noexcept
        : PromiseBase(where) {}

    Coroutine<T&> get_return_object() noexcept;
    void unhandled_exception() noexcept { this->error_ = exception_left(); }
    void return_value(T& value) noexcept { this->slot_.emplace(value); }
};

template <>
class CoroutinePromise<void> final : public PromiseBase, public CoroutineResult<void> {
  public:
    explicit CoroutinePromise(std::source_location where = std::source_location::current()) noexcept
        : PromiseBase(where) {}

    Coroutine<void> get_return_object() noexcept;
    void unhandled_exception() noexcept { this->error_ = exception_left(); }
    void return_void() noexcept {}
};

// FrameLink reads every promise of ours as a PromiseBase, so all must start at the same
// distance from their frame. Over-aligned results would move theirs.
template <class Promise>
inline constexpr bool promise_where_expected = alignof(Promise) <= 2 * sizeof(void*);

// Set while a suspended task's frames are destroyed from the innermost outwards: the frame
// whose awaiter in the next one must not destroy it again.
extern constinit thread_local void* frame_already_destroyed;

// Reports a coroutine that was dropped before it ever ran.
void report_never_awaited(PromiseBase& promise) noexcept;
[[noreturn]] void throw_not_awaitable(bool moved_from);

// Runs a child coroutine and gives its result. Owns the child's frame.
template <class T>
class CoroutineAwaiter {
  public:
    using Handle = std::coroutine_handle<CoroutinePromise<T>>;

    explicit CoroutineAwaiter(Handle child) noexcept : child_(child) {}
    CoroutineAwaiter(CoroutineAwaiter&& other) noexcept
        : child_(std::exchange(other.child_, nullptr)) {}
    CoroutineAwaiter& operator=(CoroutineAwaiter&&) = delete;
    ~CoroutineAwaiter() {
        if (child_) [[unlikely]]
            abandon();
    }

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
        child_.promise().set_parent(FrameLink(parent));
        return child_;
    }

    T await_resume() {
        const Frame frame{release()};
        auto& promise = frame.handle.promise();
        if (promise.error()) [[unlikely]]
            std::rethrow_exception(promise.take_error());
        return promise.slot().take();
    }

  protected:
    // Destroys the child's frame once its result is out of it.
    struct Frame {
        Handle handle;
        ~Frame() { handle.destroy(); }
    };
    [[nodiscard]] Handle release() noexcept { return std::exchange(child_, nullptr); }

  private:
    void abandon() noexcept {
        if (frame_already_destroyed == child_.address()) {
            frame_already_destroyed = nullptr;
        } else {
            child_.destroy();
        }
    }

    Handle child_;
};

template <class T>
struct AwaiterFor<Coroutine<T>> {
    // By reference too: awaiting a named coroutine is natural, and a second time is an error
    // that must be told at run time.
    static CoroutineAwaiter<T> get(Coroutine<T>& coroutine) {
        return CoroutineAwaiter<T>(coroutine.release_to_await());
    }
    static CoroutineAwaiter<T> get(Coroutine<T>&& coroutine) { return get(coroutine); }
};

}  // namespace asyncio::detail
