"""Children that are done already cost gather() no iteration."""
# requires: 3.12

import asyncio

from scenario import describe, report, trace


async def child(name):
    return name


async def failing():
    raise ValueError("early")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    future = loop.create_future()
    future.set_result("future")
    task = asyncio.create_task(child("task"))
    await task
    loop.call_soon(trace, "callback")

    together = asyncio.gather(task, future)
    trace("all done:", describe(together))
    trace(await together)

    mixed = asyncio.gather(task, asyncio.create_task(child("new")), future)
    trace("one is not:", describe(mixed))
    trace(await mixed)

    error = asyncio.create_task(failing())
    await report("failing", error)
    broken = asyncio.gather(task, error, future)
    trace("one failed:", describe(broken))
    await report("broken", broken)
    broken = asyncio.gather(task, error, return_exceptions=True)
    trace("one failed:", describe(broken))
    trace(await broken)

    cancelled = loop.create_future()
    cancelled.cancel("gone")
    broken = asyncio.gather(future, cancelled)
    trace("cancelled:", broken.done(), broken.cancelled())
    await report("broken", broken)


asyncio.run(program())
