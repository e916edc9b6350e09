"""as_completed() in a plain loop gives one awaitable for each, whose result is that of the
next to end; on a timeout nothing is cancelled (rule 74)."""
# requires: 3.13

import asyncio

from scenario import describe, report, trace


async def child(name, delay):
    await asyncio.sleep(delay)
    if name == "bad":
        raise ValueError(name)
    return name


async def program():
    trace("begins")
    for following in asyncio.as_completed(
            [child("slow", 0.1), child("bad", 0.05), child("quick", 0)]):
        await report("next", following)

    slow = asyncio.create_task(child("slow", 0.12))
    quick = asyncio.create_task(child("quick", 0))
    for following in asyncio.as_completed([slow, quick], timeout=0.06):
        await report("next", following)
    trace("slow is", describe(slow))
    trace(await slow, quick.result())


asyncio.run(program())
