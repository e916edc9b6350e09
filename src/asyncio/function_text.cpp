// Apart from the rest of describe.cpp, so that tools have it without the library.
#include <string>
#include <string_view>

#include "describe.hpp"

namespace asyncio::detail {

namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (auto at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

}  // namespace

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
    replace_all(name, "(anonymous class)::operator()", "<lambda>");
    replace_all(name, "(lambda)::operator()", "<lambda>");
    replace_all(name, "(anonymous namespace)::", "");
    replace_all(name, "{anonymous}::", "");
    return name;
}

}  // namespace asyncio::detail
