// asyncio/generators.hpp - functions that yield, without an event loop.
//
//   Generator<int> countdown(int n) {
//       while (n > 0) co_yield n--;
//   }
//
//   for (int n : countdown(3)) fmt::print("{}\n", n);
//
//   Generator<void, std::string> grep(std::string pattern) {       // takes what send() passes
//       while (std::optional<std::string> line = co_yield {})
//           if (line->find(pattern) != line->npos) fmt::print("{}", *line);
//   }
//
// Runs only inside next(), send(), throw_() and the steps of a loop over it. One that is dropped
// before its end is closed first, as in Python: GeneratorExit is thrown at the co_yield it
// stands at. A generator that awaits is an AsyncGenerator.
//
// Thread: one at a time, any. Needs no loop.
// Source: Python's generators (PEP 255, 342, 380), collections.abc.Generator.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <source_location>
#include <type_traits>
#include <utility>
#include <variant>

#include <asyncio/exceptions.hpp>
#include <asyncio/generators_detail.hpp>

namespace asyncio {

// Y: what it yields, a value, void for nothing. S: what send() passes, void for nothing.
// R: what it returns.
template <class Y, class S = void, class R = void>
class Generator;

namespace detail {

[[noreturn]] void throw_plain_generator_moved_from();

template <class Y, class S>
class YieldingPromise;

template <class G>
inline constexpr bool is_generator = false;
template <class Y, class S, class R>
inline constexpr bool is_generator<Generator<Y, S, R>> = true;

}  // namespace detail

// What `co_yield yield_from(source)` delegates to. G: a generator or another range, a reference
// where it was an lvalue.
template <class G>
struct [[nodiscard]] YieldFrom {
    G source;
};

// `R result = co_yield yield_from(generator)`: its items are yielded, what is sent and thrown
// goes to it, and its result comes back. It must yield and take the same types. A range yields
// its elements. An lvalue is used in place and must live until it has ended.
// Complexity: O(1) per item at any depth of delegation.
// Throws: what it throws; ValueError when it is running already; TypeError for a range when
// something is sent.
template <class G>
    requires(detail::is_generator<std::remove_cvref_t<G>> || std::ranges::input_range<G>)
YieldFrom<G> yield_from(G&& source) {
    return YieldFrom<G>{std::forward<G>(source)};
}

namespace detail {

template <class Y, class S>
class YieldingPromise : public YieldingFrame {
  public:
    using Item = std::conditional_t<std::is_void_v<Y>, std::monostate, Y>;
    using Sent = std::conditional_t<std::is_void_v<S>, std::monostate, S>;

    using YieldingFrame::YieldingFrame;

    template <class U = Item>
        requires std::constructible_from<Item, U>
    auto yield_value(U&& item) {
        top().item.emplace(std::forward<U>(item));
        top().stop();
        return Yielded{{}, *this};
    }
    template <class G>
        requires is_generator<std::remove_cvref_t<G>>
    auto yield_value(YieldFrom<G>&& from) {
        using Inner = std::remove_cvref_t<G>;
        static_assert(
            std::same_as<typename Inner::Yield, Y> && std::same_as<typename Inner::Send, S>,
            "yield_from() needs a generator that yields and takes the same types");
        from.source.checked().require_idle("yield_from()");
        return Delegated<G>(*this, std::forward<G>(from.source));
    }
    template <class Range>
        requires(!is_generator<std::remove_cvref_t<Range>>)
    auto yield_value(YieldFrom<Range>&& from) {
        return yield_value(yield_from(elements<Range>(std::forward<Range>(from.source))));
    }

    // Of the outermost.
    std::optional<Item> item;
    std::optional<Sent> sent;

  private:
    [[nodiscard]] YieldingPromise& top() const noexcept {
        return static_cast<YieldingPromise&>(outermost());
    }

    struct Yielded : std::suspend_always {
        YieldingPromise& promise;
        auto await_resume() {
            YieldingPromise& top = promise.top();
            top.throw_if_raised();
            if constexpr (!std::is_void_v<S>) return std::exchange(top.sent, std::nullopt);
        }
    };

