"""wait_for() on expiry waits for the inner work to wind down; what that gives counts; a
cancellation of the waiter reaches the inner work (rules 53, 54, 55)."""
# requires: 3.12

import asyncio

from scenario import describe, report, trace


async def work(how):
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        trace(how, "sees", error)
        await asyncio.sleep(0)
        trace(how, "wound down")
        if how == "failing":
            raise ValueError(how)
        if how == "returning":
            return how
        raise


async def waiting(awaitable, timeout):
    return await asyncio.wait_for(awaitable, timeout)


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    for how in ("obeying", "failing", "returning"):
        await report(how, asyncio.wait_for(work(how), 0.02))
        task = asyncio.create_task(work(how))
        await report("task", asyncio.wait_for(task, 0.02))
        trace("task is", describe(task))

    # Cancelled before the time is up.
    for how in ("obeying", "failing", "returning"):
        task = asyncio.create_task(waiting(work(how), 10))
        await asyncio.sleep(0)
        task.cancel("from outside")
        await report("waiter", task)
        trace("waiter is", describe(task), task.cancelling())
    inner = asyncio.create_task(work("obeying"))
    task = asyncio.create_task(waiting(inner, 10))
    await asyncio.sleep(0)
    task.cancel("from outside")
    await report("waiter", task)
    trace("inner is", describe(inner), inner.cancelling())

    # The inner task is cancelled by somebody else.
    inner = asyncio.create_task(work("obeying"))
    task = asyncio.create_task(waiting(inner, 10))
    await asyncio.sleep(0)
    inner.cancel("the inner one")
    await report("waiter", task)

    # Behind a shield it runs on.
    inner = asyncio.create_task(asyncio.sleep(0.06, "ran on"))
    await report("shielded", asyncio.wait_for(asyncio.shield(inner), 0.02))
    await report("inner", inner)

    # The expiry and an outside cancellation together: the outside one wins.
    async def both():
        await asyncio.wait_for(loop.create_future(), 0)

    task = asyncio.create_task(both())
    await asyncio.sleep(0)
    task.cancel("meanwhile")
    await report("both", task)


asyncio.run(program())
