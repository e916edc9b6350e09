// aiofiles/os_path.hpp - questions about paths, in threads.
//
//   if (co_await aiofiles::os::path::exists("notes.txt")) {
//       std::int64_t bytes = co_await aiofiles::os::path::getsize("notes.txt");
//   }
//
// Those that ask "is it ..." say false for what is not there, cannot be reached or is no path
// at all; the others throw as os::stat() does.
//
// Source: Python's aiofiles.ospath, os.path.
#pragma once

#include <cstdint>
#include <string>

#include <aiofiles/os.hpp>

namespace aiofiles::os::path {

// False for a symbolic link that leads nowhere.
[[nodiscard]] Coroutine<bool> exists(std::string path);
[[nodiscard]] Coroutine<bool> isfile(std::string path);
[[nodiscard]] Coroutine<bool> isdir(std::string path);
[[nodiscard]] Coroutine<bool> islink(std::string path);
[[nodiscard]] Coroutine<bool> ismount(std::string path);
[[nodiscard]] Coroutine<std::int64_t> getsize(std::string path);  // bytes
[[nodiscard]] Coroutine<FileTime> getmtime(std::string path);
[[nodiscard]] Coroutine<FileTime> getatime(std::string path);
[[nodiscard]] Coroutine<FileTime> getctime(std::string path);
[[nodiscard]] Coroutine<bool> samefile(std::string a, std::string b);
[[nodiscard]] Coroutine<bool> sameopenfile(int a, int b);
// From the current directory, with "." and ".." resolved as text, links not followed.
[[nodiscard]] Coroutine<std::string> abspath(std::string path);

}  // namespace aiofiles::os::path
