"""The first error completes gather() at once; siblings run on, and their errors count as
retrieved; with return_exceptions errors are results (rules 65, 66)."""

import asyncio

from scenario import collect, describe, listen, report, trace


async def good(name, yields):
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "ends")
    return name


async def bad(name, yields):
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "fails")
    raise ValueError(name)


async def program():
    listen(asyncio.get_running_loop())
    trace("begins")

    slow = asyncio.create_task(good("slow", 4))
    later = asyncio.create_task(bad("later", 3))
    await report("gather", asyncio.gather(slow, bad("first", 1), later, good("quick", 0)))
    trace("slow is", describe(slow))
    await slow
    # Nobody looked at its error but gather(): no report.
    trace("later is", describe(later))
    del slow, later
    collect()

    # Two errors in one iteration: the one that came first.
    await report("gather", asyncio.gather(bad("b", 1), bad("c", 1)))
    await report("gather", asyncio.gather(good("d", 2), bad("e", 2), bad("f", 1)))

    results = await asyncio.gather(
        bad("g", 2), good("h", 0), bad("i", 0), return_exceptions=True)
    trace("outcomes", results)
    collect()
    trace("end")


asyncio.run(program())
