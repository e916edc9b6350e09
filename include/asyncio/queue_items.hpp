// asyncio/queue_items.hpp - what queues keep their items in.
//
// Each is what Python's Queue subclasses override: `push(item)` and `pop()`, which is called
// only while something is stored and gives the item that comes next. A kind of queue of your
// own needs nothing else:
//
//   struct Shuffled { void push(Card card); Card pop(); };
//   struct ShuffledQueue : asyncio::BasicQueue<Card, Shuffled> {
//       explicit ShuffledQueue(std::ptrdiff_t maxsize = 0)
//           : BasicQueue("ShuffledQueue", maxsize, Shuffled()) {}
//   };
//
// A push() that throws must leave nothing behind.
//
// Source: Queue._init, Queue._put and Queue._get of Python's asyncio.queues.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace asyncio {

// First in, first out: a ring that doubles when it is full.
template <class T>
class FifoItems {
  public:
    FifoItems() = default;
    FifoItems(FifoItems&& other) noexcept
        : slots_(std::exchange(other.slots_, nullptr)),
          mask_(std::exchange(other.mask_, 0)),
          head_(std::exchange(other.head_, 0)),
          tail_(std::exchange(other.tail_, 0)) {}
    FifoItems& operator=(FifoItems&&) = delete;
    ~FifoItems() {
        for (; head_ != tail_; head_ = (head_ + 1) & mask_) std::destroy_at(slots_ + head_);
        if (slots_ != nullptr) std::allocator<T>().deallocate(slots_, mask_ + 1);
    }

    template <class U>
    void push(U&& item) {
        const std::size_t after = (tail_ + 1) & mask_;
        if (after == head_) [[unlikely]] {
            push_growing(std::forward<U>(item));
            return;
        }
        std::construct_at(slots_ + tail_, std::forward<U>(item));
        tail_ = after;
    }

    T pop() {
        T item = std::move(slots_[head_]);
        std::destroy_at(slots_ + head_);
        head_ = (head_ + 1) & mask_;
        return item;
    }

  private:
    // One slot stays free, so that a full ring and an empty one differ.
    template <class U>
    [[gnu::noinline]] void push_growing(U&& item) {
        const std::size_t slots = slots_ == nullptr ? 16 : 2 * (mask_ + 1);
        FifoItems grown;
        grown.slots_ = std::allocator<T>().allocate(slots);
        grown.mask_ = slots - 1;
        for (std::size_t i = head_; i != tail_; i = (i + 1) & mask_) {
            std::construct_at(grown.slots_ + grown.tail_, std::move_if_noexcept(slots_[i]));
            ++grown.tail_;
        }
        std::construct_at(grown.slots_ + grown.tail_, std::forward<U>(item));
        ++grown.tail_;
        std::swap(slots_, grown.slots_);
        std::swap(mask_, grown.mask_);
        std::swap(head_, grown.head_);
        std::swap(tail_, grown.tail_);
    }

    T* slots_ = nullptr;
    std::size_t mask_ = 0;  // how many slots there are, less one
    std::size_t head_ = 0;
    std::size_t tail_ = 0;
};

// Last in, first out.
template <class T>
class LifoItems {
  public:
    template <class U>
    void push(U&& item) {
        items_.emplace_back(std::forward<U>(item));
    }
    T pop() {
        T item = std::move(items_.back());
        items_.pop_back();
        return item;
    }

  private:
    std::vector<T> items_;
};

// The lowest first: a binary heap, sifted as Python's heapq does, so that equal items come in
// the same order as there. `Compare` must not throw.
template <class T, class Compare>
class PriorityItems {
  public:
    explicit PriorityItems(Compare compare) : greater_{std::move(compare)} {}

    template <class U>
    void push(U&& item) {
        items_.emplace_back(std::forward<U>(item));
        std::push_heap(items_.begin(), items_.end(), std::ref(greater_));
    }
    T pop() {
        std::pop_heap(items_.begin(), items_.end(), std::ref(greater_));
        T item = std::move(items_.back());
        items_.pop_back();
        return item;
    }

  private:
    // The standard's heaps have the greatest on top.
    struct Greater {
        bool operator()(const T& a, const T& b) { return compare(b, a); }
        Compare compare;
    };

    Greater greater_;
    std::vector<T> items_;
};

}  // namespace asyncio
