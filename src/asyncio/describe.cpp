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

std::string describe_ready(const ReadyNode* node) {
    if (TaskBase::owns(node)) return TaskBase::from_node(const_cast<ReadyNode*>(node)).repr();
    if (Delivery::owns(node)) return "<a gather() or shield()>";
    const auto* handle = static_cast<const HandleState*>(node);
    return "<Handle " + type_text(handle->callback_type()) + ">";
}

std::string function_text(const char* pretty) {
    std::string_view text = pretty;
    // "int f(T) [T = int]" and "int f(T) [with T = int]".
    if (const auto arguments = text.find(" ["); arguments != text.npos && text.ends_with(']')) {
        text = text.substr(0, arguments);
    }
    // Parameters: from the last parenthesis that opens at depth zero of <> and ().
    int depth = 0;
    std::size_t end = text.size();
    for (std::size_t i = text.size(); i-- > 0;) {
        if (text[i] == ')') ++depth;
        if (text[i] == '(' && --depth == 0) {
            end = i;
            break;
        }
    }
    // g++ appends the frame to the name: "f(f(int)::_Z1fi.Frame*)".
    if (const auto nested = text.find('('); nested != text.npos && text.ends_with("Frame*)")) {
        end = nested;
    }
    text = text.substr(0, end);
    // The result type: up to the last space outside of <> and ().
    depth = 0;
    std::size_t begin = 0;
    for (std::size_t i = text.size(); i-- > 0;) {
        const char c = text[i];
        if (c == '>' || c == ')') ++depth;
        if (c == '<' || c == '(') --depth;
        if (c == ' ' && depth == 0) {
            begin = i + 1;
            break;
        }
    }
    std::string name(text.substr(begin));
    for (const char* lambda : {"(anonymous class)::operator()", "(lambda)::operator()"}) {
        if (const auto at = name.find(lambda); at != name.npos) {
            name.replace(at, std::strlen(lambda), "<lambda>");
        }
    }
    return name;
}

std::string place_text(std::source_location where) {
    if (where.line() == 0) return {};
    return std::string(where.file_name()) + ":" + std::to_string(where.line()) + " in " +
           function_text(where.function_name());
}

}  // namespace asyncio::detail
