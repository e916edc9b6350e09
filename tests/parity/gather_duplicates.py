"""The same awaitable given twice runs once and fills every place (rule 64)."""

import asyncio

from scenario import report, trace


async def child(name):
    trace(name, "starts")
    await asyncio.sleep(0)
    trace(name, "ends")
    return name


async def failing():
    trace("failing")
    raise ValueError("once")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    a = asyncio.create_task(child("a"))
    b = asyncio.create_task(child("b"))
    trace(await asyncio.gather(a, b, a, a, b))

    future = loop.create_future()
    loop.call_soon(future.set_result, "f")
    trace(await asyncio.gather(future, a, future))

    task = asyncio.create_task(failing())
    await report("gather", asyncio.gather(task, task))
    task = asyncio.create_task(failing())
    trace(await asyncio.gather(task, task, return_exceptions=True))

    # wait() takes a duplicate once.
    c = asyncio.create_task(child("c"))
    done, pending = await asyncio.wait([c, c])
    trace(len(done), len(pending))


asyncio.run(program())
