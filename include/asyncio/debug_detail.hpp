// asyncio/debug_detail.hpp - private: what debug mode says about objects of the library.
#pragma once

#include <source_location>
#include <string_view>

namespace asyncio {
class EventLoop;
}

namespace asyncio::detail {

// For destructors of what has to be closed: in debug mode logs a warning, "unclosed <what>",
// and where it was made. Costs a load and a branch otherwise. Loop thread only.
void report_unclosed(const EventLoop& loop, std::string_view what,
                     std::source_location made) noexcept;

}  // namespace asyncio::detail
