// Call graphs: semantics rule 165, as CPython's test_graph.py maps them.
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

Coroutine<void> innermost() {
    co_await sleep(1h);
}
Coroutine<void> middle() {
    co_await innermost();
}

// The names of the tasks that wait for it, directly or through futures.
void collect_waiters(const FutureCallGraph& graph, std::vector<std::string>& names) {
    for (const FutureCallGraph& waiter : graph.awaited_by) {
        if (waiter.future.state().is_task()) {
            names.push_back(AnyTask(waiter.future.reference()).get_name());
        }
        collect_waiters(waiter, names);
    }
}

std::vector<std::string> waiters_of(const AnyTask& task) {
    std::vector<std::string> names;
    collect_waiters(*capture_call_graph(task), names);
    return names;
}

}  // namespace

TEST(CallGraph, ShowsTheStackOutermostFirst) {
    simulate([]() -> Coroutine<void> {
        auto task = create_task(middle(), {.name = "worker"});
        co_await sleep(1s);
        const auto graph = capture_call_graph(task);
        EXPECT_EQ(graph->call_stack.size(), 2u);
        EXPECT_NE(graph->call_stack[0].function.find("middle"), std::string::npos);
        EXPECT_NE(graph->call_stack[1].function.find("innermost"), std::string::npos);
        EXPECT_NE(graph->call_stack[1].file.find("test_graph.cpp"), std::string::npos);
        const std::string text = format_call_graph(task);
        EXPECT_NE(text.find("* Task(name='worker'"), std::string::npos);
        EXPECT_NE(text.find("in async"), std::string::npos);
        const auto nearest = capture_call_graph(task, {.limit = 1})->call_stack;
        EXPECT_EQ(nearest.size(), 1u);
        EXPECT_EQ(nearest.at(0).function, "innermost");
        const auto outermost = capture_call_graph(task, {.limit = -1})->call_stack;
        EXPECT_EQ(outermost.size(), 1u);
        EXPECT_EQ(outermost.at(0).function, "middle");
        EXPECT_TRUE(capture_call_graph(task, {.limit = 0})->call_stack.empty());
        EXPECT_EQ(capture_call_graph(task, {.limit = -9})->call_stack.size(), 2u);
        EXPECT_EQ(capture_call_graph(task, {.limit = 9})->call_stack.size(), 2u);
        task.cancel();
    });
}

// Two tasks that wait for each other are no endless graph.
TEST(CallGraph, OfARingEnds) {
    simulate([]() -> Coroutine<void> {
        Future<void> first = get_running_loop().create_future();
        Future<void> second = get_running_loop().create_future();
        future_add_to_awaited_by(first, second);
        future_add_to_awaited_by(second, first);
        const auto graph = capture_call_graph(first);
        EXPECT_EQ(graph->awaited_by.size(), 1u);
        EXPECT_EQ(graph->awaited_by.at(0).awaited_by.size(), 1u);
        EXPECT_TRUE(graph->awaited_by.at(0).awaited_by.at(0).awaited_by.empty());
        EXPECT_FALSE(format_call_graph(first).empty());
        first.set_result();
        second.set_result();
        co_return;
    });
}

// rule 165
TEST(CallGraph, CrossesGatherShieldGroupWaitAndTimeout) {
    simulate([]() -> Coroutine<void> {
        auto task = create_task(middle());
        std::vector<AnyTask> parents;
        parents.push_back(create_task(
            {.name = "gather"}, [task]() -> Coroutine<void> { co_await gather(task, sleep(1h)); }));
        parents.push_back(create_task({.name = "shield"},
                                      [task]() -> Coroutine<void> { co_await shield(task); }));
        parents.push_back(
            create_task({.name = "wait"}, [task]() -> Coroutine<void> { co_await wait({task}); }));
        parents.push_back(create_task({.name = "timeout"}, [task]() -> Coroutine<void> {
            co_await with(timeout(2h), [task]() -> Coroutine<void> { co_await task; });
        }));
        co_await sleep(1s);
        EXPECT_EQ(waiters_of(task),
                  (std::vector<std::string>{"gather", "shield", "wait", "timeout"}));
        for (const AnyTask& parent : parents) parent.cancel();
        co_await wait(parents);
    });
}

TEST(CallGraph, AGroupsChildIsAwaitedByItsParent) {
    simulate([]() -> Coroutine<void> {
        AnyTask child;
        auto parent = create_task({.name = "parent"}, [&child]() -> Coroutine<void> {
            co_await with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                child = group.create_task(middle());
                co_return;
            });
        });
        co_await sleep(1s);
        EXPECT_EQ(waiters_of(child), (std::vector<std::string>{"parent"}));
        parent.cancel();
        co_await wait({parent});
    });
}

TEST(CallGraph, OfAFutureAndOfNothing) {
    simulate([]() -> Coroutine<void> {
        Future<void> future = get_running_loop().create_future();
        auto waiter =
            create_task({.name = "w"}, [future]() -> Coroutine<void> { co_await future; });
        co_await sleep(0);
        const auto graph = capture_call_graph(future);
        EXPECT_TRUE(graph->call_stack.empty());
        EXPECT_EQ(graph->awaited_by.size(), 1u);
        future.set_result();
        co_await waiter;
        EXPECT_TRUE(capture_call_graph()->future == current_task());
    });
    EXPECT_THROW(static_cast<void>(capture_call_graph()), RuntimeError);
}

TEST(AwaitedBy, IsRecordedAndTakenBack) {
    simulate([]() -> Coroutine<void> {
        Future<void> future = get_running_loop().create_future();
        const AnyTask me = current_task();
        future_add_to_awaited_by(future, me);
        EXPECT_EQ(capture_call_graph(future)->awaited_by.size(), 1u);
        future_discard_from_awaited_by(future, me);
        EXPECT_TRUE(capture_call_graph(future)->awaited_by.empty());
        future_add_to_awaited_by(future, AnyTask());  // ignored
        future_add_to_awaited_by(future, me);
        future.set_result();  // and forgotten
        co_return;
    });
}

TEST(PrintStack, WritesEachAwait) {
    simulate([]() -> Coroutine<void> {
        auto task = create_task(middle());
        co_await sleep(1s);
        char text[2000] = {};
        std::FILE* file = fmemopen(text, sizeof text - 1, "w");
        task.print_stack(std::nullopt, file);
        std::fclose(file);
        EXPECT_NE(std::string(text).find("(most recent call last):"), std::string::npos);
        EXPECT_NE(std::string(text).find("test_graph.cpp"), std::string::npos);
        task.cancel();
        co_await wait({task});
        EXPECT_TRUE(task.get_stack().empty());
    });
}
