#include <asyncio/queues.hpp>

namespace asyncio {

QueueEmpty::~QueueEmpty() = default;
QueueFull::~QueueFull() = default;
QueueShutDown::~QueueShutDown() = default;

namespace detail {

void QueueBase::throw_no_room() const {
    if (shut_down_) {
        throw QueueShutDown("cannot put: " + repr() + " was shut down and takes no more items");
    }
    throw QueueFull("cannot put: " + repr() + " is full; `co_await put()` waits for room");
}

void QueueBase::throw_no_item() const {
    if (shut_down_) {
        throw QueueShutDown("cannot get: " + repr() +
                            " was shut down and is empty; next() says so without throwing");
    }
    throw QueueEmpty("cannot get: " + repr() + " is empty; `co_await get()` waits for an item");
}

void QueueBase::throw_nothing_to_be_done() const {
    throw ValueError("task_done() called too many times: every item that was put into " + repr() +
                     " is done already");
}

void QueueBase::wake_getter() noexcept {
    getters_.wake_first_to_retry();
}
void QueueBase::wake_putter() noexcept {
    putters_.wake_first_to_retry();
}

void QueueBase::wake_joiners() noexcept {
    while (joiners_.has_waiting()) joiners_.wake_first_and_forget();
}

void QueueBase::end_shutdown() noexcept {
    if (unfinished_ == 0) wake_joiners();
    while (getters_.has_waiting()) getters_.wake_first_to_retry();
    while (putters_.has_waiting()) putters_.wake_first_to_retry();
}

void QueueBase::fail_unserved(QueueBase& queue, Getter& getter) {
    const WaitEnd end = getter.end_wait();
    if (!end.orphaned && end.chosen) queue.pass_on_item();
    std::rethrow_exception(end.error);  // who was not served was cancelled
}

void QueueBase::fail_unserved(QueueBase& queue, Putter& putter) {
    const WaitEnd end = putter.end_wait();
    if (!end.orphaned && end.chosen) queue.pass_on_room();
    std::rethrow_exception(end.error);  // who was not served was cancelled
}

std::string QueueBase::repr() const {
    std::string text = std::string("<") + name_ + " maxsize=" + std::to_string(maxsize_);
    if (size_ != 0) text += " qsize=" + std::to_string(size_);
    if (const auto count = getters_.live()) text += " getters[" + std::to_string(count) + "]";
    if (const auto count = putters_.live()) text += " putters[" + std::to_string(count) + "]";
    if (unfinished_ != 0) text += " tasks=" + std::to_string(unfinished_);
    if (shut_down_) text += " shutdown";
    return text + ">";
}

}  // namespace detail
}  // namespace asyncio
