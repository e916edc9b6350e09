// StreamReader fed by hand, ten scenarios: how much each read takes, when it wakes, what
// errors carry, what a cancellation and an error leave in the buffer, when the transport is told
// to pause.
#include "io_scenario.hpp"

using asyncio::StreamReader;
using io::traced;

Coroutine<void> sizes() {
    trace("== sizes");
    StreamReader reader;
    co_await traced("nothing", reader.read(0));
    reader.feed_data("abcdefgh");
    reader.feed_data("");
    co_await traced("three", reader.read(3));
    co_await traced("none", reader.read(0));
    co_await traced("two", reader.readexactly(2));
    co_await traced("zero", reader.readexactly(0));
    co_await traced("more than there is", reader.read(100));
    reader.feed_data("ij");
    trace("at_eof", reader.at_eof());
    reader.feed_eof();
    trace("at_eof", reader.at_eof());
    co_await traced("all", reader.read());
    trace("at_eof", reader.at_eof());
    co_await traced("more", reader.read(5));
    co_await traced("line", reader.readline());
    co_await traced("rest", reader.read(-1));
    co_await traced("zero", reader.readexactly(0));
    for (const int limit : {0, -1}) {
        try {
            StreamReader impossible(limit);
        } catch (const asyncio::ValueError& error) {
            trace(error);
        }
    }
}

template <class How>
Coroutine<void> wake(std::string label, How how) {
    StreamReader reader;
    auto task = asyncio::create_task(traced(label, how(reader)));
    for (const char* piece : {"a", ";", ";\n", "b\nc"}) {
        co_await asyncio::sleep(0);
        trace("feeds", io::show(piece));
        reader.feed_data(piece);
    }
    reader.feed_eof();
    co_await task;
    co_await traced("left", reader.read());
}

Coroutine<void> wakes() {
    trace("== wakes");
    co_await wake("read(4)", [](const StreamReader& reader) { return reader.read(4); });
    co_await wake("read()", [](const StreamReader& reader) { return reader.read(); });
    co_await wake("readexactly(4)",
                  [](const StreamReader& reader) { return reader.readexactly(4); });
    co_await wake("readline()", [](const StreamReader& reader) { return reader.readline(); });
    co_await wake("readuntil(';;')",
                  [](const StreamReader& reader) { return reader.readuntil(";;"); });
}

Coroutine<void> lines() {
    trace("== lines");
    StreamReader reader(4);
    reader.feed_data("ab\ncdef\nghijk\nlm\n\n");
    for (int i = 0; i < 5; ++i) co_await traced("line", reader.readline());
    reader.feed_data("nopqrstu");
    co_await traced("too long so far", reader.readline());
    reader.feed_data("vw");
    reader.feed_eof();
    co_await traced("unfinished", reader.readline());
    co_await traced("end", reader.readline());
    // In two pieces, the second of which makes it too long.
    reader = StreamReader(4);
    auto task = asyncio::create_task(traced("waiting", reader.readline()));
    co_await asyncio::sleep(0);
    reader.feed_data("abc");
    co_await asyncio::sleep(0);
    reader.feed_data("def\nxy\n");
    co_await task;
    co_await traced("next", reader.readline());
}

Coroutine<void> separators() {
    trace("== separators");
    StreamReader reader(8);
    co_await traced("empty", io::lazily([reader] { return reader.readuntil(""); }));
    reader.feed_data("one--two-");
    co_await traced("whole", reader.readuntil("--"));
    auto task = asyncio::create_task(traced("straddling", reader.readuntil("--")));
    co_await asyncio::sleep(0);
    reader.feed_data("-");
    co_await task;
    reader.feed_data("eightlet--");
    co_await traced("as long as the limit", reader.readuntil("--"));
    reader.feed_data("nineletrs--");
    co_await traced("found but too long", reader.readuntil("--"));
    co_await traced("which stays", reader.readexactly(11));
    reader.feed_data("nine and more-");
    co_await traced("not found", reader.readuntil("--"));
    co_await traced("which stays", reader.read(100));
}

template <class How>
Coroutine<void> cut_short(std::string label, How how) {
    StreamReader reader;
    auto task = asyncio::create_task(traced(label, how(reader)));
    co_await asyncio::sleep(0);
    reader.feed_data("abc");
    co_await asyncio::sleep(0);
    reader.feed_data("de");
    reader.feed_eof();
    co_await task;
    co_await traced("left", reader.read());
    co_await traced("again", how(reader));
}

Coroutine<void> incomplete() {
    trace("== incomplete");
    co_await cut_short("readexactly",
                       [](const StreamReader& reader) { return reader.readexactly(6); });
    co_await cut_short("readuntil",
                       [](const StreamReader& reader) { return reader.readuntil("::"); });
    co_await traced("negative", io::lazily([] { return StreamReader().readexactly(-1); }));
}

