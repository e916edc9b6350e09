#include <asyncio/runners.hpp>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>

#include <asyncio/log.hpp>
#include <asyncio/waiting.hpp>

#include "loop_state.hpp"

namespace asyncio {

namespace {

// Python's constants.THREAD_JOIN_TIMEOUT.
constexpr std::chrono::seconds thread_join_timeout{300};

// The loop that Ctrl-C goes to.
constinit std::atomic<EventLoop*> interrupted_loop{nullptr};
// Signals not yet seen by the loop.
constinit std::atomic<int> unseen_interrupts{0};

void on_sigint(int) {
    EventLoop* loop = interrupted_loop.load();
    if (loop == nullptr) return;
    if (unseen_interrupts.fetch_add(1) >= 2) {
        // Something never returns to the loop; let the user out.
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
        return;
    }
    EventLoop::Internals::interrupt(*loop);
}

// Takes SIGINT over for as long as it lives, if nobody else has it.
class InterruptScope {
  public:
    InterruptScope(EventLoop& loop, std::function<void(int)> on_interrupt) {
        struct sigaction current = {};
        if (getpid() != gettid() || sigaction(SIGINT, nullptr, &current) != 0 ||
            (current.sa_flags & SA_SIGINFO) != 0 || current.sa_handler != SIG_DFL) {
            return;
        }
        detail::LoopState& state = EventLoop::Internals::state(loop);
        state.interrupts = 0;
        state.on_interrupt = std::move(on_interrupt);
        unseen_interrupts = 0;
        interrupted_loop = &loop;
        struct sigaction ours = {};
        ours.sa_handler = &on_sigint;
        sigemptyset(&ours.sa_mask);
        if (sigaction(SIGINT, &ours, &previous_) != 0) return;
        loop_ = &loop;
    }
    InterruptScope(const InterruptScope&) = delete;
    InterruptScope& operator=(const InterruptScope&) = delete;
    ~InterruptScope() {
        if (loop_ == nullptr) return;
        struct sigaction current = {};
        if (sigaction(SIGINT, nullptr, &current) == 0 && current.sa_handler == &on_sigint) {
            sigaction(SIGINT, &previous_, nullptr);
        }
        interrupted_loop = nullptr;
        EventLoop::Internals::state(*loop_).on_interrupt = nullptr;
    }

  private:
    EventLoop* loop_ = nullptr;
    struct sigaction previous_ = {};
};

Coroutine<void> until_all_done(std::vector<AnyTask> tasks) {
    co_await detail::wait_until(std::vector<AnyFuture>(tasks.begin(), tasks.end()), {});
}

}  // namespace

Runner::Runner(RunnerOptions options) : options_(std::move(options)) {}

Runner::~Runner() {
    try {
        close();
    } catch (...) {
        log(LogLevel::error,
            "closing a Runner failed: " + describe_exception(std::current_exception()));
    }
}

void Runner::prepare() {
    if (get_running_loop_or_null() != nullptr) {
        throw RuntimeError(
            "run() cannot be called from a running event loop; await the coroutine instead");
    }
    initialize();
}

void Runner::initialize() {
    if (state_ == State::closed) {
        throw RuntimeError("this Runner is closed; make a new one");
    }
    if (state_ == State::initialized) return;
    if (options_.loop_factory) {
        loop_ = options_.loop_factory();
        if (!loop_) throw RuntimeError("the loop_factory gave no loop");
    } else {
        loop_ = new_event_loop({.proactor = options_.proactor, .debug = options_.debug});
        set_event_loop(loop_.get());
    }
    if (options_.debug) loop_->set_debug(*options_.debug);
    context_ = copy_context();
    state_ = State::initialized;
}

EventLoop& Runner::get_loop() {
    initialize();
    return *loop_;
}

void Runner::drive(const AnyTask& main) {
    int interrupts = 0;
    const InterruptScope scope(*loop_, [&interrupts, &main](int count) {
        for (; count > 0; --count) {
            unseen_interrupts.fetch_sub(1);
            if (++interrupts == 1 && !main.done()) {
                main.cancel();
            } else {
                throw KeyboardInterrupt();
            }
        }
    });
    detail::run_loop_until(*loop_, main.reference(), true);
    // Ended by our cancellation alone: it was Ctrl-C that ended it.
    if (main.cancelled() && interrupts > 0 && main.uncancel() == 0) throw KeyboardInterrupt();
}

void Runner::cancel_all_tasks() {
    const std::vector<AnyTask> tasks = all_tasks(*loop_);
    if (tasks.empty()) return;
    for (const AnyTask& task : tasks) task.cancel();
    loop_->run_until_complete(until_all_done(tasks));
    for (const AnyTask& task : tasks) {
        if (task.cancelled()) continue;
        const std::exception_ptr error = task.exception();
        if (!error) continue;
        ExceptionContext context;
        context.message = "unhandled exception during asyncio::run() shutdown";
        context.exception = error;
        context.future = task;
        loop_->call_exception_handler(context);
    }
}

void Runner::close() {
    if (state_ != State::initialized) return;
    state_ = State::closed;
    struct Closing {
        Runner& self;
        ~Closing() {
            if (!self.options_.loop_factory) set_event_loop(nullptr);
            self.loop_.reset();
        }
    } const closing{*this};
    cancel_all_tasks();
    loop_->run_until_complete(loop_->shutdown_asyncgens());
    loop_->run_until_complete(loop_->shutdown_default_executor(thread_join_timeout));
    loop_->close();
}

}  // namespace asyncio
