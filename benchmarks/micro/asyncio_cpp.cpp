// This library on the workloads that all peers run; workloads.tsv says what one operation is.
// Written as a user would write it, through the public headers only.
#include <asyncio.hpp>
#include <concurrent/futures.hpp>
#include <string>
#include <thread>

#include "bench.hpp"

namespace {

using asyncio::Coroutine;
using asyncio::Task;
using std::chrono::microseconds;
using std::chrono::seconds;

using Body = Coroutine<void> (*)(bench::Run&);

// A workload that runs inside a task.
template <Body body>
void in_task(bench::Run& run) {
    asyncio::run(body(run));
}

[[gnu::noinline]] Coroutine<int> child() {
    co_return 1;
}
inline Coroutine<int> visible_child() {
    co_return 1;
}

// ---- coroutines and tasks -----------------------------------------------------------------

Coroutine<void> await_chain(bench::Run& run) {
    std::uint64_t sum = 0;
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await child();
    run.stop();
    bench::keep(sum);
}

Coroutine<void> await_chain_visible(bench::Run& run) {
    std::uint64_t sum = 0;
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await visible_child();
    run.stop();
    bench::keep(sum);
}

Coroutine<int> descend(int depth) {
    if (depth == 0) co_return 0;
    co_return 1 + co_await descend(depth - 1);
}

Coroutine<void> await_depth(bench::Run& run) {
    std::uint64_t sum = 0;
    run.start();
    for (std::uint64_t i = 0; i < run.n / 1000; ++i) sum += co_await descend(1000);
    run.stop(run.n / 1000 * 1000);
    bench::keep(sum);
}

Coroutine<void> spawn_join(bench::Run& run) {
    std::uint64_t sum = 0;
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await asyncio::create_task(child());
    run.stop();
    bench::keep(sum);
}

Coroutine<void> gather(bench::Run& run) {
    const std::uint64_t at_once = std::min<std::uint64_t>(run.n, 100'000);
    std::uint64_t sum = 0;
    run.start();
    for (std::uint64_t round = 0; round < run.n / at_once; ++round) {
        std::vector<Coroutine<int>> children;
        children.reserve(at_once);
        for (std::uint64_t i = 0; i < at_once; ++i) children.push_back(child());
        for (const int one : co_await asyncio::gather(children)) sum += one;
    }
    run.stop(run.n / at_once * at_once);
    bench::keep(sum);
}

Coroutine<void> yield_often(std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i) co_await asyncio::sleep(0);
}

Coroutine<void> yield_tasks(bench::Run& run, std::uint64_t count) {
    std::vector<Task<void>> tasks;
    tasks.reserve(count);
    run.start();
    for (std::uint64_t i = 0; i < count; ++i) {
        tasks.push_back(asyncio::create_task(yield_often(run.n / count)));
    }
    for (auto& task : tasks) co_await task;
    run.stop(run.n / count * count);
}
Coroutine<void> yield_2(bench::Run& run) {
    return yield_tasks(run, 2);
}
Coroutine<void> yield_1000(bench::Run& run) {
    return yield_tasks(run, 1000);
}

Coroutine<void> hand_over(bench::Run& run) {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) {
        auto future = loop.create_future<int>();
        loop.call_soon([future] { future.set_result(1); });
        bench::keep(co_await future);
    }
    run.stop();
}

// ---- coordination -------------------------------------------------------------------------

Coroutine<void> put_numbers(asyncio::Queue<std::uint64_t>& queue, std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) co_await queue.put(i);
}

Coroutine<void> queue_of(bench::Run& run, std::size_t capacity) {
    asyncio::Queue<std::uint64_t> queue(capacity);
    std::uint64_t sum = 0;
    run.start();
    const Task<void> producer = asyncio::create_task(put_numbers(queue, run.n));
    for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await queue.get();
    run.stop();
    co_await producer;
    bench::keep(sum);
}
Coroutine<void> queue_1(bench::Run& run) {
    return queue_of(run, 1);
}
Coroutine<void> queue_1024(bench::Run& run) {
    return queue_of(run, 1024);
}

