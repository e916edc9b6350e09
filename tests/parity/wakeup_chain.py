"""A chain of tasks, each awaiting the next: one iteration for each link on the way back,
none for coroutines in between (rule 22)."""

import asyncio

from scenario import trace


async def through_tasks(depth):
    trace("task", depth, "starts")
    if depth > 0:
        value = await asyncio.create_task(through_tasks(depth - 1))
    else:
        value = 0
    trace("task", depth, "ends")
    return value + 1


async def through_coroutines(depth):
    if depth > 0:
        value = await through_coroutines(depth - 1)
    else:
        value = await asyncio.create_task(asyncio.sleep(0, 0))
    trace("coroutine", depth, "ends")
    return value + 1


async def failing(depth):
    if depth == 0:
        raise ValueError("from the bottom")
    try:
        await asyncio.create_task(failing(depth - 1))
    except ValueError as error:
        trace("task", depth, "sees", error)
        raise


async def program():
    trace("begins")
    trace("result", await through_tasks(3))
    trace("result", await through_coroutines(3))
    try:
        await failing(3)
    except ValueError as error:
        trace("program sees", error)


asyncio.run(program())
