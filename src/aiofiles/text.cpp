#include "text.hpp"

#include <algorithm>
#include <array>
#include <asyncio/exceptions.hpp>
#include <cctype>
#include <cstring>

namespace aiofiles::detail {

namespace {

constexpr std::array<std::string_view, 5> error_names{"strict", "ignore", "replace",
                                                      "backslashreplace", "surrogateescape"};
constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD

unsigned byte_at(std::string_view bytes, std::size_t index) noexcept {
    return static_cast<unsigned char>(bytes[index]);
}

// One character at the start of `bytes`, or what is wrong there.
struct Unit {
    std::size_t length = 0;         // bytes it takes; 0: more bytes are needed to know
    const char* problem = nullptr;  // why these are no character
};

// What may follow a lead byte, as in table 3-7 of the Unicode standard.
struct Lead {
    std::size_t length;
    unsigned low, high;  // the range of the second byte
};

Lead lead_of(unsigned byte) noexcept {
    if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};
    if (byte == 0xED) return {3, 0x80, 0x9F};
    if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
    if (byte == 0xF0) return {4, 0x90, 0xBF};
    if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
    if (byte == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

Unit utf8_unit(std::string_view bytes, bool last) noexcept {
    const unsigned first = byte_at(bytes, 0);
    if (first < 0x80) return {1, nullptr};
    const Lead lead = lead_of(first);
    if (lead.length == 0) return {1, "invalid start byte"};
    for (std::size_t i = 1; i < lead.length; ++i) {
        if (i == bytes.size()) {
            return last ? Unit{i, "unexpected end of data"} : Unit{0, nullptr};
        }
        const unsigned low = i == 1 ? lead.low : 0x80;
        const unsigned high = i == 1 ? lead.high : 0xBF;
        const unsigned byte = byte_at(bytes, i);
        if (byte < low || byte > high) return {i, "invalid continuation byte"};
    }
    return {lead.length, nullptr};
}

Unit unit_at(std::string_view bytes, Encoding encoding, bool last) noexcept {
    switch (encoding) {
        case Encoding::utf8:
            return utf8_unit(bytes, last);
        case Encoding::ascii:
            return {1, byte_at(bytes, 0) < 0x80 ? nullptr : "ordinal not in range(128)"};
        case Encoding::latin1:
            break;
    }
    return {1, nullptr};
}

// How many bytes from `from` on are ASCII without a carriage return.
std::size_t plain_run(std::string_view bytes, std::size_t from) noexcept {
    std::size_t at = from;
    // Eight at a time: no high bit, and no byte equal to '\r'.
    constexpr std::uint64_t ones = 0x0101010101010101;
    constexpr std::uint64_t highs = 0x8080808080808080;
    while (at + 8 <= bytes.size()) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, sizeof word);
        const std::uint64_t cr = word ^ (ones * '\r');
        if (((word | ((cr - ones) & ~cr)) & highs) != 0) break;
        at += 8;
    }
    while (at < bytes.size() && byte_at(bytes, at) < 0x80 && bytes[at] != '\r') ++at;
    return at - from;
}

std::size_t characters_of_error(Errors errors, std::size_t length) noexcept {
    switch (errors) {
        case Errors::strict:
        case Errors::ignore:
            return 0;
        case Errors::replace:
            return 1;
        case Errors::backslashreplace:
            return 4 * length;
        case Errors::surrogateescape:
            break;
    }
    return length;
}

std::string hex(unsigned byte) {
    constexpr std::string_view digits = "0123456789abcdef";
    return {digits[byte >> 4], digits[byte & 15]};
}

void append_error(std::string& out, std::string_view wrong, Errors errors) {
    switch (errors) {
        case Errors::strict:
        case Errors::ignore:
            return;
        case Errors::replace:
            out += replacement;
            return;
        case Errors::backslashreplace:
            for (std::size_t i = 0; i < wrong.size(); ++i) {
                out.append("\\x").append(hex(byte_at(wrong, i)));
            }
            return;
        case Errors::surrogateescape:
            // Python smuggles such bytes through as lone surrogates; here they simply pass.
            out += wrong;
            return;
    }
}

[[noreturn]] void throw_decode_error(std::string_view bytes, std::size_t start, const Unit& unit,
                                     Encoding encoding) {
    throw asyncio::UnicodeDecodeError(name_of(encoding), std::string(bytes), start,
                                      start + unit.length, unit.problem);
}

void append_latin1(std::string& out, unsigned byte) {
    if (byte >= 0x80) {
        out += static_cast<char>(0xC0 | (byte >> 6));
        byte = 0x80 | (byte & 0x3F);
    }
    out += static_cast<char>(byte);
}

}  // namespace

// ---- names --------------------------------------------------------------------------------

