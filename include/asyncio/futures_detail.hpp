// asyncio/futures_detail.hpp - private: the state behind Future and Task handles, and the
// list of who waits for it.
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include <asyncio/events.hpp>
#include <asyncio/events_detail.hpp>
#include <asyncio/exceptions.hpp>
#include <asyncio/memory_detail.hpp>
#include <asyncio/slot_detail.hpp>

namespace asyncio::detail {

class FutureBase;
class TaskBase;

// The text given to cancel(); most cancellations have none.
using CancelMessage = std::optional<std::string>;

enum class FutureState : std::uint8_t { pending, cancelled, finished };

struct DoneLinks {
    DoneLinks* next = nullptr;
    DoneLinks* previous = nullptr;
};

// Somebody to tell when a future is done: an awaiting coroutine, a done callback, a gather.
class DoneNode : public DoneLinks {
  public:
    DoneNode() = default;
    DoneNode(const DoneNode&) = delete;
    DoneNode& operator=(const DoneNode&) = delete;

    // Schedules what is to happen. Called once, unlinked, in the order of registration.
    virtual void fire(FutureBase& future) noexcept = 0;
    // The future is destroyed while pending.
    virtual void abandon() noexcept {}
    // The task or future that waits, for call graphs; null for a plain callback.
    [[nodiscard]] virtual FutureBase* waiter() const noexcept { return nullptr; }

    [[nodiscard]] bool linked() const noexcept { return previous != nullptr; }

  protected:
    ~DoneNode() = default;
};

// A circular list through its own head, in order of registration.
class DoneList {
  public:
    DoneList() noexcept { head_.next = head_.previous = &head_; }
    DoneList(const DoneList&) = delete;
    DoneList& operator=(const DoneList&) = delete;

    [[nodiscard]] bool empty() const noexcept { return head_.next == &head_; }
    void push_back(DoneNode* node) noexcept {
        node->next = &head_;
        node->previous = head_.previous;
        head_.previous->next = node;
        head_.previous = node;
    }
    [[nodiscard]] DoneNode* pop_front() noexcept {
        DoneNode* node = first();
        if (node != nullptr) unlink(node);
        return node;
    }
    static void unlink(DoneNode* node) noexcept {
        node->previous->next = node->next;
        node->next->previous = node->previous;
        node->next = node->previous = nullptr;
    }
    [[nodiscard]] DoneNode* first() const noexcept {
        return head_.next == &head_ ? nullptr : static_cast<DoneNode*>(head_.next);
    }
    [[nodiscard]] DoneNode* after(const DoneNode* node) const noexcept {
        return node->next == &head_ ? nullptr : static_cast<DoneNode*>(node->next);
    }

  private:
    DoneLinks head_;
};

// Holds the loop's memory for as long as a future may still look at it.
class LoopReference {
  public:
    explicit LoopReference(EventLoop& loop) noexcept : loop_(&loop) { loop.hold(); }
    LoopReference(const LoopReference& other) noexcept : LoopReference(*other.loop_) {}
    LoopReference& operator=(const LoopReference&) = delete;
    ~LoopReference() { loop_->let_go(); }
    [[nodiscard]] EventLoop& operator*() const noexcept { return *loop_; }
    [[nodiscard]] EventLoop* operator->() const noexcept { return loop_; }
    [[nodiscard]] EventLoop* get() const noexcept { return loop_; }

