// asyncio/events_detail.hpp - private: what the event loop's queues are made of.
//
// Only two kinds of object are ever ready to run: tasks and handles. Each carries its own
// link, so making one ready allocates nothing, and each is kept alive by a reference, so
// nothing in a queue can dangle.
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <asyncio/contextvars.hpp>
#include <asyncio/memory_detail.hpp>
#include <asyncio/thread_state_detail.hpp>

namespace asyncio {

class EventLoop;
template <class T>
class Coroutine;

namespace detail {

class TaskBase;

// Whether what is ready is to run, or only to be let go because its loop closes.
enum class Turn : bool { run, discard };

// A place in the ready queue.
struct ReadyNode {
    ReadyNode* next = nullptr;
    // Consumes the reference that the queue held, if it held one.
    void (*take)(ReadyNode* self, Turn turn) = nullptr;
};

// First in, first out.
class ReadyQueue {
  public:
    ReadyQueue() = default;
    ReadyQueue(const ReadyQueue&) = delete;
    ReadyQueue& operator=(const ReadyQueue&) = delete;

    void push(ReadyNode* node) noexcept {
        node->next = nullptr;
        *tail_ = node;
        tail_ = &node->next;
    }
    [[nodiscard]] ReadyNode* pop() noexcept {
        ReadyNode* node = head_;
        if (node != nullptr && (head_ = node->next) == nullptr) tail_ = &head_;
        return node;
    }
    // Takes everything out, as a list by `next`.
    [[nodiscard]] ReadyNode* take_all() noexcept {
        ReadyNode* all = head_;
        clear();
        return all;
    }
    // Moves everything out of `other` to the front of this one.
    void prepend(ReadyQueue& other) noexcept {
        if (other.empty()) return;
        *other.tail_ = head_;
        if (head_ == nullptr) tail_ = other.tail_;
        head_ = other.head_;
        other.clear();
    }
    void swap(ReadyQueue& other) noexcept {
        ReadyQueue mine;
        mine.prepend(*this);
        prepend(other);
        other.prepend(mine);
    }
    [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
    [[nodiscard]] ReadyNode* first() const noexcept { return head_; }

  private:
    friend struct Inspection;
    void clear() noexcept {
        head_ = nullptr;
        tail_ = &head_;
    }
    ReadyNode* head_ = nullptr;
    ReadyNode** tail_ = &head_;
};

// A place in the timer queue. Lives in a handle or in the frame of a sleeping coroutine.
struct TimerNode {
    static constexpr std::uint32_t unarmed = UINT32_MAX;

    // But for the place, set by who arms it: most are made without ever being armed.
    std::int64_t deadline;          // nanoseconds of the loop's clock
    std::uint32_t place = unarmed;  // for the timer queue
    std::uint32_t index;            // for the timer queue
    ReadyNode* target;              // made ready when the deadline has passed

    [[nodiscard]] bool armed() const noexcept { return place != unarmed; }
};

// A scheduled callback. Counted by its user's Handle and by the queue it stands in.
class HandleState : public ReadyNode, public Recycled {
  public:
    HandleState(EventLoop& loop, ContextSlot context) noexcept
        : context_(std::move(context)), loop_(&loop) {
        take = &HandleState::take_turn;
    }
    HandleState(const HandleState&) = delete;
    HandleState& operator=(const HandleState&) = delete;
    virtual ~HandleState() = default;

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) delete this;
    }
    // A new handle becomes its maker's, and a queue's as well.
    void own() noexcept { references_.set(1); }
    void share_with_queue() noexcept { references_.set(2); }

    void cancel() noexcept;
    [[nodiscard]] bool cancelled() const noexcept {
        return phase_.load(std::memory_order_acquire) == Phase::cancelled;
    }
    [[nodiscard]] ContextSlot& context() noexcept { return context_; }
    [[nodiscard]] EventLoop& loop() const noexcept { return *loop_; }
    // Whether cancel() may come from another thread while the callback runs.
    void set_threadsafe() noexcept { threadsafe_ = true; }
    // From now on a timer.
    TimerNode timer;
    // What was scheduled, for messages.
    [[nodiscard]] virtual const std::type_info& callback_type() const noexcept = 0;

