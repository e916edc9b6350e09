#include <asyncio/memory_detail.hpp>

#include <mutex>

namespace asyncio::detail {

constinit thread_local BlockCache block_cache;

namespace {

constexpr std::size_t batch = 1024;
// What the shared list keeps of one class before blocks go back to the system.
constexpr std::size_t shared_at_most = std::size_t{1} << 18;

struct SharedBlocks {
    std::mutex mutex;
    FreeBlock* free[BlockCache::classes] = {};
    std::size_t held[BlockCache::classes] = {};
};

// Never destroyed: threads may still free blocks while the process exits.
SharedBlocks& shared_blocks() {
    static SharedBlocks& blocks = *new SharedBlocks;
    return blocks;
}

// Moves up to `count` blocks of this thread to the shared list, or to the system.
void give_back(std::size_t size_class, std::size_t count) noexcept {
    BlockCache& cache = block_cache;
    SharedBlocks& shared = shared_blocks();
    const std::lock_guard lock(shared.mutex);
    for (; count > 0 && cache.free[size_class] != nullptr; --count) {
        FreeBlock* block = cache.free[size_class];
        cache.free[size_class] = block->next;
        --cache.held[size_class];
        if (shared.held[size_class] < shared_at_most) {
            block->next = shared.free[size_class];
            shared.free[size_class] = block;
            ++shared.held[size_class];
        } else {
            ::operator delete(block);
        }
    }
}

// Hands the thread's blocks back when it ends. What is freed after that goes straight to
// the system, because `held` then says the cache is full.
struct CacheOwner {
    bool armed = false;
    ~CacheOwner() {
        for (std::size_t c = 0; c < BlockCache::classes; ++c) {
            give_back(c, SIZE_MAX);
            block_cache.held[c] = blocks_held_at_most;
        }
    }
};
thread_local CacheOwner cache_owner;

bool refill(std::size_t size_class) noexcept {
    BlockCache& cache = block_cache;
    if (cache.held[size_class] == blocks_held_at_most) return false;  // the thread is ending
    SharedBlocks& shared = shared_blocks();
    const std::lock_guard lock(shared.mutex);
    for (std::size_t i = 0; i < batch && shared.free[size_class] != nullptr; ++i) {
        FreeBlock* block = shared.free[size_class];
        shared.free[size_class] = block->next;
        --shared.held[size_class];
        block->next = cache.free[size_class];
        cache.free[size_class] = block;
        ++cache.held[size_class];
    }
    return cache.free[size_class] != nullptr;
}

}  // namespace

void* allocate_slow(std::size_t bytes) {
    const std::size_t size_class = (bytes + BlockCache::granule - 1) / BlockCache::granule;
    if (size_class >= BlockCache::classes) return ::operator new(bytes);
    cache_owner.armed = true;  // constructs it, and with it the clean-up at thread exit
    if (refill(size_class)) return allocate(bytes);
    return ::operator new(size_class * BlockCache::granule);
}

void release_slow(void* block, std::size_t bytes) noexcept {
    const std::size_t size_class = (bytes + BlockCache::granule - 1) / BlockCache::granule;
    if (size_class >= BlockCache::classes || block_cache.free[size_class] == nullptr) {
        ::operator delete(block);
        return;
    }
    give_back(size_class, batch);
    release(block, bytes);
}

}  // namespace asyncio::detail
