#include "debug.hpp"

#include <asyncio/debug_detail.hpp>
#include <asyncio/log.hpp>
#include <asyncio/tasks.hpp>
#include <asyncio/waiting_detail.hpp>

#include "describe.hpp"
#include "loop_state.hpp"

namespace asyncio {

namespace detail {

namespace {

DebugNotes& notes_of(EventLoop& loop) {
    return EventLoop::Internals::state(loop).debug_notes;
}

}  // namespace

WatchedTurn::WatchedTurn(ReadyNode* node) {
    if (TaskBase::owns(node)) {
        TaskBase& task = TaskBase::from_node(node);
        task_ = Ref<FutureBase>(&task);
        if (const PromiseBase* frame = task.innermost()) begins_ = frame->where();
    } else if (!Delivery::owns(node)) {
        handle_ = Ref<HandleState>(static_cast<HandleState*>(node));
    }
}

WatchedTurn::~WatchedTurn() {
    if (handle_) notes_of(handle_->loop()).scheduled_at.erase(handle_.get());
}

void WatchedTurn::report_slow(std::chrono::nanoseconds took) const {
    std::string text = "Executing ";
    if (task_) {
        text += task_->repr();
    } else if (handle_) {
        text += "<Handle " + type_text(handle_->callback_type());
        if (const std::string place = scheduled_text(*handle_); !place.empty()) {
            text += " created at " + place;
        }
        text += ">";
    } else {
        text += "<a gather() or shield()>";
    }
    text += " took " + seconds_text(took) + " seconds";
    if (begins_.line() != 0) text += ", beginning at " + place_text(begins_);
    log(LogLevel::warning, text);
}

std::string scheduled_text(const HandleState& handle) {
    const auto& places = notes_of(handle.loop()).scheduled_at;
    const auto found = places.find(&handle);
    return found == places.end() ? std::string() : place_text(found->second);
}

void report_swallowed_cancel(const TaskBase& task) noexcept {
    try {
        std::string text = "Task '" + task.name() + "' swallowed its cancellation";
        auto& places = notes_of(task.loop()).cancelled_at;
        if (const auto found = places.find(&task); found != places.end()) {
            text += ", due at " + place_text(found->second);
            places.erase(found);
        }
        text +=
            ": it ended as if it had not been cancelled. Let CancelledError out, or call "
            "uncancel()";
        if (task.created.line() != 0) text += "\nsource: " + place_text(task.created);
        log(LogLevel::warning, text);
    } catch (...) {
        // No memory for a warning.
    }
}

void report_unclosed(const EventLoop& loop, std::string_view what,
                     std::source_location made) noexcept {
    if (!loop.get_debug()) return;
    try {
        std::string text = "unclosed " + std::string(what);
        if (made.line() != 0) text += "\nsource: " + place_text(made);
        log(LogLevel::warning, text);
    } catch (...) {
        // No memory for a warning.
    }
}

}  // namespace detail

void EventLoop::note_place(const Handle& handle, std::source_location where) {
    state_->debug_notes.scheduled_at.insert_or_assign(&handle.state(), where);
}

void EventLoop::Internals::run_ready_in_debug_mode(EventLoop& loop, detail::ReadyQueue& batch) {
    detail::LoopState& s = *loop.state_;
    while (detail::ReadyNode* node = batch.pop()) {
        ++s.turns_since_look;
        const detail::WatchedTurn turn(node);
        const std::int64_t start = now(loop);
        node->take(node, detail::Turn::run);
        detail::leave_step();
        const std::chrono::nanoseconds took(now(loop) - start);
        if (took >= loop.slow_callback_duration) turn.report_slow(took);
    }
}

}  // namespace asyncio
