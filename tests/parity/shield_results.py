"""shield() hands results and errors through, one iteration later than the inner one would;
a done one is given back as it is (rule 69)."""

import asyncio

from scenario import describe, report, trace


async def child(name, yields):
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "ends")
    if name == "bad":
        raise ValueError(name)
    return name


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    task = asyncio.create_task(child("a", 1))
    shielded = asyncio.shield(task)
    shielded.add_done_callback(lambda _: trace("shield is done"))
    task.add_done_callback(lambda _: trace("task is done"))
    await report("shield", shielded)
    trace("task", describe(task))

    await report("coroutine", asyncio.shield(child("b", 0)))
    await report("error", asyncio.shield(child("bad", 0)))
    await report("twice", asyncio.shield(asyncio.shield(child("c", 0))))
    await report("done", asyncio.shield(task))

    # Two shields of one future, completed in the order they were made.
    future = loop.create_future()
    first = asyncio.shield(future)
    second = asyncio.shield(future)
    second.add_done_callback(lambda _: trace("second"))
    first.add_done_callback(lambda _: trace("first"))
    future.add_done_callback(lambda _: trace("future itself"))
    future.set_result(1)
    trace(describe(first))
    await asyncio.gather(first, second)
    trace("end")


asyncio.run(program())
