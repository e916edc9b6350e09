"""uncancel() counts down, never below zero; at zero a cancellation that was not delivered yet
is withdrawn (rules 40, 41)."""
# requires: 3.13

import asyncio

from scenario import describe, report, trace


async def child(name):
    trace(name, "starts")
    await asyncio.sleep(0)
    trace(name, "ends")
    return name


async def counting():
    me = asyncio.current_task()
    trace("cancelling", me.cancelling())
    me.cancel()
    me.cancel()
    trace("cancelling", me.cancelling())
    trace("uncancel", me.uncancel(), me.uncancel(), me.uncancel())
    # Nothing is left to deliver.
    await asyncio.sleep(0)
    trace("goes on")
    me.cancel("one")
    me.cancel("two")
    me.uncancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError as error:
        trace("one is left:", error, me.cancelling())
    trace("uncancel", me.uncancel())
    await asyncio.sleep(0)
    return "counted"


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    await report("counting", asyncio.create_task(counting()))

    # Before the first step.
    a = asyncio.create_task(child("a"))
    a.cancel()
    trace("uncancel", a.uncancel())
    await report("a", a)

    # While it waits the future is cancelled at once: uncancel() comes too late.
    b = asyncio.create_task(child("b"))
    future = loop.create_future()
    c = asyncio.create_task(report("c", future))
    await asyncio.sleep(0)
    b.cancel()
    c.cancel()
    trace("uncancel", b.uncancel(), c.uncancel(), describe(future))
    await report("b", b)
    await c

    # A future that is done keeps the request with the task.
    done = loop.create_future()
    d = asyncio.create_task(report("d", done))
    await asyncio.sleep(0)
    done.set_result("value")
    d.cancel()
    trace("uncancel", d.uncancel())
    await d


asyncio.run(program())
