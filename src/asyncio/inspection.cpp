#include "inspection.hpp"

#include <pthread.h>

#include <asyncio/foreign_detail.hpp>
#include <asyncio/waiting_detail.hpp>
#include <cstddef>
#include <mutex>
#include <string>

#include "awaited_by.hpp"
#include "loop_state.hpp"

// The classes are not of standard layout, but none has a virtual base, so that both compilers
// know where their members are.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace asyncio::detail {

namespace {

struct LoopRegistry {
    std::mutex mutex;
    LoopLinks head{&head, &head};
};

// Constant-initialised and never destroyed: loops of static storage duration come before and
// go after it.
union Registry {
    constexpr Registry() : loops() {}
    ~Registry() {}
    LoopRegistry loops;
};
constinit Registry registry;

void unlink(LoopLinks& loop) noexcept {
    loop.previous_loop->next_loop = loop.next_loop;
    loop.next_loop->previous_loop = loop.previous_loop;
    loop.next_loop = loop.previous_loop = nullptr;
}

// A forked child does not run its parent's loops; one that it runs after all it shows again.
void before_fork() {
    registry.loops.mutex.lock();
}
void in_parent() {
    registry.loops.mutex.unlock();
}
void in_child() {
    LoopLinks& head = registry.loops.head;
    while (head.next_loop != &head) unlink(*head.next_loop);
    registry.loops.mutex.unlock();
}
[[maybe_unused]] const int fork_handlers = pthread_atfork(&before_fork, &in_parent, &in_child);

}  // namespace

void show_loop(LoopState& loop) noexcept {
    const std::lock_guard lock(registry.loops.mutex);
    if (loop.next_loop != nullptr) return;
    LoopLinks& head = registry.loops.head;
    loop.next_loop = &head;
    loop.previous_loop = head.previous_loop;
    head.previous_loop->next_loop = &loop;
    head.previous_loop = &loop;
}

void hide_loop(LoopState& loop) noexcept {
    const std::lock_guard lock(registry.loops.mutex);
    if (loop.next_loop != nullptr) unlink(loop);
}

// std::source_location of libstdc++ and of libc++: one pointer to this.
struct PlaceLayout {
    const char* file;
    const char* function;
    unsigned line;
    unsigned column;
};

// May look into everybody.
struct Inspection {
    static_assert(sizeof(void*) == 8, "the table is for 64 bits");
    static_assert(sizeof(std::source_location) == sizeof(PlaceLayout*));
    static_assert(offsetof(LoopLinks, next_loop) == 0 && offsetof(LoopLinks, previous_loop) == 8);
    static_assert(offsetof(TaskLinks, next_task) == 0 && offsetof(TaskLinks, previous_task) == 8);
    static_assert(offsetof(DoneLinks, next) == 0 && offsetof(DoneLinks, previous) == 8);
    static_assert(offsetof(LoopState, next_loop) == 0);
    static_assert(offsetof(ReadyQueue, head_) == 0);
    static_assert(offsetof(ReadyNode, next) == 0 && offsetof(ReadyNode, take) == 8);
    static_assert(sizeof(FrameLink) == 8 && sizeof(Ref<FutureBase>) == 8);

    // Between a frame's address and its promise are two function pointers.
    static constexpr std::uint32_t promise = 2 * sizeof(void*);

#ifdef __GLIBCXX__
    static constexpr std::uint32_t string_data = 0;
    static constexpr std::uint32_t string_size = sizeof(void*);
#else
    static constexpr std::uint32_t string_data = UINT32_MAX;
    static constexpr std::uint32_t string_size = UINT32_MAX;
#endif
    static InspectionTable make() noexcept;
};

namespace {

template <class Pointer>
std::uint64_t address(Pointer* pointer) noexcept {
    return reinterpret_cast<std::uint64_t>(pointer);
}

}  // namespace

// Types have no addresses at compile time, so the table is filled in before main(), or when the
// first loop is made before that.
InspectionTable Inspection::make() noexcept {
    InspectionTable table{};
    for (std::size_t i = 0; i < sizeof table.magic; ++i) table.magic[i] = inspection_magic[i];
    table.version = inspection_version;
    table.size = sizeof table;
    table.loops = address(&registry.loops.head);

    table.loop_tasks = offsetof(LoopState, tasks);
    table.loop_tid = offsetof(LoopState, tid);
    table.loop_time = offsetof(LoopState, latest_time);
    table.loop_ready = offsetof(LoopState, ready);
    table.loop_simulated = offsetof(LoopState, simulated);

    table.future_state = offsetof(FutureBase, state_);
    table.future_is_task = offsetof(FutureBase, is_task_);
    table.future_waiters = offsetof(FutureBase, waiters_);
    table.future_created = offsetof(FutureBase, created);
    table.task_links = offsetof(TaskBase, next_task);
    table.task_node = offsetof(TaskBase, next);
    table.task_name = offsetof(TaskBase, name_);
    table.task_root = offsetof(TaskBase, root_);
    table.task_resume_at = offsetof(TaskBase, resume_at_);
    table.task_waiting_on = offsetof(TaskBase, waiting_on_);
    table.task_cancel_requests = offsetof(TaskBase, cancel_requests_);
    table.task_since = offsetof(TaskBase, since_);
    table.task_first_step = reinterpret_cast<std::uint64_t>(&TaskBase::take_first_step);

    table.link_foreign = FrameLink::foreign;
    table.link_marks = FrameLink::marks;
    table.frame_parent = promise + offsetof(PromiseBase, parent_);
    table.frame_where = promise + offsetof(PromiseBase, where_);

    table.place_file = offsetof(PlaceLayout, file);
    table.place_function = offsetof(PlaceLayout, function);
    table.place_line = offsetof(PlaceLayout, line);
    table.string_data = string_data;
    table.string_size = string_size;
    table.waiter_object = -static_cast<std::int32_t>(offsetof(DoneNode, next));

    table.single_base_type = address(&typeid(RuntimeError));
    table.several_bases_type = address(&typeid(FutureAwaiterBase));
    table.future_awaiter = {address(&typeid(FutureAwaiterBase)),
                            offsetof(FutureAwaiterBase, task_)};
    table.future_awaiter_awaits = {address(&typeid(FutureAwaiterBase)),
                                   offsetof(FutureAwaiterBase, future_)};
    table.awaited_by = {address(&typeid(AwaitedBy)), offsetof(AwaitedBy, waiter_)};
    table.gather_child = {address(&typeid(GatherChild)), offsetof(GatherChild, gather)};
    table.relay = {address(&typeid(Delivery)), offsetof(Delivery, owner_)};
    table.gather = {address(&typeid(Gather)), 0};
    table.shield = {address(&typeid(Shield)), 0};
    table.sleep = {address(&typeid(SleepAwaiterBase)),
                   offsetof(SleepAwaiterBase, timer_) + offsetof(TimerNode, deadline)};
    table.yield = {address(&typeid(Yield)), 0};
    return table;
}

}  // namespace asyncio::detail

// The note says how far the table is from it: nothing to relocate, and any linker keeps both.
extern "C" {
[[gnu::visibility("hidden")]] extern asyncio::detail::InspectionTable asyncio_inspection_table;
[[gnu::used]] asyncio::detail::InspectionTable asyncio_inspection_table =
    asyncio::detail::Inspection::make();
}

asm(R"(
    .pushsection .note.asyncio.cpp, "a", %note
    .balign 4
    .long 12
    .long 8
    .long 1
    .asciz "asyncio.cpp"
    .quad asyncio_inspection_table - .
    .popsection
)");
