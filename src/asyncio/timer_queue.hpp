// The loop's timers: arming and cancelling in O(1) amortised, firing in order of deadline
// and, among equals, of arming.
//
// Deadlines fall into buckets of 2^26 ns (67 ms), each an array in no particular order; a
// bucket is sorted when its time comes, and firing then walks an array. What is armed into
// the bucket already sorted goes into a small heap beside it. So a million timers cost one
// append each and their share of a sort, where a heap or a wheel of linked timers would miss
// the cache several times for each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <asyncio/events_detail.hpp>

namespace asyncio::detail {

class TimerQueue {
  public:
    static constexpr std::int64_t never = INT64_MAX;

    // node.deadline is set; it must not be armed. `now` may lag behind the clock.
    void arm(TimerNode& node, std::int64_t now);
    void cancel(TimerNode& node) noexcept;
    // Takes the first timer due at `now` out, null when there is none.
    [[nodiscard]] TimerNode* pop_due(std::int64_t now);
    // Takes them all out, in no order, for a loop that closes.
    [[nodiscard]] std::vector<TimerNode*> take_all();
    // The earliest deadline or, after cancellations, a time before it.
    [[nodiscard]] std::int64_t next_deadline() noexcept;
    // A time before which nothing is due, as far as is known without looking.
    [[nodiscard]] std::int64_t earliest() const noexcept { return earliest_; }
    [[nodiscard]] std::size_t size() const noexcept { return armed_; }
    [[nodiscard]] bool empty() const noexcept { return armed_ == 0; }

  private:
    struct Entry {
        std::int64_t deadline;
        std::uint64_t sequence;
        TimerNode* node;  // null: cancelled after the sort

        [[nodiscard]] bool before(const Entry& other) const noexcept {
            return deadline != other.deadline ? deadline < other.deadline
                                              : sequence < other.sequence;
        }
    };
    struct Bucket {
        std::vector<Entry> entries;
        std::int64_t earliest = never;
    };
    static constexpr int shift = 26;
    static constexpr std::uint32_t ring = 1024;
    static constexpr std::uint32_t far = ring;         // beyond the ring
    static constexpr std::uint32_t sorted = ring + 1;  // in run_
    static constexpr std::uint32_t late = ring + 2;    // in late_
    struct Buckets {
        std::array<Bucket, ring + 1> bucket;
        std::array<std::uint64_t, ring / 64> occupied{};  // a bit per bucket of the ring
    };

    inline void place(const Entry& entry);
    inline void append(std::uint32_t bucket, const Entry& entry);
    void remove_from_bucket(TimerNode& node) noexcept;
    // The next bucket of the ring that holds anything, as a bucket number; never if none.
    [[nodiscard]] std::int64_t next_occupied() const noexcept;
    // Sorts the bucket `number` into run_, which is used up.
    void open_bucket(std::int64_t number);
    void redistribute_far();
    [[nodiscard]] const Entry* first() noexcept;
    [[nodiscard]] TimerNode* find_due(std::int64_t now);

    void put(std::size_t position, const Entry& entry) noexcept;
    void sift_up(std::size_t position, const Entry& entry) noexcept;
    void remove_late(std::size_t position) noexcept;

    std::size_t armed_ = 0;
    std::int64_t earliest_ = never;
    std::uint64_t sequence_ = 0;
    std::int64_t current_ = -1;  // the bucket that run_ came from; -1 before the first timer
    std::vector<Entry> run_;
    std::size_t cursor_ = 0;
    std::vector<Entry> late_;  // a 4-ary heap
    std::unique_ptr<Buckets> buckets_;
};

}  // namespace asyncio::detail
