// Boost.Asio's awaitable on an io_context run by one thread.
//
// Asio has no async mutex: a channel of capacity 1 stands for the lock, as its users do.
// An event is a channel too.  A generator is experimental::coro.
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/co_spawn.hpp>
#include <boost/asio/experimental/coro.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/experimental/use_coro.hpp>
#include <thread>

#include "bench.hpp"

#ifndef PEER
#define PEER "asio"
#endif

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using asio::awaitable;
using asio::use_awaitable;
using asio::experimental::channel;
using Clock = asio::steady_timer::clock_type;
using Error = boost::system::error_code;

namespace {

asio::io_context* context;

// One thread runs the io_context: asio's hint drops its locks.  The workloads that post from
// another thread ask for the safe one.
template <class Body>
void run_main(Body body, int hint = 1) {
    asio::io_context io(hint);
    context = &io;
    asio::co_spawn(io, body(), [](std::exception_ptr e) {
        if (e) std::rethrow_exception(e);
    });
    io.run();
}

[[gnu::noinline]] awaitable<int> child() {
    co_return 1;
}

void await_chain(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await child();
        run.stop();
        bench::keep(sum);
    });
}

awaitable<int> descend(int depth) {
    if (depth == 0) co_return 0;
    co_return 1 + co_await descend(depth - 1);
}

void await_depth(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n / 1000; ++i) sum += co_await descend(1000);
        run.stop(run.n / 1000 * 1000);
        bench::keep(sum);
    });
}

void spawn_join(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i)
            sum += co_await asio::co_spawn(*context, child(), use_awaitable);
        run.stop();
        bench::keep(sum);
    });
}

void gather(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        const std::uint64_t at_once = std::min<std::uint64_t>(run.n, 100'000);
        run.start();
        for (std::uint64_t round = 0; round < run.n / at_once; ++round) {
            auto one = [] { return asio::co_spawn(*context, child(), asio::deferred); };
            std::vector<decltype(one())> operations;
            operations.reserve(at_once);
            for (std::uint64_t i = 0; i < at_once; ++i) operations.push_back(one());
            auto all = co_await asio::experimental::make_parallel_group(std::move(operations))
                           .async_wait(asio::experimental::wait_for_all(), use_awaitable);
            bench::keep(std::get<2>(all).size());
        }
        run.stop(run.n / at_once * at_once);
    });
}

awaitable<void> yield() {
    return asio::post(*context, use_awaitable);
}

awaitable<void> yield_often(std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i) co_await asio::post(*context, use_awaitable);
}

void yield_tasks(bench::Run& run, std::uint64_t count) {
    asio::io_context io(1);
    context = &io;
    run.start();
    for (std::uint64_t i = 0; i < count; ++i)
        asio::co_spawn(io, yield_often(run.n / count), asio::detached);
    io.run();
    run.stop(run.n / count * count);
}
void yield_2(bench::Run& run) {
    yield_tasks(run, 2);
}
void yield_1000(bench::Run& run) {
    yield_tasks(run, 1000);
}

awaitable<void> sleep_for(std::int64_t microseconds) {
    asio::steady_timer timer(*context, std::chrono::microseconds(microseconds));
    co_await timer.async_wait(use_awaitable);
}

void timers(bench::Run& run) {
    asio::io_context io(1);
    context = &io;
    bench::Delays delays;
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i)
        asio::co_spawn(io, sleep_for(delays.next()), asio::detached);
    io.run();
    run.stop();
}

void sleepers(bench::Run& run) {
    asio::io_context io(1);
    context = &io;
    const auto before = bench::resident();
    run.start();
    for (std::uint64_t i = 0; i < run.n; ++i)
        asio::co_spawn(io, sleep_for(3600'000'000), asio::detached);
    io.poll();
    run.stop();
    run.figure("bytes_per_task", double(bench::resident() - before) / double(run.n));
    run.print(PEER, "sleepers");
    _exit(0);
}

void timer_cancel(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        asio::steady_timer timer(*context);
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            timer.expires_after(std::chrono::microseconds(10'000'000 + i % 1000));
            timer.async_wait([](Error) {});
            timer.cancel();
            if (i % 1000 == 999) co_await yield();
        }
        run.stop();
    });
}

