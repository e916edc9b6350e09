"""cancel() reaches down to what is awaited in the end, and the error comes back up one link
each iteration (rules 22, 32)."""

import asyncio

from scenario import describe, report, trace


async def link(depth, future):
    trace("link", depth, "starts")
    try:
        if depth > 0:
            await asyncio.create_task(link(depth - 1, future))
        else:
            await future
    except asyncio.CancelledError as error:
        trace("link", depth, "sees", error, asyncio.current_task().cancelling())
        raise
    finally:
        trace("link", depth, "leaves")


async def refusing(future):
    try:
        await future
    except asyncio.CancelledError:
        trace("refused")
    return "a value after all"


async def outer(task):
    trace("outer gets", await task)
    await asyncio.sleep(0)
    return "outer was never cancelled"


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    future = loop.create_future()
    task = asyncio.create_task(link(3, future))
    for _ in range(5):
        await asyncio.sleep(0)
    trace("cancel", task.cancel("from the top"), describe(future), describe(task))
    loop.call_soon(trace, "callback")
    await report("task", task)

    # The bottom refuses: nothing comes up but its value.
    inner = asyncio.create_task(refusing(loop.create_future()))
    task = asyncio.create_task(outer(inner))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    trace("cancel", task.cancel())
    await report("task", task)
    trace(describe(inner), task.cancelling(), inner.cancelling())


asyncio.run(program())
