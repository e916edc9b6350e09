"""An error behind a shield that finds nobody any more is told to the exception handler, once
however many shields there were (rule 70)."""
# requires: 3.14

import asyncio

from scenario import describe, listen, trace


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
    listen(asyncio.get_running_loop())
    trace("begins")
    inner = asyncio.create_task(work("bad", 3))
    first = asyncio.create_task(waiting(inner))
    second = asyncio.create_task(waiting(inner))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.wait([first, second])
    await asyncio.wait([inner])
    await asyncio.sleep(0)
    trace("inner is", describe(inner))

    # A result is nobody's loss.
    inner = asyncio.create_task(work("good", 2))
    first = asyncio.create_task(waiting(inner))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first, inner])
    trace("inner is", describe(inner))


asyncio.run(program())
