// StreamReader fed by hand: what each kind of read gives and leaves, limits, the end of the data,
// errors, and reads that are cancelled (rules 99 to 108).
#include "scenario.hpp"

using asyncio::StreamReader;

std::string q(const std::string& data) {
    std::string text = "'";
    for (const char c : data) text += c == '\n' ? "\\n" : c == '\r' ? "\\r" : std::string(1, c);
    return text + "'";
}

template <class Read>
Coroutine<void> outcome(std::string label, Read read) {
    try {
        trace(label, q(co_await std::move(read)));
    } catch (const asyncio::IncompleteReadError& error) {
        trace(label, "incomplete", q(error.partial()), scenario::show(error.expected()));
    } catch (const asyncio::LimitOverrunError& error) {
        trace(label, "overrun", error.consumed());
    } catch (const asyncio::ValueError& error) {
        trace(label, error);
    } catch (const std::exception& error) {
        trace(label, name(error));
    } catch (const asyncio::CancelledError& error) {
        trace(label, name(error));
    }
}

Coroutine<void> some() {
    const StreamReader reader;
    auto waiting = asyncio::create_task(outcome("read 4:", reader.read(4)));
    co_await asyncio::sleep(0);
    reader.feed_data("abcdef");
    trace("fed");
    co_await waiting;
    co_await outcome("read 0:", reader.read(0));
    co_await outcome("read 100:", reader.read(100));
    waiting = asyncio::create_task(outcome("read 5, in pieces:", reader.read(5)));
    co_await asyncio::sleep(0);
    reader.feed_data("one");
    reader.feed_data("two");
    co_await waiting;
    reader.feed_eof();
    co_await outcome("the rest:", reader.read());
    co_await outcome("at the end:", reader.read(10));
    trace(reader.at_eof());
}

Coroutine<void> everything() {
    const StreamReader reader;
    auto waiting = asyncio::create_task(outcome("read:", reader.read()));
    for (const char* piece : {"a", "bc"}) {
        co_await asyncio::sleep(0);
        reader.feed_data(piece);
    }
    co_await asyncio::sleep(0);
    trace(waiting.done());
    reader.feed_eof();
    co_await waiting;
}

Coroutine<void> lines() {
    const StreamReader reader;
    auto waiting = asyncio::create_task(outcome("line:", reader.readline()));
    co_await asyncio::sleep(0);
    reader.feed_data("in tw");
    co_await asyncio::sleep(0);
    reader.feed_data("o\nsecond\nth");
    co_await waiting;
    co_await outcome("line:", reader.readline());
    waiting = asyncio::create_task(outcome("line:", reader.readline()));
    co_await asyncio::sleep(0);
    reader.feed_eof();
    co_await waiting;
    co_await outcome("line:", reader.readline());
}

Coroutine<void> iteration() {
    const StreamReader reader;
    reader.feed_data("1\n2\n3");
    reader.feed_eof();
    while (auto line = co_await asyncio::anext(reader)) trace("iterated", q(*line));
}

Coroutine<void> line_limits() {
    const StreamReader late(4);
    late.feed_data("too long\nshort\n");
    co_await outcome("found late:", late.readline());
    co_await outcome("next:", late.read(3));
    const StreamReader reader(4);
    reader.feed_data("no end yet");
    co_await outcome("not found:", reader.readline());
    reader.feed_data("x\n");
    co_await outcome("next:", reader.readline());
}

Coroutine<void> exactly() {
    const StreamReader reader;
    reader.feed_data("abcdefgh");
    co_await outcome("exactly 3:", reader.readexactly(3));
    co_await outcome("exactly 0:", reader.readexactly(0));
    auto waiting = asyncio::create_task(outcome("exactly 8:", reader.readexactly(8)));
    co_await asyncio::sleep(0);
    reader.feed_data("ij");
    co_await asyncio::sleep(0);
    reader.feed_eof();
    co_await waiting;
    co_await outcome("exactly 1:", reader.readexactly(1));
    try {
        co_await reader.readexactly(-1);
    } catch (const asyncio::ValueError& error) {
        trace(error);
    }
}

Coroutine<void> until() {
    const StreamReader reader;
    auto waiting = asyncio::create_task(outcome("until --:", reader.readuntil("--")));
    for (const char* piece : {"one-", "-two---", "-"}) {
        co_await asyncio::sleep(0);
        reader.feed_data(piece);
    }
    co_await waiting;
    co_await outcome("until --:", reader.readuntil("--"));
    co_await outcome("until -:", reader.readuntil("-"));
    co_await outcome("until -:", reader.readuntil("-"));
    waiting = asyncio::create_task(outcome("until at the end:", reader.readuntil("-")));
    co_await asyncio::sleep(0);
    reader.feed_data("tail");
    reader.feed_eof();
    co_await waiting;
    trace(reader.at_eof());
}

Coroutine<void> until_limits() {
    const StreamReader reader(3);
    reader.feed_data("abcdef--");
    co_await outcome("found late:", reader.readuntil("--"));
    co_await outcome("still there:", reader.readexactly(8));
    reader.feed_data("abcdef");
    co_await outcome("not found:", reader.readuntil("--"));
    co_await outcome("still there:", reader.read(100));
}

Coroutine<void> errors() {
    const StreamReader reader;
    auto waiting = asyncio::create_task(outcome("waiting:", reader.read(10)));
    co_await asyncio::sleep(0);
    reader.set_exception(asyncio::ValueError("lost"));
    co_await waiting;
    co_await outcome("later:", reader.readline());
    co_await outcome("later:", reader.readexactly(1));
    trace(reader.exception());
}

Coroutine<void> two_readers() {
    const StreamReader reader;
    auto first = asyncio::create_task(outcome("first:", reader.read(10)));
    co_await asyncio::sleep(0);
    co_await outcome("second:", reader.readline());
    reader.feed_data("data");
    co_await first;
}

template <class Read>
Coroutine<void> cancel_one(const StreamReader& reader, std::string label, Read read, bool feeds) {
    auto waiting = asyncio::create_task(outcome(label, std::move(read)));
    co_await asyncio::sleep(0);
    if (feeds) reader.feed_data("ab");
    waiting.cancel();
    static_cast<void>(co_await asyncio::wait(std::vector{waiting}));
}

Coroutine<void> cancelled() {
    const StreamReader reader;
    co_await cancel_one(reader, "read:", reader.read(10), false);
    co_await cancel_one(reader, "line:", reader.readline(), true);
    co_await cancel_one(reader, "exactly:", reader.readexactly(5), true);
    co_await cancel_one(reader, "until:", reader.readuntil("xyz"), true);
    co_await outcome("all of it:", reader.read(100));
}

Coroutine<void> program() {
    using Part = std::pair<const char*, Coroutine<void> (*)()>;
    for (const auto& [name, part] :
         {Part{"some", some}, Part{"everything", everything}, Part{"lines", lines},
          Part{"iteration", iteration}, Part{"line_limits", line_limits}, Part{"exactly", exactly},
          Part{"until", until}, Part{"until_limits", until_limits}, Part{"errors", errors},
          Part{"two_readers", two_readers}, Part{"cancelled", cancelled}}) {
        note("==", name);
        co_await part();
    }
}

int main() {
    asyncio::run(program());
}