Encoding encoding_named(std::string_view name) {
    std::string plain;
    for (const char c : name) {
        if (c == '-' || c == '_' || c == ' ') continue;
        plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    if (plain == "utf8" || plain == "u8" || plain == "utf" || plain == "cp65001") {
        return Encoding::utf8;
    }
    if (plain == "ascii" || plain == "usascii" || plain == "646") return Encoding::ascii;
    if (plain == "latin1" || plain == "latin" || plain == "l1" || plain == "iso88591" ||
        plain == "8859") {
        return Encoding::latin1;
    }
    throw asyncio::LookupError("unknown encoding: " + std::string(name) +
                               " (there are utf-8, ascii and latin-1)");
}

Errors errors_named(std::string_view name) {
    const auto* const found = std::find(error_names.begin(), error_names.end(), name);
    if (found != error_names.end()) return static_cast<Errors>(found - error_names.begin());
    throw asyncio::LookupError("unknown error handler name '" + std::string(name) + "'");
}

Newline newline_named(const std::optional<std::string>& newline) {
    if (!newline) return Newline::universal;
    if (newline->empty()) return Newline::untranslated;
    if (*newline == "\n") return Newline::lf;
    if (*newline == "\r") return Newline::cr;
    if (*newline == "\r\n") return Newline::crlf;
    throw asyncio::ValueError("illegal newline value: '" + *newline + "'");
}

std::string_view name_of(Encoding encoding) noexcept {
    switch (encoding) {
        case Encoding::utf8:
            return "utf-8";
        case Encoding::ascii:
            return "ascii";
        case Encoding::latin1:
            break;
    }
    return "latin-1";
}

std::string_view name_of(Errors errors) noexcept {
    return error_names[static_cast<std::size_t>(errors)];
}

std::vector<std::string> NewlinesSeen::list() const {
    std::vector<std::string> all;
    if ((seen_ & 2) != 0) all.emplace_back("\r");
    if ((seen_ & 1) != 0) all.emplace_back("\n");
    if ((seen_ & 4) != 0) all.emplace_back("\r\n");
    return all;
}

// ---- reading ------------------------------------------------------------------------------

bool Measure::advance(std::string_view bytes, bool last) {
    while (characters_ < most_) {
        const std::size_t plain = std::min(plain_run(bytes, bytes_), most_ - characters_);
        bytes_ += plain;
        characters_ += plain;
        if (bytes_ == bytes.size()) return last || characters_ == most_;
        if (characters_ == most_) break;
        const std::string_view rest = bytes.substr(bytes_);
        if (rest[0] == '\r') {
            // What follows decides whether the two are one line end.
            if (format_.newline == Newline::universal && rest.size() == 1 && !last) return false;
            const bool pair =
                format_.newline == Newline::universal && rest.size() > 1 && rest[1] == '\n';
            bytes_ += pair ? 2 : 1;
            ++characters_;
            continue;
        }
        const Unit unit = unit_at(rest, format_.encoding, last);
        if (unit.length == 0) return false;
        if (unit.problem == nullptr) {
            ++characters_;
        } else if (format_.errors == Errors::strict) {
            throw_decode_error(bytes, bytes_, unit, format_.encoding);
        } else {
            const std::size_t count = characters_of_error(format_.errors, unit.length);
            // One error may stand for several characters, which stay together.
            characters_ += std::min(count, most_ - characters_);
        }
        bytes_ += unit.length;
    }
    return true;
}

std::optional<std::size_t> LineSearch::find(std::string_view bytes, bool last) noexcept {
    const auto end = [&](std::size_t at) -> std::optional<std::size_t> {
        if (at != std::string_view::npos) return at;
        searched_ = bytes.size();
        if (last && !bytes.empty()) return bytes.size();
        return std::nullopt;
    };
    constexpr auto none = std::string_view::npos;
    switch (newline_) {
        case Newline::lf:
        case Newline::cr: {
            const auto at = bytes.find(newline_ == Newline::lf ? '\n' : '\r', searched_);
            return end(at == none ? none : at + 1);
        }
        case Newline::crlf: {
            // A carriage return at the end of what was searched counts again.
            const auto at = bytes.find("\r\n", searched_ > 0 ? searched_ - 1 : 0);
            return end(at == none ? none : at + 2);
        }
        case Newline::universal:
        case Newline::untranslated:
            break;
    }
    const auto at = bytes.find_first_of("\r\n", searched_);
    if (at == none) return end(none);
    if (bytes[at] == '\n') return at + 1;
    if (at + 1 < bytes.size()) return bytes[at + 1] == '\n' ? at + 2 : at + 1;
    if (last) return at + 1;
    searched_ = at;
    return std::nullopt;
}

std::string decode(std::string_view bytes, const TextFormat& format, NewlinesSeen& seen) {
    const bool translates = format.newline == Newline::universal;
    const bool notes = translates || format.newline == Newline::untranslated;
    std::string out;
    out.reserve(bytes.size());
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t plain = plain_run(bytes, at);
        out.append(bytes, at, plain);
        if (notes && plain > 0 && std::memchr(bytes.data() + at, '\n', plain) != nullptr) {
            seen.note_lf();
        }
        at += plain;
        if (at == bytes.size()) break;
        const std::string_view rest = bytes.substr(at);
        if (rest[0] == '\r') {
            const bool pair = notes && rest.size() > 1 && rest[1] == '\n';
            if (notes) pair ? seen.note_crlf() : seen.note_cr();
            if (translates) {
                out += '\n';
            } else {
                out += pair ? "\r\n" : "\r";
            }
            at += pair ? 2 : 1;
            continue;
        }
        const Unit unit = unit_at(rest, format.encoding, true);
        if (unit.problem != nullptr) {
            if (format.errors == Errors::strict) {
                throw_decode_error(bytes, at, unit, format.encoding);
            }
            append_error(out, rest.substr(0, unit.length), format.errors);
        } else if (format.encoding == Encoding::latin1) {
            append_latin1(out, byte_at(rest, 0));
        } else {
            out += rest.substr(0, unit.length);
        }
        at += unit.length;
    }
    return out;
}

