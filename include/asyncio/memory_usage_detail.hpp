// asyncio/memory_usage_detail.hpp - private: what measurements want to know of the memory that
// is not malloc's.
#pragma once

#include <cstddef>

namespace asyncio::detail {

// Bytes of all recycled blocks there are, in use or kept for the next.
// Thread: any. Nothing under sanitizers, where every block is malloc's.
[[nodiscard]] std::size_t memory_in_blocks();

}  // namespace asyncio::detail
