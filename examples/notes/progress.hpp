// notes/progress.hpp - on a terminal, one line for each run that shows how far it is.
//
//   for (int i : progress(range(10))) work(i);                  // as tqdm does it
//   std::vector<int> results = co_await progress(all_work());
//
// Elsewhere the tasks print lines of their own, and progress() changes nothing.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <asyncio.hpp>
#include <chrono>
#include <ranges>
#include <utility>

#include "settings.hpp"

// Python's print(..., end=''), for the tasks: silent where a bar is drawn instead.
template <class... Args>
void print(fmt::format_string<Args...> text, Args&&... args) {
    if (!settings.live) fmt::print(text, std::forward<Args>(args)...);
}

// Python's range().
inline auto range(int count) {
    return std::views::iota(0, count);
}

class ProgressBar {
  public:
    ProgressBar() { draw(0); }
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;
    ~ProgressBar();  // ends the line

    void draw(int done) const;

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// A range that draws after each step of the loop over it.
class ProgressRange {
  public:
    explicit ProgressRange(int count) : count_(count) {}

    struct Iterator {
        const ProgressBar& bar;
        int i;
        int operator*() const { return i; }
        void operator++() { bar.draw(++i); }
        bool operator!=(int end) const { return i != end; }
    };
    [[nodiscard]] Iterator begin() const { return {bar_, 0}; }
    [[nodiscard]] int end() const { return count_; }

  private:
    int count_;
    ProgressBar bar_;
};

inline ProgressRange progress(std::ranges::sized_range auto steps) {
    return ProgressRange(static_cast<int>(std::ranges::size(steps)));
}

// Awaits `job` and draws, ten times a second, how many of the tasks it made are done.
template <class T>
asyncio::Coroutine<T> progress(asyncio::Coroutine<T> job) {
    if (!settings.live) co_return co_await std::move(job);

    const ProgressBar bar;
    asyncio::Task<T> task = asyncio::create_task(std::move(job));
    while (!task.done()) {
        co_await asyncio::wait({task}, {.timeout = std::chrono::milliseconds(100)});
        const auto all = static_cast<int>(asyncio::all_tasks().size());
        const int pending = std::max(all - 2, 0);  // without `task` and the one we are in
        bar.draw(settings.tasks - pending);
    }
    co_return co_await std::move(task);
}
