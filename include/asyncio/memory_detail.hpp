// asyncio/memory_detail.hpp - private: recycled memory for frames, tasks and handles, and
// the reference count they share.
//
// Blocks come from per-thread free lists by size class. A block freed on another thread goes
// to that thread's list; what a thread holds in excess moves in batches through one shared
// list, so a producer and a consumer thread keep each other supplied. No block has a header
// and none is tied to a loop, so a frame may outlive its loop.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define ASYNCIO_HAVE_SINGLE_THREADED 1
#endif

namespace asyncio::detail {

// Sanitizers must see every allocation and release, so recycling is off under them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool recycle_blocks = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
inline constexpr bool recycle_blocks = false;
#else
inline constexpr bool recycle_blocks = true;
#endif
#else
inline constexpr bool recycle_blocks = true;
#endif

struct FreeBlock {
    FreeBlock* next;
};

struct BlockCache {
    static constexpr std::size_t granule = 16;
    static constexpr std::size_t classes = 65;  // up to 1024 bytes

    FreeBlock* free[classes] = {};
    std::uint32_t held[classes] = {};
};

extern constinit thread_local BlockCache block_cache;

// How many blocks of one class a thread keeps before a batch moves to the shared list.
inline constexpr std::uint32_t blocks_held_at_most = 1u << 17;

[[nodiscard]] void* allocate_slow(std::size_t bytes);
void release_slow(void* block, std::size_t bytes) noexcept;

[[nodiscard]] inline void* allocate(std::size_t bytes) {
    if constexpr (recycle_blocks) {
        const std::size_t size_class = (bytes + BlockCache::granule - 1) / BlockCache::granule;
        if (size_class < BlockCache::classes) [[likely]] {
            BlockCache& cache = block_cache;
            if (FreeBlock* block = cache.free[size_class]) [[likely]] {
                cache.free[size_class] = block->next;
                --cache.held[size_class];
                return block;
            }
        }
        return allocate_slow(bytes);
    } else {
        return ::operator new(bytes);
    }
}

inline void release(void* block, std::size_t bytes) noexcept {
    if constexpr (recycle_blocks) {
        const std::size_t size_class = (bytes + BlockCache::granule - 1) / BlockCache::granule;
        if (size_class < BlockCache::classes) [[likely]] {
            BlockCache& cache = block_cache;
            if (cache.held[size_class] < blocks_held_at_most) [[likely]] {
                auto* free = static_cast<FreeBlock*>(block);
                free->next = cache.free[size_class];
                cache.free[size_class] = free;
                ++cache.held[size_class];
                return;
            }
        }
        release_slow(block, bytes);
    } else {
        ::operator delete(block);
    }
}

// For classes whose objects come and go at the rate of callbacks.
struct Recycled {
    static void* operator new(std::size_t bytes) { return allocate(bytes); }
    static void operator delete(void* block, std::size_t bytes) noexcept { release(block, bytes); }
};

// Memory of allocate(), perhaps none.
class OwnedBlock {
  public:
    OwnedBlock() noexcept = default;
    explicit OwnedBlock(std::size_t size)
        : memory_(static_cast<std::byte*>(allocate(size))), size_(size) {}
    OwnedBlock(OwnedBlock&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), size_(other.size_) {}
    OwnedBlock& operator=(OwnedBlock&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~OwnedBlock() {
        if (memory_ != nullptr) [[unlikely]]  // most have been moved from
            drop();
    }
    // What the destructor does, in line.
    void free() noexcept {
        if (memory_ != nullptr) release(std::exchange(memory_, nullptr), size_);
    }
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {memory_, size_}; }

  private:
    [[gnu::noinline]] void drop() noexcept { release(memory_, size_); }

    std::byte* memory_ = nullptr;
    std::size_t size_ = 0;
};

// Whether the process never had a second thread.
[[nodiscard]] inline bool single_threaded() noexcept {
#ifdef ASYNCIO_HAVE_SINGLE_THREADED
    return __libc_single_threaded != 0;
#else
    return false;
#endif
}

// Counts handles. Atomic only once the process has a second thread, as std::shared_ptr does.
class RefCount {
  public:
    explicit RefCount(std::uint32_t initial = 0) noexcept : count_(initial) {}

    void add() noexcept {
        if (single_threaded()) [[likely]] {
            count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        } else {
            count_.fetch_add(1, std::memory_order_relaxed);
        }
    }

    // True when that was the last one. The count is zero then, for who wants to live on.
    [[nodiscard]] bool drop() noexcept {
        if (single_threaded()) [[likely]] {
            const std::uint32_t left = count_.load(std::memory_order_relaxed) - 1;
            count_.store(left, std::memory_order_relaxed);
            return left == 0;
        }
        // Nobody can copy the only handle while we drop it, so a count of one needs no
        // read-modify-write.
        if (count_.load(std::memory_order_acquire) == 1) {
            count_.store(0, std::memory_order_relaxed);
            return true;
        }
        return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    }

    // Before anybody else knows of the object.
    void set(std::uint32_t count) noexcept { count_.store(count, std::memory_order_relaxed); }
    [[nodiscard]] std::uint32_t value() const noexcept {
        return count_.load(std::memory_order_relaxed);
    }

  private:
    std::atomic<std::uint32_t> count_;
};

// A counted pointer to something with add_reference() and drop_reference().
template <class T>
class Ref {
  public:
    Ref() noexcept = default;
    Ref(std::nullptr_t) noexcept {}
    explicit Ref(T* object) noexcept : object_(object) {
        if (object_ != nullptr) object_->add_reference();
    }
    // Takes over a reference that was already counted.
    [[nodiscard]] static Ref adopt(T* object) noexcept {
        Ref ref;
        ref.object_ = object;
        return ref;
    }
    Ref(const Ref& other) noexcept : Ref(other.object_) {}
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    template <class U>
    Ref(const Ref<U>& other) noexcept : Ref(static_cast<T*>(other.get())) {}
    template <class U>
    Ref(Ref<U>&& other) noexcept : object_(other.detach()) {}
    Ref& operator=(Ref other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Ref() {
        if (object_ != nullptr) object_->drop_reference();
    }

    [[nodiscard]] T* get() const noexcept { return object_; }
    // Gives the reference up to the caller, uncounted.
    [[nodiscard]] T* detach() noexcept { return std::exchange(object_, nullptr); }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }
    friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.object_ == b.object_; }

  private:
    T* object_ = nullptr;
};

}  // namespace asyncio::detail