    template <class G>
    class Delegated {
      public:
        Delegated(YieldingPromise& promise, G&& inner) noexcept
            : promise_(promise), inner_(std::forward<G>(inner)) {}
        Delegated(const Delegated&) = delete;
        Delegated& operator=(const Delegated&) = delete;
        ~Delegated() {
            if (delegating_) inner_.checked().detach();
        }
        bool await_ready() const noexcept { return inner_.checked().finished(); }
        void await_suspend(std::coroutine_handle<>) noexcept {
            delegating_ = true;
            promise_.delegate_to(inner_.checked());
        }
        decltype(auto) await_resume() {
            auto& inner = inner_.checked();
            delegating_ = false;
            const bool exit = promise_.take_exit();
            if (auto error = inner.take_error()) std::rethrow_exception(std::move(error));
            if (exit) throw GeneratorExit();
            if constexpr (!std::is_void_v<typename std::remove_cvref_t<G>::Return>) {
                return std::forward<G>(inner_).result();
            }
        }

      private:
        YieldingPromise& promise_;
        G inner_;
        bool delegating_ = false;
    };

    template <class Range>
    static Generator<Y, S> elements(Range range) {
        for (auto&& element : range) {
            if constexpr (std::is_void_v<S>) {
                co_yield std::forward<decltype(element)>(element);
            } else if (co_yield std::forward<decltype(element)>(element)) {
                throw TypeError("a plain range that is yielded from takes no values; use next()");
            }
        }
    }
};

template <class Y, class S, class R>
class GeneratorReturns : public YieldingPromise<Y, S> {
  public:
    using YieldingPromise<Y, S>::YieldingPromise;
    template <class U = R>
        requires std::constructible_from<R, U>
    void return_value(U&& value) {
        result.emplace(std::forward<U>(value));
    }
    std::optional<R> result;
};
template <class Y, class S>
class GeneratorReturns<Y, S, void> : public YieldingPromise<Y, S> {
  public:
    using YieldingPromise<Y, S>::YieldingPromise;
    void return_void() noexcept {}
};

template <class Y, class S, class R>
class PlainGeneratorPromise final : public GeneratorReturns<Y, S, R> {
  public:
    explicit PlainGeneratorPromise(
        std::source_location where = std::source_location::current()) noexcept
        : GeneratorReturns<Y, S, R>(
              std::coroutine_handle<PlainGeneratorPromise>::from_promise(*this), where) {}
    Generator<Y, S, R> get_return_object() noexcept { return Generator<Y, S, R>(*this); }
};

struct DropFrame {
    void operator()(YieldingFrame* frame) const noexcept { frame->drop(); }
};

}  // namespace detail

// Move-only. Items are moved out.
template <class Y, class S, class R>
class [[nodiscard]] Generator {
    static_assert(!std::is_reference_v<Y> && !std::is_reference_v<S> && !std::is_reference_v<R>,
                  "a generator deals in values; use pointers or std::reference_wrapper");

  public:
    using promise_type = detail::PlainGeneratorPromise<Y, S, R>;
    using Yield = Y;
    using Send = S;
    using Return = R;
    // What a step gives: false at the end and from then on.
    using Step = std::conditional_t<std::is_void_v<Y>, bool, std::optional<Y>>;

    class iterator;

