// asyncio/queues.hpp - handing items from task to task on one loop.
//
//   Coroutine<void> producer(Queue<Job>& queue) {
//       for (Job& job : jobs) co_await queue.put(std::move(job));    // waits while it is full
//       queue.shutdown();
//   }
//   Coroutine<void> worker(Queue<Job>& queue) {
//       while (auto job = co_await queue.next()) {                   // nothing once shut down
//           co_await handle(*job);
//           queue.task_done();
//       }
//   }
//   co_await queue.join();                                           // all of them handled
//
// The same contract as Python's asyncio.Queue. Items need only be movable. Waiting allocates
// nothing, and items are stored in one array that grows as needed and is then reused.
// What tasks use must outlive them; a task that waits at a queue that was destroyed waits
// until it is cancelled.
//
// Thread: loop thread only; from elsewhere go through EventLoop::call_soon_threadsafe(). A
// queue belongs to the first loop on which a task had to wait for it: RuntimeError on others.
//
// Source: Python's asyncio.queues. See also: queue_items.hpp for what the kinds of queue keep
// their items in, and how to add another.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <asyncio/queue_items.hpp>
#include <asyncio/waiters_detail.hpp>

namespace asyncio {

// get_nowait() on a queue that holds nothing.
class QueueEmpty : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~QueueEmpty() override;
};

// put_nowait() on a queue that holds maxsize() items.
class QueueFull : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~QueueFull() override;
};

// The queue was shut down; for a get, and nothing is left in it.
class QueueShutDown : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~QueueShutDown() override;
};

namespace detail {

// A queue without its items.
class QueueBase {
  public:
    class Join;

    QueueBase(const QueueBase&) = delete;
    QueueBase& operator=(const QueueBase&) = delete;

    [[nodiscard]] std::size_t qsize() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    // Never of an unbounded queue.
    [[nodiscard]] bool full() const noexcept {
        return maxsize_ > 0 && size_ >= static_cast<std::size_t>(maxsize_);
    }
    // As given: zero or less means unbounded.
    [[nodiscard]] std::ptrdiff_t maxsize() const noexcept { return maxsize_; }

    // One item that somebody got has been handled.
    // Throws: ValueError when that was said more often than items were put.
    void task_done() {
        if (unfinished_ == 0) [[unlikely]]
            throw_nothing_to_be_done();
        if (--unfinished_ == 0) wake_joiners();
    }
    // Waits until every item that was put has been handled, as task_done() tells; not at all
    // if none was put.
    // Cancellation: safe.
    [[nodiscard]] inline Join join() noexcept;

    // "<Queue maxsize=2 qsize=1 getters[1] tasks=3 shutdown>"
    [[nodiscard]] std::string repr() const;

  protected:
    QueueBase(const char* name, std::ptrdiff_t maxsize) noexcept
        : room_until_(maxsize > 0 ? static_cast<std::size_t>(maxsize) : SIZE_MAX),
          maxsize_(maxsize),
          name_(name) {}
    ~QueueBase() = default;

    // Somebody who waits for an item, or for room. Each looks again when its turn comes:
    // a newcomer may have been faster.
    class Getter : public RetryingWaiter {
      public:
        [[nodiscard]] bool still_blocked() const noexcept final {
            return queue_.empty() && !queue_.shut_down_;
        }
        [[nodiscard]] bool await_ready() const noexcept { return !queue_.empty(); }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> frame) {
            if (queue_.shut_down_) return false;
            queue_.getters_.wait(*this, FrameLink(frame), queue_.loop_, queue_.name_);
            return true;
        }

      protected:
        explicit Getter(QueueBase& queue) noexcept : queue_(queue) {}
        ~Getter() {
            if (!idle()) [[unlikely]] {
                if (leave()) queue_.pass_on_item();
            }
        }
        // Throws: CancelledError.
        void check_served() {
            if (!idle() && !served()) [[unlikely]]
                fail_unserved(queue_, *this);
        }
        QueueBase& queue_;
    };
    class Putter : public RetryingWaiter {
      public:
        [[nodiscard]] bool still_blocked() const noexcept final {
            return !queue_.has_room() && !queue_.shut_down_;
        }
        [[nodiscard]] bool await_ready() const noexcept { return queue_.has_room(); }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> frame) {
            if (queue_.shut_down_) return false;
            queue_.putters_.wait(*this, FrameLink(frame), queue_.loop_, queue_.name_);
            return true;
        }