// ---- writing ------------------------------------------------------------------------------

namespace {

bool fits(Encoding encoding, std::string_view character) noexcept {
    const unsigned first = byte_at(character, 0);
    switch (encoding) {
        case Encoding::utf8:
            return true;
        case Encoding::ascii:
            return first < 0x80;
        case Encoding::latin1:
            break;
    }
    return first <= 0xC3;
}

void append_encoded(std::string& out, std::string_view character, Encoding encoding) {
    if (encoding == Encoding::latin1 && character.size() == 2) {
        out +=
            static_cast<char>(((byte_at(character, 0) & 3) << 6) | (byte_at(character, 1) & 0x3F));
    } else {
        out += character;
    }
}

[[noreturn]] void throw_encode_error(const std::string& text, std::size_t start, std::size_t length,
                                     Encoding encoding, const char* problem) {
    throw asyncio::UnicodeEncodeError(name_of(encoding), text, start, start + length, problem);
}

void append_unencodable(std::string& out, std::string_view wrong, Errors errors) {
    switch (errors) {
        case Errors::strict:
        case Errors::ignore:
            return;
        case Errors::replace:
            out += '?';
            return;
        case Errors::backslashreplace:
            for (std::size_t i = 0; i < wrong.size(); ++i) {
                out.append("\\x").append(hex(byte_at(wrong, i)));
            }
            return;
        case Errors::surrogateescape:
            out += wrong;
            return;
    }
}

// Whether it may be bytes that were read as they are. Bytes that are no ASCII may by chance look
// like a character; Latin-1 has all bytes.
bool may_be_raw(bool valid, const TextFormat& format) {
    return !valid || format.errors != Errors::surrogateescape || format.encoding == Encoding::ascii;
}

std::string encode_characters(std::string text, const TextFormat& format) {
    std::size_t at = plain_run(text, 0);
    if (at == text.size()) return text;
    std::string out(text, 0, at);
    out.reserve(text.size());
    while (at < text.size()) {
        const std::string_view rest = std::string_view(text).substr(at);
        const Unit unit = utf8_unit(rest, true);
        const std::string_view character = rest.substr(0, unit.length);
        const bool valid = unit.problem == nullptr;
        if (valid && fits(format.encoding, character)) {
            append_encoded(out, character, format.encoding);
        } else if (format.errors == Errors::strict || !may_be_raw(valid, format)) {
            throw_encode_error(text, at, unit.length, format.encoding,
                               valid ? "character not in the encoding" : unit.problem);
        } else {
            append_unencodable(out, character, format.errors);
        }
        at += unit.length;
        const std::size_t plain = plain_run(text, at);
        out.append(text, at, plain);
        at += plain;
    }
    return out;
}

}  // namespace

std::string encode(std::string text, const TextFormat& format) {
    text = encode_characters(std::move(text), format);
    const bool translates = format.newline == Newline::cr || format.newline == Newline::crlf;
    if (!translates || text.find('\n') == std::string::npos) return text;
    std::string out;
    out.reserve(text.size() + text.size() / 16);
    for (const char c : text) {
        if (c != '\n') {
            out += c;
        } else {
            out += format.newline == Newline::cr ? "\r" : "\r\n";
        }
    }
    return out;
}

std::size_t count_characters(std::string_view text) noexcept {
    std::size_t count = 0;
    for (std::size_t at = 0; at < text.size(); ++count) {
        const Unit unit = utf8_unit(text.substr(at), true);
        at += unit.problem == nullptr ? unit.length : 1;
    }
    return count;
}

}  // namespace aiofiles::detail
