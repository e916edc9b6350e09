"""Callbacks run in the order they were scheduled; what they schedule waits for the next
iteration; cancelled ones never run; one that fails stops nobody (rules 1, 12)."""

import asyncio

from scenario import listen, trace


def nested(loop, name, depth):
    trace(name, depth)
    if depth > 0:
        loop.call_soon(nested, loop, name, depth - 1)


def fail():
    trace("fails")
    raise ValueError("callback")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    listen(loop)

    loop.call_soon(nested, loop, "a", 2)
    loop.call_soon(nested, loop, "b", 1)
    cancelled = loop.call_soon(trace, "never")
    loop.call_soon(fail)
    loop.call_soon(nested, loop, "c", 0)
    cancelled.cancel()
    trace("cancelled:", cancelled.cancelled())
    await asyncio.sleep(0)
    trace("program goes on")
    await asyncio.sleep(0)
    trace("and again")

    # A callback cancels another one that is ready already, in the same iteration.
    victim = asyncio.Future()
    loop.call_soon(lambda: victim.result().cancel())
    victim.set_result(loop.call_soon(trace, "never"))
    loop.call_soon(trace, "after the victim")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    trace("end")


asyncio.run(program())