template <class How>
Coroutine<void> cancel_in(std::string label, How how) {
    StreamReader reader;
    auto task = asyncio::create_task(traced(label, how(reader)));
    co_await asyncio::sleep(0);
    task.cancel("no more");
    static_cast<void>(co_await asyncio::wait({task}));
    reader.feed_data("kept");
    co_await traced("next", reader.read(100));

    // With a part of it there.
    if (label != "read") {
        task = asyncio::create_task(traced(label, how(reader)));
        co_await asyncio::sleep(0);
        reader.feed_data("part");
        co_await asyncio::sleep(0);
        task.cancel();
        static_cast<void>(co_await asyncio::wait({task}));
        co_await traced("left", reader.read(100));
    }
}

Coroutine<void> cancelled() {
    trace("== cancelled");
    co_await cancel_in("read", [](const StreamReader& reader) { return reader.read(100); });
    co_await cancel_in("readexactly",
                       [](const StreamReader& reader) { return reader.readexactly(6); });
    co_await cancel_in("readline", [](const StreamReader& reader) { return reader.readline(); });
    co_await cancel_in("readuntil",
                       [](const StreamReader& reader) { return reader.readuntil("::"); });

    // Data and cancellation in the same iteration.
    StreamReader reader;
    auto task = asyncio::create_task(traced("both", reader.read(100)));
    co_await asyncio::sleep(0);
    reader.feed_data("kept");
    task.cancel();
    static_cast<void>(co_await asyncio::wait({task}));
    co_await traced("left", reader.read(100));

    reader = StreamReader();
    co_await traced("timeout", asyncio::wait_for(reader.readexactly(4), 20ms));
    reader.feed_data("late");
    co_await traced("then", reader.readexactly(4));
}

Coroutine<void> two_readers() {
    trace("== two readers");
    StreamReader reader;
    auto first = asyncio::create_task(traced("first", reader.read(1)));
    co_await asyncio::sleep(0);
    const auto refused = [](auto how) -> Coroutine<void> {
        const auto outcome = co_await asyncio::try_(std::move(how));
        trace(io::said(outcome.exception()));
    };
    co_await refused(reader.read(1));
    co_await refused(reader.readline());
    co_await refused(reader.readexactly(2));
    reader.feed_data("abc");
    co_await first;
    co_await traced("left", reader.read(10));
}

Coroutine<void> errors() {
    trace("== errors");
    StreamReader reader;
    trace("before", reader.exception());
    auto task = asyncio::create_task(traced("waiting", reader.readline()));
    co_await asyncio::sleep(0);
    reader.feed_data("buffered");
    co_await asyncio::sleep(0);
    reader.set_exception(asyncio::ValueError("broken"));
    trace("after", reader.exception());
    co_await task;
    co_await traced("read", reader.read(3));
    co_await traced("zero", reader.read(0));
    co_await traced("readexactly", reader.readexactly(3));
    co_await traced("readexactly zero", reader.readexactly(0));
    co_await traced("readuntil", reader.readuntil("r"));
    co_await traced("readline", reader.readline());
    co_await traced("negative", io::lazily([reader] { return reader.readexactly(-1); }));

    reader.feed_eof();
    trace("at_eof", reader.at_eof());
}

Coroutine<void> iteration() {
    trace("== iteration");
    StreamReader reader;
    EventLoop& loop = asyncio::get_running_loop();
    loop.call_soon([reader] { reader.feed_data("one\n\ntw"); });
    loop.call_soon([reader] { reader.feed_data("o\nthree"); });
    loop.call_soon([reader] { reader.feed_eof(); });
    while (auto line = co_await anext(reader)) trace(io::show(*line));
    trace("over", reader.at_eof());
}

class Pausing : public asyncio::ReadTransport {
  public:
    void close() override {}
    [[nodiscard]] bool is_closing() const noexcept override { return false; }
    void set_protocol(std::shared_ptr<asyncio::BaseProtocol>) override {}
    [[nodiscard]] std::shared_ptr<asyncio::BaseProtocol> get_protocol() const override {
        return nullptr;
    }
    [[nodiscard]] bool is_reading() const noexcept override { return true; }
    void pause_reading() override { trace("pause_reading"); }
    void resume_reading() override { trace("resume_reading"); }
};

Coroutine<void> pausing() {
    trace("== pausing");
    StreamReader reader(4);
    reader.feed_data("no transport so far");
    co_await traced("all", reader.read(100));
    reader.set_transport(std::make_shared<Pausing>());
    reader.feed_data("12345678");
    trace("twice the limit");
    reader.feed_data("9");
    trace("more");
    reader.feed_data("0");
    co_await traced("five", reader.read(5));
    co_await traced("one", reader.read(1));
    co_await traced("three", reader.read(3));
    co_await traced("rest", reader.read(100));
}

Coroutine<void> program() {
    co_await sizes();
    co_await wakes();
    co_await lines();
    co_await separators();
    co_await incomplete();
    co_await cancelled();
    co_await two_readers();
    co_await errors();
    co_await iteration();
    co_await pausing();
}

int main() {
    asyncio::run(program());
}
