// Context variables: defaults, tokens used once and in their own context, a copy keeps what was,
// callbacks and tasks run in theirs (rules 165 to 168).
#include "scenario.hpp"

asyncio::ContextVar<std::string> variable("variable", "default");
asyncio::ContextVar<std::string> other("other");

template <class Action>
void attempt(const char* label, Action action) {
    try {
        trace(label, action());
    } catch (const asyncio::LookupError&) {
        trace(label, "LookupError");
    } catch (const asyncio::RuntimeError&) {
        trace(label, "RuntimeError");
    } catch (const asyncio::ValueError&) {
        trace(label, "ValueError");
    }
}

std::string get() {
    return variable.get();
}

Coroutine<void> child() {
    trace("child sees", variable.get());
    variable.set("child");
    co_await asyncio::sleep(0);
    trace("child keeps", variable.get());
}

Coroutine<void> program() {
    trace(variable.get());
    attempt("unset", [] { return other.get(); });
    attempt("given", [] { return other.get("given"); });
    auto token = variable.set("one");
    asyncio::Context copy = asyncio::copy_context();
    variable.set("two");
    trace("copy has", copy.run(get), copy.at(variable), copy.contains(variable),
          copy.contains(other));
    const auto reset = [&token] {
        variable.reset(token);
        return "reset";
    };
    attempt("elsewhere", [&] { return copy.run(reset); });
    variable.reset(token);
    trace("after reset", variable.get());
    attempt("again", reset);
    auto others = other.set("x");
    attempt("of another", [&] {
        variable.reset(others);
        return "reset";
    });

    variable.set("parent");
    auto task = asyncio::create_task(child());
    variable.set("later");
    EventLoop& loop = asyncio::get_running_loop();
    loop.call_soon([] { trace("callback sees", variable.get()); });
    loop.call_soon({.context = copy}, [] { trace("in copy", variable.get()); });
    co_await task;
    trace("parent keeps", variable.get());
    attempt("entered twice", [&] { return copy.run([&] { return copy.run(get); }); });
}

int main() {
    asyncio::run(program());
}
