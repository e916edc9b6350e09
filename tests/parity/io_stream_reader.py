"""StreamReader fed by hand, ten scenarios: how much each read takes, when it wakes, what
errors carry, what a cancellation and an error leave in the buffer, when the transport is told
to pause."""

import asyncio

from io_scenario import said, show, traced
from scenario import trace


async def sizes():
    trace("== sizes")
    reader = asyncio.StreamReader()
    await traced("nothing", reader.read(0))
    reader.feed_data(b"abcdefgh")
    reader.feed_data(b"")
    await traced("three", reader.read(3))
    await traced("none", reader.read(0))
    await traced("two", reader.readexactly(2))
    await traced("zero", reader.readexactly(0))
    await traced("more than there is", reader.read(100))
    reader.feed_data(b"ij")
    trace("at_eof", reader.at_eof())
    reader.feed_eof()
    trace("at_eof", reader.at_eof())
    await traced("all", reader.read())
    trace("at_eof", reader.at_eof())
    await traced("more", reader.read(5))
    await traced("line", reader.readline())
    await traced("rest", reader.read(-1))
    await traced("zero", reader.readexactly(0))
    for limit in (0, -1):
        try:
            asyncio.StreamReader(limit)
        except ValueError as error:
            trace(error)


async def wakes():
    trace("== wakes")
    for label, how in (
        ("read(4)", lambda reader: reader.read(4)),
        ("read()", lambda reader: reader.read()),
        ("readexactly(4)", lambda reader: reader.readexactly(4)),
        ("readline()", lambda reader: reader.readline()),
        ("readuntil(';;')", lambda reader: reader.readuntil(b";;")),
    ):
        reader = asyncio.StreamReader()
        task = asyncio.create_task(traced(label, how(reader)))
        for piece in (b"a", b";", b";\n", b"b\nc"):
            await asyncio.sleep(0)
            trace("feeds", show(piece))
            reader.feed_data(piece)
        reader.feed_eof()
        await task
        await traced("left", reader.read())


async def lines():
    trace("== lines")
    reader = asyncio.StreamReader(limit=4)
    reader.feed_data(b"ab\ncdef\nghijk\nlm\n\n")
    for _ in range(5):
        await traced("line", reader.readline())
    reader.feed_data(b"nopqrstu")
    await traced("too long so far", reader.readline())
    reader.feed_data(b"vw")
    reader.feed_eof()
    await traced("unfinished", reader.readline())
    await traced("end", reader.readline())
    # In two pieces, the second of which makes it too long.
    reader = asyncio.StreamReader(limit=4)
    task = asyncio.create_task(traced("waiting", reader.readline()))
    await asyncio.sleep(0)
    reader.feed_data(b"abc")
    await asyncio.sleep(0)
    reader.feed_data(b"def\nxy\n")
    await task
    await traced("next", reader.readline())


async def separators():
    trace("== separators")
    reader = asyncio.StreamReader(limit=8)
    await traced("empty", reader.readuntil(b""))
    reader.feed_data(b"one--two-")
    await traced("whole", reader.readuntil(b"--"))
    task = asyncio.create_task(traced("straddling", reader.readuntil(b"--")))
    await asyncio.sleep(0)
    reader.feed_data(b"-")
    await task
    reader.feed_data(b"eightlet--")
    await traced("as long as the limit", reader.readuntil(b"--"))
    reader.feed_data(b"nineletrs--")
    await traced("found but too long", reader.readuntil(b"--"))
    await traced("which stays", reader.readexactly(11))
    reader.feed_data(b"nine and more-")
    await traced("not found", reader.readuntil(b"--"))
    await traced("which stays", reader.read(100))


async def incomplete():
    trace("== incomplete")
    for label, how in (
        ("readexactly", lambda reader: reader.readexactly(6)),
        ("readuntil", lambda reader: reader.readuntil(b"::")),
    ):
        reader = asyncio.StreamReader()
        task = asyncio.create_task(traced(label, how(reader)))
        await asyncio.sleep(0)
        reader.feed_data(b"abc")
        await asyncio.sleep(0)
        reader.feed_data(b"de")
        reader.feed_eof()
        await task
        await traced("left", reader.read())
        await traced("again", how(reader))
    await traced("negative", asyncio.StreamReader().readexactly(-1))


