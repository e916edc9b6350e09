// asyncio/graph.hpp - who waits for what, and for whom.
//
//   asyncio::print_call_graph(task);
//
//   * Task(name='fetch', id=0x55..)
//     + Call stack:
//     |   File "crawl.cpp", line 31, in fetch
//     |   File "crawl.cpp", line 12, in read_page
//     + Awaited by:
//        * Task(name='Task-1', id=0x55..)
//          + Call stack:
//          |   File "crawl.cpp", line 44, in crawl
//
// Follows awaits, gather(), task groups, shield() and wait(). The stack of a task lists its
// outermost coroutine first; of the task that is running, only the outermost is known.
//
// Thread: the thread of the loop whose futures are looked at. Complexity: linear in what is
// printed. Source: Python's asyncio.graph.
#pragma once

#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <asyncio/futures.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio {

// One coroutine in a call stack: Python's FrameCallGraphEntry.
using FrameCallGraphEntry = StackFrame;

// A future or task, where it stands, and who waits for it. A future that is met again on the
// way up (a cycle) has no entries of its own there.
struct FutureCallGraph {
    AnyFuture future;
    std::vector<FrameCallGraphEntry> call_stack;
    std::vector<FutureCallGraph> awaited_by;
};

struct CallGraphOptions {
    // At most this many frames of each stack: the innermost for a positive number, the
    // outermost for a negative one, none for zero.
    std::optional<std::ptrdiff_t> limit = {};
};

// Of `future`, or of the current task; nothing where there is neither.
// Throws: RuntimeError without a future where no loop runs.
[[nodiscard]] std::optional<FutureCallGraph> capture_call_graph(AnyFuture future = {},
                                                                CallGraphOptions options = {});
[[nodiscard]] std::string format_call_graph(AnyFuture future = {}, CallGraphOptions options = {});
void print_call_graph(AnyFuture future = {}, CallGraphOptions options = {},
                      std::FILE* file = stdout);

}  // namespace asyncio
