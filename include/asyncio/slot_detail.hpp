// asyncio/slot_detail.hpp - private: where a result is kept until somebody takes it.
#pragma once

#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace asyncio::detail {

// A value that may be absent, a reference, or void; the result slot of a future.
template <class T>
class Slot {
  public:
    Slot() noexcept {}
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    ~Slot() {
        if (present_) value_.~T();
    }
    template <class... A>
    void emplace(A&&... args) {
        ::new (static_cast<void*>(std::addressof(value_))) T(std::forward<A>(args)...);
        present_ = true;
    }
    [[nodiscard]] bool present() const noexcept { return present_; }
    [[nodiscard]] T& get() noexcept { return value_; }
    [[nodiscard]] T&& take() noexcept { return std::move(value_); }

  private:
    union {
        T value_;
    };
    bool present_ = false;
};

template <class T>
class Slot<T&> {
  public:
    void emplace(T& value) noexcept { value_ = std::addressof(value); }
    [[nodiscard]] bool present() const noexcept { return value_ != nullptr; }
    [[nodiscard]] T& get() noexcept { return *value_; }
    [[nodiscard]] T& take() noexcept { return *value_; }

  private:
    T* value_ = nullptr;
};

template <>
class Slot<void> {
  public:
    void emplace() noexcept { present_ = true; }
    [[nodiscard]] bool present() const noexcept { return present_; }
    void get() const noexcept {}
    void take() const noexcept {}

  private:
    bool present_ = false;
};

// What result() gives of a shared result: a copy where there is one to be had.
template <class T>
struct SharedResult {
    using type = std::conditional_t<std::is_copy_constructible_v<T>, T, const T&>;
};
template <class T>
struct SharedResult<T&> {
    using type = T&;
};
template <>
struct SharedResult<void> {
    using type = void;
};

}  // namespace asyncio::detail
