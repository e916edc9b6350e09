// A first-in first-out list of operations through their own links. An operation is in one
// list at most; which one follows from its state, so unlinking needs the right list named.
#pragma once

#include <utility>

#include "proactor.hpp"

namespace asyncio::detail {

class OperationList {
  public:
    OperationList() = default;
    OperationList(const OperationList&) = delete;
    OperationList& operator=(const OperationList&) = delete;
    OperationList(OperationList&& other) noexcept
        : first_(std::exchange(other.first_, nullptr)),
          last_(std::exchange(other.last_, nullptr)) {}
    OperationList& operator=(OperationList&&) = delete;
    ~OperationList() = default;

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] Operation* front() const noexcept { return first_; }
    [[nodiscard]] Operation* back() const noexcept { return last_; }

    void push_back(Operation& operation) noexcept {
        operation.next = nullptr;
        operation.previous = last_;
        (last_ != nullptr ? last_->next : first_) = &operation;
        last_ = &operation;
    }

    void push_front(Operation& operation) noexcept {
        operation.previous = nullptr;
        operation.next = first_;
        (first_ != nullptr ? first_->previous : last_) = &operation;
        first_ = &operation;
    }

    void remove(Operation& operation) noexcept {
        (operation.previous != nullptr ? operation.previous->next : first_) = operation.next;
        (operation.next != nullptr ? operation.next->previous : last_) = operation.previous;
        operation.next = nullptr;
        operation.previous = nullptr;
    }

    // Null when the list is empty.
    Operation* pop_front() noexcept {
        Operation* const operation = first_;
        if (operation != nullptr) remove(*operation);
        return operation;
    }

  private:
    Operation* first_ = nullptr;
    Operation* last_ = nullptr;
};

}  // namespace asyncio::detail
