// Sleeping on a word of memory and waking who sleeps there, and the lock made of it.
//
// Cheaper than std::mutex and std::condition_variable in the two ways that count here: four
// bytes, and no system call unless somebody does sleep.
#pragma once

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <ctime>
#include <optional>
#include <thread>

namespace concurrent::futures::detail {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

// Sleeps while the word is `expected`, and may wake for no reason. False: the time is up.
inline bool futex_wait(
    const std::atomic<std::uint32_t>& word, std::uint32_t expected,
    const std::optional<std::chrono::steady_clock::time_point>& deadline = {}) noexcept {
    timespec until{};
    if (deadline) {
        const auto since_start = deadline->time_since_epoch();
        const auto seconds = std::chrono::floor<std::chrono::seconds>(since_start);
        if (seconds.count() < 0) return false;
        until.tv_sec = static_cast<time_t>(seconds.count());
        until.tv_nsec = static_cast<long>((since_start - seconds).count());
    }
    // Of the waiting operations this one takes a time point; the monotonic clock is its default.
    const long result = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                                deadline ? &until : nullptr, nullptr, FUTEX_BITSET_MATCH_ANY);
    return !(result == -1 && errno == ETIMEDOUT);
}

inline void futex_wake(const std::atomic<std::uint32_t>& word, int most) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, most);
}
inline void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
    futex_wake(word, INT_MAX);
}

// The same for words in memory that processes share.
inline void futex_wait_shared(const std::atomic<std::uint32_t>& word,
                              std::uint32_t expected) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAIT, expected, nullptr, nullptr, 0);
}
inline void futex_wake_shared(const std::atomic<std::uint32_t>& word) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// How many CPUs this process may use.
inline int usable_cpus() noexcept {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    const unsigned all = std::thread::hardware_concurrency();  // more CPUs than fit the set
    return all == 0 ? 1 : static_cast<int>(all);
}

inline void pause_cpu() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");
#endif
}

// For sections of a few instructions.
class FutexLock {
  public:
    void lock() noexcept {
        std::uint32_t free = 0;
        if (!word_.compare_exchange_strong(free, 1, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
            lock_slowly();
        }
    }
    void unlock() noexcept {
        if (word_.exchange(0, std::memory_order_release) == 2) futex_wake(word_, 1);
    }

  private:
    void lock_slowly() noexcept {
        // The owner needs tens of nanoseconds, unless it was taken off its CPU.
        for (int i = 0; i < 50; ++i) {
            std::uint32_t free = 0;
            if (word_.load(std::memory_order_relaxed) == 0 &&
                word_.compare_exchange_weak(free, 1, std::memory_order_acquire,
                                            std::memory_order_relaxed)) {
                return;
            }
            pause_cpu();
        }
        while (word_.exchange(2, std::memory_order_acquire) != 0) futex_wait(word_, 2);
    }

    std::atomic<std::uint32_t> word_{0};  // 0 free, 1 locked, 2 locked and somebody may sleep
};

}  // namespace concurrent::futures::detail
