#include <asyncio/graph.hpp>

#include <algorithm>
#include <cinttypes>

#include "describe.hpp"

namespace asyncio {

namespace {

using Path = std::vector<const detail::FutureBase*>;

// The task, or for a plain future nothing.
std::vector<StackFrame> stack_of(const AnyFuture& future, const CallGraphOptions& options) {
    if (!future.state().is_task() || options.limit == 0) return {};
    std::vector<StackFrame> stack = AnyTask(future.reference()).get_stack();
    const auto size = static_cast<std::ptrdiff_t>(stack.size());
    const std::ptrdiff_t limit = options.limit.value_or(size);
    if (limit > 0 && limit < size) stack.erase(stack.begin(), stack.end() - limit);
    if (limit < 0 && -limit < size) stack.erase(stack.begin() - limit, stack.end());
    return stack;
}

FutureCallGraph capture(const AnyFuture& future, const CallGraphOptions& options, Path& path) {
    FutureCallGraph graph{future, stack_of(future, options), {}};
    detail::FutureBase& state = future.state();
    if (std::find(path.begin(), path.end(), &state) != path.end()) return graph;
    path.push_back(&state);
    detail::DoneList& waiters = state.waiters();
    for (detail::DoneNode* node = waiters.first(); node; node = waiters.after(node)) {
        if (detail::FutureBase* waiter = node->waiter()) {
            graph.awaited_by.push_back(
                capture(AnyFuture(detail::Ref<detail::FutureBase>(waiter)), options, path));
        }
    }
    path.pop_back();
    return graph;
}

std::string title(const AnyFuture& future) {
    char id[32];
    std::snprintf(id, sizeof id, "0x%" PRIxPTR,
                  reinterpret_cast<std::uintptr_t>(future.reference().get()));
    if (!future.state().is_task()) return std::string("Future(id=") + id + ")";
    return "Task(name='" + AnyTask(future.reference()).get_name() + "', id=" + id + ")";
}

void format(const FutureCallGraph& graph, int level, std::string& text) {
    const std::string indent(static_cast<std::size_t>(level) * 4, ' ');
    text += indent + "* " + title(graph.future) + "\n";
    if (!graph.call_stack.empty()) {
        text += indent + "  + Call stack:\n";
        // Newest first, as in CPython.
        for (auto it = graph.call_stack.rbegin(); it != graph.call_stack.rend(); ++it) {
            text += indent + "  |   File \"" + it->file + "\", line " + std::to_string(it->line) +
                    ", in async " + it->function + "()\n";
        }
    }
    if (!graph.awaited_by.empty()) {
        text += indent + "  + Awaited by:\n";
        for (const FutureCallGraph& waiter : graph.awaited_by) format(waiter, level + 1, text);
    }
}

}  // namespace

std::optional<FutureCallGraph> capture_call_graph(AnyFuture future, CallGraphOptions options) {
    if (!future) future = current_task();
    if (!future) return std::nullopt;
    Path path;
    return capture(future, options, path);
}

std::string format_call_graph(AnyFuture future, CallGraphOptions options) {
    const std::optional<FutureCallGraph> graph = capture_call_graph(std::move(future), options);
    std::string text;
    if (graph) format(*graph, 0, text);
    return text;
}

void print_call_graph(AnyFuture future, CallGraphOptions options, std::FILE* file) {
    const std::string text = format_call_graph(std::move(future), options);
    std::fwrite(text.data(), 1, text.size(), file);
}

}  // namespace asyncio
