// concurrent/futures/process_map_detail.hpp - private: map() in chunks.
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <concurrent/futures/executor.hpp>
#include <concurrent/futures/process_detail.hpp>

namespace concurrent::futures::detail {

// What an item is sent as: views as what they look at.
template <class T>
struct OwnedOf {
    using type = T;
};
template <class C, class Traits>
struct OwnedOf<std::basic_string_view<C, Traits>> {
    using type = std::basic_string<C, Traits>;
};
template <>
struct OwnedOf<const char*> {
    using type = std::string;
};
template <class T>
using Owned = typename OwnedOf<T>::type;

// Runs in the worker: one chunk.
template <class R>
struct RunChunk {
    template <class F, class Item>
    std::vector<R> operator()(F&& function, std::vector<Item>&& chunk) const {
        std::vector<R> results;
        results.reserve(chunk.size());
        for (Item& item : chunk) {
            if constexpr (std::is_same_v<R, std::monostate>) {
                std::apply(function, std::move(item));
                results.emplace_back();
            } else {
                results.push_back(std::apply(function, std::move(item)));
            }
        }
        return results;
    }
};

// Several ranges side by side, a number of items at a time: an input range of
// vectors of tuples.
template <class Item, class... Views>
class Chunks : public std::ranges::view_base {
  public:
    Chunks(std::size_t size, Views... views) : size_(size), views_(std::move(views)...) {}
    Chunks(Chunks&&) = default;
    Chunks& operator=(Chunks&&) = default;

    class iterator {
      public:
        using value_type = std::vector<Item>;
        using difference_type = std::ptrdiff_t;
        explicit iterator(Chunks& from) noexcept : from_(&from) {}
        value_type& operator*() const noexcept { return from_->chunk_; }
        iterator& operator++() {
            from_->read();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
            return it.from_->chunk_.empty();
        }

      private:
        Chunks* from_;
    };
    iterator begin() {
        position_.emplace(std::apply(
            [](auto&... view) { return std::tuple(std::ranges::begin(view)...); }, views_));
        read();
        return iterator(*this);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    using Position = std::tuple<std::ranges::iterator_t<Views>...>;

    void read() {
        chunk_.clear();
        while (chunk_.size() < size_ && !at_end(std::index_sequence_for<Views...>())) {
            std::apply([&](auto&... at) { chunk_.emplace_back(*at...); }, *position_);
            std::apply([](auto&... at) { (static_cast<void>(++at), ...); }, *position_);
        }
    }
    template <std::size_t... I>
    bool at_end(std::index_sequence<I...>) {
        return ((std::get<I>(*position_) == std::ranges::end(std::get<I>(views_))) || ...);
    }

    std::size_t size_;
    std::tuple<Views...> views_;
    std::optional<Position> position_;
    std::vector<Item> chunk_;
};

// The calls of a map() in chunks, as if they were one by one.
template <class Calls>
class FlattenedCalls {
  public:
    using result_type = typename Calls::result_type::value_type;

    template <class... A>
    explicit FlattenedCalls(A&&... args) : calls_(std::forward<A>(args)...) {}

    [[nodiscard]] bool empty() const noexcept { return next_ == chunk_.size() && calls_.empty(); }
    result_type take() {
        if (next_ == chunk_.size()) {
            chunk_ = calls_.take();
            next_ = 0;
        }
        return std::move(chunk_[next_++]);
    }
    void cancel() noexcept {
        calls_.cancel();
        next_ = chunk_.size();
    }

  private:
    Calls calls_;
    std::vector<result_type> chunk_;
    std::size_t next_ = 0;
};

template <class Pool, class F, class... R>
auto map_chunks(Pool& pool, MapOptions options, F function, R&&... ranges) {
    if constexpr (check_call<F, Owned<std::ranges::range_value_t<R>>...>()) {
        if (options.chunksize < 1) throw asyncio::ValueError("chunksize must be >= 1.");
        using Result = typename RemoteCall<F, Owned<std::ranges::range_value_t<R>>...>::Result;
        using Sent = std::conditional_t<std::is_void_v<Result>, std::monostate, Result>;
        using Item = std::tuple<Owned<std::ranges::range_value_t<R>>...>;
        using Source = Chunks<Item, std::views::all_t<R>...>;
        const auto submit = [&pool, function = std::move(function)](std::vector<Item>& chunk) {
            return pool.submit(RunChunk<Sent>(), function, chunk);
        };
        using Calls = MapCalls<std::remove_const_t<decltype(submit)>, Source>;
        return MapResults<FlattenedCalls<Calls>>(
            std::in_place, submit, options,
            Source(options.chunksize, std::views::all(std::forward<R>(ranges))...));
    }
}

}  // namespace concurrent::futures::detail
