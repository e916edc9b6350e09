#include "receiving.hpp"

#include <cerrno>
#include <utility>

namespace asyncio::detail {

Receiving::Receiving(ReceivingTransport& transport, Operation::Kind kind, int fd) noexcept
    : transport_(transport) {
    operation_.kind = kind;
    operation_.multishot = true;
    operation_.owned = true;
    operation_.fd = fd;
    operation_.owner = this;
}

Proactor& Receiving::proactor() const noexcept {
    return *EventLoop::Internals::state(transport_.loop()).proactor;
}

void Receiving::start() {
    started_ = true;
    go_on();
}

void Receiving::go_on() {
    if (!started_ || !active()) return;
    if (held_ != nullptr || has_end_) {
        // Never out of the caller's own call.
        if (std::exchange(delivery_due_, true)) return;
        transport_.loop().call_soon([this, keep = transport_.keep_alive()] { deliver_held(); });
    } else if (!busy() && !over_) {
        proactor().submit(operation_);
    }
    // An operation that is still being cancelled is submitted again when it ends.
}

void Receiving::pause() {
    // The operation goes on until it brings something: whoever pauses and resumes all the time
    // would else never let it do its work.
    if (active()) paused_ = true;
}

void Receiving::resume() {
    if (stopped_ || !paused_) return;
    paused_ = false;
    go_on();
}

void Receiving::stop() {
    stopped_ = true;
    held_.reset();
    cancel();
}

void Receiving::cancel() {
    if (!busy()) return;
    cancelling_ = true;
    proactor().cancel(operation_);
}

void Receiving::completed_without(int result, bool more) {
    const std::shared_ptr<void> keep = transport_.keep_alive();
    if (result != -ECANCELED) {
        ended(result);
    } else if (std::exchange(cancelling_, false)) {
        // Not where the loop closes: there it would only be cancelled again.
        go_on();
    }
    if (!more) transport_.receiving_over();
}

void Receiving::hold(std::string_view data) {
    if (stopped_) return;
    if (held_ == nullptr) {
        held_ = std::make_unique<std::string>(data);
    } else {
        held_->append(data);
    }
    if (paused_) cancel();
}

void Receiving::deliver_held() {
    delivery_due_ = false;
    if (!active()) return;
    if (held_ != nullptr) {
        const std::unique_ptr<std::string> data = std::move(held_);
        keep(transport_.take_input(*data));
    }
    if (active() && held_ == nullptr && std::exchange(has_end_, false)) {
        over_ = true;
        transport_.take_end(end_);
    } else {
        go_on();
    }
}

void Receiving::ended(int result) {
    if (stopped_) return;
    if (!paused_ && held_ == nullptr) {
        over_ = true;
        transport_.take_end(result);
        return;
    }
    has_end_ = true;
    end_ = result;
    go_on();
}

}  // namespace asyncio::detail
