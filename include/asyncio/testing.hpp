// asyncio/testing.hpp - time and order belong to the test.
//
//   TEST(Cache, EntryExpiresAfterAnHour) {
//       asyncio::testing::SimLoop sim;
//       auto task = sim.create_task(use_cache());
//       sim.advance(59min);
//       EXPECT_FALSE(task.done());          // an hour passes in no time at all
//       sim.advance(1min);
//       EXPECT_TRUE(task.done());
//   }
//
// A SimLoop is an ordinary EventLoop over a simulated kernel. Its clock stands still while
// anything is ready and then jumps to the next timer. With a seed other than zero, what is
// ready at the same instant runs in another order each time, the same for the same seed:
// what is right only by luck shows. A test that hangs in production throws DeadlockError
// here, with what every task waits for.
//
// Threads: to_thread() and executors work; while one runs, the loop waits for it in real time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <asyncio/contextvars.hpp>
#include <asyncio/events.hpp>
#include <asyncio/futures.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio::testing {

// Nothing is ready, no timer is armed, and tasks are pending: this would hang for ever.
class DeadlockError : public RuntimeError {
  public:
    using RuntimeError::RuntimeError;
    ~DeadlockError() override;
};

class SimLoop {
  public:
    // Seed 0 is production's order. The default: ASYNCIO_SEED from the environment, else 0.
    SimLoop();
    explicit SimLoop(std::uint64_t seed);
    SimLoop(const SimLoop&) = delete;
    SimLoop& operator=(const SimLoop&) = delete;
    // Cancels what is left, lets it end, and closes the loop.
    ~SimLoop();

    [[nodiscard]] EventLoop& loop() noexcept { return *loop_; }
    EventLoop* operator->() noexcept { return loop_.get(); }
    [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
    // "rerun with ASYNCIO_SEED=8127", for messages.
    [[nodiscard]] std::string rerun_hint() const;
    // Virtual time since the SimLoop was made.
    [[nodiscard]] std::chrono::nanoseconds elapsed() const;

    template <class... Args>
    auto create_task(Args&&... args) {
        return loop_->create_task(std::forward<Args>(args)...);
    }
    // Throws: DeadlockError when it can never be done; what it throws.
    template <class A>
    decltype(auto) run_until_complete(A&& awaitable) {
        return loop_->run_until_complete(std::forward<A>(awaitable));
    }

    // One iteration, without letting time pass.
    void step();
    // Iterations until nothing is ready at this instant.
    // Throws: RuntimeError after `limit` of them: something reschedules itself for ever.
    void run_until_idle(std::size_t limit = 1'000'000);
    // Lets `duration` pass, running what falls due on the way, in order.
    void advance(std::chrono::nanoseconds duration);
    // To the next timer, if there is one; false if there is none.
    bool advance_to_next_timer();

    // What went to the loop's exception handler, in order. A test that asks for none of it
    // should find it empty.
    [[nodiscard]] const std::vector<ExceptionContext>& reports() const noexcept { return reports_; }
    void clear_reports() noexcept { reports_.clear(); }

  private:
    struct Order;

    std::uint64_t seed_;
    EventLoopPtr loop_;
    std::unique_ptr<Order> order_;
    EventLoop::time_point start_;
    std::vector<ExceptionContext> reports_;
};

// Runs `body(sim)` once for each of `count` seeds, 0 first; only for ASYNCIO_SEED where that is
// set. When one throws, prints how to run that seed again and lets the error go on. `failed`
// is asked after each; true stops there, with the same hint (gtest: HasFailure).
void for_each_seed(std::size_t count, const std::function<void(SimLoop&)>& body,
                   const std::function<bool()>& failed = {});

struct CancelReport {
    std::size_t points = 0;     // at how many places the task was cancelled
    std::size_t cancelled = 0;  // how often it ended cancelled
    std::size_t completed = 0;  // how often it ended all the same
};

// Runs the coroutine of `factory` once for each place where it can be cancelled, cancels it
// there, lets everything end, and calls `check`, where the test looks for what was lost.
// `around` starts other tasks of the scenario first.
// Throws: DeadlockError when a cancellation left somebody waiting for ever; RuntimeError when
// something was reported that nobody handled; what `check` throws. Each with the place.
CancelReport cancel_everywhere(const std::function<Coroutine<void>()>& factory,
                               const std::function<void()>& check = {},
                               const std::function<void(SimLoop&)>& around = {});
// The same on a loop of the kernel's, for what needs descriptors. Tasks of the loop, such as
// servers, live on from place to place, and `check` may run the loop. Nothing tells a wait for
// ever from a long one here, and what nobody handled goes to the loop's exception handler.
CancelReport cancel_everywhere(EventLoop& loop, const std::function<Coroutine<void>()>& factory,
                               const std::function<void()>& check = {});

}  // namespace asyncio::testing
