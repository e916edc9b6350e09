#include <asyncio/events.hpp>

#include <pthread.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

#include <asyncio/log.hpp>
#include <asyncio/tasks.hpp>
#include <asyncio/traceback.hpp>
#include <asyncio/transports.hpp>

#include "describe.hpp"
#include "fd_watchers.hpp"
#include "loop_state.hpp"
#include "name_resolver.hpp"
#include "signals.hpp"

namespace asyncio {

using detail::LoopState;
using detail::ReadyNode;
using detail::ReadyQueue;
using detail::Turn;

namespace detail {

constinit thread_local ThreadState this_thread;

std::chrono::nanoseconds nanoseconds_from_seconds(double seconds) {
    if (std::isnan(seconds)) throw ValueError("a delay must be a number of seconds, not NaN");
    constexpr double most = 9.2e9;  // seconds that fit into 64 bits of nanoseconds
    return std::chrono::nanoseconds(
        static_cast<std::int64_t>(std::clamp(seconds, -most, most) * 1e9));
}

}  // namespace detail

using detail::this_thread;

namespace {

// Far more than there can be references: while the owner holds it, the count cannot reach
// zero by accident.
constexpr std::int64_t owner = std::int64_t{1} << 40;

// A turn of the loop asks the kernel for completions at least this often while callbacks
// keep it busy. As the queues of other schedulers: rarely enough to cost nothing.
constexpr std::uint32_t turns_between_looks = 8;
constexpr std::uint32_t turns_between_polls = 61;
constexpr std::int64_t nanoseconds_between_polls = 50'000;

bool debug_by_environment() {
    const char* value = std::getenv("ASYNCIO_DEBUG");
    return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}

detail::ProactorKind kind_of(Proactor choice) {
    switch (choice) {
        case Proactor::epoll:
            return detail::ProactorKind::epoll;
        case Proactor::io_uring:
            return detail::ProactorKind::io_uring;
        case Proactor::automatic:
            break;
    }
    return detail::ProactorKind::automatic;
}

std::int64_t ticks(EventLoop::time_point when) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
}

// How far the clock is ahead of rough_time() at the most.
constexpr std::int64_t roughness = 20'000'000;

// LoopState::last_poll, until somebody asks.
constexpr std::int64_t not_read = -1;

}  // namespace

// ---- references ---------------------------------------------------------------------------

