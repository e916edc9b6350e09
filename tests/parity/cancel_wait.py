"""Cancelling wait() or as_completed() leaves the tasks alone; those that it waited for go on
(rules 72, 74)."""
# requires: 3.13

import asyncio

from scenario import describe, report, trace


async def child(name, yields):
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "ends")
    return name


async def waiting(tasks):
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError as error:
        trace("wait gets", error)
        raise


async def taking(tasks):
    async for task in asyncio.as_completed(tasks):
        trace("next is", task.result())


async def program():
    trace("begins")
    for function in (waiting, taking):
        tasks = [asyncio.create_task(child("a", 2)), asyncio.create_task(child("b", 8))]
        waiter = asyncio.create_task(function(tasks))
        for _ in range(6):
            await asyncio.sleep(0)
        trace("cancel", waiter.cancel("enough"))
        await report("waiter", waiter)
        trace([describe(task) for task in tasks], [task.cancelling() for task in tasks])
        await asyncio.wait(tasks)


asyncio.run(program())
