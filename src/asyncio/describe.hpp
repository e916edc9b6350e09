// Texts about the loop's objects, for messages and logs.
#pragma once

#include <chrono>
#include <source_location>
#include <string>
#include <typeinfo>

#include <asyncio/events_detail.hpp>

namespace asyncio::detail {

// A type as C++ spells it.
[[nodiscard]] std::string type_text(const std::type_info& type);
// "0.105": seconds with three digits.
[[nodiscard]] std::string seconds_text(std::chrono::nanoseconds duration);
// A function's name without its result and parameters: "square" for "Coroutine<int> square(int)".
[[nodiscard]] std::string function_text(const char* pretty);
// "file:line in function"; empty for an unknown place.
[[nodiscard]] std::string place_text(std::source_location where);

}  // namespace asyncio::detail
