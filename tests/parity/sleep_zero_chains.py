"""sleep(0) gives up exactly one iteration, whoever else does the same (rules 6, 46)."""

import asyncio

from scenario import trace


async def stepper(name, steps):
    for step in range(steps):
        trace(name, "step", step)
        await asyncio.sleep(0)
    trace(name, "done")


async def deep(depth):
    if depth > 0:
        return await deep(depth - 1) + 1
    await asyncio.sleep(0)
    return 0


async def program():
    trace("begins")
    a = asyncio.create_task(stepper("a", 3))
    b = asyncio.create_task(stepper("b", 1))
    c = asyncio.create_task(stepper("c", 4))
    trace("waits for a")
    await a
    trace("a is done; waits for b and c")
    await b
    trace("b was done")
    await c
    trace("c is done")

    # A yield deep inside costs as much as one at the top.
    trace("depth", await deep(5))
    # A negative delay and a result.
    await asyncio.sleep(-1)
    trace("after a negative delay")
    trace("result", await asyncio.sleep(0, "kept"))


asyncio.run(program())
