// What is asked of a future in the wrong state: results too early, results set twice, tasks
// that are set from outside (rule 25).
#include "scenario.hpp"

template <class F>
void attempt(std::string label, F function) {
    try {
        if constexpr (std::is_void_v<decltype(function())>) {
            function();
            trace(label, "None");
        } else {
            trace(label, function());
        }
    } catch (const std::exception& error) {
        trace(label, name(error));
    } catch (const asyncio::CancelledError& error) {
        trace(label, error);
    }
}

Coroutine<std::string> child() {
    co_await asyncio::sleep(0);
    co_return "result";
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = loop.create_future<std::string>();
    attempt("result", [&] { return future.result(); });
    attempt("exception", [&] { return future.exception(); });
    attempt("set_result", [&] { future.set_result("first"); });
    attempt("set_result", [&] { future.set_result("second"); });
    attempt("set_exception", [&] { future.set_exception(asyncio::ValueError("late")); });
    attempt("cancel", [&] { return future.cancel(); });
    attempt("result", [&] { return future.result(); });
    attempt("exception", [&] { return future.exception(); });

    auto failed = loop.create_future<std::string>();
    attempt("set_exception", [&] { failed.set_exception(asyncio::ValueError("failed")); });
    attempt("set_result", [&] { failed.set_result("late"); });
    attempt("cancel", [&] { return failed.cancel(); });
    attempt("exception", [&] { return failed.exception(); });

    auto cancelled = loop.create_future<std::string>();
    attempt("cancel", [&] { return cancelled.cancel("message"); });
    attempt("cancel", [&] { return cancelled.cancel(); });
    attempt("set_result", [&] { cancelled.set_result("late"); });
    attempt("set_exception", [&] { cancelled.set_exception(asyncio::ValueError("late")); });
    attempt("result", [&] { return cancelled.result(); });
    attempt("exception", [&] { return cancelled.exception(); });

    auto task = asyncio::create_task(child());
    attempt("result", [&] { return task.result(); });
    attempt("exception", [&] { return task.exception(); });
    co_await report("task", task);
    attempt("result", [&] { return task.result(); });
    attempt("exception", [&] { return task.exception(); });
    attempt("cancel", [&] { return task.cancel(); });
}

int main() {
    asyncio::run(program());
}