    // Runs to the next co_yield and gives its item; the co_yield it stood at gives nothing.
    // Throws: what the generator throws, which ends it; ValueError when it is running.
    Step next() {
        checked().require_idle("next()");
        return step(checked());
    }
    // The same; the co_yield it stood at gives `value`.
    // Throws: also TypeError for a generator that has not started.
    template <class U = S>
        requires(!std::is_void_v<S> && std::constructible_from<S, U>)
    Step send(U&& value) {
        promise_type& promise = checked();
        promise.require_idle("send()");
        promise.require_started();
        if (!promise.finished()) promise.sent.emplace(std::forward<U>(value));
        return step(promise);
    }
    // The co_yield it stood at throws `error`, an exception or std::exception_ptr; gives what the
    // generator yields next. One that has not started, or has ended, throws it itself.
    template <class E>
    Step throw_(E&& error) {
        promise_type& promise = checked();
        promise.require_idle("throw_()");
        std::exception_ptr thrown;
        if constexpr (std::same_as<std::remove_cvref_t<E>, std::exception_ptr>) {
            thrown = std::forward<E>(error);
        } else {
            thrown = std::make_exception_ptr(std::forward<E>(error));
        }
        if (!promise.raise(thrown)) std::rethrow_exception(std::move(thrown));
        return step(promise);
    }
    // Throws GeneratorExit at the co_yield it stands at; does nothing once it has ended.
    // Throws: what its clean-up throws; RuntimeError when it yields instead of ending.
    void close() {
        promise_type& promise = checked();
        promise.require_idle("close()");
        if (!promise.raise_exit()) return;
        promise.run();
        std::exception_ptr error = promise.closing_error();
        if (promise.orphaned()) promise.drop();
        if (error) std::rethrow_exception(std::move(error));
    }
    // What it returned: Python's StopIteration.value.
    // Throws: InvalidStateError before the end, and when an error or close() ended it.
    template <class U = R>
        requires(!std::is_void_v<U>)
    [[nodiscard]] U& result() & {
        if (!checked().result) checked().throw_no_result();
        return *checked().result;
    }
    template <class U = R>
        requires(!std::is_void_v<U>)
    [[nodiscard]] U result() && {
        return std::move(this->result());
    }

    // Whether it is inside a step; whether it stands at a co_yield.
    [[nodiscard]] bool gi_running() const noexcept { return frame_ && frame_->running(); }
    [[nodiscard]] bool gi_suspended() const noexcept { return frame_ && frame_->suspended(); }

    // An input range of what is left; may be gone through once.
    iterator begin()
        requires(!std::is_void_v<Y>)
    {
        iterator first(checked());
        ++first;
        return first;
    }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    friend promise_type;
    template <class, class>
    friend class detail::YieldingPromise;
    explicit Generator(promise_type& promise) noexcept : frame_(&promise) {}

    promise_type& checked() const {
        if (!frame_) [[unlikely]]
            detail::throw_plain_generator_moved_from();
        return *frame_;
    }
    static Step step(promise_type& promise) {
        promise.item.reset();
        promise.run();
        if (promise.suspended() && !promise.orphaned()) [[likely]]
            return take(promise);
        return last_step(promise);
    }
    // It has ended, or was dropped meanwhile.
    static Step last_step(promise_type& promise) {
        Step item = take(promise);
        std::exception_ptr error = promise.take_error();
        if (promise.orphaned()) promise.drop();
        if (error) std::rethrow_exception(std::move(error));
        return item;
    }
    static Step take(promise_type& promise) {
        if constexpr (std::is_void_v<Y>) {
            return promise.item.has_value();
        } else {
            // Not as a whole: an optional that is copied at once, just after its parts were
            // written, stalls the processor.
            if (!promise.item) return std::nullopt;
            return Step(std::in_place, std::move(*promise.item));
        }
    }

    std::unique_ptr<promise_type, detail::DropFrame> frame_;
};

template <class Y, class S, class R>
class Generator<Y, S, R>::iterator {
  public:
    using value_type = Y;
    using difference_type = std::ptrdiff_t;

    explicit iterator(promise_type& promise) noexcept : promise_(&promise) {}
    // Valid until the next step.
    Y& operator*() const noexcept { return *promise_->item; }
    Y* operator->() const noexcept { return &*promise_->item; }
    iterator& operator++() {
        promise_->require_idle("a loop's step");
        promise_->item.reset();
        promise_->run();
        if (!promise_->suspended() || promise_->orphaned()) [[unlikely]] {
            promise_type& promise = *std::exchange(promise_, nullptr);
            static_cast<void>(last_step(promise));
        }
        return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
        return it.promise_ == nullptr;
    }

  private:
    promise_type* promise_;  // null at the end
};

}  // namespace asyncio