  protected:
    virtual void invoke() = 0;
    // Destroys the callable and its arguments; called once, at cancel or after the run.
    virtual void drop_callback() noexcept = 0;

    // The turn of a handle whose type is not known.
    static void take_turn(ReadyNode* node, Turn turn);
    // The two ends of a callback's run. False when it is not to run.
    [[nodiscard]] bool begin_run() noexcept {
        if (threadsafe_) [[unlikely]]
            return begin_threadsafe_run();
        if (phase_.load(std::memory_order_relaxed) != Phase::waiting) return false;
        phase_.store(Phase::running, std::memory_order_relaxed);
        return true;
    }
    void end_run() noexcept {
        if (threadsafe_) [[unlikely]]
            return end_threadsafe_run();
        if (phase_.load(std::memory_order_relaxed) == Phase::running) {
            phase_.store(Phase::finished, std::memory_order_relaxed);
        }
    }
    // In a handler: reports what the callback threw. Throws on what ends the program.
    void callback_failed();

    RefCount references_;

  private:
    enum class Phase : std::uint8_t { waiting, running, finished, cancelled };

    bool begin_threadsafe_run() noexcept;
    void end_threadsafe_run() noexcept;

    std::atomic<Phase> phase_{Phase::waiting};
    std::atomic<bool> awaited_{false};  // another thread waits in cancel()
    bool threadsafe_ = false;
    ContextSlot context_;
    EventLoop* loop_;
};

// A callable of the library that makes the call of somebody else's.
template <class F>
concept StandsForCallback = requires(const F& call) {
    { call.callback_type() } noexcept -> std::same_as<const std::type_info&>;
};

// The callable and its arguments, stored by value.
template <class F, class... Args>
class CallbackHandle final : public HandleState {
  public:
    template <class G, class... A>
    CallbackHandle(EventLoop& loop, ContextSlot context, G&& function, A&&... args)
        : HandleState(loop, std::move(context)),
          call_(std::in_place, std::forward<G>(function), std::forward<A>(args)...) {
        take = &CallbackHandle::take_turn;
    }
    ~CallbackHandle() override { CallbackHandle::drop_callback(); }

    [[nodiscard]] const std::type_info& callback_type() const noexcept override {
        if constexpr (StandsForCallback<F>) {
            if (present_) return std::get<0>(call_.value).callback_type();
        }
        return typeid(F);
    }

  private:
    using Call = std::tuple<F, Args...>;

    // Knows the callable's type: nothing virtual between the loop and the callback.
    static void take_turn(ReadyNode* node, Turn turn) {
        auto* self = static_cast<CallbackHandle*>(static_cast<HandleState*>(node));
        struct Reference {
            CallbackHandle* handle;
            ~Reference() {
                if (!handle->references_.drop()) return;
                if (handle->context()) [[unlikely]]
                    leave_step();
                delete handle;
            }
        };
        const Reference reference{self};
        if (turn == Turn::discard) [[unlikely]] {
            self->cancel();
            return;
        }
        if (!self->begin_run()) return;
        struct Finish {
            CallbackHandle& handle;
            ~Finish() {
                handle.CallbackHandle::drop_callback();
                handle.end_run();
            }
        };
        const Finish finish{*self};
        ThreadState& thread = this_thread;
        thread.task = nullptr;
        thread.context = &self->context();
        try {
            self->CallbackHandle::invoke();
        } catch (...) {
            self->callback_failed();
        }
    }
    void invoke() override {
        std::apply([](auto&... parts) { std::invoke(std::move(parts)...); }, call_.value);
    }
    void drop_callback() noexcept override {
        if (std::exchange(present_, false)) call_.value.~Call();
    }

    union Storage {
        template <class... A>
        explicit Storage(std::in_place_t, A&&... parts) : value(std::forward<A>(parts)...) {}
        ~Storage() {}
        Call value;
    } call_;
    bool present_ = true;
};

// A coroutine made by a callback would never run.
template <class T>
inline constexpr bool is_coroutine_result = false;
template <class T>
inline constexpr bool is_coroutine_result<Coroutine<T>> = true;

template <class F, class... Args>
concept Callback = std::invocable<std::decay_t<F>, std::decay_t<Args>...>;

}  // namespace detail
}  // namespace asyncio
