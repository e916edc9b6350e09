#include "simulated.hpp"

#include <asyncio/memory_detail.hpp>
#include <cerrno>

namespace asyncio::detail {

void SimulatedProactor::submit(Operation& operation) {
    operation.state = Operation::State::queued;
    operation.result = operation.kind == Operation::Kind::nop ? 0 : -ENOSYS;
    operation.next = nullptr;
    *last_ = &operation;
    last_ = &operation.next;
    ++in_flight_;
}

void SimulatedProactor::cancel(Operation& operation) {
    if (operation.state != Operation::State::queued) return;
    operation.state = Operation::State::cancelling;
    operation.result = -ECANCELED;
}

void SimulatedProactor::wait(std::optional<Nanoseconds> timeout) {
    if (first_ != nullptr) {
        Operation* operation = first_;
        first_ = nullptr;
        last_ = &first_;
        while (operation != nullptr) {
            Operation* next = operation->next;
            operation->state = Operation::State::idle;
            --in_flight_;
            operation->complete(*operation, operation->result, false);
            operation = next;
        }
        return;
    }
    if (timeout && *timeout <= Nanoseconds(0)) return;
    if (timeout) {
        {
            const std::lock_guard lock(mutex_);
            if (std::exchange(woken_, false)) return;
        }
        now_ += *timeout;
        return;
    }
    if (!woken_in_time() && on_deadlock) on_deadlock();
}

bool SimulatedProactor::woken_in_time() {
    std::unique_lock lock(mutex_);
    // Only another thread could still wake us.
    const auto patience = single_threaded() ? std::chrono::seconds(0) : std::chrono::seconds(10);
    changed_.wait_for(lock, patience, [this] { return woken_; });
    return std::exchange(woken_, false);
}

void SimulatedProactor::wake() noexcept {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_all();
}

void SimulatedProactor::close() noexcept {
    for (Operation* operation = first_; operation != nullptr; operation = operation->next) {
        cancel(*operation);
    }
    if (first_ != nullptr) wait(Nanoseconds(0));
}

}  // namespace asyncio::detail
