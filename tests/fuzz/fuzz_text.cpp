// Text of any bytes, in any encoding and with any line ends: in pieces it is what it is in one,
// line by line what it is as a whole, and what was read can be written back.
#include <asyncio/exceptions.hpp>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "aiofiles/text.hpp"

namespace {

using namespace aiofiles::detail;

void require(bool condition) {
    if (!condition) std::abort();
}

// Nothing where it is no text.
std::optional<std::string> decoded(std::string_view bytes, const TextFormat& format) {
    NewlinesSeen seen;
    try {
        return decode(bytes, format, seen);
    } catch (const asyncio::UnicodeDecodeError&) {
        require(format.errors == Errors::strict);
        return std::nullopt;
    }
}

void measure_in_pieces(std::string_view bytes, const TextFormat& format, std::size_t most) {
    Measure whole(format, most);
    Measure growing(format, most);
    try {
        whole.advance(bytes, true);
        bool done = false;
        for (std::size_t size = 0; size <= bytes.size() && !done; size += 1 + size / 3) {
            done = growing.advance(bytes.substr(0, size), false);
        }
        if (!done) growing.advance(bytes, true);
    } catch (const asyncio::UnicodeDecodeError&) {
        require(format.errors == Errors::strict);
        return;
    }
    require(whole.bytes() == growing.bytes());
    require(whole.characters() == growing.characters());
    require(whole.bytes() <= bytes.size() && whole.characters() <= most);
}

std::optional<std::string> line_by_line(std::string_view bytes, const TextFormat& format) {
    std::string all;
    while (!bytes.empty()) {
        LineSearch whole(format.newline);
        const auto size = whole.find(bytes, true);
        require(size.has_value() && *size > 0 && *size <= bytes.size());
        LineSearch growing(format.newline);
        std::optional<std::size_t> found;
        for (std::size_t seen = 0; seen <= bytes.size() && !found; seen += 1 + seen / 2) {
            found = growing.find(bytes.substr(0, seen), false);
        }
        if (!found) found = growing.find(bytes, true);
        require(found == size);
        const auto line = decoded(bytes.substr(0, *size), format);
        if (!line) return std::nullopt;
        all += *line;
        bytes.remove_prefix(*size);
    }
    return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const TextFormat format{.encoding = static_cast<Encoding>(data[0] % 3),
                            .errors = static_cast<Errors>(data[0] / 3 % 5),
                            .newline = static_cast<Newline>(data[0] / 15 % 5)};
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
    measure_in_pieces(bytes, format, data[1]);
    const std::optional<std::string> text = decoded(bytes, format);
    require(line_by_line(bytes, format) == text);
    const bool keeps_all =
        format.errors == Errors::strict || format.errors == Errors::surrogateescape;
    if (text && keeps_all && format.newline == Newline::untranslated) {
        require(encode(*text, format) == bytes);
    }
    return 0;
}