      protected:
        explicit Putter(QueueBase& queue) noexcept : queue_(queue) {}
        ~Putter() {
            if (!idle()) [[unlikely]] {
                if (leave()) queue_.pass_on_room();
            }
        }
        void check_served() {
            if (!idle() && !served()) [[unlikely]]
                fail_unserved(queue_, *this);
        }
        QueueBase& queue_;
    };

    [[nodiscard]] bool has_room() const noexcept { return size_ < room_until_; }
    void check_room() const {
        if (!has_room()) [[unlikely]]
            throw_no_room();
    }
    void check_item() const {
        if (size_ == 0) [[unlikely]]
            throw_no_item();
    }
    void item_added() noexcept {
        ++size_;
        ++unfinished_;
        if (getters_.has_waiting()) wake_getter();
    }
    void item_removed() noexcept {
        --size_;
        if (putters_.has_waiting()) wake_putter();
    }
    // The parts of shutdown(), in order.
    void begin_shutdown() noexcept {
        shut_down_ = true;
        room_until_ = 0;
    }
    void item_dropped() noexcept {
        --size_;
        if (unfinished_ > 0) --unfinished_;
    }
    void end_shutdown() noexcept;

  private:
    [[noreturn]] static void fail_unserved(QueueBase& queue, Getter& getter);
    [[noreturn]] static void fail_unserved(QueueBase& queue, Putter& putter);
    void pass_on_item() noexcept {
        if (!empty() && getters_.has_waiting()) wake_getter();
    }
    void pass_on_room() noexcept {
        if (has_room() && putters_.has_waiting()) wake_putter();
    }
    // Not inline, so that what calls them is.
    void wake_getter() noexcept;
    void wake_putter() noexcept;
    void wake_joiners() noexcept;
    [[noreturn]] void throw_no_room() const;
    [[noreturn]] void throw_no_item() const;
    [[noreturn]] void throw_nothing_to_be_done() const;

    std::size_t size_ = 0;
    std::size_t unfinished_ = 0;
    std::size_t room_until_;  // zero once shut down: then one test finds no room
    const std::ptrdiff_t maxsize_;
    bool shut_down_ = false;
    const char* const name_;
    WaitLine getters_;
    WaitLine putters_;
    WaitLine joiners_;
    LoopBinding loop_;

    class JoinAwaiter final : public Waiter {
      public:
        explicit JoinAwaiter(QueueBase& queue) noexcept : queue_(queue) {}
        [[nodiscard]] bool await_ready() const noexcept { return queue_.unfinished_ == 0; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> frame) {
            queue_.joiners_.wait(*this, FrameLink(frame), queue_.loop_, queue_.name_);
        }
        void await_resume() {
            if (!idle()) finish_signal();
        }

      private:
        QueueBase& queue_;
    };
};

class [[nodiscard]] QueueBase::Join {
  public:
    explicit Join(QueueBase& queue) noexcept : queue_(&queue) {}
    auto operator co_await() const noexcept { return JoinAwaiter(*queue_); }

  private:
    QueueBase* queue_;
};

inline QueueBase::Join QueueBase::join() noexcept {
    return Join(*this);
}

}  // namespace detail

// What all kinds of queue have in common; `Items` decides which item comes next.
template <class T, class Items>
class BasicQueue : public detail::QueueBase {
    template <class Result>
    class GetAwaiter;
    template <class Result>
    class Get;
    class PutAwaiter;
    class Put;

  public:
    using value_type = T;

    // Takes the next item, waiting while there is none. Fair among those who wait; a newcomer
    // may still take an item before a task that was woken for it runs.
    // Throws: QueueShutDown once shut down and empty.
    // Cancellation: safe. No item is taken, and one that was meant for it goes to the next.
    [[nodiscard]] auto get() noexcept { return Get<T>(*this); }
    // The same, as a std::optional: nothing once shut down and empty.
    [[nodiscard]] auto next() noexcept { return Get<std::optional<T>>(*this); }
    // next(), so that a queue is an async iterator.
    [[nodiscard]] auto anext() noexcept { return next(); }
    // Throws: QueueEmpty, or QueueShutDown once shut down and empty.
    T get_nowait() {
        check_item();
        return take();
    }

