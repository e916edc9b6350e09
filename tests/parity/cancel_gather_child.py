"""A cancelled child is an error: gather() fails with CancelledError but is not cancelled
itself; with return_exceptions it is one of the results (rule 66)."""

import asyncio

from scenario import describe, report, trace


async def child(name):
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    trace(name, "ends")
    return name


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    a, b = asyncio.create_task(child("a")), asyncio.create_task(child("b"))
    together = asyncio.gather(a, b)
    await asyncio.sleep(0)
    a.cancel("only a")
    await report("gather", together)
    trace(together.cancelled(), describe(a), describe(b))
    await b

    a, b = asyncio.create_task(child("a")), asyncio.create_task(child("b"))
    together = asyncio.gather(a, b, return_exceptions=True)
    await asyncio.sleep(0)
    a.cancel()
    await report("gather", together)

    # The one who waits for gather() is cancelled by it though nobody asked.
    async def waiting(future):
        await asyncio.gather(future)

    future = loop.create_future()
    task = asyncio.create_task(waiting(future))
    await asyncio.sleep(0)
    future.cancel("the child")
    await report("task", task)
    trace(describe(task), task.cancelling())


asyncio.run(program())