Coroutine<void> lock(bench::Run& run) {
    asyncio::Lock lock;
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) {
        co_await lock.acquire();
        lock.release();
    }
    run.stop();
}

Coroutine<void> lock_often(asyncio::Lock& lock, std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i) {
        co_await lock.acquire();
        co_await asyncio::sleep(0);
        lock.release();
    }
}

Coroutine<void> lock_handoff(bench::Run& run) {
    asyncio::Lock lock;
    run.start();
    co_await asyncio::gather(lock_often(lock, run.n / 2), lock_often(lock, run.n / 2));
    run.stop(run.n / 2 * 2);
}

Coroutine<void> answer(asyncio::Event& mine, asyncio::Event& other, std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i) {
        co_await mine.wait();
        mine.clear();
        other.set();
    }
}

Coroutine<void> event_pingpong(bench::Run& run) {
    asyncio::Event ping;
    asyncio::Event pong;
    ping.set();
    run.start();
    co_await asyncio::gather(answer(ping, pong, run.n / 2), answer(pong, ping, run.n / 2));
    run.stop(run.n / 2 * 2);
}

// ---- time ---------------------------------------------------------------------------------

Coroutine<void> sleep_for(microseconds delay) {
    co_await asyncio::sleep(delay);
}

Coroutine<void> timers(bench::Run& run) {
    bench::Delays delays;
    std::vector<Task<void>> tasks;
    tasks.reserve(run.n);
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) {
        tasks.push_back(asyncio::create_task(sleep_for(microseconds(delays.next()))));
    }
    for (auto& task : tasks) co_await task;
    run.stop();
}

Coroutine<void> sleepers(bench::Run& run) {
    std::vector<Task<void>> tasks;
    const std::int64_t before = bench::resident();
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) {
        tasks.push_back(asyncio::create_task(sleep_for(seconds(3600))));
    }
    co_await asyncio::sleep(0);
    run.stop();
    run.figure("bytes_per_task",
               static_cast<double>(bench::resident() - before) / static_cast<double>(run.n));
    for (auto& task : tasks) task.cancel();
    for (auto& task : tasks) static_cast<void>(co_await asyncio::try_(task));
}

Coroutine<void> timer_cancel(bench::Run& run) {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) {
        const microseconds delay(10'000'000 + i % 1000);
        loop.call_later(delay, [] {}).cancel();
        if (i % 1000 == 999) co_await asyncio::sleep(0);
    }
    run.stop();
}

Coroutine<void> yield_once() {
    co_await asyncio::sleep(0);
}

Coroutine<void> wait_for(bench::Run& run) {
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) co_await asyncio::wait_for(yield_once(), seconds(10));
    run.stop();
}

// ---- callbacks ----------------------------------------------------------------------------

struct Again {
    asyncio::EventLoop& loop;
    std::uint64_t& left;
    void operator()() const {
        if (left > 1) {
            --left;
            loop.call_soon(*this);
        } else {
            left = 0;
            loop.stop();
        }
    }
};

void call_soon_chains(bench::Run& run, int chains) {
    const asyncio::EventLoopPtr loop = asyncio::new_event_loop();
    std::uint64_t left = run.n;
    run.start();
    for (int i = 0; i < chains; ++i) loop->call_soon(Again{*loop, left});
    loop->run_forever();
    run.stop();
}
void call_soon(bench::Run& run) {
    call_soon_chains(run, 1);
}
void call_soon_1000(bench::Run& run) {
    call_soon_chains(run, 1000);
}

void call_soon_threadsafe(bench::Run& run) {
    const asyncio::EventLoopPtr loop = asyncio::new_event_loop();
    std::uint64_t received = 0;
    run.start();
    std::thread poster([&] {
        for (std::uint64_t i = 0; i < run.n; ++i) {
            loop->call_soon_threadsafe([&] {
                if (++received == run.n) loop->stop();
            });
        }
    });
    loop->run_forever();
    run.stop();
    poster.join();
}

