// A proactor without a kernel: its clock stands still until the loop would block, and then
// jumps. For asyncio/testing.hpp.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

#include "proactor.hpp"

namespace asyncio::detail {

class SimulatedProactor final : public Proactor {
  public:
    // Called where the loop would block for ever; throws.
    std::function<void()> on_deadlock;

    [[nodiscard]] std::string_view name() const noexcept override { return "simulated"; }
    [[nodiscard]] TimePoint now() const noexcept override { return now_; }
    // Operations on descriptors have no meaning here: all but nop end with -ENOSYS.
    void submit(Operation& operation) override;
    void cancel(Operation& operation) override;
    void wait(std::optional<Nanoseconds> timeout) override;
    [[nodiscard]] bool may_have_completions() const noexcept override { return first_ != nullptr; }
    void wake() noexcept override;
    void close() noexcept override;

  private:
    // Whether somebody called wake() since; waits a while for other threads.
    bool woken_in_time();

    // Not zero: a deadline of zero would look unset to whoever prints it.
    TimePoint now_{std::chrono::hours(1)};
    Operation* first_ = nullptr;
    Operation** last_ = &first_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool woken_ = false;
};

}  // namespace asyncio::detail
