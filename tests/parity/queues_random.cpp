// Tasks that put, get, join and shut queues down in a random order, and are cancelled at
// random: the same items reach the same tasks in the same iteration.
#include <algorithm>
#include <cstdint>

#include "scenario.hpp"

class Random {
  public:
    explicit Random(int seed) : state_(static_cast<std::uint64_t>(seed) * 7919 + 17) {}
    int below(int n) {
        state_ = (state_ * 1103515245 + 12345) % 2147483648;
        return static_cast<int>(state_ / 65536 % static_cast<std::uint64_t>(n));
    }

  private:
    std::uint64_t state_;
};

template <class Q>
Coroutine<void> put(const std::string& who, Q& queue, Random& random, int item) {
    if (random.below(3) == 0) {
        queue.put_nowait(item);
    } else {
        co_await queue.put(item);
    }
    trace(who, "put", item);
}

template <class Q>
Coroutine<void> get(const std::string& who, Q& queue, Random& random) {
    int item = 0;
    if (random.below(3) == 0) {
        item = queue.get_nowait();
    } else {
        item = co_await queue.get();
    }
    trace(who, "got", item);
    const int rest = random.below(3);
    for (int i = 0; i < rest; ++i) co_await asyncio::sleep(0);
    queue.task_done();
}

template <class Q>
Coroutine<void> worker(std::string who, int number, Q& queue, Random random) {
    for (int i = 0; i < 14; ++i) {
        try {
            const int what = random.below(11);
            if (what < 5) {
                co_await put(who, queue, random, (i * 7 + number * 3) % 10);
            } else if (what < 9) {
                co_await get(who, queue, random);
            } else if (what == 9) {
                co_await queue.join();
                trace(who, "joined");
            } else {
                co_await asyncio::sleep(0);
            }
        } catch (const asyncio::CancelledError&) {
            trace(who, "was cancelled");
        } catch (const std::exception& error) {
            trace(who, name(error));
        }
    }
}

template <class Q>
Coroutine<void> program(int seed, Q queue_of_size) {
    auto& queue = *queue_of_size;
    trace("seed", seed);
    Random random(seed);
    const std::vector<std::string> names{"a", "b", "c", "d", "e"};
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 5; ++i) {
        tasks.push_back(asyncio::create_task(
            worker(names[static_cast<std::size_t>(i)], i, queue, Random(seed * 100 + i))));
    }
    for (int i = 0; i < 40; ++i) {
        const int what = random.below(10);
        if (what < 5) {
            const auto one = static_cast<std::size_t>(random.below(5));
            trace("cancel", names[one], tasks[one].cancel());
        } else if (what < 7) {
            trace("state", queue.qsize(), queue.empty(), queue.full());
        }
        co_await asyncio::sleep(0);
    }
    const bool immediate = random.below(2) == 0;
    trace("shutdown", immediate);
    queue.shutdown(immediate);
    while (!std::all_of(tasks.begin(), tasks.end(), [](const auto& task) { return task.done(); })) {
        if (random.below(3) == 0) tasks[static_cast<std::size_t>(random.below(5))].cancel();
        co_await asyncio::sleep(0);
    }
    trace("end", queue.qsize());
}

int main() {
    for (int seed = 0; seed < 60; ++seed) {
        const int maxsize = seed % 4;
        if (seed % 3 == 0) {
            asyncio::run(program(seed, std::make_unique<asyncio::Queue<int>>(maxsize)));
        } else if (seed % 3 == 1) {
            asyncio::run(program(seed, std::make_unique<asyncio::PriorityQueue<int>>(maxsize)));
        } else {
            asyncio::run(program(seed, std::make_unique<asyncio::LifoQueue<int>>(maxsize)));
        }
    }
    note("all");
}
