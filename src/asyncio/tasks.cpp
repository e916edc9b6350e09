#include <asyncio/tasks.hpp>

#include <algorithm>
#include <atomic>

#include <asyncio/async_generator.hpp>
#include <asyncio/log.hpp>
#include <asyncio/traceback.hpp>
#include <asyncio/waiters_detail.hpp>

#include "describe.hpp"
#include "loop_state.hpp"
#include "traceback_state.hpp"

namespace asyncio {

namespace detail {

constinit thread_local void* frame_already_destroyed = nullptr;

namespace {

std::uintptr_t next_task_number() noexcept {
    static constinit std::atomic<std::uintptr_t> last{0};
    if (!single_threaded()) return last.fetch_add(1, std::memory_order_relaxed) + 1;
    const std::uintptr_t number = last.load(std::memory_order_relaxed) + 1;
    last.store(number, std::memory_order_relaxed);
    return number;
}

bool ends_the_program(const std::exception_ptr& error) noexcept {
    return holds_exception<KeyboardInterrupt>(error) || holds_exception<SystemExit>(error);
}

}  // namespace

void throw_not_awaitable(bool moved_from) {
    throw RuntimeError(moved_from
                           ? "cannot await this coroutine: it was moved from; await the object "
                             "that holds it now"
                           : "cannot await this coroutine again: it is being awaited or was "
                             "awaited already. A coroutine runs once; wrap it with "
                             "create_task() to await it from several places");
}

void report_never_awaited(PromiseBase& promise) noexcept {
    try {
        const std::string name = function_text(promise.where().function_name());
        ExceptionContext context;
        context.message = "coroutine '" + name + "' was never awaited";
        context.source = place_text(promise.where());
        if (EventLoop* loop = this_thread.running) {
            loop->call_exception_handler(context);
        } else {
            log(LogLevel::warning, context.message + "\nsource: " + context.source);
        }
    } catch (...) {
        // A report out of a destructor; there is nobody to tell.
    }
}

// ---- task state ---------------------------------------------------------------------------

void TaskBase::let_go_of_body() noexcept {
    destroy_frames();
    if ((name_ & 1) == 0) delete reinterpret_cast<std::string*>(name_);
}

bool TaskBase::is_loss() const noexcept {
    return FutureBase::is_loss() || (!done() && started_ && root_ && log_destroyed_pending_);
}

void TaskBase::report_loss() {
    if (!done()) {
        log_destroyed_pending_ = false;
        call_handler("Task was destroyed but it is pending!");
    } else {
        mark_retrieved();
        call_handler("Task exception was never retrieved");
    }
}

// From the innermost frame outwards, so that locals go in the order in which they would by
// unwinding, and a million frames deep needs no stack.
void TaskBase::destroy_frames() noexcept {
    if (!root_) return;
    PromiseBase* inner = started_ ? resume_at_.promise() : nullptr;
    while (inner != nullptr && inner->handle() != root_) {
        PromiseBase* outer = inner->parent().promise();
        if (outer == nullptr) break;  // a foreign coroutine owns the rest
        const std::coroutine_handle<> frame = inner->handle();
        if (inner->parent().of_generator()) {
            static_cast<GeneratorPromiseBase*>(inner)->state->frame_is_gone();
        }
        frame.destroy();
        frame_already_destroyed = frame.address();
        inner = outer;
    }
    std::exchange(root_, nullptr).destroy();
    frame_already_destroyed = nullptr;
    resume_at_ = FrameLink();
    waiting_on_ = nullptr;
}

void TaskBase::link() noexcept {
    TaskLinks& head = EventLoop::Internals::state(loop()).tasks;
    next_task = &head;
    previous_task = head.previous_task;
    head.previous_task->next_task = this;
    head.previous_task = this;
}

void TaskBase::unlink() noexcept {
    previous_task->next_task = next_task;
    next_task->previous_task = previous_task;
    next_task = previous_task = nullptr;
}

void TaskBase::abandon() noexcept {
    const Ref<FutureBase> self = Ref<FutureBase>::adopt(this);  // the loop's
    unlink();
    try {
        if (is_loss()) report_loss();
    } catch (...) {
        // KeyboardInterrupt out of a handler cannot stop a loop from closing.
    }
    destroy_frames();
    // Nobody will ever finish it, so nobody need be told; what they hold goes.
    while (DoneNode* node = waiters().pop_front()) node->abandon();
}

std::string TaskBase::repr() const {
    std::string text = "<Task '" + name() + "' ";
    if (!done()) {
        text += cancel_requests_ > 0 ? "cancelling" : "pending";
        if (PromiseBase* frame = innermost()) text += " at " + place_text(frame->where());
    } else if (cancelled()) {
        text += "cancelled";
    } else {
        text += "finished";
        if (peek_exception()) text += " exception=" + describe_exception(peek_exception());
    }
    if (loop().get_debug() && created.line() != 0) text += " created at " + place_text(created);
    return text + ">";
}

std::string TaskBase::name() const {
    if ((name_ & 1) != 0) return "Task-" + std::to_string(name_ >> 1);
    return *reinterpret_cast<const std::string*>(name_);
}

void TaskBase::set_name(std::string name) {
    auto* text = new std::string(std::move(name));
    if ((name_ & 1) == 0) delete reinterpret_cast<std::string*>(name_);
    name_ = reinterpret_cast<std::uintptr_t>(text);
}

PromiseBase* TaskBase::innermost() const noexcept {
    if (!root_) return nullptr;
    if (PromiseBase* frame = resume_at_.promise()) return frame;
    return FrameLink(std::coroutine_handle<PromiseBase>::from_address(root_.address())).promise();
}

// ---- running ------------------------------------------------------------------------------

bool TaskBase::owns(const ReadyNode* node) noexcept {
    return node->take == &TaskBase::take_step || node->take == &TaskBase::take_first_step ||
           node->take == &SleepAwaiterBase::take_timer_turn ||
           node->take == &RetryingWaiter::take_turn;
}

namespace {

// A step may be made inside of another task's.
class InsideStep {
  public:
    InsideStep() noexcept = default;
    InsideStep(const InsideStep&) = delete;
    InsideStep& operator=(const InsideStep&) = delete;
    ~InsideStep() {
        this_thread.task = task_;
        this_thread.context = context_;
    }

