// aiofiles/tempfile.hpp - files and directories that go away by themselves.
//
//   co_await asyncio::with(tempfile::NamedTemporaryFile("w+", {.suffix = ".txt"}),
//                          [](File& file) -> Coroutine<void> {
//                              co_await file.write("scratch");
//                              co_await convert(file.name());
//                          });
//   co_await asyncio::with(tempfile::TemporaryDirectory(),
//                          [](std::string& path) -> Coroutine<void> { ... });
//
// What nobody closed is removed when its last handle goes.
//
// Throws, when awaited: as open(), with the directory; FileNotFoundError when that is not there.
// Thread: loop thread only.
//
// Source: Python's aiofiles.tempfile, tempfile.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>

#include <aiofiles/file.hpp>

namespace aiofiles::tempfile {

struct TempFileOptions {
    // As for open().
    int buffering = -1;
    std::optional<std::string> encoding = {};
    std::optional<std::string> errors = {};
    std::optional<std::string> newline = {};
    // The name is prefix ("tmp" by default), eight random characters, suffix.
    std::string suffix = {};
    std::optional<std::string> prefix = {};
    // Default: $TMPDIR, $TEMP, $TMP, else /tmp, /var/tmp, /usr/tmp or ".".
    std::optional<std::string> dir = {};
    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor = {};
    // NamedTemporaryFile: whether it is removed at all, and if, already by close() or only at
    // the end of with() and with the last handle.
    bool delete_ = true;
    bool delete_on_close = true;
    // SpooledTemporaryFile: bytes to be kept in memory; 0 for any number.
    std::size_t max_size = 0;
};

// A file that nobody else can open, in no directory.
[[nodiscard]] Opening TemporaryFile(std::string mode = "w+b", TempFileOptions options = {},
                                    std::source_location where = std::source_location::current());

// A file with a name, which is absolute.
[[nodiscard]] Opening NamedTemporaryFile(
    std::string mode = "w+b", TempFileOptions options = {},
    std::source_location where = std::source_location::current());

// A file in memory that moves to the disk when it grows beyond max_size bytes.
class AsyncSpooledTemporaryFile : public File {
  public:
    using File::File;
    // Moves it now; nothing the second time.
    [[nodiscard]] Coroutine<void> rollover();
    // Moves it first. Throws: ValueError when closed.
    [[nodiscard]] Coroutine<int> fileno();
    Coroutine<AsyncSpooledTemporaryFile> aenter();
};

class [[nodiscard]] SpooledOpening {
  public:
    explicit SpooledOpening(Coroutine<AsyncSpooledTemporaryFile> opening) noexcept
        : opening_(std::move(opening)) {}
    auto operator co_await() { return fetch().operator co_await(); }
    Coroutine<AsyncSpooledTemporaryFile> aenter() { return fetch(); }
    Coroutine<void> aexit(std::exception_ptr error);

  private:
    Coroutine<AsyncSpooledTemporaryFile> fetch();

    Coroutine<AsyncSpooledTemporaryFile> opening_;
    AsyncSpooledTemporaryFile file_;
};

[[nodiscard]] SpooledOpening SpooledTemporaryFile(std::string mode = "w+b",
                                                  TempFileOptions options = {});

struct TempDirOptions {
    std::string suffix = {};
    std::optional<std::string> prefix = {};
    std::optional<std::string> dir = {};
    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor = {};
};

// A directory of its own. A handle, as File; what nobody cleaned up goes with the last one.
class AsyncTemporaryDirectory {
  public:
    AsyncTemporaryDirectory() noexcept = default;
    [[nodiscard]] const std::string& name() const;
    // Removes it and everything in it; nothing the second time. Links are removed, not
    // followed.
    // Throws: FileNotFoundError when somebody else has removed it; OSError.
    [[nodiscard]] Coroutine<void> cleanup();
    [[nodiscard]] Coroutine<void> close() { return cleanup(); }

    // Private to the library.
    struct State;
    explicit AsyncTemporaryDirectory(std::shared_ptr<State> state) noexcept
        : state_(std::move(state)) {}
    explicit operator bool() const noexcept { return static_cast<bool>(state_); }

  private:
    std::shared_ptr<State> state_;
};

// Awaited, it gives the directory's object; with() gives its name and removes it.
class [[nodiscard]] DirectoryOpening {
  public:
    explicit DirectoryOpening(Coroutine<AsyncTemporaryDirectory> opening) noexcept
        : opening_(std::move(opening)) {}
    auto operator co_await() { return fetch().operator co_await(); }
    Coroutine<std::string> aenter();
    Coroutine<void> aexit(std::exception_ptr error);

  private:
    Coroutine<AsyncTemporaryDirectory> fetch();

    Coroutine<AsyncTemporaryDirectory> opening_;
    AsyncTemporaryDirectory directory_;
};
using AiofilesContextManagerTempDir = DirectoryOpening;

[[nodiscard]] DirectoryOpening TemporaryDirectory(TempDirOptions options = {});

}  // namespace aiofiles::tempfile
