// The record of future_add_to_awaited_by().
#pragma once

#include <asyncio/futures_detail.hpp>
#include <utility>

namespace asyncio::detail {

// Says who waits where no awaiter of ours stands in the list.
class AwaitedBy final : public DoneNode, public Recycled {
  public:
    explicit AwaitedBy(Ref<FutureBase> waiter) noexcept : waiter_(std::move(waiter)) {}
    void fire(FutureBase&) noexcept override { delete this; }
    void abandon() noexcept override { delete this; }
    [[nodiscard]] FutureBase* waiter() const noexcept override { return waiter_.get(); }

  private:
    friend struct Inspection;
    Ref<FutureBase> waiter_;
};

}  // namespace asyncio::detail
