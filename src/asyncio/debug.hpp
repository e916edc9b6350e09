// What debug mode remembers and what it reports.
#pragma once

#include <asyncio/futures_detail.hpp>
#include <source_location>
#include <string>
#include <unordered_map>

namespace asyncio::detail {

class TaskBase;

// Kept beside the loop, so that nothing grows for its sake. Filled in debug mode only.
struct DebugNotes {
    std::unordered_map<const HandleState*, std::source_location> scheduled_at;
    std::unordered_map<const TaskBase*, std::source_location> cancelled_at;
};

// A turn of the ready queue in debug mode: what runs is kept alive until it can be described.
class WatchedTurn {
  public:
    explicit WatchedTurn(ReadyNode* node);
    WatchedTurn(const WatchedTurn&) = delete;
    WatchedTurn& operator=(const WatchedTurn&) = delete;
    ~WatchedTurn();

    void report_slow(std::chrono::nanoseconds took) const;

  private:
    Ref<FutureBase> task_;
    Ref<HandleState> handle_;
    std::source_location begins_;  // where the task's step does
};

// The place of the call that scheduled it; empty if that is not known.
[[nodiscard]] std::string scheduled_text(const HandleState& handle);
// The task ended well although it was asked to end otherwise.
void report_swallowed_cancel(const TaskBase& task) noexcept;

}  // namespace asyncio::detail