void wake_latency(bench::Run& run) {
    const asyncio::EventLoopPtr loop = asyncio::new_event_loop();
    std::vector<std::int64_t> each;
    run.start();
    std::thread poster([&] {
        for (std::uint64_t i = 0; i < run.n; ++i) {
            usleep(200);
            loop->call_soon_threadsafe([&, sent = bench::nanoseconds()] {
                each.push_back(bench::nanoseconds() - sent);
                if (each.size() == run.n) loop->stop();
            });
        }
    });
    loop->run_forever();
    run.stop();
    poster.join();
    run.latencies(each);
}

// ---- threads and processes ----------------------------------------------------------------

int one() {
    return 1;
}

void use_two_threads() {
    asyncio::get_running_loop().set_default_executor(
        std::make_shared<concurrent::futures::ThreadPoolExecutor>(2));
}

Coroutine<void> to_thread(bench::Run& run) {
    use_two_threads();
    std::uint64_t sum = 0;
    co_await asyncio::to_thread(one);
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await asyncio::to_thread(one);
    run.stop();
    bench::keep(sum);
}

Coroutine<void> to_thread_10k(bench::Run& run) {
    use_two_threads();
    const std::uint64_t at_once = std::min<std::uint64_t>(run.n, 10'000);
    std::uint64_t sum = 0;
    run.start();
    for (std::uint64_t round = 0; round < run.n / at_once; ++round) {
        std::vector<Coroutine<int>> calls;
        calls.reserve(at_once);
        for (std::uint64_t i = 0; i < at_once; ++i) calls.push_back(asyncio::to_thread(one));
        for (const int got : co_await asyncio::gather(calls)) sum += got;
    }
    run.stop(run.n / at_once * at_once);
    bench::keep(sum);
}

int increment(int x) {
    return x + 1;
}
std::size_t length(const std::string& bytes) {
    return bytes.size();
}

// A pool whose workers have started.
Coroutine<void> warm_up(concurrent::futures::ProcessPoolExecutor& pool) {
    std::vector<asyncio::Future<int>> answers;
    for (int i = 0; i < 20; ++i) {
        answers.push_back(asyncio::get_running_loop().run_in_executor(pool, increment, i));
    }
    co_await asyncio::gather(answers);
}

template <class F, class Argument>
Coroutine<void> call_processes(bench::Run& run, F function, Argument argument) {
    concurrent::futures::ProcessPoolExecutor pool(1);
    co_await warm_up(pool);
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) {
        bench::keep(co_await loop.run_in_executor(pool, function, argument));
    }
    run.stop();
}
Coroutine<void> process_int(bench::Run& run) {
    return call_processes(run, increment, 1);
}
Coroutine<void> process_1mib(bench::Run& run) {
    return call_processes(run, length, std::string(1 << 20, 'x'));
}

Coroutine<void> process_int_1000(bench::Run& run) {
    concurrent::futures::ProcessPoolExecutor pool(2);
    co_await warm_up(pool);
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    run.start();
    for (std::uint64_t round = 0; round < run.n / 1000; ++round) {
        std::vector<asyncio::Future<int>> answers;
        for (int i = 0; i < 1000; ++i) {
            answers.push_back(loop.run_in_executor(pool, increment, i));
        }
        bench::keep((co_await asyncio::gather(answers)).size());
    }
    run.stop(run.n / 1000 * 1000);
}

// How long it took, in ns.
std::int64_t doze(int) {
    const std::int64_t begin = bench::nanoseconds();
    usleep(1000);
    return bench::nanoseconds() - begin;
}

