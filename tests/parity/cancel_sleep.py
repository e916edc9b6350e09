"""A cancelled sleep wakes in the next iteration and leaves no timer; one whose timer came due
in this very iteration is cancelled all the same (rules 34, 46)."""

import asyncio

from scenario import block, describe, report, trace


async def sleeper(name, delay):
    trace(name, "sleeps")
    try:
        await asyncio.sleep(delay)
        trace(name, "slept")
    except asyncio.CancelledError as error:
        trace(name, "sees", error)
        raise
    return name


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    a = asyncio.create_task(sleeper("a", 10))
    await asyncio.sleep(0)
    loop.call_soon(trace, "scheduled before")
    trace("cancel", a.cancel("a"))
    loop.call_soon(trace, "scheduled after")
    await report("a", a)

    # A callback cancels it in the iteration in which its timer is due: before the timer's
    # turn, and after it.
    b = asyncio.create_task(sleeper("b", 0.01))
    await asyncio.sleep(0)
    block(0.03)

    def cancel_b():
        loop.call_soon(trace, "scheduled before")
        trace("cancel", b.cancel("before the timer"), describe(b))
        loop.call_soon(trace, "scheduled after")

    loop.call_soon(cancel_b)
    await report("b", b)

    c = asyncio.create_task(sleeper("c", 0.01))
    await asyncio.sleep(0)

    def cancel_c():
        trace("cancel", c.cancel("after the timer"), describe(c))

    loop.call_later(0.02, cancel_c)
    block(0.04)
    await report("c", c)

    # Once it woke it is too late for the sleep, but not for what comes next.
    d = asyncio.create_task(sleeper("d", 0.01))
    await report("d", d)
    trace("cancel", d.cancel())

    # sleep(0) is no timer: the request is delivered when its turn comes.
    e = asyncio.create_task(sleeper("e", 0))
    await asyncio.sleep(0)
    loop.call_soon(trace, "scheduled before")
    trace("cancel", e.cancel("e"))
    loop.call_soon(trace, "scheduled after")
    await report("e", e)


asyncio.run(program())
