"""A task that awaits itself gets RuntimeError, one iteration later; through another task it
would wait for ever, until somebody cancels (rule 42)."""

import asyncio

from scenario import describe, report, trace


async def directly():
    trace("awaits itself")
    try:
        await asyncio.current_task()
    except RuntimeError as error:
        trace("sees", error)
    await asyncio.sleep(0)
    return "went on"


async def failing():
    await asyncio.current_task()


async def one(tasks):
    trace("one awaits two")
    await tasks[1]


async def two(tasks):
    trace("two awaits one")
    try:
        await tasks[0]
    except asyncio.CancelledError as error:
        trace("two sees", error)
        raise


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    task = asyncio.create_task(directly())
    loop.call_soon(trace, "callback")
    await report("task", task)
    task = asyncio.create_task(failing())
    await report("task", task)
    trace(describe(task))

    # In a circle, cancelled from outside at one end. (Cancelling a task in the circle goes
    # round for ever.)
    tasks = []
    future = loop.create_future()
    tasks.append(asyncio.create_task(one(tasks)))
    tasks.append(asyncio.create_task(two([future])))
    await asyncio.sleep(0)
    future.cancel("the circle is cut")
    await report("one", tasks[0])
    trace(describe(tasks[0]), describe(tasks[1]))


asyncio.run(program())
