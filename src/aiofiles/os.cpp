#include <aiofiles/os.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <memory>

#include "file_object.hpp"
#include "in_thread.hpp"

namespace aiofiles::os {

using aiofiles::detail::check_path;
using aiofiles::detail::checked;
using aiofiles::detail::in_quotes;
using aiofiles::detail::in_thread;
using aiofiles::detail::without_eintr;

namespace {

// "a/b" of "a/b/c"; of "a/b/c/" too.
std::string parent_of(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return {};
    path.resize(slash);
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path.empty() ? "/" : path;
}

bool is_directory(const std::string& path) noexcept {
    struct ::stat status{};
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void make_with_parents(const std::string& path, ::mode_t mode, bool exist_ok) {
    const std::string parent = parent_of(path);
    if (!parent.empty() && ::access(parent.c_str(), F_OK) != 0) {
        // Somebody else may be making them, too.
        make_with_parents(parent, 0777, true);
    }
    if (::mkdir(path.c_str(), mode) == 0) return;
    const int error = errno;
    if (exist_ok && is_directory(path)) return;
    asyncio::throw_os_error(error, in_quotes(path));
}

void remove_empty_parents(std::string path) noexcept {
    for (path = parent_of(std::move(path)); !path.empty(); path = parent_of(std::move(path))) {
        if (::rmdir(path.c_str()) != 0) return;
    }
}

struct CloseDirectory {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// Calls `visit` for each entry but "." and "..".
template <class Visit>
void for_each_entry(const std::string& path, Visit visit) {
    const Directory directory(::opendir(path.c_str()));
    if (!directory) asyncio::throw_os_error(errno, in_quotes(path));
    for (;;) {
        errno = 0;
        const dirent* const entry = ::readdir(directory.get());
        if (entry == nullptr) {
            if (errno != 0) asyncio::throw_os_error(errno, in_quotes(path));
            return;
        }
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") visit(*entry);
    }
}

DirEntry describe(const dirent& entry, const std::string& directory) {
    std::string path = directory;
    if (!path.empty() && path.back() != '/') path += '/';
    path += entry.d_name;
    ::mode_t own_type = DTTOIF(entry.d_type);
    struct ::stat status{};
    if (entry.d_type == DT_UNKNOWN) {
        own_type = ::lstat(path.c_str(), &status) == 0 ? status.st_mode : 0;
    }
    ::mode_t type = own_type;
    if (S_ISLNK(own_type)) type = ::stat(path.c_str(), &status) == 0 ? status.st_mode : 0;
    return {entry.d_name, std::move(path), entry.d_ino, type, own_type};
}

}  // namespace

Coroutine<stat_result> DirEntry::stat(bool follow_symlinks) const {
    return os::stat(path_, {.follow_symlinks = follow_symlinks});
}

Coroutine<stat_result> stat(std::string path, StatOptions options) {
    return in_thread([path = std::move(path), options] {
        check_path(path);
        stat_result result{};
        const int flags = options.follow_symlinks ? 0 : AT_SYMLINK_NOFOLLOW;
        checked(::fstatat(options.dir_fd.value_or(AT_FDCWD), path.c_str(), &result, flags), path);
        return result;
    });
}

Coroutine<stat_result> stat(int descriptor) {
    return in_thread([descriptor] {
        stat_result result{};
        if (::fstat(descriptor, &result) != 0) {
            asyncio::throw_os_error(errno, "descriptor " + std::to_string(descriptor));
        }
        return result;
    });
}

Coroutine<statvfs_result> statvfs(std::string path) {
    return in_thread([path = std::move(path)] {
        check_path(path);
        statvfs_result result{};
        checked(without_eintr([&] { return ::statvfs(path.c_str(), &result); }), path);
        return result;
    });
}

Coroutine<void> rename(std::string src, std::string dst) {
    return in_thread([src = std::move(src), dst = std::move(dst)] {
        check_path(src);
        check_path(dst);
        checked(::rename(src.c_str(), dst.c_str()), src, dst);
    });
}

Coroutine<void> replace(std::string src, std::string dst) {
    return os::rename(std::move(src), std::move(dst));
}

Coroutine<void> renames(std::string src, std::string dst) {
    return in_thread([src = std::move(src), dst = std::move(dst)] {
        check_path(src);
        check_path(dst);
        const std::string parent = parent_of(dst);
        if (!parent.empty() && ::access(parent.c_str(), F_OK) != 0) {
            make_with_parents(parent, 0777, true);
        }
        checked(::rename(src.c_str(), dst.c_str()), src, dst);
        remove_empty_parents(src);
    });
}

Coroutine<void> remove(std::string path) {
    return in_thread([path = std::move(path)] {
        check_path(path);
        checked(::unlink(path.c_str()), path);
    });
}

Coroutine<void> unlink(std::string path) {
    return os::remove(std::move(path));
}

Coroutine<void> mkdir(std::string path, ::mode_t mode) {
    return in_thread([path = std::move(path), mode] {
        check_path(path);
        checked(::mkdir(path.c_str(), mode), path);
    });
}

Coroutine<void> makedirs(std::string path, MakedirsOptions options) {
    return in_thread([path = std::move(path), options] {
        check_path(path);
        make_with_parents(path, options.mode, options.exist_ok);
    });
}

Coroutine<void> rmdir(std::string path) {
    return in_thread([path = std::move(path)] {
        check_path(path);
        checked(::rmdir(path.c_str()), path);
    });
}

Coroutine<void> removedirs(std::string path) {
    return in_thread([path = std::move(path)] {
        check_path(path);
        checked(::rmdir(path.c_str()), path);
        remove_empty_parents(path);
    });
}

Coroutine<void> link(std::string src, std::string dst) {
    return in_thread([src = std::move(src), dst = std::move(dst)] {
        check_path(src);
        check_path(dst);
        checked(::link(src.c_str(), dst.c_str()), src, dst);
    });
}

Coroutine<void> symlink(std::string src, std::string dst, bool) {
    return in_thread([src = std::move(src), dst = std::move(dst)] {
        check_path(src);
        check_path(dst);
        checked(::symlink(src.c_str(), dst.c_str()), src, dst);
    });
}

Coroutine<std::string> readlink(std::string path) {
    return in_thread([path = std::move(path)] {
        check_path(path);
        for (std::string text(256, '\0');; text.resize(text.size() * 2)) {
            const auto length = static_cast<std::size_t>(
                checked(::readlink(path.c_str(), text.data(), text.size()), path));
            if (length == text.size()) continue;  // perhaps there is more
            text.resize(length);
            return text;
        }
    });
}

Coroutine<std::vector<std::string>> listdir(std::string path) {
    return in_thread([path = std::move(path)] {
        check_path(path);
        std::vector<std::string> names;
        for_each_entry(path, [&](const dirent& entry) { names.emplace_back(entry.d_name); });
        return names;
    });
}

Coroutine<std::vector<DirEntry>> scandir(std::string path) {
    return in_thread([path = std::move(path)] {
        check_path(path);
        std::vector<DirEntry> entries;
        for_each_entry(path,
                       [&](const dirent& entry) { entries.push_back(describe(entry, path)); });
        return entries;
    });
}

Coroutine<bool> access(std::string path, int mode) {
    return in_thread([path = std::move(path), mode] {
        check_path(path);
        return ::access(path.c_str(), mode) == 0;
    });
}

Coroutine<std::string> getcwd() {
    return in_thread([] {
        struct Free {
            void operator()(char* text) const noexcept { std::free(text); }
        };
        const std::unique_ptr<char, Free> path(::getcwd(nullptr, 0));
        if (!path) asyncio::throw_os_error(errno, "getcwd");
        return std::string(path.get());
    });
}

Coroutine<std::size_t> sendfile(int out, int in, std::optional<std::int64_t> offset,
                                std::size_t count) {
    return in_thread([=] {
        const aiofiles::detail::WithoutSigpipe quiet;
        off_t place = offset.value_or(0);
        const ssize_t sent =
            without_eintr([&] { return ::sendfile(out, in, offset ? &place : nullptr, count); });
        if (sent < 0) {
            asyncio::throw_os_error(errno, "descriptor " + std::to_string(in) + " -> descriptor " +
                                               std::to_string(out));
        }
        return static_cast<std::size_t>(sent);
    });
}

}  // namespace aiofiles::os
