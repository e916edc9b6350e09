// Calls of the system in the loop's executor, with the path in the error.
#pragma once

#include <cerrno>
#include <string>
#include <type_traits>
#include <utility>

#include <asyncio.hpp>

namespace aiofiles::detail {

template <class F>
auto in_thread(F f) -> asyncio::Coroutine<std::invoke_result_t<F>> {
    co_return co_await asyncio::get_running_loop().run_in_executor(nullptr, std::move(f));
}

[[nodiscard]] inline std::string in_quotes(const std::string& path) {
    return "'" + path + "'";
}

// The result of a system call, or an exception.
template <class R>
R checked(R result, const std::string& path) {
    if (result < 0) asyncio::throw_os_error(errno, in_quotes(path));
    return result;
}
template <class R>
R checked(R result, const std::string& src, const std::string& dst) {
    if (result < 0) asyncio::throw_os_error(errno, in_quotes(src) + " -> " + in_quotes(dst));
    return result;
}

template <class Call>
auto without_eintr(Call call) {
    for (;;) {
        const auto result = call();
        if (result >= 0 || errno != EINTR) return result;
    }
}

}  // namespace aiofiles::detail
