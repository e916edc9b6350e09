"""as_completed() gives back the caller's own tasks in the order in which they end, each once
(rule 74)."""
# requires: 3.13

import asyncio

from scenario import describe, report, trace


async def child(name, yields):
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "ends")
    if name == "bad":
        raise ValueError(name)
    return name


async def program():
    trace("begins")
    slow = asyncio.create_task(child("slow", 6), name="slow task")
    quick = asyncio.create_task(child("quick", 1), name="quick task")
    bad = asyncio.create_task(child("bad", 3), name="bad task")
    async for task in asyncio.as_completed([slow, bad, quick, slow]):
        trace("next is", task, describe(task))

    # All done before we ask: in the order in which they ended.
    a = asyncio.create_task(child("a", 2), name="task a")
    b = asyncio.create_task(child("b", 1), name="task b")
    completed = asyncio.as_completed([a, b])
    for _ in range(8):
        await asyncio.sleep(0)
    async for task in completed:
        trace("next is", task)

    # Done before as_completed() is called.
    async for task in asyncio.as_completed([a]):
        trace("next is", task)

    # Two waiters take turns.
    completed = asyncio.as_completed([
        asyncio.create_task(child("c", 2), name="task c"),
        asyncio.create_task(child("d", 4), name="task d"),
    ])

    async def taker(name):
        trace(name, "takes", await anext(completed))

    await asyncio.gather(taker("first"), taker("second"))
    trace("end")


asyncio.run(program())
