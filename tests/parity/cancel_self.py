"""A task that cancels itself goes on until an await really suspends; what is ready is passed
through; one that returns first ends cancelled all the same (rules 35, 36)."""

import asyncio

from scenario import describe, report, trace


async def immediate(value):
    return value


async def suspending(how):
    loop = asyncio.get_running_loop()
    me = asyncio.current_task()
    trace(how, "cancels itself", me.cancel("self " + how), me.cancelling())
    future = loop.create_future()
    future.set_result("done")
    trace("passes a done future", await future)
    trace("passes a coroutine", await immediate("value"))
    pending = loop.create_future()
    try:
        if how == "future":
            await pending
        elif how == "yield":
            await asyncio.sleep(0)
        elif how == "sleep":
            await asyncio.sleep(10)
        elif how == "task":
            await asyncio.create_task(asyncio.sleep(10))
        elif how == "gather":
            await asyncio.gather(pending, asyncio.sleep(10))
        trace("never")
    except asyncio.CancelledError as error:
        trace(how, "gets", error, "the future is", describe(pending))
        raise


async def returning():
    asyncio.current_task().cancel("at the end")
    return "lost"


async def failing():
    asyncio.current_task().cancel()
    raise ValueError("kept")


async def catching():
    asyncio.current_task().cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        trace("caught")
    # Delivered once.
    await asyncio.sleep(0)
    trace("goes on")
    return "kept", asyncio.current_task().cancelling()


async def program():
    trace("begins")
    for how in ("future", "yield", "sleep", "task", "gather"):
        task = asyncio.create_task(suspending(how))
        await report(how, task)
        trace(describe(task))
    await report("returning", asyncio.create_task(returning()))
    await report("failing", asyncio.create_task(failing()))
    await report("catching", asyncio.create_task(catching()))


asyncio.run(program())
