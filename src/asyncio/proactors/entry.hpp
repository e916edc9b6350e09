// An operation as an entry of a ring: what the proactor over io_uring keeps in it while it is
// in the kernel's hands, and what the kernel is told.
#pragma once

#include "proactor.hpp"

#if ASYNCIO_HAVE_LIBURING

#include <liburing.h>

#include <cstdint>

namespace asyncio::detail {

// Operation::pending.
enum Pending : std::uint8_t {
    own_due = 1,          // the completion of its own entry has not come
    cancel_due = 2,       // nor that of the request to cancel it
    cancel_queued = 4,    // is in cancels_
    settled = 8,          // the result is known, completions are still due
    awaits_ready = 16,    // the entry is a poll that goes before it
    waits_for_edge = 32,  // the entry is a multishot poll on behalf of a one-shot one
    changing = 64         // it was taken back to go on in another way
};

// Operation::hint: the last completion said that nothing more is there.
inline constexpr std::uint8_t drained = 1;

// The low bits of an entry's user_data tell what the pointer above them means.
enum Tag : std::uint64_t {
    own_tag = 0,
    cancel_tag = 1,
    wake_tag = 2,
    cancel_all_tag = 3,
    pause_tag = 4
};
inline constexpr std::uint64_t tag_mask = 7;
static_assert(alignof(Operation) > tag_mask && sizeof(Operation*) == sizeof(std::uint64_t));

[[nodiscard]] inline std::uint64_t token(const Operation& operation, Tag tag) noexcept {
    return reinterpret_cast<std::uintptr_t>(&operation) | tag;
}

// Whether it waits by a multishot poll: one entry for all the reads to come, which reports edges.
// Any other descriptor may be a blocking one, and is read once for each report.
[[nodiscard]] inline bool polls_on(const Operation& operation) noexcept {
    return operation.kind == Operation::Kind::recv && operation.multishot &&
           (operation.pending & awaits_ready) != 0;
}

// Fills the entry in, but for its user_data.
void describe(io_uring_sqe& entry, const Operation& operation) noexcept;

}  // namespace asyncio::detail

#endif
