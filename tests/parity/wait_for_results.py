"""wait_for() runs a coroutine in the calling task and costs no iteration of its own; a
timeout of zero starts nothing (rules 51, 52)."""
# requires: 3.12

import asyncio

from scenario import describe, report, trace


async def child(name, yields):
    trace(name, "runs in", asyncio.current_task())
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "ends")
    if name == "bad":
        raise ValueError(name)
    return name


async def program():
    loop = asyncio.get_running_loop()
    asyncio.current_task().set_name("main")
    trace("begins")
    await report("at once", asyncio.wait_for(child("a", 0), 10))
    await report("yields", asyncio.wait_for(child("b", 2), 10))
    await report("no limit", asyncio.wait_for(child("c", 1), None))
    await report("error", asyncio.wait_for(child("bad", 1), 10))
    task = asyncio.create_task(child("d", 1), name="task d")
    await report("task", asyncio.wait_for(task, 10))

    # Zero: what is done counts, what has not started never does.
    await report("done", asyncio.wait_for(task, 0))
    await report("zero", asyncio.wait_for(child("never", 0), 0))
    await report("negative", asyncio.wait_for(child("never", 0), -1))
    future = loop.create_future()
    await report("future", asyncio.wait_for(future, 0))
    trace("future", describe(future))
    running = asyncio.create_task(child("e", 9), name="task e")
    await asyncio.sleep(0)
    await report("running", asyncio.wait_for(running, 0))
    trace("running", describe(running))

    # Time passes.
    future = loop.create_future()
    await report("late", asyncio.wait_for(future, 0.03))
    trace("future", describe(future))
    await report("in time", asyncio.wait_for(asyncio.sleep(0.02, "slept"), 10))


asyncio.run(program())
