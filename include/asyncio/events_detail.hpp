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

namespace asyncio {

class EventLoop;

namespace detail {

class TaskBase;

// What a thread is doing. The loop that runs in it, and the task in whose step it is.
struct ThreadState {
    EventLoop* running = nullptr;
    TaskBase* task = nullptr;
};
extern constinit thread_local ThreadState this_thread;

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

    std::int64_t deadline = 0;      // nanoseconds of the loop's clock
    std::uint32_t place = unarmed;  // for the timer queue
    std::uint32_t index = 0;        // for the timer queue
    ReadyNode* target = nullptr;    // made ready when the deadline has passed

    [[nodiscard]] bool armed() const noexcept { return place != unarmed; }
};

// A scheduled callback. Counted by its user's Handle and by the queue it stands in.
class HandleState : public ReadyNode, public Recycled {
  public:
    HandleState(EventLoop& loop, ContextSlot context) noexcept;
    HandleState(const HandleState&) = delete;
    HandleState& operator=(const HandleState&) = delete;
    virtual ~HandleState();

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) delete this;
    }

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

  private:
    enum class Phase : std::uint8_t { waiting, running, finished, cancelled };

    static void take_turn(ReadyNode* node, Turn turn);
    void run();

    RefCount references_;
    std::atomic<Phase> phase_{Phase::waiting};
    std::atomic<bool> awaited_{false};  // another thread waits in cancel()
    bool threadsafe_ = false;
    ContextSlot context_;
    EventLoop* loop_;
};

// The callable and its arguments, stored by value.
template <class F, class... Args>
class CallbackHandle final : public HandleState {
  public:
    template <class G, class... A>
    CallbackHandle(EventLoop& loop, ContextSlot context, G&& function, A&&... args)
        : HandleState(loop, std::move(context)),
          call_(std::in_place, std::forward<G>(function), std::forward<A>(args)...) {}
    ~CallbackHandle() override { CallbackHandle::drop_callback(); }

    [[nodiscard]] const std::type_info& callback_type() const noexcept override {
        return typeid(F);
    }

  private:
    using Call = std::tuple<F, Args...>;

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

template <class F, class... Args>
concept Callback = std::invocable<std::decay_t<F>, std::decay_t<Args>...>;

}  // namespace detail
}  // namespace asyncio
