// What read_view() gives views of: blocks that a transport receives into, and copies of what is
// not worth one. They are the reader's until its next read. Who waits has neither, so that ten
// thousand idle connections need no more of them than one.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncio::detail {

using ViewBlock = std::unique_ptr<std::byte[]>;
using ViewCopy = std::unique_ptr<std::string>;

// Of a loop; its thread only.
class ViewMemory {
  public:
    // The block that take() gives next, nobody's until then: who receives nothing has nothing
    // to give back. Empty if there is no memory.
    [[nodiscard]] std::span<std::byte> next() noexcept {
        if (free_.empty() && !allocate()) return {};
        return {free_.back().get(), size};
    }
    // Whether `data` was received into next().
    [[nodiscard]] bool is_next(std::string_view data) const noexcept {
        return !free_.empty() && static_cast<const void*>(data.data()) == free_.back().get();
    }
    [[nodiscard]] ViewBlock take() noexcept {
        ViewBlock block = std::move(free_.back());
        free_.pop_back();
        return block;
    }
    // Memory of no size in particular, with whatever it held.
    [[nodiscard]] ViewCopy take_copy() {
        if (free_copies_.empty()) {
            free_copies_.reserve(most_copies_kept);
            return std::make_unique<std::string>();
        }
        ViewCopy copy = std::move(free_copies_.back());
        free_copies_.pop_back();
        return copy;
    }
    // The last one given back is the first one taken: it is in the processor's caches.
    void give_back(ViewBlock block) noexcept {
        if (free_.size() < most_kept) free_.push_back(std::move(block));
    }
    void give_back(ViewCopy copy) noexcept {
        if (free_copies_.size() >= most_copies_kept || copy->capacity() > largest_copy_kept) return;
        free_copies_.push_back(std::move(copy));
    }

  private:
    bool allocate() noexcept {
        try {
            free_.reserve(most_kept);
            free_.push_back(std::make_unique_for_overwrite<std::byte[]>(size));
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }

    // What is read at once where nobody lends memory, too.
    static constexpr std::size_t size = 256 * 1024;
    static constexpr std::size_t most_kept = 16;
    static constexpr std::size_t most_copies_kept = 256;
    static constexpr std::size_t largest_copy_kept = 16 * 1024;
    std::vector<ViewBlock> free_;
    std::vector<ViewCopy> free_copies_;
};

}  // namespace asyncio::detail