Coroutine<void> process_busy(bench::Run& run) {
    concurrent::futures::ProcessPoolExecutor pool(2);
    co_await warm_up(pool);
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    std::int64_t busy = 0;
    run.start();
    const std::int64_t begin = bench::nanoseconds();
    for (std::uint64_t round = 0; round < run.n / 1000; ++round) {
        std::vector<asyncio::Future<std::int64_t>> answers;
        for (int i = 0; i < 1000; ++i) answers.push_back(loop.run_in_executor(pool, doze, i));
        for (const std::int64_t one : co_await asyncio::gather(answers)) busy += one;
    }
    const std::int64_t end = bench::nanoseconds();
    run.stop(run.n / 1000 * 1000);
    run.figure("workers_busy", static_cast<double>(busy) / static_cast<double>(2 * (end - begin)));
}

// ---- generators ---------------------------------------------------------------------------

[[gnu::noinline]] asyncio::AsyncGenerator<std::uint64_t> count(std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) co_yield i;
}

[[gnu::noinline]] asyncio::AsyncGenerator<std::uint64_t> count_yielding(std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) {
        co_await asyncio::sleep(0);
        co_yield i;
    }
}

Coroutine<void> consume(bench::Run& run, asyncio::AsyncGenerator<std::uint64_t> items) {
    std::uint64_t sum = 0;
    run.start();
    while (auto item = co_await anext(items)) sum += *item;
    run.stop();
    bench::keep(sum);
}
Coroutine<void> async_gen(bench::Run& run) {
    return consume(run, count(run.n));
}
Coroutine<void> async_gen_yield(bench::Run& run) {
    return consume(run, count_yielding(run.n));
}

// ---- cancelling ---------------------------------------------------------------------------

// The sleeper throws; the joiner throws again.
Coroutine<void> cancel(bench::Run& run) {
    std::uint64_t caught = 0;
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) {
        const Task<void> task = asyncio::create_task(sleep_for(seconds(3600)));
        co_await asyncio::sleep(0);
        task.cancel();
        try {
            co_await task;
        } catch (const asyncio::CancelledError&) {
            ++caught;
        }
    }
    run.stop();
    if (caught != run.n) std::abort();
}

// The sleeper throws; the joiner reads the outcome.
Coroutine<void> cancel_outcome(bench::Run& run) {
    std::uint64_t caught = 0;
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i) {
        const Task<void> task = asyncio::create_task(sleep_for(seconds(3600)));
        co_await asyncio::sleep(0);
        task.cancel();
        caught += (co_await asyncio::try_(task)).cancelled();
    }
    run.stop();
    if (caught != run.n) std::abort();
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run("asyncio.cpp", argc, argv,
                      {{"await_chain", in_task<await_chain>},
                       {"await_chain_visible", in_task<await_chain_visible>},
                       {"await_depth", in_task<await_depth>},
                       {"spawn_join", in_task<spawn_join>},
                       {"gather", in_task<gather>},
                       {"yield_2", in_task<yield_2>},
                       {"yield_1000", in_task<yield_1000>},
                       {"hand_over", in_task<hand_over>},
                       {"queue_1", in_task<queue_1>},
                       {"queue_1024", in_task<queue_1024>},
                       {"lock", in_task<lock>},
                       {"lock_handoff", in_task<lock_handoff>},
                       {"event_pingpong", in_task<event_pingpong>},
                       {"timers", in_task<timers>},
                       {"sleepers", in_task<sleepers>},
                       {"timer_cancel", in_task<timer_cancel>},
                       {"wait_for", in_task<wait_for>},
                       {"call_soon", call_soon},
                       {"call_soon_1000", call_soon_1000},
                       {"call_soon_threadsafe", call_soon_threadsafe},
                       {"wake_latency", wake_latency},
                       {"to_thread", in_task<to_thread>},
                       {"to_thread_10k", in_task<to_thread_10k>},
                       {"process_int", in_task<process_int>},
                       {"process_1mib", in_task<process_1mib>},
                       {"process_int_1000", in_task<process_int_1000>},
                       {"process_busy", in_task<process_busy>},
                       {"async_gen", in_task<async_gen>},
                       {"async_gen_yield", in_task<async_gen_yield>},
                       {"cancel", in_task<cancel>},
                       {"cancel_outcome", in_task<cancel_outcome>}});
}
