"""Tasks start in the order they were made, after what was ready before; nothing of them runs
inside create_task() (rules 21, 22, 31)."""

import asyncio

from scenario import report, trace


async def child(name):
    trace(name, "starts")
    return name


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    loop.call_soon(trace, "callback 1")
    a = asyncio.create_task(child("a"))
    loop.call_soon(trace, "callback 2")
    b = asyncio.create_task(child("b"))
    c = asyncio.ensure_future(child("c"))
    trace("all made")

    # The last first: it is done when the program wakes, and so are the others.
    await report("c", c)
    await report("b", b)
    await report("a", a)

    # Awaiting a coroutine takes no turn; awaiting a task takes two.
    await report("plain coroutine", child("d"))
    await report("task", asyncio.create_task(child("e")))


asyncio.run(program())
