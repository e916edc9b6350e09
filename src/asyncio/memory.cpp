// Blocks are carved out of slabs of 64 KiB, each of one size class: no header per block, and
// neighbours in memory were made one after the other. What a thread has too much of goes to a
// shared list; when that is long, slabs of which no block is in use go back to the system.
#include <asyncio/memory_detail.hpp>
#include <asyncio/memory_usage_detail.hpp>

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <mutex>

namespace asyncio::detail {

constinit thread_local BlockCache block_cache;

namespace {

constexpr std::size_t batch = 1024;
// What the shared list keeps of one class before slabs are looked for that could go.
constexpr std::size_t shared_at_most = std::size_t{1} << 18;
constexpr std::size_t slab_bytes = 64 * 1024;
constexpr std::size_t region_bytes = 2 * 1024 * 1024;  // slabs asked of the system at once
constexpr std::size_t page = 4096;

// The first cache line of it.
struct alignas(64) Slab {
    std::uint32_t made = 0;  // blocks
    std::uint32_t free = 0;  // of them, while they are counted
    Slab* next = nullptr;
};

Slab& slab_of(FreeBlock* block) noexcept {
    return *reinterpret_cast<Slab*>(reinterpret_cast<std::uintptr_t>(block) & ~(slab_bytes - 1));
}

// All that threads have in common.
struct SharedBlocks {
    struct Class {
        FreeBlock* free = nullptr;
        std::size_t held = 0;
        std::size_t trim_at = shared_at_most;
        std::size_t made = 0;  // that there are, with those in use
        Slab* slab = nullptr;  // of which there is still something to be carved
        char* next = nullptr;
    };

