// Flow control of what is written, six scenarios: the limits, when a protocol is told to pause
// and to resume, drain() with one and with several tasks, its cancellation and its errors.
#include "io_scenario.hpp"

using asyncio::WriteBufferLimits;
using io::attempted;
using io::connected;
using io::noted;
using io::Recorder;

const std::string much(3'000'000, 'x');

Coroutine<void> limits() {
    note("== limits");
    const auto one = std::make_shared<Recorder>("one");
    auto [transport, peer] = co_await connected(one);
    const auto show_limits = [&transport] {
        const auto [low, high] = transport->get_write_buffer_limits();
        note(std::vector{low, high});
    };
    show_limits();
    for (const WriteBufferLimits& wanted :
         std::vector<WriteBufferLimits>{{.high = 1024, .low = 128},
                                        {.high = 256},
                                        {.low = 256},
                                        {.high = 0},
                                        {},
                                        {.high = 8, .low = 8},
                                        {.low = 0}}) {
        transport->set_write_buffer_limits(wanted);
        show_limits();
    }
    for (const WriteBufferLimits& wanted : std::vector<WriteBufferLimits>{
             {.high = 0, .low = 1}, {.high = 1, .low = -1}, {.high = -4}, {.low = -4}}) {
        attempted("limits", [&transport, &wanted] { transport->set_write_buffer_limits(wanted); });
    }
    show_limits();
    transport->close();
    co_await one->lost;
}

Coroutine<void> told() {
    note("== told");
    const auto one = std::make_shared<Recorder>("one");
    auto [transport, peer] = co_await connected(one);
    note("writes little");
    transport->write("little");
    note("writes much");
    transport->write(much);
    note("writes more");
    transport->write("more");
    note("buffered", transport->get_write_buffer_size() > 65536);
    const std::string data = co_await io::receive(peer, much.size() + 10);
    co_await one->resumed;
    co_await asyncio::sleep(10ms);
    note("buffered", transport->get_write_buffer_size());
    const std::string_view view = data;
    note("peer gets", io::show(view), io::show(view.substr(0, 8)),
         io::show(view.substr(view.size() - 8)));
    transport->close();
    co_await one->lost;
}

Coroutine<void> zero() {
    note("== zero");
    const auto one = std::make_shared<Recorder>("one");
    auto [transport, peer] = co_await connected(one);
    transport->set_write_buffer_limits({.high = 0});
    transport->write("sent at once");
    note("still in the buffer", transport->get_write_buffer_size());
    transport->write(much);
    note("paused");
    co_await io::receive(peer, much.size() + 12);
    co_await one->resumed;
    co_await asyncio::sleep(10ms);
    note("buffered", transport->get_write_buffer_size());
    transport->close();
    co_await one->lost;
}

Coroutine<void> closed_while_paused() {
    note("== closed while paused");
    for (const std::string how : {"close", "abort"}) {
        const auto one = std::make_shared<Recorder>(how);
        auto [transport, peer] = co_await connected(one);
        transport->write(much);
        how == "close" ? transport->close() : transport->abort();
        note("buffered", transport->get_write_buffer_size() > 0);
        if (how == "close") co_await io::receive(peer, much.size());
        co_await one->lost;
    }
}

struct Stream {
    asyncio::StreamReader reader;
    asyncio::StreamWriter writer;
    asyncio::Socket peer;
};

Coroutine<Stream> stream() {
    auto [ours, peer] = asyncio::socketpair();
    auto [reader, writer] = co_await asyncio::open_connection({.sock = std::move(ours)});
    co_return {reader, writer, std::move(peer)};
}

Coroutine<void> drains() {
    note("== drains");
    auto [reader, writer, peer] = co_await stream();
    writer.write("little");
    co_await noted("at once", writer.drain());
    writer.write(much);
    std::vector<Task<void>> tasks;
    for (const char* label : {"a", "b", "c"}) {
        tasks.push_back(asyncio::create_task(noted(label, writer.drain())));
    }
    co_await asyncio::sleep(10ms);
    std::vector<std::string> states;
    for (const auto& task : tasks) states.push_back(describe(task));
    note("waiting", states);
    tasks[1].cancel("enough");
    co_await tasks[1];
    co_await io::receive(peer, much.size() + 6);
    static_cast<void>(co_await asyncio::wait(tasks));
    co_await noted("later", writer.drain());
    writer.close();
    co_await noted("wait_closed", writer.wait_closed());
    co_await noted("after the end", writer.drain());
}

Coroutine<void> drain_fails() {
    note("== drain fails");
    {
        // close() while it waits: it returns when all is sent.
        auto [reader, writer, peer] = co_await stream();
        writer.write(much);
        auto task = asyncio::create_task(noted("closed meanwhile", writer.drain()));
        co_await asyncio::sleep(0);
        writer.close();
        co_await io::receive(peer, much.size());
        co_await task;
        co_await noted("wait_closed", writer.wait_closed());
    }
    {
        // abort() while it waits.
        auto [reader, writer, peer] = co_await stream();
        writer.write(much);
        auto task = asyncio::create_task(noted("aborted meanwhile", writer.drain()));
        co_await asyncio::sleep(0);
        writer.transport()->abort();
        co_await task;
        co_await noted("wait_closed", writer.wait_closed());
    }
    {
        // The peer goes.
        auto [reader, writer, peer] = co_await stream();
        writer.write(much);
        auto task = asyncio::create_task(noted("lost meanwhile", writer.drain()));
        co_await asyncio::sleep(0);
        io::pending(peer);
        peer.close();
        co_await task;
        co_await noted("drain", writer.drain());
        co_await noted("read", reader.read());
        co_await noted("wait_closed", writer.wait_closed());
    }
    // The reader has an error.
    auto [reader, writer, peer] = co_await stream();
    reader.set_exception(asyncio::ValueError("of the reader"));
    co_await noted("drain", writer.drain());
    writer.close();
    co_await noted("wait_closed", writer.wait_closed());
}

Coroutine<void> program() {
    io::listen(asyncio::get_running_loop());
    co_await limits();
    co_await told();
    co_await zero();
    co_await closed_while_paused();
    co_await drains();
    co_await drain_fails();
}

int main() {
    asyncio::run(program());
}