void wait_for(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            asio::steady_timer timer(*context, std::chrono::seconds(10));
            auto which = co_await (yield() || timer.async_wait(use_awaitable));
            if (which.index() != 0) std::abort();
        }
        run.stop();
    });
}

void queue(bench::Run& run, std::size_t capacity) {
    run_main([&run, capacity]() -> awaitable<void> {
        channel<void(Error, std::uint64_t)> q(*context, capacity);
        run.start();
        asio::co_spawn(
            *context,
            [](auto& q, std::uint64_t n) -> awaitable<void> {
                for (std::uint64_t i = 0; i < n; ++i)
                    co_await q.async_send(Error{}, i, use_awaitable);
            }(q, run.n),
            asio::detached);
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await q.async_receive(use_awaitable);
        run.stop();
        bench::keep(sum);
    });
}
void queue_1(bench::Run& run) {
    queue(run, 1);
}
void queue_1024(bench::Run& run) {
    queue(run, 1024);
}

using Signal = channel<void(Error)>;

void lock(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        Signal lock(*context, 1);
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            co_await lock.async_send(Error{}, use_awaitable);
            lock.try_receive([](Error) {});
        }
        run.stop();
    });
}

void lock_handoff(bench::Run& run) {
    asio::io_context io(1);
    context = &io;
    Signal lock(io, 1);
    auto work = [](Signal& lock, std::uint64_t n) -> awaitable<void> {
        for (std::uint64_t i = 0; i < n; ++i) {
            co_await lock.async_send(Error{}, use_awaitable);
            co_await asio::post(*context, use_awaitable);
            lock.try_receive([](Error) {});
        }
    };
    run.start();
    for (int i = 0; i < 2; ++i) asio::co_spawn(io, work(lock, run.n / 2), asio::detached);
    io.run();
    run.stop(run.n / 2 * 2);
}

void event_pingpong(bench::Run& run) {
    asio::io_context io(1);
    context = &io;
    Signal ping(io, 1), pong(io, 1);
    auto work = [](Signal& mine, Signal& other, std::uint64_t n) -> awaitable<void> {
        for (std::uint64_t i = 0; i < n; ++i) {
            co_await mine.async_receive(use_awaitable);
            other.try_send(Error{});
        }
    };
    run.start();
    asio::co_spawn(io, work(ping, pong, run.n / 2), asio::detached);
    asio::co_spawn(io, work(pong, ping, run.n / 2), asio::detached);
    ping.try_send(Error{});
    io.run();
    run.stop(run.n / 2 * 2);
}

// Asio has no future to await on the loop: a channel of capacity 1.
void hand_over(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            channel<void(Error, int)> future(*context, 1);
            asio::post(*context, [&] { future.try_send(Error{}, 1); });
            bench::keep(co_await future.async_receive(use_awaitable));
        }
        run.stop();
    });
}

struct Again {
    std::uint64_t& left;
    void operator()() const {
        if (left > 1) {
            --left;
            asio::post(*context, *this);
        } else
            left = 0;
    }
};

void call_soon_chains(bench::Run& run, int chains) {
    asio::io_context io(1);
    context = &io;
    std::uint64_t left = run.n;
    run.start();
    for (int i = 0; i < chains; ++i) asio::post(io, Again{left});
    io.run();
    run.stop();
}
void call_soon(bench::Run& run) {
    call_soon_chains(run, 1);
}
void call_soon_1000(bench::Run& run) {
    call_soon_chains(run, 1000);
}

void call_soon_threadsafe(bench::Run& run) {
    asio::io_context io;
    auto work = asio::make_work_guard(io);
    std::uint64_t received = 0;
    run.start();
    std::thread poster([&] {
        for (std::uint64_t i = 0; i < run.n; ++i)
            asio::post(io, [&] {
                if (++received == run.n) work.reset();
            });
    });
    io.run();
    run.stop();
    poster.join();
}

void wake_latency(bench::Run& run) {
    asio::io_context io;
    auto work = asio::make_work_guard(io);
    std::vector<std::int64_t> each;
    run.start();
    std::thread poster([&] {
        for (std::uint64_t i = 0; i < run.n; ++i) {
            usleep(200);
            asio::post(io, [&, sent = bench::nanoseconds()] {
                each.push_back(bench::nanoseconds() - sent);
                if (each.size() == run.n) work.reset();
            });
        }
    });
    io.run();
    run.stop();
    poster.join();
    run.latencies(each);
}

