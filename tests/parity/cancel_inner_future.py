"""Cancelling what a task waits for, from outside, ends the task as cancelled though nobody
asked it; it may catch that, too (rule 39)."""

import asyncio

from scenario import describe, report, trace


async def waiter(name, future):
    try:
        await future
    except asyncio.CancelledError as error:
        trace(name, "sees", error, asyncio.current_task().cancelling())
        if name == "catching":
            return "went on"
        raise


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    future = loop.create_future()
    a = asyncio.create_task(waiter("a", future))
    b = asyncio.create_task(waiter("catching", future))
    await asyncio.sleep(0)
    trace("cancel", future.cancel("the future"), describe(a), a.cancelling())
    await report("a", a)
    trace(describe(a), a.cancelling())
    await report("b", b)

    # The same with a task in the middle of a chain.
    bottom = loop.create_future()
    middle = asyncio.create_task(waiter("middle", bottom))
    top = asyncio.create_task(waiter("top", middle))
    await asyncio.sleep(0)
    middle.cancel("the middle")
    await report("top", top)
    trace(describe(bottom), describe(middle), describe(top))
    trace(middle.cancelling(), top.cancelling())

    # Several await the task that is cancelled.
    task = asyncio.create_task(asyncio.sleep(10))
    c = asyncio.create_task(waiter("c", task))
    d = asyncio.create_task(waiter("catching", task))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([c, d])
    trace(describe(c), describe(d))


asyncio.run(program())
