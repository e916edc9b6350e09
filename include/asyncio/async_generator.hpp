// asyncio/async_generator.hpp - functions that await and yield.
//
//   AsyncGenerator<int> ticker(int n) {
//       for (int i = 0; i < n; ++i) {
//           co_await sleep(10ms);
//           co_yield i;
//       }
//   }
//
//   AsyncGenerator<int> ticks = ticker(3);
//   while (auto i = co_await anext(ticks)) fmt::print("{}\n", *i);      // `async for`
//
// Runs only while somebody awaits a step. A generator dropped before its end is not simply
// destroyed: its loop throws GeneratorExit at the co_yield it stands at and lets it clean up,
// awaits included, as Python does. aclose() does the same here and now.
//
// With a second type the generator takes values: `std::optional<Send> got = co_yield item;`
// is what asend() passed, nothing after anext().
//
// Thread: loop thread only, but the object may be dropped on any.
// Source: Python's asynchronous generators (PEP 525).
#pragma once

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <asyncio/async_iteration.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

template <class T, class Send = void>
class AsyncGenerator;

namespace detail {

// How a generator is resumed.
enum class StepKind : std::uint8_t { next, send, raise, close };

struct GeneratorLinks {
    GeneratorLinks* next_generator = nullptr;
    GeneratorLinks* previous_generator = nullptr;
};

// Owns a generator's frame. Counted by the generator object and by the steps in progress.
class GeneratorState : public GeneratorLinks, public Recycled {
  public:
    using Close = Coroutine<void> (*)(Ref<GeneratorState>);

    GeneratorState(std::coroutine_handle<> frame, PromiseBase& promise, Close close) noexcept
        : frame_(frame), promise_(&promise), made_by_(promise.where()), close_(close) {}
    GeneratorState(const GeneratorState&) = delete;
    GeneratorState& operator=(const GeneratorState&) = delete;

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) dispose();
    }

    [[nodiscard]] bool finished() const noexcept { return frame_ == nullptr; }
    [[nodiscard]] bool running() const noexcept { return running_; }
    [[nodiscard]] bool started() const noexcept { return started_; }
    [[nodiscard]] PromiseBase& promise() const noexcept { return *promise_; }
    // A step begins: gives the frame to resume.
    std::coroutine_handle<> enter(FrameLink consumer) {
        if (!started_) [[unlikely]]
            start();
        running_ = true;
        promise_->set_parent(consumer);
        return frame_;
    }
    // A step is over. An ended generator gives its frame back.
    void leave(bool ended) noexcept {
        running_ = false;
        if (ended) destroy_frame();
    }
    // Ends it without running it.
    void destroy_frame() noexcept;
    // The task inside it was destroyed, and its frame with it.
    void frame_is_gone() noexcept;
    // The consumer inside it was destroyed.
    void abandoned_inside() noexcept { running_ = false; }
    [[nodiscard]] Coroutine<void> close() { return close_(Ref<GeneratorState>(this)); }
    // "asynchronous generator 'ticker'".
    [[nodiscard]] std::string repr() const;

  private:
    ~GeneratorState();
    void dispose() noexcept;
    void report_dropped() const noexcept;
    void start();
    void unlink() noexcept;

    RefCount references_;
    bool started_ = false;
    bool running_ = false;
    bool finalizing_ = false;
    std::coroutine_handle<> frame_;
    PromiseBase* promise_;
    std::source_location made_by_;  // for messages, also after the frame is gone
    Close close_;
    std::optional<LoopReference> loop_;  // since the first step
};

[[noreturn]] void throw_running(const GeneratorState& state, StepKind kind);
// Throws: RuntimeError when a step is in progress.
inline void require_not_running(const GeneratorState& state, StepKind kind) {
    if (state.running()) [[unlikely]]
        throw_running(state, kind);
}
// Throws: TypeError before the first step.
void require_started(const GeneratorState& state);
[[noreturn]] void throw_generator_moved_from();
[[noreturn]] void throw_step_awaited_twice();

class GeneratorPromiseBase : public PromiseBase {
  public:
    using PromiseBase::PromiseBase;
    void unhandled_exception() noexcept { error_ = exception_left(); }
    void return_void() noexcept {}

    GeneratorState* state = nullptr;
    StepKind kind = StepKind::next;
    // What a step throws into the generator, or what the generator threw.
    std::exception_ptr error_;

