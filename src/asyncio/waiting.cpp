#include <asyncio/waiting.hpp>

#include <algorithm>

#include <asyncio/as_completed.hpp>

#include "loop_state.hpp"

namespace asyncio {

namespace detail {

void Delivery::schedule() noexcept {
    if (std::exchange(scheduled_, true)) return;
    owner_->add_reference();
    EventLoop::Internals::ready(owner_->loop()).push(this);
}

void Delivery::take_turn(ReadyNode* node, Turn turn) {
    auto* self = static_cast<Delivery*>(node);
    const Ref<FutureBase> owner = Ref<FutureBase>::adopt(self->owner_);
    leave_step();
    if (turn == Turn::run) self->deliver();
}

// ---- gather -------------------------------------------------------------------------------

Gather::Gather(FutureBase& owner, std::size_t count, bool return_exceptions)
    : Delivery(owner),
      children_(count > 0 ? std::make_unique<GatherChild[]>(count) : nullptr),
      count_(count),
      return_exceptions_(return_exceptions) {}

namespace {

// Looks at a late error in place of a gather that is done and gone.
class Retriever final : public DoneNode, public Recycled {
  public:
    void fire(FutureBase& future) noexcept override {
        future.mark_retrieved();
        delete this;
    }
    void abandon() noexcept override { delete this; }
};

}  // namespace

Gather::~Gather() {
    if (!owner().done()) return;
    for (std::size_t i = 0; i < count_; ++i) {
        GatherChild& child = children_[i];
        if (!child.linked()) continue;
        child.future->remove_waiter(&child);
        child.future->add_waiter(new Retriever);
    }
}

void Gather::throw_other_loop() {
    throw ValueError("gather() was given futures that belong to different loops");
}

void Gather::start() {
    if (count_ == 0) collect();
    if (!any_came_done_) return;
    // Those that were done already count at once, without a turn of the loop.
    bool ends = false;
    for (std::size_t i = 0; i < count_; ++i) {
        if (children_[i].came_done && child_done(children_[i])) ends = true;
    }
    if (ends) deliver();
}

GatherChild::~GatherChild() {
    if (!linked()) return;
    future->remove_waiter(this);
    // As if gather() were still there to look at the errors that come too late to matter.
    if (gather->outer().done()) future->forgive_error();
}
void GatherChild::fire(FutureBase&) noexcept {
    if (gather->child_done(*this)) gather->schedule();
}
FutureBase* GatherChild::waiter() const noexcept {
    return &gather->outer();
}

bool Gather::child_done(GatherChild& child) noexcept {
    ++finished_;
    if (last_ != nullptr || owner().done()) {
        // Too late to matter; its error counts as looked at.
        child.future->mark_retrieved();
        return false;
    }
    const bool has_result = !child.future->cancelled() && !child.future->peek_exception();
    if (has_result && child.owned && take_early(static_cast<std::size_t>(&child - &children_[0]))) {
        child.future = nullptr;
    }
    failed_ = !return_exceptions_ && !has_result;
    if (!failed_ && finished_ < count_) return false;
    last_ = &child;
    return true;
}

void Gather::deliver() {
    if (owner().done()) return;
    if (failed_) {
        owner().set_exception(last_->future->take_error());
    } else if (cancel_requested_) {
        for (std::size_t i = 0; i < count_; ++i) {
            if (children_[i].future) children_[i].future->mark_retrieved();
        }
        // Its message is that of the last argument, as in CPython.
        const FutureBase* const last = children_[count_ - 1].future.get();
        owner().set_exception(last != nullptr && last->cancelled()
                                  ? last->cancelled_error()
                                  : std::make_exception_ptr(CancelledError()));
    } else {
        try {
            collect();
        } catch (...) {
            owner().set_exception(std::current_exception());
        }
    }
}

bool Gather::cancel_children(const CancelMessage& message) {
    bool any = false;
    for (std::size_t i = 0; i < count_; ++i) {
        if (children_[i].future && children_[i].future->cancel(message)) any = true;
    }
    if (any) cancel_requested_ = true;
    return any;
}

// ---- shield -------------------------------------------------------------------------------

namespace {

void report_shielded_error(const AnyFuture& future) {
    const std::exception_ptr error = future.cancelled() ? nullptr : future.exception();
    if (!error) return;
    ExceptionContext context;
    context.message = exception_type_name(error) + " exception in shielded future";
    context.exception = error;
    context.future = future;
    future.get_loop().call_exception_handler(context);
}

}  // namespace

void Shield::deliver() {
    if (owner().done()) return;
    if (inner_->cancelled()) {
        owner().cancel(std::nullopt);
    } else if (inner_->peek_exception()) {
        owner().set_exception(inner_->take_error());
    } else {
        try {
            copy_result();
        } catch (...) {
            owner().set_exception(std::current_exception());
        }
    }
}

void Shield::leave() noexcept {
    if (!linked()) return;
    inner_->remove_waiter(this);
    const Future<void> inner(inner_);  // for its callbacks only
    // One report, however many shields there were.
    inner.remove_done_callback(&report_shielded_error);
    inner.add_done_callback(&report_shielded_error);
}

// ---- wait ---------------------------------------------------------------------------------

namespace {

struct Waiting {
    Future<void> waiter;
    std::size_t left;
    ReturnWhen return_when;

