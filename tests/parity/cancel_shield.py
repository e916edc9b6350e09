"""Cancelling who waits behind a shield leaves the inner work alone; cancelling the inner work
cancels the waiter (rule 69)."""

import asyncio

from scenario import describe, report, trace


async def work(name, yields):
    try:
        for _ in range(yields):
            await asyncio.sleep(0)
    except asyncio.CancelledError as error:
        trace(name, "sees", error)
        raise
    trace(name, "ends")
    if name == "bad":
        raise ValueError(name)
    return name


async def waiting(awaitable):
    try:
        trace("waiter has", await asyncio.shield(awaitable))
    except asyncio.CancelledError as error:
        trace("waiter sees", error)
        raise


async def program():
    trace("begins")
    inner = asyncio.create_task(work("a", 4))
    waiter = asyncio.create_task(waiting(inner))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    trace("cancel", waiter.cancel("the waiter"))
    await report("waiter", waiter)
    trace("inner is", describe(inner), inner.cancelling())
    await report("inner", inner)

    inner = asyncio.create_task(work("b", 9))
    waiter = asyncio.create_task(waiting(inner))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    inner.cancel("the inner one")
    await report("waiter", waiter)
    trace("waiter is", describe(waiter), waiter.cancelling())

    # The shield itself.
    inner = asyncio.create_task(work("c", 3))
    shielded = asyncio.shield(inner)
    trace("cancel", shielded.cancel("the shield"), describe(shielded), describe(inner))
    await report("shield", shielded)
    await report("inner", inner)

    # One still waits: it gets the error, and there is no report.
    inner = asyncio.create_task(work("bad", 3))
    first = asyncio.create_task(waiting(inner))
    await asyncio.sleep(0)
    await report("second", asyncio.shield(inner))
    await report("first", first)
    trace("end")


asyncio.run(program())