  protected:
    // At a co_yield: gives control to the consumer.
    struct YieldBase {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> me) noexcept {
            return static_cast<PromiseBase&>(me.promise()).parent().handle();
        }
    };
    void throw_if_raised() {
        if (kind == StepKind::raise || kind == StepKind::close) {
            std::rethrow_exception(std::exchange(error_, nullptr));
        }
    }
};

template <class T, class Send>
class GeneratorPromise final : public GeneratorPromiseBase {
  public:
    explicit GeneratorPromise(std::source_location where = std::source_location::current()) noexcept
        : GeneratorPromiseBase(where) {}

    AsyncGenerator<T, Send> get_return_object();

    template <class U>
        requires std::constructible_from<T, U>
    auto yield_value(U&& value, std::source_location where = std::source_location::current()) {
        item.emplace(std::forward<U>(value));
        set_where(where);
        return Yielded{{}, *this};
    }

    std::optional<T> item;
    std::optional<std::conditional_t<std::is_void_v<Send>, None, Send>> sent;

  private:
    struct Yielded : YieldBase {
        GeneratorPromise& promise;
        auto await_resume() {
            promise.throw_if_raised();
            if constexpr (!std::is_void_v<Send>) {
                return std::exchange(promise.sent, std::nullopt);
            }
        }
    };
};

// One step: enters the generator and comes back with what it yielded, or nothing at its end.
template <class T, class Send>
class GeneratorStepAwaiter {
  public:
    using Promise = GeneratorPromise<T, Send>;

    GeneratorStepAwaiter(Ref<GeneratorState> state, StepKind kind) noexcept
        : state_(std::move(state)), kind_(kind) {}
    GeneratorStepAwaiter(const GeneratorStepAwaiter&) = delete;
    ~GeneratorStepAwaiter() {
        // The consumer went while inside: so did the generator, or it is about to.
        if (entered_) state_->abandoned_inside();
    }

    bool await_ready() {
        if (state_->finished()) return true;
        if (kind_ != StepKind::raise && kind_ != StepKind::close) return false;
        if (state_->started() || state_->running()) return false;
        // None of the body runs: the error would leave it at once.
        state_->destroy_frame();
        return true;
    }
    template <class Consumer>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Consumer> consumer) {
        const auto frame = state_->enter(FrameLink(consumer).into_generator());
        promise().kind = kind_;
        entered_ = true;
        return frame;
    }
    std::optional<T> await_resume() {
        if (!std::exchange(entered_, false)) return std::nullopt;  // it had ended before
        Promise& from = promise();
        if (from.item) [[likely]] {
            // Not as a whole: an optional that is copied at once, just after its parts were
            // written, stalls the processor.
            std::optional<T> item(std::in_place, std::move(*from.item));
            from.item.reset();
            state_->leave(false);
            return item;
        }
        std::exception_ptr error = std::exchange(from.error_, nullptr);
        state_->leave(true);
        if (error) std::rethrow_exception(std::move(error));
        return std::nullopt;
    }

  protected:
    [[nodiscard]] Promise& promise() const noexcept {
        return static_cast<Promise&>(state_->promise());
    }
    Ref<GeneratorState> state_;

  private:
    StepKind kind_;
    bool entered_ = false;
};
template <class T, class Send>
inline constexpr bool is_native_awaiter<GeneratorStepAwaiter<T, Send>> = true;

// What anext() returns: awaited at once or handed on.
template <class T, class Send>
class [[nodiscard]] NextStep {
  public:
    explicit NextStep(Ref<GeneratorState> state) noexcept : state_(std::move(state)) {}

    GeneratorStepAwaiter<T, Send> operator co_await() && {
        if (!state_) [[unlikely]]
            throw_step_awaited_twice();
        require_not_running(*state_, StepKind::next);
        return GeneratorStepAwaiter<T, Send>(std::move(state_), StepKind::next);
    }

  private:
    Ref<GeneratorState> state_;
};

// What asend() and athrow() return: the same with something for the generator.
template <class T, class Send>
class [[nodiscard]] GeneratorStep {
  public:
    using Sent = std::conditional_t<std::is_void_v<Send>, None, Send>;

