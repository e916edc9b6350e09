// Text in files: UTF-8 checked, line ends found and translated. Functions of bytes, no I/O.
//
// Nothing is decoded ahead: bytes stay bytes in the file's buffer until they are taken, so the
// position of a text file is always the position of its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aiofiles::detail {

enum class Encoding : std::uint8_t { utf8, ascii, latin1 };
enum class Errors : std::uint8_t { strict, ignore, replace, backslashreplace, surrogateescape };
// Python's newline=None, "", "\n", "\r" and "\r\n".
enum class Newline : std::uint8_t { universal, untranslated, lf, cr, crlf };

struct TextFormat {
    Encoding encoding = Encoding::utf8;
    Errors errors = Errors::strict;
    Newline newline = Newline::universal;
};

// Throws: LookupError for a name that is not known, ValueError for another newline.
[[nodiscard]] Encoding encoding_named(std::string_view name);
[[nodiscard]] Errors errors_named(std::string_view name);
[[nodiscard]] Newline newline_named(const std::optional<std::string>& newline);
[[nodiscard]] std::string_view name_of(Encoding encoding) noexcept;
[[nodiscard]] std::string_view name_of(Errors errors) noexcept;

// Which line ends were met: Python's `newlines`.
class NewlinesSeen {
  public:
    void note_lf() noexcept { seen_ |= 1; }
    void note_cr() noexcept { seen_ |= 2; }
    void note_crlf() noexcept { seen_ |= 4; }
    [[nodiscard]] std::vector<std::string> list() const;

  private:
    std::uint8_t seen_ = 0;
};

inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

// How far some characters reach, found without decoding them. Feed it the same bytes with
// more behind them, and it goes on where it stopped.
class Measure {
  public:
    // `most`: how many characters are wanted.
    Measure(const TextFormat& format, std::size_t most) noexcept : format_(format), most_(most) {}

    // `last`: nothing comes after these bytes. True when there are `most` characters, or the
    // end was reached.
    // Throws: UnicodeDecodeError in strict mode.
    bool advance(std::string_view bytes, bool last);
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t characters() const noexcept { return characters_; }

  private:
    TextFormat format_;
    std::size_t most_;
    std::size_t bytes_ = 0;
    std::size_t characters_ = 0;
};

// Finds the end of the first line; goes on where it stopped, as Measure.
class LineSearch {
  public:
    explicit LineSearch(Newline newline) noexcept : newline_(newline) {}
    // The length of the line with its end; nullopt when more bytes are needed to know. With
    // `last` the rest is a line.
    [[nodiscard]] std::optional<std::size_t> find(std::string_view bytes, bool last) noexcept;

  private:
    Newline newline_;
    std::size_t searched_ = 0;
};

// Whole characters, such as Measure or LineSearch found, as UTF-8 with their line ends
// translated.
// Throws: UnicodeDecodeError in strict mode.
[[nodiscard]] std::string decode(std::string_view bytes, const TextFormat& format,
                                 NewlinesSeen& seen);

// UTF-8 as the file wants it.
// Throws: UnicodeEncodeError in strict mode, for what is no UTF-8 or not in the encoding.
[[nodiscard]] std::string encode(std::string text, const TextFormat& format);

// How many characters; bytes that are no UTF-8 count one each.
[[nodiscard]] std::size_t count_characters(std::string_view text) noexcept;

}  // namespace aiofiles::detail
