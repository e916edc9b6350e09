// A process for asyncio-ps and the gdb script to look at. Prints "ready" once everything
// stands where the test expects it, and ends when its standard input does.
//
//   inspected waiting   one of each kind of wait, on the loops of two threads
//   inspected cycle     two tasks that wait for each other
//   inspected deep      a task 5,000 awaits deep
//   inspected busy      tasks that come and go as fast as they can
//   inspected none      no loop at all
#include <poll.h>
#include <unistd.h>

#include <asyncio.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <latch>
#include <map>
#include <string>
#include <thread>

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

bool input_ended() {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    char byte;
    return poll(&input, 1, 0) == 1 && read(STDIN_FILENO, &byte, 1) <= 0;
}

// From a task whose name a test then knows.
void say_ready() {
    if (get_running_loop_or_null() != nullptr) current_task().set_name("main");
    std::puts("ready");
    std::fflush(stdout);
}

Coroutine<void> until_input_ends() {
    say_ready();
    while (!input_ended()) co_await sleep(5ms);
}

Coroutine<void> fetch() {
    co_await sleep(1h);
}
Coroutine<void> read_page() {
    co_await fetch();
}
Coroutine<void> wait_for_lock(Lock& lock) {
    const auto guard = co_await lock.scoped();
}
Coroutine<void> wait_for_item(Queue<int>& queue) {
    co_await queue.get();
}

Coroutine<void> waiting() {
    Lock lock;
    Queue<int> queue;
    Future<void> never = get_running_loop().create_future();
    co_await lock.acquire();
    auto page = create_task(read_page(), {.name = "page"});
    auto locked = create_task(wait_for_lock(lock), {.name = "locked"});
    auto getter = create_task(wait_for_item(queue), {.name = "getter \"quoted\""});
    auto future = create_task({.name = "future"}, [never]() -> Coroutine<void> { co_await never; });
    auto gathers = create_task({.name = "gathers"},
                               [page]() -> Coroutine<void> { co_await gather(page, sleep(1h)); });
    auto shields = create_task({.name = "shields"},
                               [gathers]() -> Coroutine<void> { co_await shield(gathers); });
    auto group = create_task({.name = "group"}, []() -> Coroutine<void> {
        co_await with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
            group.create_task(fetch(), {.name = "child"});
            co_return;
        });
    });
    auto unnamed = create_task(fetch());
    co_await sleep(1ms);
    co_await until_input_ends();
    for (const AnyTask& task :
         std::vector<AnyTask>{page, locked, getter, future, shields, group, gathers, unnamed}) {
        task.cancel();
    }
}

Coroutine<void> cycle() {
    // As nobody should: each only learns of the other once both run.
    std::map<char, Task<void>> tasks;
    const auto wait_for = [&tasks](char other) -> Coroutine<void> {
        co_await sleep(0);
        co_await tasks.at(other);
    };
    tasks['a'] = create_task({.name = "chicken"}, wait_for, 'b');
    tasks['b'] = create_task({.name = "egg"}, wait_for, 'a');
    co_await sleep(1ms);
    co_await until_input_ends();
    std::_Exit(0);  // nothing could ever end them: a cancel goes round and round
}

Coroutine<void> dig(int depth) {
    if (depth == 0) {
        co_await sleep(1h);
    } else {
        co_await dig(depth - 1);
    }
}

Coroutine<void> deep() {
    auto digger = create_task(dig(5000), {.name = "digger"});
    co_await sleep(1ms);
    co_await until_input_ends();
    digger.cancel();
}

Coroutine<int> count_down(int n) {
    co_await sleep(0);
    co_return n == 0 ? 0 : co_await count_down(n - 1);
}

Coroutine<void> busy() {
    say_ready();
    for (int i = 0;; ++i) {
        if (i % 1000 == 0 && input_ended()) co_return;
        co_await gather(create_task(sleep(0)), count_down(i % 7), create_task(sleep(1us)));
    }
}

}  // namespace

extern "C" int main(int argc, char** argv);
int main(int argc, char** argv) {
    const std::string kind = argc > 1 ? argv[1] : "";
    if (kind == "none") {
        say_ready();
        while (!input_ended()) std::this_thread::sleep_for(5ms);
        return 0;
    }
    if (kind == "waiting") {
        std::latch other_stands(1);
        std::thread other([&other_stands] {
            run([&other_stands]() -> Coroutine<void> {
                current_task().set_name("other main");
                get_running_loop().call_soon([&other_stands] { other_stands.count_down(); });
                while (!input_ended()) co_await sleep(5ms);
            });
        });
        other_stands.wait();
        run(waiting());
        other.join();
    } else if (kind == "cycle") {
        run(cycle());
    } else if (kind == "deep") {
        run(deep());
    } else if (kind == "busy") {
        run(busy());
    } else {
        return 2;
    }
    return 0;
}
