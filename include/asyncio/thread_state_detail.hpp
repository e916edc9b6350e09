// asyncio/thread_state_detail.hpp - private: what a thread is doing.
#pragma once

namespace asyncio {

class EventLoop;

namespace detail {

struct ContextData;
template <class T>
class Ref;
class TaskBase;

// The loop that runs in it, the task in whose step it is, and the context that is current.
struct ThreadState {
    EventLoop* running = nullptr;
    TaskBase* task = nullptr;
    Ref<ContextData>* context = nullptr;       // null for the thread's own
    Ref<ContextData>* loop_context = nullptr;  // current outside of the steps
    bool has_traceback = false;                // something was thrown in this step
};
extern constinit thread_local ThreadState this_thread;

// Outside of a task's step. A step that only suspends leaves its task and context in place, as
// the next one puts its own there: whatever else runs user code has to call this first.
inline void leave_step() noexcept {
    ThreadState& thread = this_thread;
    thread.task = nullptr;
    thread.context = thread.loop_context;
}

}  // namespace detail
}  // namespace asyncio
