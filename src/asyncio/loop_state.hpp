// The private half of EventLoop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <asyncio/async_generator.hpp>
#include <asyncio/events.hpp>
#include <asyncio/exceptions.hpp>
#include <asyncio/tasks_detail.hpp>

#include "debug.hpp"
#include "proactors/proactor.hpp"
#include "timer_queue.hpp"
#include "view_memory.hpp"

namespace asyncio {

namespace detail {

// The list of the process's loops, for who looks at it from outside.
struct LoopLinks {
    LoopLinks* next_loop = nullptr;
    LoopLinks* previous_loop = nullptr;
};

// What holds descriptors on behalf of a loop, and has to let go of them when it closes.
class LoopResource {
  public:
    LoopResource() = default;
    LoopResource(const LoopResource&) = delete;
    LoopResource& operator=(const LoopResource&) = delete;

    // No operation is in flight any more, and no callback will run. Called once, unlinked; the
    // object may destroy itself.
    virtual void loop_closed() noexcept = 0;

  protected:
    ~LoopResource() { unlink(); }
    void link(EventLoop& loop) noexcept;
    void unlink() noexcept {
        if (next_ == nullptr) return;
        next_->previous_ = previous_;
        previous_->next_ = next_;
        next_ = previous_ = nullptr;
    }

  private:
    friend class ResourceList;
    LoopResource* next_ = nullptr;
    LoopResource* previous_ = nullptr;
};

class ResourceList final : public LoopResource {
  public:
    ResourceList() noexcept { next_ = previous_ = this; }
    void add(LoopResource& resource) noexcept {
        resource.next_ = this;
        resource.previous_ = previous_;
        previous_->next_ = &resource;
        previous_ = &resource;
    }
    void close_all() noexcept {
        while (next_ != this) {
            LoopResource& first = *next_;
            first.unlink();
            first.loop_closed();
        }
    }
    void loop_closed() noexcept override {}
};

// The descriptors that transports read from and write to: nobody else may watch them.
class TransportDescriptors {
  public:
    void add(int fd) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= used_.size()) used_.resize(index + 1);
        used_[index] = true;
    }
    // While it is still open: its number may be somebody else's afterwards.
    void remove(int fd) noexcept {
        if (has(fd)) used_[static_cast<std::size_t>(fd)] = false;
    }
    void require_free(int fd) const {
        if (!has(fd)) return;
        throw RuntimeError("file descriptor " + std::to_string(fd) + " is used by a transport");
    }

  private:
    [[nodiscard]] bool has(int fd) const noexcept {
        return fd >= 0 && static_cast<std::size_t>(fd) < used_.size() &&
               used_[static_cast<std::size_t>(fd)];
    }

    std::vector<bool> used_;
};

class FdWatchers;
class NameResolver;
class SignalHandlers;

struct LoopState : LoopLinks {
    LoopState() noexcept;
    ~LoopState();

    // What each iteration looks at comes first, in a few cache lines.
    ReadyQueue* ready = nullptr;  // the loop's own
    std::unique_ptr<Proactor> proactor;
    // Handles from other threads, newest first.
    std::atomic<ReadyNode*> inbox{nullptr};
    // How often Ctrl-C was pressed and not yet seen.
    std::atomic<int> interrupts{0};
    // Set while the loop may block; whoever clears it wakes it.
    std::atomic<bool> asleep{false};
    bool running = false;
    bool stopping = false;
    bool closing = false;
    bool simulated = false;  // its time is not the system's
    std::int32_t tid = 0;    // of the thread that runs it
    // How much ran since the kernel was last asked, and when that was.
    std::uint32_t turns_since_poll = 0;
    std::uint32_t turns_since_look = 0;
    std::int64_t last_poll = 0;
    std::int64_t latest_time = 0;     // of the last look at the clock
    std::uint64_t count_at_look = 0;  // the processor's, see rough_time()
    ViewMemory view_memory;
    // Puts what is ready into another order, for tests.
    std::function<void(ReadyQueue&)> reorder;
    TimerQueue timers;

    std::atomic<std::thread::id> thread;
    std::function<void(int)> on_interrupt;  // what the runner does about Ctrl-C
    DebugNotes debug_notes;

    TaskLinks tasks;  // a circular list of those not done, in order of creation
    EventLoop::ExceptionHandler exception_handler;
    EventLoop::TaskFactory task_factory;

    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> default_executor;
    bool executor_shut_down = false;
    GeneratorLinks generators;  // a circular list of those begun and not ended
    bool generators_shut_down = false;

    ResourceList resources;
    TransportDescriptors transport_descriptors;
    std::unique_ptr<FdWatchers> watchers;
    std::unique_ptr<SignalHandlers> signals;
    std::unique_ptr<NameResolver> resolver;
    bool system_resolver = false;
};

// Shows a loop to who looks at the process from outside, until it is hidden again. Both do
// nothing the second time. Any thread.
void show_loop(LoopState& loop) noexcept;
void hide_loop(LoopState& loop) noexcept;

// Shuts it down without waiting, as CPython's close() does.
void abandon_default_executor(LoopState& state) noexcept;

}  // namespace detail

struct EventLoop::Internals {
    static detail::LoopState& state(const EventLoop& loop) noexcept { return *loop.state_; }
    static detail::ReadyQueue& ready(EventLoop& loop) noexcept { return loop.ready_; }
    static EventLoopPtr make(const LoopOptions& options);
    static EventLoopPtr make_on(std::unique_ptr<detail::Proactor> proactor);
    // Whether an iteration would run anything without time passing.
    static bool has_work_now(EventLoop& loop) noexcept;
    static void destroy(EventLoop* loop) noexcept;

    // In debug mode throws RuntimeError on a thread that is not the loop's.
    static void check_thread(const EventLoop& loop) { loop.check_thread(); }
    // That, and throws RuntimeError when it is closed.
    static void check_usable(const EventLoop& loop) {
        loop.check_open();
        loop.check_thread();
    }

    static void run_once(EventLoop& loop);
    static bool has_more_to_do(const EventLoop& loop) noexcept;
    static void look_around(EventLoop& loop);
    // One iteration, from outside of the loop; it may block.
    static void run_one(EventLoop& loop);
    static void run_ready(EventLoop& loop);
    static void leave_batch(EventLoop& loop, detail::ReadyNode* next) noexcept;
    static void run_ready_for_tests(EventLoop& loop);
    static void look_at_timers(EventLoop& loop);
    static void take_interrupts(EventLoop& loop);
    static void poll_while_busy(EventLoop& loop);
    static std::chrono::nanoseconds until_next_timer(EventLoop& loop);
    static void run_ready_in_debug_mode(EventLoop& loop, detail::ReadyQueue& batch);
    static void wait(EventLoop& loop);
    static void take_inbox(EventLoop& loop) noexcept;
    static void discard_ready(EventLoop& loop) noexcept;
    static std::int64_t now(EventLoop& loop) noexcept;
    static std::int64_t rough_time(EventLoop& loop) noexcept;
    // From a signal handler: counts one Ctrl-C and wakes the loop.
    static void interrupt(EventLoop& loop) noexcept;
};

inline void detail::LoopResource::link(EventLoop& loop) noexcept {
    EventLoop::Internals::state(loop).resources.add(*this);
}

}  // namespace asyncio
