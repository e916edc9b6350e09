#include "describe.hpp"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <asyncio/tasks_detail.hpp>
#include <asyncio/waiting_detail.hpp>

namespace asyncio::detail {

std::string type_text(const std::type_info& type) {
    int status = 0;
    char* name = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
    std::string text = status == 0 ? name : type.name();
    std::free(name);
    return text;
}

std::string seconds_text(std::chrono::nanoseconds duration) {
    char text[40];
    std::snprintf(text, sizeof text, "%.3f", std::chrono::duration<double>(duration).count());
    return text;
}

std::string place_text(std::source_location where) {
    if (where.line() == 0) return {};
    return std::string(where.file_name()) + ":" + std::to_string(where.line()) + " in " +
           function_text(where.function_name());
}

}  // namespace asyncio::detail
