// Two ordinary coroutines that a good compiler gets right. Prints what went wrong and
// fails if this one does not. Run by check_coroutines.cmake.
#include <coroutine>
#include <cstdio>
#include <exception>
#include <memory>
#include <utility>

namespace {

// The least coroutine type that can be awaited: eager to start its awaiter's child, no loop.
struct Coroutine {
    struct promise_type {
        int value = 0;
        std::coroutine_handle<> awaiting = std::noop_coroutine();

        Coroutine get_return_object() {
            return Coroutine(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct Final {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(
                std::coroutine_handle<promise_type> self) noexcept {
                return self.promise().awaiting;
            }
            void await_resume() noexcept {}
        };
        Final final_suspend() noexcept { return {}; }
        void return_value(int result) { value = result; }
        void unhandled_exception() { std::terminate(); }
    };

    explicit Coroutine(std::coroutine_handle<promise_type> frame) : frame(frame) {}
    Coroutine(Coroutine&& other) noexcept : frame(std::exchange(other.frame, nullptr)) {}
    ~Coroutine() {
        if (frame) frame.destroy();
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
        frame.promise().awaiting = awaiting;
        return frame;
    }
    int await_resume() const noexcept { return frame.promise().value; }

    std::coroutine_handle<promise_type> frame;
};

Coroutine answer(int value) { co_return value; }

// 1. An await in the condition of the first statement.
Coroutine await_in_condition() {
    if (co_await answer(1)) co_return 1;
    co_return 2;
}

// 2. A closure with captures inside the awaited expression.
template <class F>
Coroutine call(F function) {
    co_return function();
}

Coroutine await_with_closure(std::shared_ptr<int> shared) {
    int value = co_await call([shared] { return *shared; });
    co_return value;
}

int run(Coroutine& coroutine) {
    coroutine.frame.resume();
    return coroutine.frame.done() ? coroutine.frame.promise().value : -1;
}

int fail(const char* what) {
    std::puts(what);
    return 1;
}

}  // namespace

int main() {
    // So that the reason is known even if the next step crashes.
    std::setvbuf(stdout, nullptr, _IONBF, 0);
    {
        Coroutine coroutine = await_in_condition();
        if (run(coroutine) != 1)
            return fail("miscompiles `if (co_await f()) ...` at the start of a coroutine");
    }
    auto shared = std::make_shared<int>(7);
    {
        Coroutine coroutine = await_with_closure(shared);
        if (run(coroutine) != 7) return fail("miscompiles `co_await f([captured] { ... })`");
    }
    if (shared.use_count() != 1)
        return fail("destroys captured values twice in `co_await f([captured] { ... })`");
}
