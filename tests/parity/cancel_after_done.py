"""What a task waits for is done, but the task has not resumed: cancel() still wins, and the
value or error is lost to it (rule 34)."""

import asyncio

from scenario import describe, report, trace


async def waiter(name, awaitable):
    trace(name, "waits")
    try:
        trace(name, "has", await awaitable)
    except (ValueError, asyncio.CancelledError) as error:
        trace(name, "sees", error)
        raise


async def quick():
    await asyncio.sleep(0)
    trace("quick ends")
    return "quick"


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")

    future = loop.create_future()
    a = asyncio.create_task(waiter("a", future))
    await asyncio.sleep(0)
    future.set_result("value")
    trace("cancel", a.cancel("too late?"), describe(a))
    await report("a", a)

    future = loop.create_future()
    b = asyncio.create_task(waiter("b", future))
    await asyncio.sleep(0)
    future.set_exception(ValueError("failed"))
    trace("cancel", b.cancel("too late?"), describe(b))
    await report("b", b)

    # The other way round: cancelled first, so the value finds nobody.
    future = loop.create_future()
    c = asyncio.create_task(waiter("c", future))
    await asyncio.sleep(0)
    c.cancel("first")
    trace("the future is", describe(future))
    await report("c", c)

    # A task that ended in this iteration.
    task = asyncio.create_task(quick())
    d = asyncio.create_task(waiter("d", task))
    task.add_done_callback(lambda _: d.cancel("by a callback"))
    await report("d", d)
    e = asyncio.create_task(waiter("e", asyncio.create_task(quick())))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    trace("cancel", e.cancel("in between"))
    await report("e", e)

    # Done before anybody waited: passed through, then delivered.
    future = loop.create_future()
    future.set_result("value")
    f = asyncio.create_task(waiter("f", future))
    await asyncio.sleep(0)
    trace("cancel", f.cancel(), describe(f))


asyncio.run(program())
