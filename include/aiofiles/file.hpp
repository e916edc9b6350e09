// aiofiles/file.hpp - files that do not hold up the loop.
//
//   co_await asyncio::with(aiofiles::open("in.txt"), [](File& file) -> Coroutine<void> {
//       while (auto line = co_await anext(file)) use(*line);
//   });
//
//   File log = co_await aiofiles::open("log.bin", "ab");
//   co_await log.write(record);
//   co_await log.close();
//
// As in Python the mode is a string and decides at run time: without "b" a file is text, UTF-8
// that is checked and whose line ends are translated, and sizes count characters (code
// points); with "b" it is bytes. Both come and go as std::string. A method that the mode does
// not have throws UnsupportedOperation.
//
// A File is a handle: copies name the same file, whose last handle closes it if nobody did;
// what was not flushed is then written by a thread, and what fails is logged (and in debug
// mode that it was left open). So close files, or use with().
//
// Operations of several tasks on one file wait for one another, in order.
//
// Cancellation: frees the caller at once. Nothing is lost: what was read stays in the file for
// the next read; a write that has begun goes on. Whoever uses the file next waits for it.
// Thread: loop thread only, one loop at a time. Reads that the page cache can answer happen
// there without waiting, others on io_uring or in the executor; see docs/decisions/0004.
//
// Source: Python's aiofiles, aiofiles.threadpool, io.
#pragma once

#include <unistd.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <aiofiles/errors.hpp>
#include <asyncio/async_iteration.hpp>
#include <asyncio/contextlib.hpp>
#include <asyncio/coroutines.hpp>

namespace concurrent::futures {
class ThreadPoolExecutor;
}

namespace aiofiles {

using asyncio::anext;  // so that `anext(file)` finds it
using asyncio::Coroutine;

namespace detail {
struct FileObject;
// One of 0, 1, 2, found again at each use.
struct Standard {
    int descriptor;
    bool text;
};
}  // namespace detail

// Text, or bytes.
template <class D>
concept FileData =
    std::convertible_to<D, std::string> || std::convertible_to<D, std::string_view> ||
    std::convertible_to<D, std::span<const std::byte>>;

namespace detail {
template <FileData D>
std::string to_string(D&& data) {
    if constexpr (std::convertible_to<D, std::string>) {
        return std::forward<D>(data);
    } else if constexpr (std::convertible_to<D, std::string_view>) {
        return std::string(std::string_view(data));
    } else {
        const std::span<const std::byte> bytes(data);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
}
}  // namespace detail

class File {
  public:
    File() noexcept = default;  // names nothing; only operator bool may be asked

    // ---- reading ------------------------------------------------------------------------

    // `size` characters or bytes, fewer only at the end; all that is left by default. Empty at
    // the end.
    // Throws: ValueError when closed, UnsupportedOperation, OSError; for text
    // UnicodeDecodeError, after which the position is what it was.
    [[nodiscard]] Coroutine<std::string> read(std::int64_t size = -1);
    [[nodiscard]] Coroutine<std::string> readall() { return read(); }
    // A line with its end; at most `size` characters or bytes of it. Empty at the end.
    [[nodiscard]] Coroutine<std::string> readline(std::int64_t size = -1);
    // Lines until the end, or until they have more than `hint` characters or bytes.
    [[nodiscard]] Coroutine<std::vector<std::string>> readlines(std::int64_t hint = -1);
    // The next line; nullopt at the end: `while (auto line = co_await anext(file))`.
    [[nodiscard]] Coroutine<std::optional<std::string>> anext();

    // Binary files only. What is there without more than one read of the system.
    [[nodiscard]] Coroutine<std::string> read1(std::int64_t size = -1);
    // Fills `target`, which must live until then; fewer bytes only at the end.
    [[nodiscard]] Coroutine<std::size_t> readinto(std::span<std::byte> target);
    [[nodiscard]] Coroutine<std::size_t> readinto(std::span<char> target) {
        return readinto(std::as_writable_bytes(target));
    }
    // What would be read next, without reading it; at least one byte unless at the end.
    [[nodiscard]] Coroutine<std::string> peek(std::size_t size = 0);

    // ---- writing ------------------------------------------------------------------------

    // Gives the number of characters or bytes, always all of them. What is smaller than the
    // buffer gets there only; flush() or close() tell whether it reached the file.
    // Throws: as read(), and UnicodeEncodeError for text that is not UTF-8.
    template <FileData D>
    [[nodiscard]] Coroutine<std::size_t> write(D&& data) {
        return write_owned(detail::to_string(std::forward<D>(data)));
    }
    // One after the other; no line ends are added.
    template <std::ranges::input_range R>
        requires FileData<std::ranges::range_reference_t<R>>
    [[nodiscard]] Coroutine<void> writelines(R&& lines) {
        std::string all;
        for (auto&& line : lines) all += detail::to_string(line);
        return writelines_owned(std::move(all));
    }
    [[nodiscard]] Coroutine<void> flush();

    // ---- position -----------------------------------------------------------------------

    // In bytes, of text too, where only what tell() gave, 0, and the end (0, SEEK_END) make
    // sense. Gives the new position.
    // Throws: ValueError for another whence, UnsupportedOperation where there are no positions.
    [[nodiscard]] Coroutine<std::int64_t> seek(std::int64_t offset, int whence = SEEK_SET);
    [[nodiscard]] Coroutine<std::int64_t> tell();
    // To `size` bytes, default: the position, which stays what it is. Gives the size.
    [[nodiscard]] Coroutine<std::int64_t> truncate(std::optional<std::int64_t> size = {});

