"""A second cancel() interrupts what the first one started; cleanup that shields itself is
left in peace."""

import asyncio

from scenario import describe, report, trace


async def cleanup(yields):
    for step in range(yields):
        trace("cleanup step", step)
        await asyncio.sleep(0)
    trace("cleaned up")


async def careless():
    try:
        await asyncio.sleep(10)
    finally:
        trace("careless cleans up")
        await cleanup(3)


async def careful():
    try:
        await asyncio.sleep(10)
    finally:
        trace("careful cleans up")
        await asyncio.shield(asyncio.create_task(cleanup(3)))


async def program():
    trace("begins")
    for function in (careless, careful):
        task = asyncio.create_task(function())
        await asyncio.sleep(0)
        task.cancel("first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel("second")
        trace("asked again", describe(task), task.cancelling())
        await report("task", task)
        for _ in range(5):
            await asyncio.sleep(0)


asyncio.run(program())
