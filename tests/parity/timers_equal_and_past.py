"""Two timers of one deadline run in the order they were made (about more, CPython promises
nothing), past deadlines in their own order; neither runs inline nor before what is ready
already (rules 4, 5, 6)."""

import asyncio

from scenario import block, trace


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")

    when = loop.time() + 0.02
    loop.call_at(when, trace, "first of two")
    loop.call_at(when, trace, "second of two")
    await asyncio.sleep(0.1)
    trace("the two were together")
    await asyncio.sleep(0.03)

    # Zero delays are timers: behind callbacks made later.
    loop.call_later(0, trace, "zero")
    loop.call_soon(trace, "soon")
    loop.call_later(-1, trace, "one second ago")
    loop.call_later(-2, trace, "two seconds ago")
    trace("made")
    await asyncio.sleep(0)
    trace("program")
    await asyncio.sleep(0)

    # One made by a callback in the same iteration waits for the next.
    loop.call_soon(loop.call_later, -1, trace, "made by a callback")
    loop.call_soon(trace, "the callback after it")
    await asyncio.sleep(0)
    trace("program")
    await asyncio.sleep(0)
    trace("end")

    # A cancelled timer between two others, and one cancelled by the one before it.
    loop.call_later(0.001, trace, "before")
    gone = loop.call_later(0.002, trace, "never")
    victim = loop.call_later(0.004, trace, "never")
    loop.call_later(0.003, victim.cancel)
    loop.call_later(0.005, trace, "after")
    gone.cancel()
    block(0.03)
    await asyncio.sleep(0)
    trace("program")
    await asyncio.sleep(0)
    trace("end")


asyncio.run(program())
