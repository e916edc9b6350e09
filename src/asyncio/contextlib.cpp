#include <asyncio/contextlib.hpp>

namespace asyncio {

namespace detail {

void throw_manager_used_twice() {
    throw RuntimeError(
        "a manager made by asynccontextmanager() is entered once; call the function again");
}

void throw_did_not_yield() {
    throw RuntimeError("the generator of asynccontextmanager() did not yield");
}

void throw_did_not_stop(bool after_error) {
    throw RuntimeError(std::string("the generator of asynccontextmanager() did not stop") +
                       (after_error ? " after the error thrown into it" : "") +
                       "; it may yield only once");
}

}  // namespace detail

Coroutine<bool> AsyncExitStack::aexit(std::exception_ptr error) {
    const bool had_error = error != nullptr;
    bool replaced = false;
    while (!exits_.empty()) {
        const Exit exit = std::move(exits_.back());
        exits_.pop_back();
        const Outcome<bool> left = co_await try_(exit(error));
        if (!left) {
            error = left.exception();
            replaced = true;
        } else if (*left && error) {
            error = nullptr;
            replaced = false;
        }
    }
    if (replaced) std::rethrow_exception(error);
    co_return had_error && !error;
}

Coroutine<void> AsyncExitStack::aclose() {
    co_await aexit(nullptr);
}

}  // namespace asyncio