  private:
    EventLoop* loop_;
};

class FutureBase : public Recycled {
  public:
    FutureBase(const FutureBase&) = delete;
    FutureBase& operator=(const FutureBase&) = delete;

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) dispose();
    }

    [[nodiscard]] EventLoop& loop() const noexcept { return *loop_; }
    [[nodiscard]] FutureState state() const noexcept { return state_; }
    [[nodiscard]] bool done() const noexcept { return state_ != FutureState::pending; }
    [[nodiscard]] bool cancelled() const noexcept { return state_ == FutureState::cancelled; }
    [[nodiscard]] bool is_task() const noexcept { return is_task_; }

    // False when done. What it means is the derived class's.
    virtual bool cancel(CancelMessage message);
    // "<Future pending>", "<Task 'Task-3' finished>": for messages.
    [[nodiscard]] virtual std::string repr() const;

    // Throws InvalidStateError while pending, CancelledError when cancelled, and the
    // exception when there is one. Marks it as retrieved.
    void throw_unless_result() {
        if (state_ != FutureState::finished || exception_) [[unlikely]]
            throw_error();
    }
    // Null when there is a result. Throws while pending and when cancelled.
    [[nodiscard]] std::exception_ptr exception();
    // As a cancelled future gives it to who awaits it. Never null for a cancelled future.
    [[nodiscard]] std::exception_ptr cancelled_error() const;
    // As exception(), but a cancellation is returned as well. For a future that is done.
    [[nodiscard]] std::exception_ptr take_error();
    // What is stored, without counting as having looked.
    [[nodiscard]] const std::exception_ptr& peek_exception() const noexcept { return exception_; }
    void mark_retrieved() noexcept { report_exception_ = false; }
    // The same for an error that is still to come.
    void forgive_error() noexcept { error_forgiven_ = true; }

    void set_exception(std::exception_ptr error);
    // Checks, for whoever stores a value next.
    void require_pending(const char* operation) const {
        if (done() || loop_->get_debug()) [[unlikely]]
            require_settable(operation);
    }
    void finish_with_result() noexcept {
        state_ = FutureState::finished;
        if (!waiters_.empty()) schedule_callbacks();
    }

    void add_waiter(DoneNode* node) noexcept { waiters_.push_back(node); }
    void remove_waiter(DoneNode* node) noexcept { DoneList::unlink(node); }
    [[nodiscard]] DoneList& waiters() noexcept { return waiters_; }

    // Where it was made.
    std::source_location created;

  protected:
    // The first reference is the maker's.
    FutureBase(EventLoop& loop, std::source_location where, bool is_task) noexcept
        : created(where), loop_(loop), is_task_(is_task) {}
    virtual ~FutureBase() {
        if (!waiters_.empty() || has_traceback_) [[unlikely]]
            let_go_of_all();
    }

    // Tells the exception handler what is lost when nobody holds this any more. Called with
    // the future alive again, so that the handler may keep it.
    virtual void report_loss();
    [[nodiscard]] virtual bool is_loss() const noexcept { return report_exception_; }
    void call_handler(std::string message);
    [[noreturn]] void throw_error();

    void finish_with_error(std::exception_ptr error) noexcept;
    [[nodiscard]] RefCount& references() noexcept { return references_; }
    void finish_cancelled(std::exception_ptr error) noexcept;

    void set_message(CancelMessage message);
    [[nodiscard]] CancelMessage take_message() noexcept {
        return cancel_message_ ? std::move(*cancel_message_) : std::nullopt;
    }
    [[nodiscard]] CancelMessage peek_message() const {
        return cancel_message_ ? *cancel_message_ : std::nullopt;
    }

  private:
    friend struct Inspection;
    void dispose() noexcept {
        if (done() && !report_exception_) [[likely]] {
            delete this;
        } else {
            dispose_of_loss();
        }
    }
    void dispose_of_loss() noexcept;
    void schedule_callbacks() noexcept;
    void let_go_of_all() noexcept;
    void require_settable(const char* operation) const;

    // What a step of a task does not touch comes first, what it does last, so that it shares
    // cache lines with the task's own fields.
    std::exception_ptr exception_;  // or the CancelledError that ended a task
    std::unique_ptr<CancelMessage> cancel_message_;
    DoneList waiters_;
    LoopReference loop_;
    RefCount references_{1};

  protected:
    std::uint32_t cancel_requests_ = 0;  // a task's, as are the last three: here to fill gaps

  private:
    FutureState state_ = FutureState::pending;
    const bool is_task_;
    bool report_exception_ = false;
    bool error_forgiven_ = false;
    bool has_traceback_ = false;  // kept elsewhere, for the few that fail

  protected:
    bool log_destroyed_pending_ = true;
    bool must_cancel_ = false;
    bool started_ = false;
};

// What a task waits for. Lives in the frame of the awaiting coroutine.
class Suspension {
  public:
    // Asks what is awaited to end with a cancellation. True when it will wake the task
    // because of this call; false when it is done already or cannot be cancelled.
    virtual bool request_cancel(const CancelMessage& message) = 0;
    // The future awaited, if it is one. For call graphs.
    [[nodiscard]] virtual FutureBase* awaited() const noexcept { return nullptr; }

  protected:
    ~Suspension() = default;
};

// The result slot of a Future or Task handle's state.
template <class T>
[[nodiscard]] Slot<T>& slot_of(FutureBase& future) noexcept;

// A future that somebody completes.
template <class T>
class FutureStateOf : public FutureBase {
  public:
    FutureStateOf(EventLoop& loop, std::source_location where) noexcept
        : FutureBase(loop, where, false) {}

    template <class... A>
    void set_result(A&&... value) {
        require_pending("set_result()");
        slot.emplace(std::forward<A>(value)...);
        finish_with_result();
    }

    Slot<T> slot;
};

}  // namespace asyncio::detail