    // Adds an item, waiting while the queue is full.
    // Throws: QueueShutDown when shut down, also while it waits; the item goes with it.
    // Cancellation: safe. The item is not added, and the room goes to the next who waits.
    template <class U = T>
        requires std::constructible_from<T, U>
    [[nodiscard]] auto put(U&& item) {
        return Put(*this, std::forward<U>(item));
    }
    // Throws: QueueFull, QueueShutDown; `item` is then left as it was.
    template <class U = T>
        requires std::constructible_from<T, U>
    [[gnu::always_inline]] void put_nowait(U&& item) {
        check_room();
        items_.push(std::forward<U>(item));
        item_added();
    }

    // From now on every put() throws QueueShutDown; what is stored can still be got, and then
    // get() throws it too. `immediate` drops what is stored, which counts as handled. Wakes
    // everybody who waits. May be called again.
    void shutdown(bool immediate = false) {
        begin_shutdown();
        while (immediate && !empty()) {
            item_dropped();
            static_cast<void>(items_.pop());
        }
        end_shutdown();
    }

  protected:
    BasicQueue(const char* name, std::ptrdiff_t maxsize, Items items)
        : QueueBase(name, maxsize), items_(std::move(items)) {}

  private:
    [[gnu::always_inline]] T take() {
        T item = items_.pop();
        item_removed();
        return item;
    }

    Items items_;
};

// First in, first out.
template <class T>
class Queue : public BasicQueue<T, FifoItems<T>> {
  public:
    explicit Queue(std::ptrdiff_t maxsize = 0)
        : BasicQueue<T, FifoItems<T>>("Queue", maxsize, FifoItems<T>()) {}
};

// The lowest item first, by `Compare`. Of equal items, any.
// Complexity: O(log qsize()) to put and to get.
template <class T, class Compare = std::less<T>>
class PriorityQueue : public BasicQueue<T, PriorityItems<T, Compare>> {
    using Items = PriorityItems<T, Compare>;

  public:
    explicit PriorityQueue(std::ptrdiff_t maxsize = 0, Compare compare = Compare())
        : BasicQueue<T, Items>("PriorityQueue", maxsize, Items(std::move(compare))) {}
};

// Last in, first out.
template <class T>
class LifoQueue : public BasicQueue<T, LifoItems<T>> {
  public:
    explicit LifoQueue(std::ptrdiff_t maxsize = 0)
        : BasicQueue<T, LifoItems<T>>("LifoQueue", maxsize, LifoItems<T>()) {}
};

// ---- awaiting -----------------------------------------------------------------------------

// Inlined by force, here and above, because an item that need not wait costs less than a call.

// Result: T, or a std::optional of it.
template <class T, class Items>
template <class Result>
class BasicQueue<T, Items>::GetAwaiter final : public detail::QueueBase::Getter {
  public:
    explicit GetAwaiter(BasicQueue& queue) noexcept : Getter(queue) {}
    [[gnu::always_inline]] Result await_resume() {
        this->check_served();
        auto& queue = static_cast<BasicQueue&>(this->queue_);
        if constexpr (std::same_as<Result, T>) {
            queue.check_item();
        } else if (queue.empty()) {
            return std::nullopt;
        }
        return queue.take();
    }
};

template <class T, class Items>
template <class Result>
class [[nodiscard]] BasicQueue<T, Items>::Get {
  public:
    explicit Get(BasicQueue& queue) noexcept : queue_(&queue) {}
    auto operator co_await() const noexcept { return GetAwaiter<Result>(*queue_); }

  private:
    BasicQueue* queue_;
};

template <class T, class Items>
class BasicQueue<T, Items>::PutAwaiter final : public detail::QueueBase::Putter {
  public:
    PutAwaiter(BasicQueue& queue, T&& item) : Putter(queue), item_(std::move(item)) {}
    [[gnu::always_inline]] void await_resume() {
        this->check_served();
        static_cast<BasicQueue&>(this->queue_).put_nowait(std::move(item_));
    }

  private:
    T item_;
};

template <class T, class Items>
class [[nodiscard]] BasicQueue<T, Items>::Put {
  public:
    template <class U>
    Put(BasicQueue& queue, U&& item) : queue_(&queue), item_(std::forward<U>(item)) {}
    auto operator co_await() && { return PutAwaiter(*queue_, std::move(item_)); }

  private:
    BasicQueue* queue_;
    T item_;
};

}  // namespace asyncio
