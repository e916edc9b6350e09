// asyncio/callbacks_detail.hpp - private: callbacks that are called again and again, and the
// descriptors they are for.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <asyncio/events_detail.hpp>

namespace asyncio::detail {

// A descriptor's number, or a socket, a pipe, a file that has one.
template <class T>
concept HasFileno = std::same_as<T, int> || requires(const T& object) {
    { object.fileno() } -> std::convertible_to<int>;
};

template <HasFileno T>
[[nodiscard]] int fileno_of(const T& object) {
    if constexpr (std::same_as<T, int>) {
        return object;
    } else {
        return object.fileno();
    }
}

// `f(args...)`, stored; callable any number of times.
template <class F, class... Args>
[[nodiscard]] std::function<void()> bind_call(F&& f, Args&&... args) {
    using Result = std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>&...>;
    static_assert(!is_coroutine_result<Result>,
                  "a callback must not be a coroutine: nobody would await it; let it call "
                  "create_task() instead");
    using Call = std::tuple<std::decay_t<F>, std::decay_t<Args>...>;
    // std::function wants to be copied; what it calls need not be.
    return [call = std::make_shared<Call>(std::forward<F>(f), std::forward<Args>(args)...)] {
        std::apply([](auto& function, auto&... stored) { std::invoke(function, stored...); },
                   *call);
    };
}

}  // namespace asyncio::detail
