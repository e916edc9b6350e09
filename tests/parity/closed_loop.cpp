// A closed loop takes nothing more; closing twice is fine, closing a running one is not; a
// loop runs once at a time (rules 10, 11, 20).
#include "scenario.hpp"

template <class F>
void attempt(std::string label, F function) {
    try {
        function();
        trace(label, "None");
    } catch (const asyncio::RuntimeError& error) {
        trace(label, error);
    }
}

Coroutine<void> child() {
    trace("never");
    co_return;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    attempt("close", [&] { loop.close(); });
    auto done = loop.create_future();
    done.set_result();
    attempt("run_until_complete", [&] { loop.run_until_complete(done); });
    co_await asyncio::sleep(0);
    trace("goes on", loop.is_running(), loop.is_closed());
}

int main() {
    auto loop = asyncio::new_event_loop();
    loop->run_until_complete(program());
    auto future = loop->create_future();
    future.set_result();
    auto pending = loop->create_future<std::string>();
    loop->call_soon(trace, "never");
    loop->call_later(0s, trace, "never");
    attempt("close", [&] { loop->close(); });
    attempt("close", [&] { loop->close(); });
    trace(loop->is_running(), loop->is_closed());

    attempt("run_forever", [&] { loop->run_forever(); });
    attempt("call_soon", [&] { loop->call_soon(trace, "never"); });
    attempt("call_later", [&] { loop->call_later(0s, trace, "never"); });
    attempt("call_at", [&] { loop->call_at(loop->time(), trace, "never"); });
    attempt("call_soon_threadsafe", [&] { loop->call_soon_threadsafe(trace, "never"); });
    auto coroutine = child();
    attempt("create_task", [&] { loop->create_task(std::move(coroutine)); });
    attempt("run_until_complete", [&] { loop->run_until_complete(future); });
    attempt("run_in_executor", [&] { loop->run_in_executor(nullptr, trace, "never"); });
    coroutine.close();
    // A future with nobody waiting can still be completed.
    pending.set_result("late");
    trace(pending.result());
    attempt("add_done_callback", [&] { future.add_done_callback([] { trace("never"); }); });
    attempt("stop", [&] { loop->stop(); });
}
