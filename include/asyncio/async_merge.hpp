// asyncio/async_merge.hpp - several async iterators as one, in the order in which items come.
//
//   auto events = amerge(keys(), clicks(), ticks(1s));
//   while (auto event = co_await anext(events)) handle(*event);
//   co_await events.aclose();                              // here all three have cleaned up
//
//   auto lines = amerge(std::move(readers), {.buffer = 100});         // any number of them
//
// Each source is run by a task of its own, from the first step on. A source waits when nobody
// takes what it gives: it is never more than one item ahead of the buffer. When one throws, the
// others are cancelled and closed; what the buffer holds still comes, and then the error. Dropped
// before its end, it cancels and closes the sources, and their tasks end by themselves.
//
// Loop thread only. Source: aiostream's merge; Python itself has none.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/async_iteration.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/queues.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

struct MergeOptions {
    // Items kept for whoever takes them, of all sources together; at least 1.
    std::ptrdiff_t buffer = 1;
};

namespace detail {

// What the tasks of a merged stream and the stream itself share.
class MergeState {
  public:
    virtual ~MergeState();

    void start(std::vector<Coroutine<void>> sources);
    // Cancels and closes all. Nobody takes items any more.
    void stop();
    // Until all sources are closed. Throws: the first error, once.
    Coroutine<void> ended();
    // Nobody will ask for errors any more.
    void abandon() noexcept;

    // Of the task that runs source `index`. False when it need not begin.
    bool source_begins(std::size_t index);
    // From here on it must not be cancelled: it cleans up.
    void source_closes(std::size_t index) { sources_[index].cancellable = false; }
    // Throws: the error where it is the task's own.
    void source_ends(std::exception_ptr error);

  private:
    virtual void no_more_items(bool drop) = 0;
    void cancel_sources();

    struct Source {
        Task<void> task;
        // One that has not begun has a source to close all the same.
        bool cancellable = false;
    };
    std::vector<Source> sources_;
    std::size_t running_ = 0;
    bool stopping_ = false;
    bool abandoned_ = false;
    std::exception_ptr error_;
};

template <class T>
class MergeItems final : public MergeState {
  public:
    explicit MergeItems(std::ptrdiff_t buffer) : items(buffer) {}
    Queue<T> items;

  private:
    void no_more_items(bool drop) override { items.shutdown(drop); }
};

// The buffer's size. Throws: ValueError below 1.
std::ptrdiff_t checked_buffer(std::ptrdiff_t buffer);
void require_not_begun(bool begun);

template <class T, class I>
Coroutine<void> pass_items(I& source, Queue<T>& items) {
    while (auto item = co_await source.anext()) co_await items.put(T(std::move(*item)));
}

// What a task does with one source. I is a reference for one that was lent.
template <class T, class I>
Coroutine<void> run_source(I source, std::shared_ptr<MergeItems<T>> merge, std::size_t index) {
    std::exception_ptr error;
    if (merge->source_begins(index)) {
        const Outcome<void> passed = co_await try_(pass_items<T>(source, merge->items));
        error = passed.exception();
    }
    merge->source_closes(index);
    const Outcome<void> closed = co_await try_(close_owned<I>(source));
    merge->source_ends(closed ? error : closed.exception());
}

}  // namespace detail

// Move-only; T is the common type of the items.
template <class T>
class [[nodiscard]] Merged {
  public:
    using value_type = T;

    // Without sources: it ends at once.
    // Throws: ValueError for a buffer below 1.
    explicit Merged(MergeOptions options = {})
        : state_(std::make_shared<detail::MergeItems<T>>(detail::checked_buffer(options.buffer))) {}
    Merged(Merged&&) noexcept = default;
    Merged& operator=(Merged&& other) noexcept {
        if (this != &other) {
            drop();
            state_ = std::move(other.state_);
            sources_ = std::move(other.sources_);
            begun_ = other.begun_;
        }
        return *this;
    }
    ~Merged() { drop(); }

    // One more source, owned if it is an rvalue. Throws: RuntimeError after the first step.
    template <AsyncIterator I>
    void add(I&& source) {
        detail::require_not_begun(begun_);
        sources_.push_back(
            detail::run_source<T, I>(std::forward<I>(source), state_, sources_.size()));
    }
    // The next item that comes, nullopt once all sources have ended.
    // Throws: what a source threw, once. Cancellation: safe, no item is lost; several tasks may
    // take items.
    Coroutine<std::optional<T>> anext() {
        begin();
        std::shared_ptr<detail::MergeItems<T>> state = state_;
        if (std::optional<T> item = co_await state->items.next()) co_return item;
        co_await state->ended();
        co_return std::nullopt;
    }
    // Cancels and closes all sources, and waits for that; items that came are dropped.
    // Throws: what a source threw that anext() has not thrown, or the clean-up of one.
    Coroutine<void> aclose() {
        state_->stop();
        begin();
        std::shared_ptr<detail::MergeItems<T>> state = state_;
        co_await state->ended();
    }

  private:
    void begin() {
        if (!begun_) {
            begun_ = true;
            state_->start(std::move(sources_));
        }
    }
    void drop() noexcept {
        if (!state_) return;
        for (Coroutine<void>& source : sources_) source.close();
        state_->abandon();
    }

    std::shared_ptr<detail::MergeItems<T>> state_;
    std::vector<Coroutine<void>> sources_;  // until the first step
    bool begun_ = false;
};

template <class... I>
    requires(sizeof...(I) > 0 && (AsyncIterator<I> && ...))
[[nodiscard]] auto amerge(I&&... sources) {
    Merged<std::common_type_t<async_value_t<I>...>> merged;
    (merged.template add<I>(std::forward<I>(sources)), ...);
    return merged;
}
// Throws: ValueError for a buffer below 1.
template <AsyncIterator I>
[[nodiscard]] auto amerge(std::vector<I> sources, MergeOptions options = {}) {
    Merged<async_value_t<I>> merged(options);
    for (I& source : sources) merged.add(std::move(source));
    return merged;
}

}  // namespace asyncio
