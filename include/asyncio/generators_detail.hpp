// asyncio/generators_detail.hpp - private: the frame of a plain generator, whatever it yields.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <string>
#include <utility>

#include <asyncio/memory_detail.hpp>

namespace asyncio::detail {

// Generators that delegate to one another form a chain from the outermost, which somebody steps,
// to the innermost, which runs. The outermost resumes the innermost itself and in a loop, so that
// no depth costs stack or time.
class YieldingFrame {
  public:
    explicit YieldingFrame(std::coroutine_handle<> frame, std::source_location where) noexcept
        : frame_(frame), where_(where) {}
    YieldingFrame(const YieldingFrame&) = delete;
    YieldingFrame& operator=(const YieldingFrame&) = delete;

    static void* operator new(std::size_t bytes) { return allocate(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept { release(frame, bytes); }

    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept { return Ended{*this}; }
    void unhandled_exception() noexcept { error_ = std::current_exception(); }
    template <class A>
    std::suspend_never await_transform(A&&) {
        static_assert(sizeof(A) == 0, "a Generator cannot await; make it an AsyncGenerator");
        return {};
    }

    [[nodiscard]] bool running() const noexcept { return phase_ == Phase::running; }
    [[nodiscard]] bool suspended() const noexcept { return phase_ == Phase::suspended; }
    [[nodiscard]] bool finished() const noexcept { return phase_ == Phase::finished; }
    [[nodiscard]] bool orphaned() const noexcept { return orphaned_; }
    [[nodiscard]] std::exception_ptr take_error() noexcept {
        return std::exchange(error_, nullptr);
    }

    // Throws: ValueError when it cannot be stepped just now.
    void require_idle(const char* step) const {
        if (phase_ >= Phase::running) [[unlikely]]
            throw_executing(step);
    }
    // Throws: TypeError before the first step.
    void require_started() const {
        if (phase_ == Phase::created) [[unlikely]]
            throw_not_started();
    }
    // Of the outermost: runs to the next co_yield or to the end.
    void run() noexcept {
        if (finished()) [[unlikely]]
            return;
        phase_ = Phase::running;
        do {
            innermost_->frame_.resume();
        } while (running());
    }
    // Has `error` thrown where it stands. False when none of the body runs, as it has not begun.
    bool raise(std::exception_ptr error) noexcept;
    // Has GeneratorExit thrown where it stands. False when there is nothing to run.
    bool raise_exit() noexcept;
    // After raise_exit() and run(): what ended it, unless that was GeneratorExit, or a
    // RuntimeError because it yielded.
    [[nodiscard]] std::exception_ptr closing_error();
    // Nobody can step it any more: closes and destroys it, or leaves that to the step that runs.
    void drop() noexcept;

    // Steps go to `inner` and the frames below it until it ends.
    void delegate_to(YieldingFrame& inner) noexcept;
    // The frame that delegates to this one is destroyed.
    void detach() noexcept;
    // Whether close() came by while it delegated.
    [[nodiscard]] bool take_exit() noexcept { return std::exchange(exit_after_, false); }

    [[noreturn]] void throw_no_result() const;

  protected:
    struct Ended {
        YieldingFrame& frame;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<>) const noexcept { frame.ended(); }
        void await_resume() const noexcept {}
    };
    [[nodiscard]] YieldingFrame& outermost() const noexcept { return *outermost_; }
    void stop() noexcept { phase_ = Phase::suspended; }
    void throw_if_raised() {
        if (raised_) [[unlikely]]
            throw_raised();
    }

  private:
    enum class Phase : std::uint8_t { created, suspended, finished, running, delegated };

    void ended() noexcept;
    [[noreturn]] void throw_raised();
    [[noreturn]] void throw_executing(const char* step) const;
    [[noreturn]] void throw_not_started() const;
    [[nodiscard]] std::string repr() const;

    std::coroutine_handle<> frame_;
    YieldingFrame* outermost_ = this;
    YieldingFrame* delegated_by_ = nullptr;
    YieldingFrame* innermost_ = this;  // of the outermost
    std::exception_ptr raised_;        // of the outermost: to be thrown at the co_yield
    std::exception_ptr error_;         // what ended it
    std::source_location where_;
    Phase phase_ = Phase::created;
    bool orphaned_ = false;    // dropped while it ran
    bool exit_after_ = false;  // GeneratorExit follows what it delegates to
};

}  // namespace asyncio::detail
