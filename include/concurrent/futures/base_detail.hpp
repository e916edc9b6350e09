// concurrent/futures/base_detail.hpp - private: the states behind futures, and those who
// wait for them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/memory_detail.hpp>
#include <asyncio/slot_detail.hpp>

namespace concurrent::futures::detail {

using Limit = std::optional<std::chrono::nanoseconds>;  // nullopt: none
using Deadline = std::optional<std::chrono::steady_clock::time_point>;
[[nodiscard]] Deadline deadline_after(Limit limit);

enum class FutureState : std::uint32_t {
    pending,
    running,
    finishing,               // somebody stores the result; looks like running
    cancelled,               // by cancel()
    cancelled_and_notified,  // and the executor has noticed
    finished
};

class StateBase;
class WaitGroup;

// One done callback, owned by the future until it is called. Derive from it to be told
// without an allocation: call() is called at most once, release() exactly once, last.
struct DoneCallback : asyncio::detail::Recycled {
    DoneCallback() = default;
    DoneCallback(const DoneCallback&) = delete;
    DoneCallback& operator=(const DoneCallback&) = delete;

    virtual void call(StateBase& state) = 0;
    virtual void release() noexcept { delete this; }

    DoneCallback* next = nullptr;  // the future's

  protected:
    virtual ~DoneCallback() = default;
};

// One future in a wait() or as_completed().
struct WaitNode {
    WaitGroup* group = nullptr;
    StateBase* state = nullptr;
    WaitNode* next = nullptr;
    WaitNode** place = nullptr;  // what points here; null when nothing does
};

// What all futures have. Counted; small, because there is one per call: a word that says
// everything, and two lists, used under a lock that is a bit of the word.
class StateBase : public asyncio::detail::Recycled {
  public:
    StateBase() = default;
    StateBase(const StateBase&) = delete;
    StateBase& operator=(const StateBase&) = delete;
    virtual ~StateBase();

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) delete this;
    }

    [[nodiscard]] FutureState state() const noexcept {
        return static_cast<FutureState>(word_.load(std::memory_order_acquire) & state_bits);
    }
    [[nodiscard]] bool done() const noexcept { return state() >= FutureState::cancelled; }
    [[nodiscard]] bool cancelled() const noexcept {
        return done() && state() != FutureState::finished;
    }
    [[nodiscard]] bool running() const noexcept {
        return state() == FutureState::running || state() == FutureState::finishing;
    }
    // Done, and the executor has noticed: what wait() waits for.
    [[nodiscard]] bool noticed() const noexcept {
        return state() >= FutureState::cancelled_and_notified;
    }

    // Ended by an exception; asked only of those that are noticed.
    [[nodiscard]] bool failed() const noexcept { return error_ != nullptr; }

    bool cancel();
    // Throws: TimeoutError, CancelledError.
    [[nodiscard]] std::exception_ptr exception(Limit limit) const;
    // The same, and what the call threw.
    void wait_for_value(Limit limit) const;
    bool set_running_or_notify_cancel();
    void set_exception(std::exception_ptr error);

    // Takes the callback over; calls it here and now when done.
    void add_done_callback(DoneCallback* callback);

    // True when noticed already; else the group will be told.
    bool add_waiter(WaitNode& node);
    void remove_waiter(WaitNode& node) noexcept;

  protected:
    // Stores the value, then tells everybody.
    template <class Store>
    void finish(Store store) {
        const FutureState before = claim();
        if constexpr (noexcept(store())) {
            store();
        } else {
            try {
                store();
            } catch (...) {
                unclaim(before);
                throw;
            }
        }
        publish(FutureState::finished);
    }

  private:
    static constexpr std::uint32_t state_bits = 7;
    static constexpr std::uint32_t locked = 8;
    static constexpr std::uint32_t lock_wanted = 16;  // somebody sleeps until unlocked
    static constexpr std::uint32_t awaited = 32;      // somebody sleeps until done
    static constexpr std::uint32_t listed = 64;       // a list is or was in use

    class Lock;

    FutureState claim();
    void unclaim(FutureState before) noexcept;
    void publish(FutureState state);
    std::uint32_t change(FutureState state) noexcept;
    void wait(Limit limit) const;
    void run_callbacks() noexcept;
    void call_back(DoneCallback* callback) noexcept;
    void tell_waiters() noexcept;
    [[nodiscard]] std::string describe(const char* what) const;

    asyncio::detail::RefCount references_;
    mutable std::atomic<std::uint32_t> word_{0};
    std::exception_ptr error_;
    DoneCallback* callbacks_ = nullptr;  // the last one added first
    WaitNode* waiters_ = nullptr;
};

template <class T>
class State : public StateBase {
  public:
    template <class... A>
    void set_result(A&&... value) {
        finish([&]() noexcept(std::is_void_v<T> || std::is_nothrow_constructible_v<T, A...>) {
            slot.emplace(std::forward<A>(value)...);
        });
    }
    asyncio::detail::Slot<T> slot;
};

// ReturnWhen, by its numbers.
enum class Condition : std::uint8_t { first_completed, first_exception, all_completed };

// Watches some futures, which must outlive it but for those that next() has given.
class Waiting {
  public:
    explicit Waiting(const std::vector<StateBase*>& states);
    Waiting(Waiting&& other) noexcept;
    Waiting& operator=(Waiting&& other) noexcept;
    ~Waiting();

    // Until the condition holds, or the time is up. Throws: ValueError for another condition.
    void wait(Condition condition, Deadline deadline);
    // Which one ended next; nullopt when the time is up.
    [[nodiscard]] std::optional<std::size_t> next(Deadline deadline);

  private:
    std::unique_ptr<WaitGroup> group_;
};

// True where the same state came before. Empty if that is nowhere.
[[nodiscard]] std::vector<bool> repeated(const std::vector<StateBase*>& states);

[[noreturn]] void throw_unfinished(std::size_t left, std::size_t total);
[[noreturn]] void throw_moved_from();

// Goes once through a source that gives one item at a time: exhausted(), current(), advance().
template <class Source>
class PullIterator {
  public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = typename Source::value_type;
    using difference_type = std::ptrdiff_t;

    explicit PullIterator(Source& source) noexcept : source_(&source) {}
    value_type& operator*() const { return source_->current(); }
    value_type* operator->() const { return std::addressof(source_->current()); }
    PullIterator& operator++() {
        source_->advance();
        return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const PullIterator& it, std::default_sentinel_t) {
        return it.source_->exhausted();
    }

  private:
    Source* source_;
};

}  // namespace concurrent::futures::detail
