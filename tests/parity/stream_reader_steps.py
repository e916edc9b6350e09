"""StreamReader fed by hand: what each kind of read gives and leaves, limits, the end of the data,
errors, and reads that are cancelled (rules 99 to 108)."""

import asyncio

from scenario import note, trace


def q(data):
    return "'" + data.decode().replace("\n", "\\n").replace("\r", "\\r") + "'"


async def outcome(label, read):
    try:
        trace(label, q(await read))
    except asyncio.IncompleteReadError as error:
        trace(label, "incomplete", q(error.partial), str(error.expected))
    except asyncio.LimitOverrunError as error:
        trace(label, "overrun", error.consumed)
    except ValueError as error:
        trace(label, error)
    except (Exception, asyncio.CancelledError) as error:
        trace(label, type(error).__name__)


async def some():
    reader = asyncio.StreamReader()
    waiting = asyncio.create_task(outcome("read 4:", reader.read(4)))
    await asyncio.sleep(0)
    reader.feed_data(b"abcdef")
    trace("fed")
    await waiting
    await outcome("read 0:", reader.read(0))
    await outcome("read 100:", reader.read(100))
    waiting = asyncio.create_task(outcome("read 5, in pieces:", reader.read(5)))
    await asyncio.sleep(0)
    reader.feed_data(b"one")
    reader.feed_data(b"two")
    await waiting
    reader.feed_eof()
    await outcome("the rest:", reader.read())
    await outcome("at the end:", reader.read(10))
    trace(reader.at_eof())


async def everything():
    reader = asyncio.StreamReader()
    waiting = asyncio.create_task(outcome("read:", reader.read()))
    for piece in (b"a", b"bc"):
        await asyncio.sleep(0)
        reader.feed_data(piece)
    await asyncio.sleep(0)
    trace(waiting.done())
    reader.feed_eof()
    await waiting


async def lines():
    reader = asyncio.StreamReader()
    waiting = asyncio.create_task(outcome("line:", reader.readline()))
    await asyncio.sleep(0)
    reader.feed_data(b"in tw")
    await asyncio.sleep(0)
    reader.feed_data(b"o\nsecond\nth")
    await waiting
    await outcome("line:", reader.readline())
    waiting = asyncio.create_task(outcome("line:", reader.readline()))
    await asyncio.sleep(0)
    reader.feed_eof()
    await waiting
    await outcome("line:", reader.readline())


async def iteration():
    reader = asyncio.StreamReader()
    reader.feed_data(b"1\n2\n3")
    reader.feed_eof()
    async for line in reader:
        trace("iterated", q(line))


async def line_limits():
    reader = asyncio.StreamReader(limit=4)
    reader.feed_data(b"too long\nshort\n")
    await outcome("found late:", reader.readline())
    await outcome("next:", reader.read(3))
    reader = asyncio.StreamReader(limit=4)
    reader.feed_data(b"no end yet")
    await outcome("not found:", reader.readline())
    reader.feed_data(b"x\n")
    await outcome("next:", reader.readline())


async def exactly():
    reader = asyncio.StreamReader()
    reader.feed_data(b"abcdefgh")
    await outcome("exactly 3:", reader.readexactly(3))
    await outcome("exactly 0:", reader.readexactly(0))
    waiting = asyncio.create_task(outcome("exactly 8:", reader.readexactly(8)))
    await asyncio.sleep(0)
    reader.feed_data(b"ij")
    await asyncio.sleep(0)
    reader.feed_eof()
    await waiting
    await outcome("exactly 1:", reader.readexactly(1))
    try:
        await reader.readexactly(-1)
    except ValueError as error:
        trace(error)


async def until():
    reader = asyncio.StreamReader()
    waiting = asyncio.create_task(outcome("until --:", reader.readuntil(b"--")))
    for piece in (b"one-", b"-two---", b"-"):
        await asyncio.sleep(0)
        reader.feed_data(piece)
    await waiting
    await outcome("until --:", reader.readuntil(b"--"))
    await outcome("until -:", reader.readuntil(b"-"))
    await outcome("until -:", reader.readuntil(b"-"))
    waiting = asyncio.create_task(outcome("until at the end:", reader.readuntil(b"-")))
    await asyncio.sleep(0)
    reader.feed_data(b"tail")
    reader.feed_eof()
    await waiting
    trace(reader.at_eof())


async def until_limits():
    reader = asyncio.StreamReader(limit=3)
    reader.feed_data(b"abcdef--")
    await outcome("found late:", reader.readuntil(b"--"))
    await outcome("still there:", reader.readexactly(8))
    reader.feed_data(b"abcdef")
    await outcome("not found:", reader.readuntil(b"--"))
    await outcome("still there:", reader.read(100))


async def errors():
    reader = asyncio.StreamReader()
    waiting = asyncio.create_task(outcome("waiting:", reader.read(10)))
    await asyncio.sleep(0)
    reader.set_exception(ValueError("lost"))
    await waiting
    await outcome("later:", reader.readline())
    await outcome("later:", reader.readexactly(1))
    trace(reader.exception())


async def two_readers():
    reader = asyncio.StreamReader()
    first = asyncio.create_task(outcome("first:", reader.read(10)))
    await asyncio.sleep(0)
    await outcome("second:", reader.readline())
    reader.feed_data(b"data")
    await first


async def cancelled():
    reader = asyncio.StreamReader()
    for label, read in (
        ("read:", reader.read(10)),
        ("line:", reader.readline()),
        ("exactly:", reader.readexactly(5)),
        ("until:", reader.readuntil(b"xyz")),
    ):
        waiting = asyncio.create_task(outcome(label, read))
        await asyncio.sleep(0)
        if label != "read:":
            reader.feed_data(b"ab")
        waiting.cancel()
        await asyncio.wait([waiting])
    await outcome("all of it:", reader.read(100))


async def main():
    for part in (some, everything, lines, iteration, line_limits, exactly, until, until_limits,
                 errors, two_readers, cancelled):
        note("==", part.__name__)
        await part()


asyncio.run(main())
