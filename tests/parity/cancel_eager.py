"""An eager task that is blocked is cancelled like any other; one that ended at once cannot
be; one may cancel itself, or the task that made it (rules 35, 50)."""
# requires: 3.12

import asyncio

from scenario import describe, report, trace


async def blocked(future):
    trace("blocks")
    try:
        await future
    except asyncio.CancelledError as error:
        trace("sees", error)
        raise


async def ends():
    return "ended"


async def cancels(task):
    trace("cancels", task.cancel("by an eager task"))
    return "done"


async def cancels_itself():
    asyncio.current_task().cancel("itself")
    await asyncio.sleep(0)
    trace("never")


async def returns_cancelled():
    asyncio.current_task().cancel("at the end")


async def parent():
    child = asyncio.create_task(cancels(asyncio.current_task()))
    trace("parent goes on", describe(child))
    await asyncio.sleep(0)
    trace("never")


async def program():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    trace("begins")
    task = asyncio.create_task(blocked(loop.create_future()))
    trace("cancel", task.cancel("blocked"), describe(task))
    await report("blocked", task)

    task = asyncio.create_task(ends())
    trace("cancel", task.cancel(), describe(task))
    await report("ended", task)

    task = asyncio.create_task(cancels_itself())
    trace(describe(task))
    await report("itself", task)
    task = asyncio.create_task(returns_cancelled())
    trace(describe(task))
    await report("at the end", task)
    await report("parent", asyncio.create_task(parent()))


asyncio.run(program())
