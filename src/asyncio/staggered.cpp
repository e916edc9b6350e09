#include <asyncio/staggered.hpp>

namespace asyncio::detail {

Coroutine<void> await_attempts(std::vector<Task<void>>& attempts, std::exception_ptr cancelled) {
    while (!attempts.empty()) {
        if (cancelled) {
            for (const Task<void>& attempt : attempts) attempt.cancel();
        }
        const auto outcome = co_await try_(wait(attempts));
        if (outcome.has_value()) break;
        cancelled = outcome.exception();
    }
    if (cancelled) std::rethrow_exception(cancelled);
}

}  // namespace asyncio::detail
