"""A task may catch the cancellation and go on: it ends normally, and cancelling() stays
raised; another error in response makes it failed (rules 37, 38)."""

import asyncio

from scenario import describe, report, trace


async def swallowing():
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        trace("swallowed")
    await asyncio.sleep(0)
    trace("goes on", asyncio.current_task().cancelling())
    return "result"


async def replacing():
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        raise ValueError("in response")


async def cleaning():
    try:
        await asyncio.sleep(10)
    finally:
        trace("cleans up")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        trace("cleaned up")


async def inner_swallows():
    # Deep down: the layers above see a value.
    value = await swallowing()
    trace("one layer up:", value)
    return value + " of the inner one"


async def cancelled_from_inside():
    # A CancelledError that nobody asked for ends the task as cancelled.
    raise asyncio.CancelledError("own")


async def program():
    trace("begins")
    for function in (swallowing, replacing, cleaning, inner_swallows):
        task = asyncio.create_task(function())
        await asyncio.sleep(0)
        trace("cancel", task.cancel(), describe(task))
        await report("program", task)
        trace(describe(task), task.cancelling())
    task = asyncio.create_task(cancelled_from_inside())
    await report("program", task)
    trace(describe(task), task.cancelling())


asyncio.run(program())
