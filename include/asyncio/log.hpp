// asyncio/log.hpp - where the library's own messages go.
//
//   asyncio::set_log_sink([](asyncio::LogLevel level, std::string_view text) {
//       spdlog::log(to_spdlog(level), text);
//   });
//
// One sink for the process, stderr by default. What reaches it: errors nobody handled, and
// in debug mode what looks wrong.
//
// Source: Python's logging.getLogger("asyncio").
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace asyncio {

enum class LogLevel : std::uint8_t { debug, info, warning, error, critical };

// What sinks that have names for their sources may call this one, as Python does.
inline constexpr std::string_view logger_name = "asyncio";

using LogSink = std::function<void(LogLevel, std::string_view)>;

// Replaces the sink and returns what was; {} restores stderr. Any thread; the sink may be
// called from any thread, one call at a time. What it throws is ignored.
LogSink set_log_sink(LogSink sink);
// Messages below `level` are dropped; `warning` at the start.
void set_log_level(LogLevel level) noexcept;
[[nodiscard]] LogLevel get_log_level() noexcept;

void log(LogLevel level, std::string_view text) noexcept;

}  // namespace asyncio