    std::mutex mutex;
    Class classes[BlockCache::classes];
    Slab* slabs = nullptr;  // unused ones
    char* region = nullptr;
    char* region_end = nullptr;
};

// Never destroyed: threads may still free blocks while the process exits.
SharedBlocks& shared_blocks() {
    static SharedBlocks& blocks = *new SharedBlocks;
    return blocks;
}

// A child that is forked while another thread is in here could never get in. Registered before
// main(), so that whatever else is to be done before a fork is done before this.
[[maybe_unused]] const int fork_handlers =
    pthread_atfork([] { shared_blocks().mutex.lock(); }, [] { shared_blocks().mutex.unlock(); },
                   [] { shared_blocks().mutex.unlock(); });

void push(FreeBlock*& list, FreeBlock* block) noexcept {
    block->next = list;
    list = block;
}
FreeBlock* pop(FreeBlock*& list) noexcept {
    return std::exchange(list, list->next);
}

// ---- slabs, under the mutex ---------------------------------------------------------------

void map_region(SharedBlocks& shared) {
    void* const mapped = mmap(nullptr, region_bytes + slab_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    const auto begin = reinterpret_cast<std::uintptr_t>(mapped);
    shared.region = reinterpret_cast<char*>((begin + slab_bytes - 1) & ~(slab_bytes - 1));
    shared.region_end = shared.region + region_bytes;
}

Slab* new_slab(SharedBlocks& shared) {
    if (shared.slabs != nullptr) {
        Slab* const slab = std::exchange(shared.slabs, shared.slabs->next);
        return ::new (static_cast<void*>(slab)) Slab;
    }
    if (shared.region == shared.region_end) map_region(shared);
    void* const begin = std::exchange(shared.region, shared.region + slab_bytes);
    return ::new (begin) Slab;
}

// A page's worth at a time: what nobody needs is not touched.
void carve(SharedBlocks& shared, std::size_t size_class) {
    SharedBlocks::Class& mine = shared.classes[size_class];
    const std::size_t bytes = size_class * BlockCache::granule;
    if (mine.slab == nullptr ||
        mine.next + bytes > reinterpret_cast<char*>(mine.slab) + slab_bytes) {
        mine.slab = new_slab(shared);
        mine.next = reinterpret_cast<char*>(mine.slab + 1);
    }
    const char* const end = reinterpret_cast<char*>(mine.slab) + slab_bytes;
    const auto left = static_cast<std::size_t>(end - mine.next) / bytes;
    const std::size_t count = std::min(left, page / bytes);
    for (std::size_t i = count; i-- > 0;) {
        push(mine.free, reinterpret_cast<FreeBlock*>(mine.next + i * bytes));
    }
    mine.held += count;
    mine.made += count;
    mine.next += count * bytes;
    mine.slab->made += static_cast<std::uint32_t>(count);
}

void retire(SharedBlocks& shared, Slab& slab) noexcept {
    // But for the page that links it.
    madvise(reinterpret_cast<char*>(&slab) + page, slab_bytes - page, MADV_DONTNEED);
    slab.next = std::exchange(shared.slabs, &slab);
}

// Gives the slabs back of which every block is in the list.
void trim(SharedBlocks& shared, SharedBlocks::Class& mine) noexcept {
    for (FreeBlock* block = mine.free; block != nullptr; block = block->next) {
        ++slab_of(block).free;
    }
    FreeBlock* kept = nullptr;
    std::size_t held = 0;
    for (FreeBlock* block = mine.free; block != nullptr;) {
        FreeBlock* const next = block->next;
        Slab& slab = slab_of(block);
        if (&slab != mine.slab && slab.free == slab.made) {
            --slab.free;
            --mine.made;
            if (--slab.made == 0) retire(shared, slab);  // that was the last of its blocks
        } else {
            push(kept, block);
            ++held;
        }
        block = next;
    }
    for (FreeBlock* block = kept; block != nullptr; block = block->next) slab_of(block).free = 0;
    mine.free = kept;
    mine.held = held;
    mine.trim_at = std::max(shared_at_most, 2 * held);
}

// ---- between a thread and the rest --------------------------------------------------------

// Moves up to `count` blocks of this thread to the shared list.
void give_back(std::size_t size_class, std::size_t count) noexcept {
    BlockCache& cache = block_cache;
    SharedBlocks& shared = shared_blocks();
    const std::lock_guard lock(shared.mutex);
    SharedBlocks::Class& mine = shared.classes[size_class];
    for (; count > 0 && cache.free[size_class] != nullptr; --count) {
        push(mine.free, pop(cache.free[size_class]));
        --cache.held[size_class];
        ++mine.held;
    }
    if (mine.held > mine.trim_at) [[unlikely]]
        trim(shared, mine);
}

// Of a thread whose own lists are closed.
void give_back_one(std::size_t size_class, FreeBlock* block) noexcept {
    SharedBlocks& shared = shared_blocks();
    const std::lock_guard lock(shared.mutex);
    push(shared.classes[size_class].free, block);
    ++shared.classes[size_class].held;
}

// Hands the thread's blocks back when it ends. What is freed after that is handed back at
// once, because `held` then says the cache is full.
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

bool is_ending(std::size_t size_class) noexcept {
    return block_cache.free[size_class] == nullptr &&
           block_cache.held[size_class] == blocks_held_at_most;
}

// A block, and more of them for the thread.
void* take(std::size_t size_class) {
    BlockCache& cache = block_cache;
    SharedBlocks& shared = shared_blocks();
    const std::lock_guard lock(shared.mutex);
    SharedBlocks::Class& mine = shared.classes[size_class];
    if (mine.free == nullptr) carve(shared, size_class);
    --mine.held;
    FreeBlock* const first = pop(mine.free);
    if (is_ending(size_class)) return first;
    // In the order in which they are there: one after the other in memory, when they are new.
    FreeBlock** end = &cache.free[size_class];
    for (std::size_t i = 1; i < batch && mine.free != nullptr; ++i) {
        *end = pop(mine.free);
        end = &(*end)->next;
        --mine.held;
        ++cache.held[size_class];
    }
    *end = nullptr;
    return first;
}

}  // namespace

std::size_t memory_in_blocks() {
    SharedBlocks& shared = shared_blocks();
    const std::lock_guard lock(shared.mutex);
    std::size_t bytes = 0;
    for (std::size_t c = 0; c < BlockCache::classes; ++c) {
        bytes += shared.classes[c].made * c * BlockCache::granule;
    }
    return bytes;
}

void* allocate_slow(std::size_t bytes) {
    const std::size_t size_class = (bytes + BlockCache::granule - 1) / BlockCache::granule;
    if (size_class >= BlockCache::classes) return ::operator new(bytes);
    cache_owner.armed = true;  // constructs it, and with it the clean-up at thread exit
    return take(std::max<std::size_t>(size_class, 1));
}

void release_slow(void* block, std::size_t bytes) noexcept {
    const std::size_t size_class = (bytes + BlockCache::granule - 1) / BlockCache::granule;
    if (size_class >= BlockCache::classes) {
        ::operator delete(block);
    } else if (is_ending(size_class)) {
        give_back_one(size_class, static_cast<FreeBlock*>(block));
    } else {
        give_back(size_class, batch);
        release(block, bytes);
    }
}

}  // namespace asyncio::detail