    void operator()(const AnyFuture& future) {
        --left;
        const bool failed = !future.cancelled() && future.state().peek_exception();
        if (left == 0 || return_when == FIRST_COMPLETED ||
            (return_when == FIRST_EXCEPTION && failed)) {
            if (!waiter.done()) waiter.set_result();
        }
    }
};

// Takes the callbacks back, whatever ends the wait.
struct Registrations {
    std::vector<std::pair<AnyFuture, DoneCallbackToken>> all;
    TimerHandle alarm;
    AnyTask waiter;  // who waits, for call graphs
    ~Registrations() {
        alarm.cancel();
        for (auto& [future, token] : all) {
            future.remove_done_callback(token);
            future_discard_from_awaited_by(future, waiter);
        }
    }
};

template <class F>
DoneCallbackToken when_done(const AnyFuture& future, F&& callback) {
    return AnyTask(future.reference()).add_done_callback(std::forward<F>(callback));
}

}  // namespace

Coroutine<void> wait_until(std::vector<AnyFuture> futures, WaitOptions options) {
    if (futures.empty()) throw ValueError("wait() needs at least one task or future");
    EventLoop& loop = get_running_loop();
    const auto waiting = std::make_shared<Waiting>(
        Waiting{loop.create_future(), futures.size(), options.return_when});
    Registrations registrations;
    if (options.timeout) {
        registrations.alarm = loop.call_later(*options.timeout, [waiting] {
            if (!waiting->waiter.done()) waiting->waiter.set_result();
        });
    }
    registrations.waiter = current_task();
    for (const AnyFuture& future : futures) {
        future_add_to_awaited_by(future, registrations.waiter);
        registrations.all.emplace_back(
            future, when_done(future, [waiting](const AnyTask& done) { (*waiting)(done); }));
    }
    co_await waiting->waiter;
}

Coroutine<void> cancel_and_wait(Ref<FutureBase> future) {
    EventLoop& loop = get_running_loop();
    const Future<void> waiter = loop.create_future();
    Registrations registrations;
    const AnyFuture handle(future);
    registrations.all.emplace_back(handle, when_done(handle, [waiter] {
                                       if (!waiter.done()) waiter.set_result();
                                   }));
    future->cancel(std::nullopt);
    co_await waiter;
}

// ---- as_completed -------------------------------------------------------------------------

void Completions::start(std::vector<AnyFuture> futures,
                        std::optional<std::chrono::nanoseconds> timeout) {
    const std::weak_ptr<Completions> weak = weak_from_this();
    for (AnyFuture& future : futures) {
        const DoneCallbackToken token = when_done(future, [weak](const AnyTask& done) {
            if (const auto self = weak.lock()) self->arrived(done);
        });
        waiting_for_.emplace_back(std::move(future), token);
    }
    if (timeout && !waiting_for_.empty()) {
        alarm_ = get_event_loop().call_later(*timeout, [weak] {
            if (const auto self = weak.lock()) self->time_is_up();
        });
    }
}

Completions::~Completions() {
    alarm_.cancel();
    for (auto& [future, token] : waiting_for_) future.remove_done_callback(token);
}

void Completions::arrived(const AnyFuture& future) {
    const auto it = std::find_if(waiting_for_.begin(), waiting_for_.end(),
                                 [&](const auto& entry) { return entry.first == future; });
    if (it == waiting_for_.end()) return;  // the time was up before
    waiting_for_.erase(it);
    arrived_.emplace_back(future);
    wake_one();
    if (waiting_for_.empty()) alarm_.cancel();
}

void Completions::time_is_up() {
    for (auto& [future, token] : waiting_for_) {
        future.remove_done_callback(token);
        arrived_.emplace_back(std::nullopt);
    }
    waiting_for_.clear();
    while (!waiters_.empty()) wake_one();
}

void Completions::wake_one() {
    while (!waiters_.empty()) {
        const Future<void> waiter = std::move(waiters_.front());
        waiters_.pop_front();
        if (waiter.done()) continue;
        waiter.set_result();
        return;
    }
}

Coroutine<AnyFuture> Completions::next() {
    const std::shared_ptr<Completions> self = shared_from_this();
    while (arrived_.empty()) {
        const Future<void> waiter = get_running_loop().create_future();
        waiters_.push_back(waiter);
        const Outcome<void> woken = co_await try_(waiter);
        if (!woken) {
            // Chosen and cancelled: the next one gets the turn.
            if (!waiter.cancelled() && !arrived_.empty()) wake_one();
            std::rethrow_exception(woken.exception());
        }
    }
    const std::optional<AnyFuture> future = std::move(arrived_.front());
    arrived_.pop_front();
    if (!future) throw TimeoutError();
    co_return *future;
}

}  // namespace detail

}  // namespace asyncio
