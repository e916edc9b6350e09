#include <aiofiles/os_path.hpp>

#include <unistd.h>

#include <string_view>
#include <vector>

#include "in_thread.hpp"

namespace aiofiles::os::path {

namespace {

// False for a path with a NUL in it, which names nothing.
bool status_of(const std::string& path, struct ::stat& status, bool follow = true) noexcept {
    if (path.find('\0') != std::string::npos) return false;
    return (follow ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status)) == 0;
}

// Asks `question(status)` of what is there; false where nothing is.
template <class Question>
Coroutine<bool> ask(std::string path, bool follow, Question question) {
    return aiofiles::detail::in_thread([path = std::move(path), follow, question] {
        struct ::stat status{};
        return status_of(path, status, follow) && question(status);
    });
}

bool is_mount_point(const std::string& path) {
    struct ::stat here{};
    struct ::stat above{};
    if (!status_of(path, here, false) || S_ISLNK(here.st_mode)) return false;
    if (!status_of(path + "/..", above)) return false;
    return here.st_dev != above.st_dev || here.st_ino == above.st_ino;
}

std::string normalized(std::string_view path) {
    // Exactly two leading slashes are left to the system to interpret, says POSIX.
    const bool rooted = path.starts_with('/');
    const bool two = path.starts_with("//") && !path.starts_with("///");
    std::vector<std::string_view> parts;
    while (!path.empty()) {
        const std::string_view part = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(part.size() + 1, path.size()));
        if (part.empty() || part == ".") continue;
        if (part != ".." || (!rooted && parts.empty()) ||
            (!parts.empty() && parts.back() == "..")) {
            parts.push_back(part);
        } else if (!parts.empty()) {
            parts.pop_back();
        }
    }
    std::string result = two ? "//" : rooted ? "/" : "";
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i > 0) result += '/';
        result += parts[i];
    }
    return result.empty() ? "." : result;
}

}  // namespace

Coroutine<bool> exists(std::string path) {
    return ask(std::move(path), true, [](const struct ::stat&) { return true; });
}
Coroutine<bool> isfile(std::string path) {
    return ask(std::move(path), true, [](const struct ::stat& s) { return S_ISREG(s.st_mode); });
}
Coroutine<bool> isdir(std::string path) {
    return ask(std::move(path), true, [](const struct ::stat& s) { return S_ISDIR(s.st_mode); });
}
Coroutine<bool> islink(std::string path) {
    return ask(std::move(path), false, [](const struct ::stat& s) { return S_ISLNK(s.st_mode); });
}
Coroutine<bool> ismount(std::string path) {
    return aiofiles::detail::in_thread([path = std::move(path)] { return is_mount_point(path); });
}

Coroutine<std::int64_t> getsize(std::string path) {
    co_return (co_await os::stat(std::move(path))).st_size;
}
Coroutine<FileTime> getmtime(std::string path) {
    co_return (co_await os::stat(std::move(path))).mtime();
}
Coroutine<FileTime> getatime(std::string path) {
    co_return (co_await os::stat(std::move(path))).atime();
}
Coroutine<FileTime> getctime(std::string path) {
    co_return (co_await os::stat(std::move(path))).ctime();
}

namespace {

bool same(const struct ::stat& a, const struct ::stat& b) noexcept {
    return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

}  // namespace

Coroutine<bool> samefile(std::string a, std::string b) {
    const stat_result first = co_await os::stat(std::move(a));
    co_return same(first, co_await os::stat(std::move(b)));
}
Coroutine<bool> sameopenfile(int a, int b) {
    const stat_result first = co_await os::stat(a);
    co_return same(first, co_await os::stat(b));
}

Coroutine<std::string> abspath(std::string path) {
    if (!path.starts_with('/')) path = co_await getcwd() + "/" + path;
    co_return normalized(path);
}

}  // namespace aiofiles::os::path
