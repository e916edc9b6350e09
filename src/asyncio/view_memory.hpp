// What read_view() gives views of: blocks that a transport receives into, and that are the
// reader's from then on until its next read. Who waits has none, so that ten thousand idle
// connections need no more of them than one.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncio::detail {

using ViewBlock = std::unique_ptr<std::byte[]>;

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
    // The last one given back is the first one taken: it is in the processor's caches.
    void give_back(ViewBlock block) noexcept {
        if (free_.size() < most_kept) free_.push_back(std::move(block));
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
    std::vector<ViewBlock> free_;
};

}  // namespace asyncio::detail
