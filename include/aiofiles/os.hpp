// aiofiles/os.hpp - the file system, in threads.
//
//   co_await aiofiles::os::makedirs("out/2026", {.exist_ok = true});
//   for (const auto& entry : co_await aiofiles::os::scandir("in")) {
//       if (entry.is_file()) co_await aiofiles::os::rename(entry.path(), "out/" + entry.name());
//   }
//   auto slow = aiofiles::os::wrap(compress);     // any blocking function
//   co_await slow("a.log", 9);
//
// Each is one call in the loop's executor. Paths are std::string, made from literals and
// std::filesystem::path alike, and are stored until the call is over.
//
// Throws: OSError's subclass by errno with the path; ValueError for a path with a NUL.
// Cancellation: frees the caller at once. A call that has begun goes on, and has its effect.
// Thread: loop thread only.
//
// Source: Python's aiofiles.os, os.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <concurrent/futures/thread.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <asyncio/coroutines.hpp>
#include <asyncio/threads.hpp>

namespace aiofiles::os {

using asyncio::Coroutine;
using FileTime = std::chrono::sys_time<std::chrono::nanoseconds>;

// `struct stat`, so it has st_mode, st_size and all the others, in whole seconds.
struct stat_result : ::stat {
    [[nodiscard]] FileTime atime() const noexcept { return at(st_atim); }
    [[nodiscard]] FileTime mtime() const noexcept { return at(st_mtim); }
    [[nodiscard]] FileTime ctime() const noexcept { return at(st_ctim); }

  private:
    static FileTime at(const timespec& time) noexcept {
        return FileTime(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
    }
};

// `struct statvfs`: f_bsize, f_blocks, f_bavail and all the others.
struct statvfs_result : ::statvfs {};

struct StatOptions {
    std::optional<int> dir_fd = {};  // what a relative path is relative to
    bool follow_symlinks = true;
};
struct MakedirsOptions {
    ::mode_t mode = 0777;
    bool exist_ok = false;
};

// One entry of a directory. What it is was asked for in the thread, so nothing here blocks.
class DirEntry {
  public:
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    // The directory as given to scandir(), and the name.
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] ::ino_t inode() const noexcept { return inode_; }
    [[nodiscard]] bool is_symlink() const noexcept { return S_ISLNK(own_type_); }
    // Of what a symbolic link leads to, unless told otherwise; false for one that leads nowhere.
    [[nodiscard]] bool is_dir(bool follow_symlinks = true) const noexcept {
        return S_ISDIR(follow_symlinks ? type_ : own_type_);
    }
    [[nodiscard]] bool is_file(bool follow_symlinks = true) const noexcept {
        return S_ISREG(follow_symlinks ? type_ : own_type_);
    }
    // Asks anew.
    [[nodiscard]] Coroutine<stat_result> stat(bool follow_symlinks = true) const;

    // Private to the library: `type` and `own_type` as in st_mode.
    DirEntry(std::string name, std::string path, ::ino_t inode, ::mode_t type, ::mode_t own_type)
        : name_(std::move(name)),
          path_(std::move(path)),
          inode_(inode),
          type_(type),
          own_type_(own_type) {}

  private:
    std::string name_;
    std::string path_;
    ::ino_t inode_;
    ::mode_t type_;
    ::mode_t own_type_;
};

[[nodiscard]] Coroutine<stat_result> stat(std::string path, StatOptions options = {});
[[nodiscard]] Coroutine<stat_result> stat(int descriptor);
[[nodiscard]] Coroutine<statvfs_result> statvfs(std::string path);

// Replaces `dst` if it is there.
[[nodiscard]] Coroutine<void> rename(std::string src, std::string dst);
[[nodiscard]] Coroutine<void> replace(std::string src, std::string dst);
// Makes the directories that `dst` needs, and removes those that `src` leaves empty.
[[nodiscard]] Coroutine<void> renames(std::string src, std::string dst);
[[nodiscard]] Coroutine<void> remove(std::string path);
[[nodiscard]] Coroutine<void> unlink(std::string path);

[[nodiscard]] Coroutine<void> mkdir(std::string path, ::mode_t mode = 0777);
[[nodiscard]] Coroutine<void> makedirs(std::string path, MakedirsOptions options = {});
[[nodiscard]] Coroutine<void> rmdir(std::string path);
// And then its parents, as far as they are empty.
[[nodiscard]] Coroutine<void> removedirs(std::string path);

[[nodiscard]] Coroutine<void> link(std::string src, std::string dst);
// `dst` becomes a link that holds the text `src`. The third argument means nothing on POSIX.
[[nodiscard]] Coroutine<void> symlink(std::string src, std::string dst,
                                      bool target_is_directory = false);
[[nodiscard]] Coroutine<std::string> readlink(std::string path);

// In no particular order, without "." and "..".
[[nodiscard]] Coroutine<std::vector<std::string>> listdir(std::string path = ".");
// The same with types. All entries at once, so that going through them does not block.
[[nodiscard]] Coroutine<std::vector<DirEntry>> scandir(std::string path = ".");

// `mode`: F_OK, or R_OK, W_OK and X_OK or'ed. Whether the real user may.
[[nodiscard]] Coroutine<bool> access(std::string path, int mode);
[[nodiscard]] Coroutine<std::string> getcwd();

// Has the kernel copy at most `count` bytes; gives how many. nullopt: from where `in` stands.
// Throws: BlockingIOError when `out` is non-blocking and full.
[[nodiscard]] Coroutine<std::size_t> sendfile(int out, int in, std::optional<std::int64_t> offset,
                                              std::size_t count);

// Reads at a place, past any buffer, from a descriptor such as File::fileno(), which has to
// stay open meanwhile. Many at once are welcome: the page cache answers here and now, io_uring
// reads the rest in parallel. Fewer bytes than asked for only at the end.
// Throws: OSError, EINVAL for a negative offset.
[[nodiscard]] Coroutine<std::size_t> pread(int descriptor, std::span<std::byte> target,
                                           std::int64_t offset);
[[nodiscard]] Coroutine<std::string> pread(int descriptor, std::size_t size, std::int64_t offset);

struct WrapOptions {
    // Default: the running loop's own.
    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor = {};
};

namespace detail {

template <class F>
struct Wrapped {
    F function;
    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor;

    template <class... Args>
        requires std::invocable<F, std::decay_t<Args>...>
    auto operator()(Args&&... args) const
        -> Coroutine<std::invoke_result_t<F, std::decay_t<Args>...>> {
        return call<std::decay_t<Args>...>(function, executor, std::forward<Args>(args)...);
    }

  private:
    template <class... Args>
    static auto call(F function, std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor,
                     Args... args) -> Coroutine<std::invoke_result_t<F, Args...>> {
        asyncio::EventLoop& loop = asyncio::get_running_loop();
        co_return co_await (
            executor ? loop.run_in_executor(*executor, std::move(function), std::move(args)...)
                     : loop.run_in_executor(nullptr, std::move(function), std::move(args)...));
    }
};

}  // namespace detail

// A blocking function as one that gives a coroutine. Function and arguments are copied.
template <class F>
[[nodiscard]] auto wrap(F function, WrapOptions options = {}) {
    return detail::Wrapped<F>{std::move(function), std::move(options.executor)};
}

}  // namespace aiofiles::os
