// Random programs of tasks, locks, queues, timeouts, groups and cancellations, each on a
// simulated loop with an order of its own. Whatever happens: nobody enters a held lock, no
// item is lost or doubled, nothing hangs, nothing is left over, nothing is reported.
//
//   ASYNCIO_STRESS_SEEDS=100000 stress_runtime     many more of them
//   ASYNCIO_SEED=17 stress_runtime                 one again
#include <cstdlib>
#include <map>
#include <random>

#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using asyncio::testing::SimLoop;

namespace {

std::uint64_t seeds_to_run() {
    const char* text = std::getenv("ASYNCIO_STRESS_SEEDS");
    return text ? std::strtoull(text, nullptr, 10) : 200;
}

class Program {
  public:
    explicit Program(SimLoop& sim) : random_(sim.seed() * 7919 + 1) {}

    Coroutine<void> run() {
        std::vector<Task<void>> workers;
        for (int i = 0; i < 12; ++i) workers.push_back(create_task(worker()));
        auto killer = create_task(cancel_at_random(workers));
        for (const Task<void>& worker : workers) {
            const auto outcome = co_await try_(worker);
            if (!outcome.has_value() && !outcome.cancelled()) throw_lost(outcome.exception());
        }
        co_await killer;
        check_end();
    }

  private:
    std::uint64_t draw(std::uint64_t below) { return random_() % below; }

    Coroutine<void> worker() {
        for (int step = 0; step < 12; ++step) {
            switch (draw(8)) {
                case 0:
                    co_await use_lock();
                    break;
                case 1:
                    co_await use_semaphore();
                    break;
                case 2:
                    co_await put();
                    break;
                case 3:
                    co_await get();
                    break;
                case 4:
                    co_await under_timeout();
                    break;
                case 5:
                    co_await in_group();
                    break;
                case 6:
                    co_await await_children();
                    break;
                default:
                    co_await pause();
            }
        }
    }

    Coroutine<void> pause() { co_await sleep(std::chrono::milliseconds(draw(4))); }

    Coroutine<void> use_lock() {
        co_await with(lock_, [this]() -> Coroutine<void> {
            EXPECT_EQ(++inside_lock_, 1);
            const auto outcome = co_await try_(pause());
            --inside_lock_;
            outcome.value();
        });
    }

    Coroutine<void> use_semaphore() {
        co_await with(semaphore_, [this]() -> Coroutine<void> {
            EXPECT_LE(++inside_semaphore_, 3);
            const auto outcome = co_await try_(pause());
            --inside_semaphore_;
            outcome.value();
        });
    }

    // What a put() was cancelled out of was not put.
    Coroutine<void> put() {
        const int item = next_item_++;
        if (queue_.full() && queue_getters_ == 0) co_return;  // else nobody might ever take it
        co_await wait_for(
            [this, item]() -> Coroutine<void> {
                co_await queue_.put(item);
                ++items_[item];
            }(),
            50ms);
    }

    Coroutine<void> get() {
        ++queue_getters_;
        const auto outcome = co_await try_(wait_for(queue_.get(), 20ms));
        --queue_getters_;
        if (outcome.has_value()) {
            --items_[outcome.value()];
            queue_.task_done();
        } else if (outcome.cancelled()) {
            outcome.value();
        }
    }

    Coroutine<void> under_timeout() {
        const auto limit = std::chrono::milliseconds(draw(5));
        const auto outcome = co_await try_(with(timeout(limit), [this]() -> Coroutine<void> {
            co_await use_lock();
            co_await pause();
        }));
        if (!outcome.has_value() && !holds_exception<TimeoutError>(outcome.exception())) {
            outcome.value();
        }
    }

    Coroutine<void> in_group() {
        const bool fails = draw(3) == 0;
        const auto outcome =
            co_await try_(with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
                for (int i = 0; i < 3; ++i) {
                    group.create_task([this]() -> Coroutine<void> {
                        ++children_;
                        const auto slept = co_await try_(pause());
                        --children_;
                        slept.value();
                    });
                }
                if (fails) {
                    group.create_task([this]() -> Coroutine<void> {
                        co_await pause();
                        throw ValueError("planned");
                    });
                }
                co_await pause();
            }));
        if (outcome.has_value()) {
            EXPECT_FALSE(fails);
        } else if (outcome.cancelled()) {
            outcome.value();
        }
    }

    Coroutine<void> await_children() {
        auto a = create_task(pause());
        auto b = create_task(pause());
        switch (draw(3)) {
            case 0:
                co_await gather(a, b);
                break;
            case 1: {
                const auto done = co_await try_(wait(std::vector{a, b}));
                if (!done.has_value()) {
                    a.cancel();
                    b.cancel();
                    static_cast<void>(done.value());
                }
                break;
            }
            default:
                co_await shield(a);
                co_await b;
        }
    }

    Coroutine<void> cancel_at_random(const std::vector<Task<void>>& victims) {
        for (int i = 0; i < 20; ++i) {
            co_await pause();
            victims[draw(victims.size())].cancel();
        }
    }

    static void throw_lost(const std::exception_ptr& error) {
        // A put() that timed out is as good as none.
        if (!holds_exception<TimeoutError>(error)) std::rethrow_exception(error);
    }

    void check_end() {
        EXPECT_FALSE(lock_.locked());
        EXPECT_EQ(inside_lock_, 0);
        EXPECT_EQ(inside_semaphore_, 0);
        EXPECT_FALSE(semaphore_.locked());
        EXPECT_EQ(children_, 0);
        while (!queue_.empty()) --items_[queue_.get_nowait()];
        for (const auto& [item, count] : items_) EXPECT_EQ(count, 0) << "item " << item;
    }

    std::mt19937_64 random_;
    Lock lock_;
    BoundedSemaphore semaphore_{3};
    Queue<int> queue_{2};
    int queue_getters_ = 0;
    int inside_lock_ = 0, inside_semaphore_ = 0, children_ = 0;
    int next_item_ = 0;
    std::map<int, int> items_;
};

}  // namespace

TEST(Stress, RandomProgramsKeepTheirPromises) {
    asyncio::testing::for_each_seed(seeds_to_run(), [](SimLoop& sim) {
        SCOPED_TRACE("ASYNCIO_SEED=" + std::to_string(sim.seed()));
        Program program(sim);
        sim.run_until_complete(sim.create_task([&program] { return program.run(); }));
        sim.advance(1s);  // shielded children may still sleep
        EXPECT_EQ(all_tasks(sim.loop()).size(), 0u);
        for (const ExceptionContext& report : sim.reports()) {
            ADD_FAILURE() << report.message << " " << describe_exception(report.exception);
        }
        if (::testing::Test::HasFailure()) throw RuntimeError("see above");
    });
}