    GeneratorStep(Ref<GeneratorState> state, StepKind kind, std::optional<Sent> sent = {},
                  std::exception_ptr error = nullptr) noexcept
        : state_(std::move(state)), kind_(kind), sent_(std::move(sent)), error_(std::move(error)) {}

    GeneratorStepAwaiter<T, Send> operator co_await() && {
        if (!state_) throw_step_awaited_twice();
        require_not_running(*state_, kind_);
        if (!state_->finished()) {
            auto& promise = static_cast<GeneratorPromise<T, Send>&>(state_->promise());
            promise.sent = std::move(sent_);
            promise.error_ = std::move(error_);
        }
        return GeneratorStepAwaiter<T, Send>(std::move(state_), kind_);
    }

  private:
    Ref<GeneratorState> state_;
    StepKind kind_;
    std::optional<Sent> sent_;
    std::exception_ptr error_;
};

// Throws GeneratorExit into the generator and awaits its end.
template <class T, class Send>
Coroutine<void> close_generator(Ref<GeneratorState> state) {
    try {
        const std::optional<T> item = co_await GeneratorStep<T, Send>(
            state, StepKind::close, {}, std::make_exception_ptr(GeneratorExit()));
        if (!item) co_return;
    } catch (const GeneratorExit&) {
        co_return;
    }
    throw RuntimeError(state->repr() + " ignored GeneratorExit: it yielded while closing");
}

}  // namespace detail

// T: a value, also move-only. Send: what asend() passes, void for nothing. Move-only.
template <class T, class Send>
class [[nodiscard]] AsyncGenerator {
    using Step = detail::GeneratorStep<T, Send>;

  public:
    using promise_type = detail::GeneratorPromise<T, Send>;
    using value_type = T;

    AsyncGenerator(AsyncGenerator&&) noexcept = default;
    AsyncGenerator& operator=(AsyncGenerator&&) noexcept = default;

    // The next item, nullopt at the end and from then on.
    // Throws: what the generator throws, which ends it; RuntimeError when a step is in
    // progress. Cancellation: thrown inside the generator, at the await it stands at.
    [[nodiscard]] auto anext() { return detail::NextStep<T, Send>(checked()); }
    // The same; the co_yield it stands at gives `value`.
    // Throws: TypeError for a generator that has not started.
    template <class U = Send>
        requires(!std::is_void_v<Send> && std::constructible_from<Send, U>)
    [[nodiscard]] Step asend(U&& value) {
        detail::require_started(*checked());
        return Step(checked(), detail::StepKind::send, Send(std::forward<U>(value)));
    }
    // The co_yield it stands at throws `error`; gives what the generator yields next.
    template <class E>
    [[nodiscard]] Step athrow(E&& error) {
        std::exception_ptr thrown = detail::to_exception(std::forward<E>(error));
        return Step(checked(), detail::StepKind::raise, {}, std::move(thrown));
    }
    // Lets it clean up and ends it; does nothing once it has ended.
    // Throws: what its clean-up throws; RuntimeError when it yields instead.
    Coroutine<void> aclose() { return detail::close_generator<T, Send>(checked()); }

    // Whether a step is in progress, also while it waits.
    [[nodiscard]] bool ag_running() const { return checked()->running(); }
    // Where it stands: the function, its co_await or co_yield. Nothing once it has ended.
    [[nodiscard]] std::optional<std::source_location> ag_frame() const {
        if (checked()->finished()) return std::nullopt;
        return checked()->promise().where();
    }

  private:
    friend promise_type;
    explicit AsyncGenerator(detail::Ref<detail::GeneratorState> state) noexcept
        : state_(std::move(state)) {}
    const detail::Ref<detail::GeneratorState>& checked() const {
        if (!state_) detail::throw_generator_moved_from();
        return state_;
    }
    detail::Ref<detail::GeneratorState> state_;
};

namespace detail {

template <class T, class Send>
AsyncGenerator<T, Send> GeneratorPromise<T, Send>::get_return_object() {
    state = new GeneratorState(
        std::coroutine_handle<GeneratorPromise>::from_promise(*this), *this,
        [](Ref<GeneratorState> self) { return close_generator<T, Send>(std::move(self)); });
    return AsyncGenerator<T, Send>(Ref<GeneratorState>(state));
}

}  // namespace detail

}  // namespace asyncio
