#include "timer_queue.hpp"

#include <algorithm>
#include <bit>

namespace asyncio::detail {

inline void TimerQueue::append(std::uint32_t index, const Entry& entry) {
    Bucket& bucket = buckets_->bucket[index];
    entry.node->place = index;
    entry.node->index = static_cast<std::uint32_t>(bucket.entries.size());
    bucket.entries.push_back(entry);
    bucket.earliest = std::min(bucket.earliest, entry.deadline);
    if (index != far) buckets_->occupied[index / 64] |= std::uint64_t{1} << index % 64;
}

inline void TimerQueue::place(const Entry& entry) {
    const std::int64_t number = entry.deadline >> shift;
    if (number <= current_) {
        entry.node->place = late;
        late_.push_back(entry);
        sift_up(late_.size() - 1, entry);
        return;
    }
    if (!buckets_) buckets_ = std::make_unique<Buckets>();
    append(number < current_ + ring ? static_cast<std::uint32_t>(number % ring) : far, entry);
}

void TimerQueue::arm(TimerNode& node, std::int64_t now) {
    // Without timers the ring may be moved for free.
    if (armed_ == 0) {
        current_ = now >> shift;
        earliest_ = never;
    }
    earliest_ = std::min(earliest_, node.deadline);
    place({node.deadline, sequence_++, &node});
    ++armed_;
}

void TimerQueue::cancel(TimerNode& node) noexcept {
    --armed_;
    if (node.place == late) {
        remove_late(node.index);
    } else if (node.place == sorted) {
        run_[node.index].node = nullptr;
    } else {
        remove_from_bucket(node);
    }
    node.place = TimerNode::unarmed;
}

void TimerQueue::remove_from_bucket(TimerNode& node) noexcept {
    Bucket& bucket = buckets_->bucket[node.place];
    bucket.entries[node.index] = bucket.entries.back();
    bucket.entries[node.index].node->index = node.index;
    bucket.entries.pop_back();
    if (!bucket.entries.empty()) return;
    bucket.earliest = never;
    if (node.place != far) {
        buckets_->occupied[node.place / 64] &= ~(std::uint64_t{1} << node.place % 64);
    }
}

std::int64_t TimerQueue::next_occupied() const noexcept {
    if (!buckets_) return never;
    // The ring holds the numbers current_+1 to current_+ring-1, each at number % ring.
    const auto start = static_cast<std::uint32_t>((current_ + 1) % ring);
    constexpr std::uint32_t words = ring / 64;
    for (std::uint32_t i = 0; i <= words; ++i) {
        const std::uint32_t word = (start / 64 + i) % words;
        std::uint64_t bits = buckets_->occupied[word];
        if (i == 0) bits &= ~std::uint64_t{0} << start % 64;
        if (i == words) bits &= ~(~std::uint64_t{0} << start % 64);
        if (bits == 0) continue;
        const std::uint32_t index = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
        return current_ + 1 + (index + ring - start) % ring;
    }
    return never;
}

void TimerQueue::open_bucket(std::int64_t number) {
    const auto index = static_cast<std::uint32_t>(number % ring);
    Bucket& bucket = buckets_->bucket[index];
    current_ = number;
    run_.clear();
    cursor_ = 0;
    run_.swap(bucket.entries);
    bucket.earliest = never;
    buckets_->occupied[index / 64] &= ~(std::uint64_t{1} << index % 64);
    std::sort(run_.begin(), run_.end(), [](const Entry& a, const Entry& b) { return a.before(b); });
    for (std::size_t i = 0; i < run_.size(); ++i) {
        if (i + 16 < run_.size()) __builtin_prefetch(run_[i + 16].node, 1);
        run_[i].node->place = sorted;
        run_[i].node->index = static_cast<std::uint32_t>(i);
    }
}

void TimerQueue::redistribute_far() {
    Bucket& bucket = buckets_->bucket[far];
    std::vector<Entry> entries = std::exchange(bucket.entries, {});
    bucket.earliest = never;
    for (const Entry& entry : entries) place(entry);
}

// The earliest entry of run_ and late_, null when both are used up.
const TimerQueue::Entry* TimerQueue::first() noexcept {
    while (cursor_ < run_.size() && run_[cursor_].node == nullptr) ++cursor_;
    if (cursor_ == run_.size()) return late_.empty() ? nullptr : late_.data();
    if (late_.empty() || run_[cursor_].before(late_.front())) return &run_[cursor_];
    return late_.data();
}

TimerNode* TimerQueue::pop_due(std::int64_t now) {
    TimerNode* const node = find_due(now);
    if (node == nullptr) earliest_ = next_deadline();
    return node;
}

TimerNode* TimerQueue::find_due(std::int64_t now) {
    if (armed_ == 0) return nullptr;
    for (;;) {
        if (const Entry* entry = first()) {
            // Everything in the buckets is later than everything in front of them.
            if (entry->deadline > now) return nullptr;
            TimerNode* node = entry->node;
            if (entry == late_.data()) {
                remove_late(0);
            } else {
                ++cursor_;
                if (cursor_ + 8 < run_.size()) __builtin_prefetch(run_[cursor_ + 8].node, 1);
            }
            node->place = TimerNode::unarmed;
            --armed_;
            return node;
        }
        const std::int64_t number = next_occupied();
        if (!buckets_->bucket[far].entries.empty()) {
            // A far timer may lie before the next bucket once the ring has moved on.
            const std::int64_t far_number = buckets_->bucket[far].earliest >> shift;
            if (far_number <= number) {
                if (buckets_->bucket[far].earliest > now) return nullptr;
                current_ = far_number - 1;
                redistribute_far();
                continue;
            }
        }
        if (buckets_->bucket[number % ring].earliest > now) return nullptr;
        open_bucket(number);
    }
}

std::vector<TimerNode*> TimerQueue::take_all() {
    std::vector<TimerNode*> nodes;
    nodes.reserve(armed_);
    const auto take = [&nodes](std::vector<Entry>& entries, std::size_t from = 0) {
        for (; from < entries.size(); ++from) {
            if (entries[from].node != nullptr) nodes.push_back(entries[from].node);
        }
        entries.clear();
    };
    take(run_, cursor_);
    cursor_ = 0;
    take(late_);
    if (buckets_) {
        for (Bucket& bucket : buckets_->bucket) take(bucket.entries);
        buckets_.reset();
    }
    for (TimerNode* node : nodes) node->place = TimerNode::unarmed;
    armed_ = 0;
    return nodes;
}

std::int64_t TimerQueue::next_deadline() noexcept {
    if (armed_ == 0) return never;
    if (const Entry* entry = first()) return entry->deadline;
    const std::int64_t number = next_occupied();
    const std::int64_t in_ring = number == never ? never : buckets_->bucket[number % ring].earliest;
    return std::min(in_ring, buckets_->bucket[far].earliest);
}

// ---- the heap -----------------------------------------------------------------------------

void TimerQueue::put(std::size_t position, const Entry& entry) noexcept {
    late_[position] = entry;
    entry.node->index = static_cast<std::uint32_t>(position);
}

void TimerQueue::sift_up(std::size_t position, const Entry& entry) noexcept {
    const Entry moving = entry;
    while (position > 0) {
        const std::size_t parent = (position - 1) / 4;
        if (!moving.before(late_[parent])) break;
        put(position, late_[parent]);
        position = parent;
    }
    put(position, moving);
}

void TimerQueue::remove_late(std::size_t position) noexcept {
    const Entry last = late_.back();
    late_.pop_back();
    if (position == late_.size()) return;
    for (std::size_t child; (child = 4 * position + 1) < late_.size();) {
        std::size_t least = child;
        for (std::size_t k = child + 1; k < std::min(child + 4, late_.size()); ++k) {
            if (late_[k].before(late_[least])) least = k;
        }
        if (!late_[least].before(last)) break;
        put(position, late_[least]);
        position = least;
    }
    sift_up(position, last);
}

}  // namespace asyncio::detail
