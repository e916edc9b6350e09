// asyncio/callbacks_detail.hpp - private: callbacks that are called again and again, and the
// descriptors they are for.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <typeinfo>
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

// A callback that is called again and again, with the arguments it is called with.
class RepeatedCallback {
  public:
    RepeatedCallback() = default;
    RepeatedCallback(const RepeatedCallback&) = delete;
    RepeatedCallback& operator=(const RepeatedCallback&) = delete;
    virtual ~RepeatedCallback() = default;
    virtual void call() = 0;
    // Of the callable, for messages.
    [[nodiscard]] virtual const std::type_info& type() const noexcept = 0;
};

template <class F, class... Args>
class BoundCallback final : public RepeatedCallback {
  public:
    template <class... Parts>
    explicit BoundCallback(std::in_place_t, Parts&&... parts)
        : call_(std::forward<Parts>(parts)...) {}
    void call() override {
        std::apply([](auto& function, auto&... stored) { std::invoke(function, stored...); },
                   call_);
    }
    [[nodiscard]] const std::type_info& type() const noexcept override { return typeid(F); }

  private:
    std::tuple<F, Args...> call_;
};

// `f(args...)`, stored.
template <class F, class... Args>
[[nodiscard]] std::shared_ptr<RepeatedCallback> bind_call(F&& f, Args&&... args) {
    using Result = std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>&...>;
    static_assert(!is_coroutine_result<Result>,
                  "a callback must not be a coroutine: nobody would await it; let it call "
                  "create_task() instead");
    using Bound = BoundCallback<std::decay_t<F>, std::decay_t<Args>...>;
    return std::make_shared<Bound>(std::in_place, std::forward<F>(f), std::forward<Args>(args)...);
}

// A call of it that waits for its turn in the loop. Nothing happens if the callback was removed
// or replaced before.
class RepeatedCall {
  public:
    explicit RepeatedCall(const std::shared_ptr<RepeatedCallback>& callback) noexcept
        : callback_(callback), type_(&callback->type()) {}
    void operator()() const {
        if (const auto callback = callback_.lock()) callback->call();
    }
    [[nodiscard]] const std::type_info& callback_type() const noexcept { return *type_; }

  private:
    std::weak_ptr<RepeatedCallback> callback_;
    const std::type_info* type_;
};

}  // namespace asyncio::detail