    // ---- the file itself ----------------------------------------------------------------

    // Flushes and closes; nothing the second time. Closed afterwards whatever it throws, and
    // also when cancelled: a close that has begun goes on.
    // Throws: OSError, also for what had been buffered.
    [[nodiscard]] Coroutine<void> close();
    [[nodiscard]] Coroutine<bool> isatty();
    [[nodiscard]] Coroutine<bool> readable();
    [[nodiscard]] Coroutine<bool> writable();
    [[nodiscard]] Coroutine<bool> seekable();

    // Its descriptor, which stays the file's. Throws: ValueError when closed.
    [[nodiscard]] int fileno() const;
    [[nodiscard]] bool closed() const;
    // The path as given, or the descriptor's number.
    [[nodiscard]] std::string name() const;
    // As given for text; for binary files "rb", "wb", "ab", "xb", "rb+", "ab+" or "xb+".
    [[nodiscard]] std::string mode() const;
    // "<File name='notes.txt' mode='r'>"
    [[nodiscard]] std::string repr() const;
    // Of text: "utf-8" and "strict" by default. Throws: UnsupportedOperation for binary files.
    [[nodiscard]] std::string encoding() const;
    [[nodiscard]] std::string errors() const;
    [[nodiscard]] bool line_buffering() const;
    // Which line ends were read so far, where newline is nullopt or "".
    [[nodiscard]] std::vector<std::string> newlines() const;

    // The same file as bytes; the same file without a buffer.
    [[nodiscard]] File buffer() const;
    [[nodiscard]] File raw() const;
    // buffer() of text, raw() of a binary file; every copy of this handle throws ValueError
    // from then on.
    [[nodiscard]] File detach();

    // A manager for with(): closes at the end.
    Coroutine<File> aenter();
    Coroutine<void> aexit(std::exception_ptr error);

    explicit operator bool() const noexcept { return object_ || standard_.descriptor >= 0; }
    friend bool operator==(const File& a, const File& b) noexcept {
        return a.object_ == b.object_ && a.standard_.descriptor == b.standard_.descriptor &&
               a.standard_.text == b.standard_.text;
    }

    // Private to the library.
    explicit File(std::shared_ptr<detail::FileObject> object) noexcept
        : object_(std::move(object)) {}
    constexpr explicit File(detail::Standard standard) noexcept : standard_(standard) {}
    [[nodiscard]] std::shared_ptr<detail::FileObject> object() const;

  private:
    Coroutine<std::size_t> write_owned(std::string data);
    Coroutine<void> writelines_owned(std::string data);

    std::shared_ptr<detail::FileObject> object_;
    detail::Standard standard_{-1, false};
};

// aiofiles' names for what is one class here.
using AsyncTextIOWrapper = File;
using AsyncBufferedIOBase = File;
using AsyncBufferedReader = File;
using AsyncFileIO = File;

// What open() gives: awaited, it gives the File, as often as one likes; with() gives it to the
// body and closes it.
class [[nodiscard]] Opening {
  public:
    explicit Opening(Coroutine<File> opening) noexcept : opening_(std::move(opening)) {}

    auto operator co_await() { return fetch().operator co_await(); }
    Coroutine<File> aenter() { return fetch(); }
    Coroutine<void> aexit(std::exception_ptr error);

  private:
    Coroutine<File> fetch();

    Coroutine<File> opening_;
    File file_;
};
using AiofilesContextManager = Opening;

struct OpenOptions {
    // -1: a buffer of 64 KiB, and terminals are text by the line. 0: none, binary only.
    // 1: text is flushed after each line. More: the size of the buffer in bytes.
    int buffering = -1;
    // Text only. "utf-8" (the default, whatever the locale), "ascii" or "latin-1"; in the
    // program text is UTF-8.
    std::optional<std::string> encoding = {};
    // Text only. "strict" (the default), "ignore", "replace", "backslashreplace", or
    // "surrogateescape": what is no UTF-8 passes as it is, both ways. A "\r" and a "\n" between
    // which bytes are ignored are two line ends.
    std::optional<std::string> errors = {};
    // Text only. nullopt: "\n", "\r" and "\r\n" are read as "\n". "": they end lines and stay.
    // "\n", "\r", "\r\n": this alone ends lines; writing turns "\n" into it.
    std::optional<std::string> newline = {};
    // Of a file made from a descriptor: whether close() closes that, too.
    bool closefd = true;
    // Called in a thread with the path and the flags for ::open(); gives a descriptor.
    std::function<int(const std::string& path, int flags)> opener = {};
    // Where what may block runs. Default: the loop's own.
    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor = {};
};

// Opens a file. `mode` is one of "r", "w" (truncate), "a" (append) and "x" (must not exist),
// with "+" for both directions and "b" for bytes or "t" for text, in any order.
// Throws, when awaited: ValueError for contradictions and for a path with a NUL in it,
// LookupError for an unknown encoding, OSError with the path.
// Cancellation: a file that is opened after all is closed again.
[[nodiscard]] Opening open(std::string path, std::string mode = "r", OpenOptions options = {},
                           std::source_location where = std::source_location::current());
// Takes a descriptor over; see OpenOptions::closefd.
[[nodiscard]] Opening open(int descriptor, std::string mode = "r", OpenOptions options = {},
                           std::source_location where = std::source_location::current());

// A C file, flushed first, as a File. The FILE remains open, and the caller's, who must not
// use it until the File is closed.
// Throws, when awaited: as open().
[[nodiscard]] Opening wrap(std::FILE* file, std::string mode = "r", OpenOptions options = {});

}  // namespace aiofiles
