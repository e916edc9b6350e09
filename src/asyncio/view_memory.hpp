// What read_view() gives views of: blocks that a transport receives into, and copies of what is
// not worth one. They are the reader's until its next read. Who waits has neither, so that ten
// thousand idle connections need no more of them than one.
#pragma once

#include <asyncio/memory_detail.hpp>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncio::detail {

// Of a loop; its thread only.
class ViewMemory {
  public:
    // The block that take_next() gives, nobody's until then: who receives nothing has nothing to
    // give back. Empty if there is no memory.
    [[nodiscard]] std::span<std::byte> next() noexcept {
        if (blocks_.free.empty() && !allocate_block()) return {};
        return blocks_.free.back().bytes();
    }
    // Whether `data` was received into next().
    [[nodiscard]] bool is_next(std::string_view data) const noexcept {
        const void* const begin = data.data();
        return !blocks_.free.empty() && begin == blocks_.free.back().bytes().data();
    }
    [[nodiscard]] OwnedBlock take_next() noexcept { return blocks_.take(); }

    [[nodiscard]] OwnedBlock copy(std::string_view data) {
        // Small ones come out of the slabs for frames and tasks, as fast as out of a pool.
        OwnedBlock copy =
            data.size() <= most_in_slabs ? OwnedBlock(data.size()) : memory_for(data.size());
        std::memcpy(copy.bytes().data(), data.data(), data.size());
        return copy;
    }
    void give_back(OwnedBlock block) noexcept {
        if (block.bytes().size() > most_in_slabs) return keep(std::move(block));
        block.free();
    }

  private:
    // The last one given back is the first one taken: it is in the processor's caches.
    struct Pool {
        std::size_t size;  // of each
        std::size_t most;
        std::vector<OwnedBlock> free{};

        [[nodiscard]] OwnedBlock take() noexcept {
            OwnedBlock block = std::move(free.back());
            free.pop_back();
            return block;
        }
        void keep(OwnedBlock block) noexcept {
            if (free.size() < free.capacity()) free.push_back(std::move(block));
        }
        [[nodiscard]] OwnedBlock make() {
            free.reserve(most);
            return OwnedBlock(size);
        }
    };

    [[nodiscard]] [[gnu::noinline]] OwnedBlock memory_for(std::size_t bytes) {
        if (bytes > middling_.size) return OwnedBlock(bytes);
        return middling_.free.empty() ? middling_.make() : middling_.take();
    }
    [[gnu::noinline]] void keep(OwnedBlock block) noexcept {
        const std::size_t size = block.bytes().size();
        if (size == blocks_.size) return blocks_.keep(std::move(block));
        if (size == middling_.size) middling_.keep(std::move(block));
    }
    bool allocate_block() noexcept {
        try {
            blocks_.free.push_back(blocks_.make());
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }

    static constexpr std::size_t most_in_slabs = 1024;
    // What is read at once where nobody lends memory, too.
    Pool blocks_{.size = 256 * 1024, .most = 16};
    Pool middling_{.size = 16 * 1024, .most = 64};
};

}  // namespace asyncio::detail