  private:
    TaskBase* const task_ = this_thread.task;
    ContextSlot* const context_ = this_thread.context;
};

}  // namespace

void TaskBase::name_by_number() noexcept {
    name_ = next_task_number() << 1 | 1;
}

void TaskBase::start_plainly() noexcept {
    name_by_number();
    started_ = true;
    references().set(2);  // the second is the loop's, until the task is done
    link();
    EventLoop::Internals::ready(loop()).push(&node());
}

void TaskBase::start(bool eager) {
    loop().check_thread();
    started_ = true;
    add_reference();
    link();
    if (eager && this_thread.running == &loop()) {
        const InsideStep inside;
        take_first_step(&node(), Turn::run);
    } else {
        EventLoop::Internals::ready(loop()).push(&node());
    }
}

void TaskBase::take_first_step(ReadyNode* node, Turn turn) {
    if (turn == Turn::discard) return;
    TaskBase& task = from_node(node);
    node->take = &TaskBase::take_step;
    if (task.must_cancel_) [[unlikely]] {
        // No statement of the body runs.
        leave_step();
        task.unlink();
        task.destroy_frames();
        task.must_cancel_ = false;
        const Ref<FutureBase> self = Ref<FutureBase>::adopt(&task);
        task.finish_cancelled(task.make_cancelled_error());
        return;
    }
    task.step(task.root_);
}

[[gnu::hot]] void TaskBase::take_step(ReadyNode* node, Turn turn) {
    if (turn == Turn::discard) return;
    TaskBase& task = from_node(node);
    task.waiting_on_ = nullptr;
    task.step(task.resume_at_.handle());
}

// See leave_step() for why a step that suspends puts nothing back.
inline void TaskBase::step(std::coroutine_handle<> frame) {
    ThreadState& thread = this_thread;
    thread.task = this;
    thread.context = &context_;
    frame.resume();
    if (root_.done() || thread.has_traceback) {
        end_step();
    } else {
        since_ = EventLoop::Internals::state(loop()).latest_time;
    }
}

[[gnu::noinline]] void TaskBase::end_step() {
    if (root_.done()) {
        finish();
    } else {
        since_ = EventLoop::Internals::state(loop()).latest_time;
    }
    if (this_thread.has_traceback) [[unlikely]] {
        leave_step();
        drop_traceback();
    }
}

void TaskBase::finish() {
    leave_step();
    const Ref<FutureBase> self = Ref<FutureBase>::adopt(this);  // the loop's
    unlink();
    std::exception_ptr error = collect();
    std::exchange(root_, nullptr).destroy();
    resume_at_ = FrameLink();
    if (!error) [[likely]] {
        if (must_cancel_) [[unlikely]] {
            must_cancel_ = false;
            finish_cancelled(make_cancelled_error());
        } else {
            if (cancel_requests_ > 0 && loop().debug_) [[unlikely]]
                report_swallowed_cancel(*this);
            finish_with_result();
        }
        return;
    }
    if (holds_exception<CancelledError>(error)) {
        finish_cancelled(std::move(error));
        return;
    }
    const bool escapes = ends_the_program(error);
    finish_with_error(error);
    if (escapes) [[unlikely]]
        std::rethrow_exception(error);
}

// ---- cancelling ---------------------------------------------------------------------------

bool TaskBase::cancel(CancelMessage message) {
    mark_retrieved();
    if (done()) return false;
    if (loop().debug_) [[unlikely]]
        note_cancel();
    ++cancel_requests_;
    if (waiting_on_ != nullptr && waiting_on_->request_cancel(message)) return true;
    must_cancel_ = true;
    set_message(std::move(message));
    return true;
}

void TaskBase::note_cancel() {
    loop().throw_if_wrong_thread();
    const PromiseBase* frame = waiting_on_ != nullptr ? innermost() : nullptr;
    if (frame == nullptr) return;
    EventLoop::Internals::state(loop()).debug_notes.cancelled_at.insert_or_assign(this,
                                                                                  frame->where());
}

unsigned TaskBase::uncancel() noexcept {
    if (cancel_requests_ > 0 && --cancel_requests_ == 0) must_cancel_ = false;
    return cancel_requests_;
}

void TaskBase::hand_on_cancel() {
    if (waiting_on_->request_cancel(peek_message())) must_cancel_ = false;
}

std::exception_ptr TaskBase::make_cancelled_error() {
    CancelMessage message = take_message();
    return std::make_exception_ptr(message ? CancelledError(std::move(*message))
                                           : CancelledError());
}

std::exception_ptr TaskBase::take_cancel() {
    must_cancel_ = false;
    return make_cancelled_error();
}

void TaskBase::deliver_cancel(bool already_cancelled) {
    must_cancel_ = false;
    if (already_cancelled) return;  // the awaiter throws the operation's own
    CancelMessage message = take_message();
    if (message) throw CancelledError(std::move(*message));
    throw CancelledError();
}

// ---- awaiting -----------------------------------------------------------------------------

void throw_outside_of_task(const char* what) {
    throw RuntimeError(std::string(what) +
                       " was awaited outside of a task; use create_task() or run()");
}

void FutureAwaiterBase::refuse(TaskBase& task, FrameLink frame) {
    std::string why = future_.get() == &task ? "Task cannot await on itself: " + task.repr()
                                             : task.repr() + " got " + future_->repr() +
                                                   " attached to a different loop";
    future_ = Ref<FutureBase>::adopt(new FutureStateOf<void>(task.loop(), future_->created));
    future_->set_exception(std::make_exception_ptr(RuntimeError(std::move(why))));
    future_->mark_retrieved();
    task_ = &task;
    task.suspend(frame, this);
    task.wake();
}

bool FutureAwaiterBase::request_cancel(const CancelMessage& message) {
    return future_->cancel(message);
}
std::exception_ptr FutureAwaiterBase::take_error() {
    if (task_ != nullptr && task_->must_cancel() && !future_->cancelled()) {
        future_->mark_retrieved();
        return task_->take_cancel();
    }
    if (task_ != nullptr) task_->throw_if_cancelled(true);  // used up by the future's own
    return future_->take_error();
}
FutureBase* FutureAwaiterBase::waiter() const noexcept {
    return task_;
}

void SleepAwaiterBase::arm() {
    TaskBase& task = this->task();
    LoopState& state = EventLoop::Internals::state(task.loop());
    const std::int64_t now = EventLoop::Internals::now(task.loop());
    timer_.deadline = timer_.deadline > INT64_MAX - now ? INT64_MAX - 1 : now + timer_.deadline;
    task.node().take = &SleepAwaiterBase::take_timer_turn;
    state.timers.arm(timer_, now);
    if (task.must_cancel()) [[unlikely]]
        task.hand_on_cancel();
}

void SleepAwaiterBase::disarm() noexcept {
    EventLoop::Internals::state(task().loop()).timers.cancel(timer_);
    task().node().take = &TaskBase::take_step;
}

void SleepAwaiterBase::end() noexcept {
    if (timer_.armed()) {
        disarm();
    } else if (phase_ == Phase::cancelled) {
        delete take_message();
    }
}

// The timer is not armed any more and its deadline free: a million sleepers need not have room
// for what next to none of them ever gets.
void SleepAwaiterBase::keep_message(const CancelMessage& message) {
    auto* kept = message ? new CancelMessage(message) : nullptr;
    timer_.deadline = reinterpret_cast<std::intptr_t>(kept);
}

CancelMessage* SleepAwaiterBase::take_message() noexcept {
    return reinterpret_cast<CancelMessage*>(
        static_cast<std::intptr_t>(std::exchange(timer_.deadline, 0)));
}

void SleepAwaiterBase::take_timer_turn(ReadyNode* node, Turn turn) {
    if (turn == Turn::discard) return;
    TaskBase& task = TaskBase::from_node(node);
    node->take = &TaskBase::take_step;
    // A cancellation that came first stays.
    auto* sleep = static_cast<SleepAwaiterBase*>(task.waiting_on());
    if (sleep->phase_ == Phase::cancelled) return;
    sleep->phase_ = Phase::fired;
    task.wake();
}

bool SleepAwaiterBase::request_cancel(const CancelMessage& message) {
    if (phase_ != Phase::sleeping) return false;
    TaskBase& task = this->task();
    if (timer_.armed()) {
        disarm();
        task.wake();
    } else {
        // The timer's turn is due in this iteration and stands in the queue with the task's
        // node, so that something else has to take the task's place in the next one.
        task.loop().call_soon([&task] { TaskBase::take_step(&task.node(), Turn::run); });
    }
    phase_ = Phase::cancelled;
    keep_message(message);
    return true;
}

void SleepAwaiterBase::throw_cancelled() {
    task().throw_if_cancelled(phase_ == Phase::cancelled);
    const std::unique_ptr<CancelMessage> message(take_message());
    if (message) throw CancelledError(**message);
    throw CancelledError();
}

// ---- foreign awaitables -------------------------------------------------------------------

bool ForeignAwaiterBase::start(Bridge bridge, FrameLink resume_at) {
    bridge_ = bridge.frame;
    task_ = &require_current_task("a foreign awaitable");
    resume_at_ = resume_at;
    task_->suspend(resume_at, this);
    bridge.frame.resume();
    Phase expected = Phase::starting;
    if (phase_.compare_exchange_strong(expected, Phase::suspended, std::memory_order_acq_rel)) {
        return true;
    }
    task_->suspend(FrameLink(), nullptr);
    return false;
}

std::coroutine_handle<> ForeignAwaiterBase::bridge_ended() noexcept {
    if (phase_.exchange(Phase::ended, std::memory_order_acq_rel) == Phase::starting) {
        return std::noop_coroutine();  // start() sees it
    }
    EventLoop& loop = task_->loop();
    if (this_thread.running != &loop) {
        // Alive until then: the loop holds a pending task.
        try {
            loop.call_soon_threadsafe([task = task_] { task->wake(); });
        } catch (...) {
            // The loop closed meanwhile; nobody is left to resume.
        }
        return std::noop_coroutine();
    }
    if (this_thread.task == task_) {
        // Ended inside a step of this very task, through something of ours that the foreign
        // coroutine awaited.
        return resume_at_.handle();
    }
    task_->suspend(resume_at_, this);
    task_->wake();
    return std::noop_coroutine();
}

void ForeignAwaiterBase::check() {
    task_->throw_if_cancelled(false);
    if (error_) std::rethrow_exception(error_);
}

// ---- making tasks -------------------------------------------------------------------------

void throw_closed_loop(const EventLoop&) {
    throw RuntimeError("the event loop is closed");
}

namespace {

void launch_through_factory(const Ref<FutureBase>& future, TaskOptions options) {
    TaskBase& task = static_cast<TaskBase&>(*future);
    task.loop().get_task_factory()(task.loop(), TaskBuilder(future, std::move(options)));
    if (!task.started()) {
        throw RuntimeError("the task factory did not start " + task.repr() +
                           "; it must call TaskBuilder::start()");
    }
}

void launch_with(const Ref<FutureBase>& future, TaskOptions options, bool by_factory) {
    TaskBase& task = static_cast<TaskBase&>(*future);
    if (!options.name.empty()) task.set_name(options.name);
    task.set_context(options.context ? ContextAccess::slot(*options.context)
                                     : copy_current_context());
    if (by_factory) {
        launch_through_factory(future, std::move(options));
    } else {
        task.start(options.eager_start.value_or(false));
    }
}

}  // namespace

void launch(const Ref<FutureBase>& future, TaskOptions* options) {
    TaskBase& task = static_cast<TaskBase&>(*future);
    const bool by_factory = EventLoop::Internals::state(task.loop()).task_factory != nullptr;
    if (options != nullptr || by_factory || task.loop().get_debug()) [[unlikely]] {
        task.name_by_number();
        launch_with(future, options != nullptr ? std::move(*options) : TaskOptions(), by_factory);
        return;
    }
    if (ContextSlot context = copy_current_context()) [[unlikely]]
        task.set_context(std::move(context));
    task.start_plainly();
}

void run_loop_until(EventLoop& loop, const Ref<FutureBase>& future, bool new_task) {
    if (new_task) static_cast<TaskBase&>(*future).silence_destroyed_pending();
    const AnyTask waited(future);
    const DoneCallbackToken token = waited.add_done_callback([&loop](const AnyTask& done) {
        const std::exception_ptr& error = done.state().peek_exception();
        // These leave run_forever() by themselves.
        if (error && ends_the_program(error)) return;
        loop.stop();
    });
    try {
        loop.run_forever();
    } catch (...) {
        waited.remove_done_callback(token);
        // The error is on its way to the caller already.
        if (new_task && future->done() && !future->cancelled()) future->mark_retrieved();
        throw;
    }
    waited.remove_done_callback(token);
    if (!future->done()) {
        throw RuntimeError("the event loop stopped before " + future->repr() + " was done");
    }
}

}  // namespace detail

// ---- public -------------------------------------------------------------------------------

AnyTask TaskBuilder::start(std::optional<bool> eager_start) {
    auto& task = static_cast<detail::TaskBase&>(*task_);
    if (task.started()) throw RuntimeError(task.repr() + " was started already");
    task.start(eager_start.value_or(options_.eager_start.value_or(false)));
    return AnyTask(task_);
}

AnyTask eager_task_factory(EventLoop&, TaskBuilder builder) {
    const bool eager = builder.options().eager_start.value_or(true);
    return builder.start(eager);
}

std::vector<StackFrame> AnyTask::get_stack(std::optional<std::size_t> limit) const {
    std::vector<StackFrame> frames;
    if (done()) {
        frames = extract_tb(task().peek_exception());
        if (limit && frames.size() > *limit) frames.resize(*limit);
        return frames;
    }
    for (const detail::PromiseBase* frame = task().innermost(); frame != nullptr;
         frame = frame->parent().promise()) {
        if (limit && frames.size() == *limit) break;
        const std::source_location where = frame->where();
        std::string function = detail::function_text(where.function_name());
        // How with() or create_task(f) call the user's function is nobody's business.
        if (function.starts_with("asyncio::detail::")) continue;
        frames.push_back({std::move(function), where.file_name(), where.line()});
    }
    std::reverse(frames.begin(), frames.end());
    return frames;
}

void AnyTask::print_stack(std::optional<std::size_t> limit, std::FILE* file) const {
    const std::vector<StackFrame> frames = get_stack(limit);
    const std::string text = repr();
    if (frames.empty()) {
        std::fprintf(file, "No stack for %s\n", text.c_str());
        return;
    }
    std::fprintf(file, "%s for %s (most recent call last):\n", done() ? "Traceback" : "Stack",
                 text.c_str());
    for (const StackFrame& frame : frames) {
        std::fprintf(file, "  File \"%s\", line %u, in %s\n", frame.file.c_str(), frame.line,
                     frame.function.c_str());
    }
    if (done()) std::fprintf(file, "%s\n", describe_exception(task().peek_exception()).c_str());
}

AnyTask current_task() {
    static_cast<void>(get_running_loop());
    return AnyTask(detail::Ref<detail::FutureBase>(detail::this_thread.task));
}

AnyTask current_task(EventLoop& loop) {
    if (detail::this_thread.running != &loop) return AnyTask();
    return current_task();
}

std::vector<AnyTask> all_tasks() {
    return all_tasks(get_running_loop());
}

std::vector<AnyTask> all_tasks(EventLoop& loop) {
    std::vector<AnyTask> tasks;
    const detail::TaskLinks& head = EventLoop::Internals::state(loop).tasks;
    for (detail::TaskLinks* link = head.next_task; link != &head; link = link->next_task) {
        tasks.emplace_back(detail::Ref<detail::FutureBase>(static_cast<detail::TaskBase*>(link)));
    }
    return tasks;
}

}  // namespace asyncio