awaitable<int> on_pool(asio::thread_pool& pool) {
    co_return co_await asio::co_spawn(pool, []() -> awaitable<int> { co_return 1; }, use_awaitable);
}

void to_thread(bench::Run& run) {
    asio::thread_pool pool(2);
    run_main(
        [&]() -> awaitable<void> {
            std::uint64_t sum = 0;
            run.start();
            for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await on_pool(pool);
            run.stop();
            bench::keep(sum);
        },
        BOOST_ASIO_CONCURRENCY_HINT_DEFAULT);
}

void to_thread_10k(bench::Run& run) {
    asio::thread_pool pool(2);
    run_main(
        [&]() -> awaitable<void> {
            const std::uint64_t at_once = std::min<std::uint64_t>(run.n, 10'000);
            run.start();
            for (std::uint64_t round = 0; round < run.n / at_once; ++round) {
                auto one = [&] { return asio::co_spawn(*context, on_pool(pool), asio::deferred); };
                std::vector<decltype(one())> operations;
                operations.reserve(at_once);
                for (std::uint64_t i = 0; i < at_once; ++i) operations.push_back(one());
                auto all = co_await asio::experimental::make_parallel_group(std::move(operations))
                               .async_wait(asio::experimental::wait_for_all(), use_awaitable);
                bench::keep(std::get<2>(all).size());
            }
            run.stop(run.n / at_once * at_once);
        },
        BOOST_ASIO_CONCURRENCY_HINT_DEFAULT);
}

using Items = asio::experimental::coro<std::uint64_t>;

Items count(asio::io_context&, std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) co_yield i;
}

Items count_yielding(asio::io_context& io, std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) {
        co_await asio::post(io, asio::experimental::use_coro);
        co_yield i;
    }
}

asio::experimental::coro<void> consume(asio::io_context& io, bench::Run& run,
                                       Items (*make)(asio::io_context&, std::uint64_t)) {
    std::uint64_t sum = 0;
    run.start();
    auto items = make(io, run.n);
    while (auto item = co_await items) sum += *item;
    run.stop();
    bench::keep(sum);
}

void async_gen(bench::Run& run) {
    asio::io_context io(1);
    asio::experimental::co_spawn(consume(io, run, count), asio::detached);
    io.run();
}
void async_gen_yield(bench::Run& run) {
    asio::io_context io(1);
    asio::experimental::co_spawn(consume(io, run, count_yielding), asio::detached);
    io.run();
}

void cancel(bench::Run& run) {
    run_main([&]() -> awaitable<void> {
        std::uint64_t caught = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            asio::cancellation_signal stop;
            Signal done(*context, 1);
            asio::co_spawn(*context, sleep_for(3600'000'000),
                           asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) {
                               caught += e != nullptr;
                               done.try_send(Error{});
                           }));
            co_await asio::post(*context, use_awaitable);
            stop.emit(asio::cancellation_type::terminal);
            co_await done.async_receive(use_awaitable);
        }
        run.stop();
        if (caught != run.n) std::abort();
    });
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run(PEER, argc, argv,
                      {{"await_chain", await_chain},
                       {"await_depth", await_depth},
                       {"spawn_join", spawn_join},
                       {"gather", gather},
                       {"yield_2", yield_2},
                       {"yield_1000", yield_1000},
                       {"timers", timers},
                       {"sleepers", sleepers},
                       {"timer_cancel", timer_cancel},
                       {"wait_for", wait_for},
                       {"queue_1", queue_1},
                       {"queue_1024", queue_1024},
                       {"lock", lock},
                       {"lock_handoff", lock_handoff},
                       {"event_pingpong", event_pingpong},
                       {"hand_over", hand_over},
                       {"call_soon", call_soon},
                       {"call_soon_1000", call_soon_1000},
                       {"call_soon_threadsafe", call_soon_threadsafe},
                       {"wake_latency", wake_latency},
                       {"to_thread", to_thread},
                       {"to_thread_10k", to_thread_10k},
                       {"async_gen", async_gen},
                       {"async_gen_yield", async_gen_yield},
                       {"cancel", cancel}});
}