void EventLoop::let_go_elsewhere() noexcept {
    if (foreign_references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

EventLoopPtr EventLoop::Internals::make(const LoopOptions& options) {
    const detail::ProactorKind kind = kind_of(options.proactor);
    EventLoopPtr loop(new EventLoop(options, detail::make_proactor(kind)));
    if (loop->get_debug()) log(LogLevel::info, "Using proactor " + detail::describe_choice(kind));
    return loop;
}

EventLoopPtr EventLoop::Internals::make_on(std::unique_ptr<detail::Proactor> proactor) {
    return EventLoopPtr(new EventLoop(LoopOptions{}, std::move(proactor)));
}

bool EventLoop::Internals::has_work_now(EventLoop& loop) noexcept {
    LoopState& s = *loop.state_;
    return !loop.ready_.empty() || s.inbox.load(std::memory_order_acquire) != nullptr ||
           s.proactor->may_have_completions() ||
           (!s.timers.empty() && s.timers.next_deadline() <= now(loop));
}

void EventLoop::Internals::destroy(EventLoop* loop) noexcept {
    if (state(*loop).running) {
        log(LogLevel::critical, "an event loop was destroyed while running; stop it first");
        std::abort();
    }
    try {
        loop->close();
    } catch (...) {
        log(LogLevel::error,
            "closing an event loop failed: " + describe_exception(std::current_exception()));
    }
    const std::int64_t merged = loop->local_references_ - owner;
    if (loop->foreign_references_.fetch_add(merged, std::memory_order_acq_rel) + merged == 0) {
        delete loop;
    }
}

void LoopDeleter::operator()(EventLoop* loop) const noexcept {
    EventLoop::Internals::destroy(loop);
}

detail::LoopState::LoopState() noexcept {
    tasks.next_task = tasks.previous_task = &tasks;
    generators.next_generator = generators.previous_generator = &generators;
}
detail::LoopState::~LoopState() = default;

EventLoop::EventLoop(const LoopOptions& options, std::unique_ptr<detail::Proactor> proactor)
    : debug_(options.debug.value_or(debug_by_environment())),
      foreign_references_(owner),
      state_(std::make_unique<LoopState>()) {
    state_->proactor = std::move(proactor);
    state_->ready = &ready_;
    state_->simulated = state_->proactor->name() == "simulated";
    detail::show_loop(*state_);
}

EventLoop::~EventLoop() {
    detail::hide_loop(*state_);
    // What other threads posted while the loop closed.
    Internals::take_inbox(*this);
    Internals::discard_ready(*this);
}

EventLoopPtr new_event_loop(LoopOptions options) {
    return EventLoop::Internals::make(options);
}

// ---- running ------------------------------------------------------------------------------

void detail::check_not_running(const EventLoop& loop) {
    if (loop.is_running()) {
        throw RuntimeError("this event loop is already running; await inside it instead");
    }
    if (this_thread.running != nullptr) {
        throw RuntimeError("cannot run an event loop while another one is running in this thread");
    }
}

namespace {

// Marks a loop as the one that runs in this thread.
class Running {
  public:
    Running(EventLoop& loop, LoopState& state) : state_(state) {
        detail::check_not_running(loop);
        state.running = true;
        state.tid = gettid();
        detail::show_loop(state);  // a forked child has forgotten it
        state.thread.store(std::this_thread::get_id(), std::memory_order_relaxed);
        this_thread.running = &loop;
        this_thread.loop_context = this_thread.context;
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
        this_thread.running = nullptr;
        state_.thread.store(std::thread::id(), std::memory_order_relaxed);
        state_.running = false;
        state_.tid = 0;
        state_.stopping = false;
    }

  private:
    LoopState& state_;
};

}  // namespace

[[gnu::always_inline]] inline void EventLoop::Internals::run_ready(EventLoop& loop) {
    std::uint32_t turns = 0;
    ReadyNode* next = loop.ready_.take_all();
    try {
        for (; next != nullptr; ++turns) {
            ReadyNode* const node = next;  // gone, or queued again, once it has run
            next = node->next;
            node->take(node, Turn::run);
        }
    } catch (...) {
        leave_batch(loop, next);
        throw;
    }
    detail::leave_step();
    loop.state_->turns_since_look += turns;
}

// The whole of a busy iteration is in line in run_forever(): what else there may be to do is
// asked for here, and done elsewhere.
bool EventLoop::Internals::has_more_to_do(const EventLoop& loop) noexcept {
    const LoopState& s = *loop.state_;
    return loop.ready_.empty() || s.inbox.load(std::memory_order_relaxed) != nullptr ||
           s.turns_since_look >= turns_between_looks || s.stopping ||
           s.interrupts.load(std::memory_order_relaxed) != 0;
}

[[gnu::always_inline]] inline void EventLoop::Internals::run_once(EventLoop& loop) {
    LoopState& s = *loop.state_;
    if (has_more_to_do(loop)) look_around(loop);
    if (!s.timers.empty()) [[unlikely]]
        look_at_timers(loop);
    if (loop.debug_ || s.reorder) [[unlikely]] {
        run_ready_for_tests(loop);
    } else {
        run_ready(loop);
    }
}

[[gnu::hot]] void EventLoop::run_forever() {
    check_open();
    // What is in flight must not be tied to this thread: another one may run the loop next, or
    // close it.
    struct Detach {
        detail::Proactor& proactor;
        ~Detach() { proactor.detach(); }
    };
    const Running running(*this, *state_);
    const Detach detach{*state_->proactor};
    do {
        Internals::run_once(*this);
    } while (!state_->stopping);
}

void EventLoop::Internals::run_one(EventLoop& loop) {
    const Running running(loop, *loop.state_);
    run_once(loop);
}

void EventLoop::stop() noexcept {
    state_->stopping = true;
}
bool EventLoop::is_running() const noexcept {
    return state_->running;
}

[[gnu::hot]] void EventLoop::Internals::look_around(EventLoop& loop) {
    LoopState& s = *loop.state_;
    if (s.inbox.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
        take_inbox(loop);
    if (loop.ready_.empty() && !s.stopping) [[likely]] {
        wait(loop);
    } else if (s.turns_since_look >= turns_between_looks || s.stopping) {
        poll_while_busy(loop);
    }
    if (s.interrupts.load(std::memory_order_relaxed) != 0) [[unlikely]]
        take_interrupts(loop);
}

[[gnu::noinline]] void EventLoop::Internals::take_interrupts(EventLoop& loop) {
    LoopState& s = *loop.state_;
    const int count = s.interrupts.exchange(0);
    if (count != 0 && s.on_interrupt) s.on_interrupt(count);
}

// Far from the next one, a rough look spares the precise one.
[[gnu::noinline]] void EventLoop::Internals::look_at_timers(EventLoop& loop) {
    LoopState& s = *loop.state_;
    if (!s.simulated && s.timers.earliest() > rough_time(loop) + roughness) return;
    const std::int64_t due = now(loop);
    while (detail::TimerNode* timer = s.timers.pop_due(due)) loop.ready_.push(timer->target);
}

// For KeyboardInterrupt and SystemExit: what is left is for the next run.
void EventLoop::Internals::leave_batch(EventLoop& loop, ReadyNode* next) noexcept {
    detail::leave_step();
    ReadyQueue left;
    while (next != nullptr) left.push(std::exchange(next, next->next));
    loop.ready_.prepend(left);
}

// In another order, or each watched.
void EventLoop::Internals::run_ready_for_tests(EventLoop& loop) {
    LoopState& s = *loop.state_;
    ReadyQueue batch;
    batch.prepend(loop.ready_);
    if (s.reorder) s.reorder(batch);
    if (loop.debug_) {
        try {
            run_ready_in_debug_mode(loop, batch);
        } catch (...) {
            detail::leave_step();
            loop.ready_.prepend(batch);
            throw;
        }
        detail::leave_step();
        return;
    }
    // What the callbacks make ready comes after what is in the batch, and in a batch of its own.
    loop.ready_.prepend(batch);
    run_ready(loop);
}

// Lets the kernel deliver completions, and blocks when there is nothing else to do.
// While callbacks keep the loop busy, even asking the kernel is not free.
[[gnu::noinline]] void EventLoop::Internals::poll_while_busy(EventLoop& loop) {
    LoopState& s = *loop.state_;
    s.turns_since_poll += std::exchange(s.turns_since_look, 0);
    if (!s.proactor->may_have_completions()) return;
    if (s.turns_since_poll < turns_between_polls && !s.stopping) {
        const std::int64_t time = now(loop);
        if (s.last_poll == not_read) s.last_poll = time;
        if (time - s.last_poll < nanoseconds_between_polls) return;
    }
    s.turns_since_poll = 0;
    s.proactor->wait(std::chrono::nanoseconds(0));
    s.last_poll = now(loop);
}

[[gnu::noinline]] std::chrono::nanoseconds EventLoop::Internals::until_next_timer(EventLoop& loop) {
    const std::int64_t left = loop.state_->timers.next_deadline() - now(loop);
    return std::chrono::nanoseconds(std::max<std::int64_t>(left, 0));
}

void EventLoop::Internals::wait(EventLoop& loop) {
    LoopState& s = *loop.state_;
    s.turns_since_look = 0;
    std::optional<std::chrono::nanoseconds> timeout;
    if (!s.timers.empty()) [[unlikely]]
        timeout = until_next_timer(loop);
    s.asleep.store(true, std::memory_order_seq_cst);
    if (s.inbox.load(std::memory_order_seq_cst) != nullptr ||
        s.interrupts.load(std::memory_order_seq_cst) != 0) [[unlikely]] {
        timeout = std::chrono::nanoseconds(0);
    }
    s.turns_since_poll = 0;
    s.proactor->wait(timeout);
    s.asleep.store(false, std::memory_order_relaxed);
    s.last_poll = not_read;
    rough_time(loop);
    if (s.inbox.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
        take_inbox(loop);
}

[[gnu::noinline]] void EventLoop::Internals::take_inbox(EventLoop& loop) noexcept {
    LoopState& s = *loop.state_;
    ReadyNode* newest = s.inbox.exchange(nullptr, std::memory_order_acquire);
    ReadyNode* oldest = nullptr;
    while (newest != nullptr) newest = std::exchange(newest->next, std::exchange(oldest, newest));
    while (oldest != nullptr) {
        ReadyNode* next = oldest->next;
        loop.ready_.push(oldest);
        oldest = next;
    }
}

void EventLoop::Internals::discard_ready(EventLoop& loop) noexcept {
    while (ReadyNode* node = loop.ready_.pop()) node->take(node, Turn::discard);
}

void EventLoop::close() {
    LoopState& s = *state_;
    if (s.running) throw RuntimeError("cannot close a running event loop; call stop() first");
    // What is delivered meanwhile may ask for it again.
    if (closed_.load(std::memory_order_relaxed) || std::exchange(s.closing, true)) return;
    // In this order: completions that are still due reach frames that still exist, then the
    // frames go, then what they had queued.
    s.proactor->close();
    Internals::take_inbox(*this);
    Internals::discard_ready(*this);
    s.resources.close_all();
    while (s.tasks.next_task != &s.tasks) {
        static_cast<detail::TaskBase*>(s.tasks.next_task)->abandon();
        // What its destructors woke must be out of the queue before that goes, too.
        Internals::discard_ready(*this);
    }
    s.resources.close_all();
    detail::hide_loop(s);
    closed_.store(true, std::memory_order_seq_cst);
    Internals::take_inbox(*this);
    Internals::discard_ready(*this);
    for (detail::TimerNode* timer : s.timers.take_all()) {
        timer->target->take(timer->target, Turn::discard);
    }
    s.executor_shut_down = true;
    detail::abandon_default_executor(s);
    s.task_factory = nullptr;
    s.on_interrupt = nullptr;
    s.debug_notes = {};
}

// ---- callbacks ----------------------------------------------------------------------------

std::int64_t EventLoop::Internals::now(EventLoop& loop) noexcept {
    LoopState& s = *loop.state_;
    s.latest_time = ticks(s.proactor->now());
    return s.latest_time;
}

// For an instruction or two in the usual case, where reading the clock takes as long as a tenth of
// all else that an iteration does. What has to know better looks for itself.
std::int64_t EventLoop::Internals::rough_time(EventLoop& loop) noexcept {
    LoopState& s = *loop.state_;
#if defined(__x86_64__)
    // The processor's own counter says that some milliseconds may have passed: it makes a
    // thousand million steps in a second, or a few times as many.
    constexpr std::uint64_t milliseconds = 1U << 22;
    const std::uint64_t count = __rdtsc();
    if (s.simulated || count - s.count_at_look >= milliseconds) [[unlikely]] {
        s.count_at_look = count;
        return now(loop);
    }
#else
    // The time of the kernel's last tick.
    timespec tick;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &tick);
    const std::int64_t last = std::int64_t{tick.tv_sec} * 1'000'000'000 + tick.tv_nsec;
    if (s.simulated) return now(loop);
    s.latest_time = std::max(s.latest_time, last);
#endif
    return s.latest_time;
}

EventLoop::time_point EventLoop::time() const noexcept {
    const time_point now = state_->proactor->now();
    if (this_thread.running == this) state_->latest_time = ticks(now);
    return now;
}

EventLoop::time_point EventLoop::after(std::chrono::nanoseconds delay) const noexcept {
    const time_point now = time();
    return delay > time_point::max() - now ? time_point::max() : now + delay;
}

detail::Ref<detail::HandleState> EventLoop::schedule_at(time_point when,
                                                        detail::HandleState& handle) {
    handle.own();
    auto mine = detail::Ref<detail::HandleState>::adopt(&handle);
    handle.timer.deadline = ticks(when);
    handle.timer.target = &handle;
    state_->timers.arm(handle.timer, state_->latest_time);
    handle.share_with_queue();
    return mine;
}

detail::Ref<detail::HandleState> EventLoop::post(detail::HandleState& handle) noexcept {
    // TRICKY: once it is in the inbox it may run, and end the loop, before we are out of here.
    const detail::LoopReference reference(*this);
    LoopState& s = *state_;
    handle.set_threadsafe();
    handle.share_with_queue();
    ReadyNode* node = &handle;
    node->next = s.inbox.load(std::memory_order_relaxed);
    while (!s.inbox.compare_exchange_weak(node->next, node, std::memory_order_seq_cst)) {
    }
    if (s.asleep.load(std::memory_order_seq_cst) && s.asleep.exchange(false)) s.proactor->wake();
    return detail::Ref<detail::HandleState>::adopt(&handle);
}

void EventLoop::Internals::interrupt(EventLoop& loop) noexcept {
    LoopState& s = *loop.state_;
    s.interrupts.fetch_add(1, std::memory_order_seq_cst);
    if (s.asleep.exchange(false)) s.proactor->wake();
}

void EventLoop::throw_closed() const {
    throw RuntimeError("the event loop is closed");
}

void EventLoop::throw_if_wrong_thread() const {
    const std::thread::id thread = state_->thread.load(std::memory_order_relaxed);
    if (thread != std::thread::id() && thread != std::this_thread::get_id()) {
        throw RuntimeError(
            "the event loop was called from another thread than the one it runs in; use "
            "call_soon_threadsafe()");
    }
}

std::string_view EventLoop::proactor_name() const noexcept {
    return state_->proactor->name();
}

void EventLoop::set_task_factory(TaskFactory factory) {
    state_->task_factory = std::move(factory);
}
const EventLoop::TaskFactory& EventLoop::get_task_factory() const noexcept {
    return state_->task_factory;
}

// ---- errors -------------------------------------------------------------------------------

void EventLoop::set_exception_handler(ExceptionHandler handler) {
    state_->exception_handler = std::move(handler);
}
const EventLoop::ExceptionHandler& EventLoop::get_exception_handler() const noexcept {
    return state_->exception_handler;
}

namespace {

// The context of what failed, current while its handler runs.
class ConcernedContext {
  public:
    explicit ConcernedContext(const ExceptionContext& context) {
        if (context.future && context.future.state().is_task()) {
            slot_ = static_cast<detail::TaskBase&>(context.future.state()).context();
        } else if (context.handle) {
            slot_ = ContextAccess::slot(context.handle.get_context());
        } else {
            return;
        }
        entered_ = true;
        previous_ = detail::exchange_current_context(&slot_);
    }
    ConcernedContext(const ConcernedContext&) = delete;
    ConcernedContext& operator=(const ConcernedContext&) = delete;
    ~ConcernedContext() {
        if (entered_) detail::exchange_current_context(previous_);
    }

  private:
    detail::ContextSlot slot_;
    detail::ContextSlot* previous_ = nullptr;
    bool entered_ = false;
};

std::string report_text(const ExceptionContext& context) {
    std::string text =
        context.message.empty() ? "Unhandled exception in event loop" : context.message;
    if (context.future) text += "\nfuture: " + context.future.repr();
    if (context.handle) text += "\nhandle: a callback of the loop";
    if (context.protocol) {
        const BaseProtocol& protocol = *context.protocol;
        text += "\nprotocol: " + detail::type_text(typeid(protocol));
    }
    if (!context.source.empty()) text += "\nsource: " + context.source;
    if (context.transport) text += "\ntransport: " + context.transport->repr();
    if (context.exception) text += "\n" + format_exception(context.exception);
    return text;
}

}  // namespace

void EventLoop::call_exception_handler(const ExceptionContext& context) {
    try {
        if (!state_->exception_handler) {
            default_exception_handler(context);
            return;
        }
        const ConcernedContext entered(context);
        const ExceptionHandler handler = state_->exception_handler;  // it may replace itself
        handler(*this, context);
    } catch (const KeyboardInterrupt&) {
        throw;
    } catch (const SystemExit&) {
        throw;
    } catch (...) {
        const std::exception_ptr error = std::current_exception();
        if (!state_->exception_handler) {
            log(LogLevel::error,
                "Exception in default exception handler: " + describe_exception(error));
            return;
        }
        ExceptionContext second;
        second.message = "Unhandled error in exception handler\ncontext: " + report_text(context);
        second.exception = error;
        default_exception_handler(second);
    }
}

void EventLoop::default_exception_handler(const ExceptionContext& context) {
    log(LogLevel::error, report_text(context));
}

// ---- access -------------------------------------------------------------------------------

namespace {

constinit thread_local EventLoop* set_loop = nullptr;
constinit thread_local bool loop_was_set = false;

// Of who asks for a loop on the main thread and has none.
EventLoopPtr& loop_of_the_process() {
    static EventLoopPtr loop;
    return loop;
}

void forget_loops_in_forked_child() {
    this_thread = {};
    set_loop = nullptr;
    loop_was_set = false;
    // It may be what forked: its frames are still on the stack.
    static_cast<void>(loop_of_the_process().release());
}

[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, &forget_loops_in_forked_child);

}  // namespace

EventLoop* get_running_loop_or_null() noexcept {
    return this_thread.running;
}
void set_running_loop(EventLoop* loop) noexcept {
    this_thread.running = loop;
}

void detail::throw_no_running_loop() {
    throw RuntimeError("no event loop runs in this thread; start one with asyncio::run()");
}

EventLoop& get_event_loop() {
    if (this_thread.running != nullptr) return *this_thread.running;
    if (set_loop != nullptr) return *set_loop;
    if (loop_was_set || getpid() != gettid()) {
        throw RuntimeError(
            "there is no current event loop in this thread; make one with new_event_loop()");
    }
    EventLoopPtr& loop = loop_of_the_process();
    loop = new_event_loop();
    set_event_loop(loop.get());
    return *loop;
}

void set_event_loop(EventLoop* loop) noexcept {
    set_loop = loop;
    loop_was_set = true;
}

}  // namespace asyncio