async def cancelled():
    trace("== cancelled")
    for label, how in (
        ("read", lambda reader: reader.read(100)),
        ("readexactly", lambda reader: reader.readexactly(6)),
        ("readline", lambda reader: reader.readline()),
        ("readuntil", lambda reader: reader.readuntil(b"::")),
    ):
        reader = asyncio.StreamReader()
        task = asyncio.create_task(traced(label, how(reader)))
        await asyncio.sleep(0)
        task.cancel("no more")
        await asyncio.wait([task])
        reader.feed_data(b"kept")
        await traced("next", reader.read(100))

        # With a part of it there.
        if label != "read":
            task = asyncio.create_task(traced(label, how(reader)))
            await asyncio.sleep(0)
            reader.feed_data(b"part")
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await traced("left", reader.read(100))

    # Data and cancellation in the same iteration.
    reader = asyncio.StreamReader()
    task = asyncio.create_task(traced("both", reader.read(100)))
    await asyncio.sleep(0)
    reader.feed_data(b"kept")
    task.cancel()
    await asyncio.wait([task])
    await traced("left", reader.read(100))

    reader = asyncio.StreamReader()
    await traced("timeout", asyncio.wait_for(reader.readexactly(4), 0.02))
    reader.feed_data(b"late")
    await traced("then", reader.readexactly(4))


async def two_readers():
    trace("== two readers")
    reader = asyncio.StreamReader()
    first = asyncio.create_task(traced("first", reader.read(1)))
    await asyncio.sleep(0)
    for how in (reader.read(1), reader.readline(), reader.readexactly(2)):
        try:
            await how
        except RuntimeError as error:
            trace(said(error))
    reader.feed_data(b"abc")
    await first
    await traced("left", reader.read(10))


async def errors():
    trace("== errors")
    reader = asyncio.StreamReader()
    trace("before", reader.exception())
    task = asyncio.create_task(traced("waiting", reader.readline()))
    await asyncio.sleep(0)
    reader.feed_data(b"buffered")
    await asyncio.sleep(0)
    reader.set_exception(ValueError("broken"))
    trace("after", reader.exception())
    await task
    await traced("read", reader.read(3))
    await traced("zero", reader.read(0))
    await traced("readexactly", reader.readexactly(3))
    await traced("readexactly zero", reader.readexactly(0))
    await traced("readuntil", reader.readuntil(b"r"))
    await traced("readline", reader.readline())
    await traced("negative", reader.readexactly(-1))
    reader.feed_eof()
    trace("at_eof", reader.at_eof())


async def iteration():
    trace("== iteration")
    reader = asyncio.StreamReader()
    asyncio.get_running_loop().call_soon(reader.feed_data, b"one\n\ntw")
    asyncio.get_running_loop().call_soon(reader.feed_data, b"o\nthree")
    asyncio.get_running_loop().call_soon(reader.feed_eof)
    async for line in reader:
        trace(show(line))
    trace("over", reader.at_eof())


class Pausing(asyncio.ReadTransport):
    def pause_reading(self):
        trace("pause_reading")

    def resume_reading(self):
        trace("resume_reading")


async def pausing():
    trace("== pausing")
    reader = asyncio.StreamReader(limit=4)
    reader.feed_data(b"no transport so far")
    await traced("all", reader.read(100))
    reader.set_transport(Pausing())
    reader.feed_data(b"12345678")
    trace("twice the limit")
    reader.feed_data(b"9")
    trace("more")
    reader.feed_data(b"0")
    await traced("five", reader.read(5))
    await traced("one", reader.read(1))
    await traced("three", reader.read(3))
    await traced("rest", reader.read(100))


async def program():
    await sizes()
    await wakes()
    await lines()
    await separators()
    await incomplete()
    await cancelled()
    await two_readers()
    await errors()
    await iteration()
    await pausing()


asyncio.run(program())
