// The memory one io_uring shares with us, and the one system call that goes with it.
//
// liburing gives the layouts, the prep functions and the bare system calls. The two rings
// are driven here because the calls of liburing 2.3 cannot pass IORING_ENTER_NO_IOWAIT,
// without which an idle loop shows as I/O wait in every system monitor.
#pragma once

#include <liburing.h>
#include <signal.h>

#include <atomic>
#include <cstddef>
#include <optional>

#include "descriptor.hpp"
#include "proactor.hpp"

namespace asyncio::detail {

class Ring {
  public:
    // Asks for the fastest mode up to `best` that this kernel has. The rings are usable by
    // the calling thread only. Throws OSError.
    Ring(unsigned submissions, unsigned completions, IoUringMode best);
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring();

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] IoUringMode mode() const noexcept { return mode_; }
    [[nodiscard]] unsigned features() const noexcept { return features_; }

    // The next submission to fill in, zeroed; null when the ring is full.
    [[nodiscard]] io_uring_sqe* next_submission() noexcept;
    [[nodiscard]] unsigned unsubmitted() const noexcept {
        return tail_ - std::atomic_ref(*submission_head_).load(std::memory_order_acquire);
    }

    // Hands over what was filled in, without waiting. A negative errno, or how many went.
    int submit() noexcept { return call(0, 0, nullptr, 0); }
    // The same, and lets the kernel post what it has put off; with `wanted` > 0 waits for as
    // many completions, a signal or the timeout.
    int enter(unsigned wanted, std::optional<Nanoseconds> timeout) noexcept {
        if (wanted > 0 && timeout) return enter_until(wanted, *timeout);
        return call(wanted, IORING_ENTER_GETEVENTS, nullptr, _NSIG / 8);
    }

    // Whether the kernel has something to post at the next enter().
    [[nodiscard]] bool has_deferred() const noexcept {
        return (std::atomic_ref(*submission_flags_).load(std::memory_order_relaxed) &
                (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
    }

    [[nodiscard]] unsigned available() const noexcept {
        return std::atomic_ref(*completion_tail_).load(std::memory_order_acquire) - head_;
    }
    // The name of one that comes `later` than the oldest; nonsense beyond available().
    [[nodiscard]] std::uint64_t name_of(unsigned later) const noexcept {
        return results_[(head_ + later) & completion_mask_].user_data;
    }
    // Takes the oldest of available() > 0.
    io_uring_cqe take() noexcept {
        const io_uring_cqe result = results_[head_ & completion_mask_];
        ++head_;
        std::atomic_ref(*completion_head_).store(head_, std::memory_order_release);
        return result;
    }

  private:
    struct Mapping {
        void* address = nullptr;
        std::size_t size = 0;
        Mapping() = default;
        Mapping(int fd, std::size_t bytes, std::uint64_t offset);
        Mapping(const Mapping&) = delete;
        Mapping& operator=(Mapping&& other) noexcept;
        ~Mapping();
        template <class T>
        [[nodiscard]] T* at(std::size_t offset) const noexcept {
            return reinterpret_cast<T*>(static_cast<std::byte*>(address) + offset);
        }
    };

    int enter_until(unsigned wanted, Nanoseconds timeout) noexcept;
    int call(unsigned wanted, unsigned flags, void* argument, std::size_t size) noexcept {
        std::atomic_ref(*submission_tail_).store(tail_, std::memory_order_release);
        return ::io_uring_enter2(static_cast<unsigned>(fd()), unsubmitted(), wanted,
                                 flags | enter_flags_, static_cast<sigset_t*>(argument), size);
    }

    Descriptor fd_;
    Mapping rings_;
    Mapping submissions_;
    IoUringMode mode_;
    unsigned features_ = 0;
    unsigned enter_flags_ = 0;

    io_uring_sqe* entries_ = nullptr;
    unsigned* submission_head_ = nullptr;
    unsigned* submission_tail_ = nullptr;
    unsigned* submission_flags_ = nullptr;
    unsigned submission_mask_ = 0;
    unsigned tail_ = 0;  // ahead of *submission_tail_ by what was not handed over

    io_uring_cqe* results_ = nullptr;
    unsigned* completion_head_ = nullptr;
    unsigned* completion_tail_ = nullptr;
    unsigned completion_mask_ = 0;
    unsigned head_ = 0;
};

}  // namespace asyncio::detail
