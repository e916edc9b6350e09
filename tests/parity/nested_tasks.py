"""Tasks that make tasks: a tree started breadth first, and joined from the leaves up."""

import asyncio

from scenario import trace


async def node(name, depth):
    trace(name, "starts")
    total = 1
    if depth > 0:
        left = asyncio.create_task(node(name + "l", depth - 1))
        right = asyncio.create_task(node(name + "r", depth - 1))
        total += await right
        trace(name, "has its right side")
        total += await left
    trace(name, "ends with", total)
    return total


async def detached(name, levels):
    trace(name, "at level", levels)
    if levels > 0:
        return asyncio.create_task(detached(name, levels - 1))
    return None


async def program():
    trace("begins")
    trace("tree of", await asyncio.create_task(node("t", 2)))

    # A task whose result is a task, and so on.
    task = asyncio.create_task(detached("d", 2))
    while task is not None:
        task = await task
    trace("end")


asyncio.run(program())
