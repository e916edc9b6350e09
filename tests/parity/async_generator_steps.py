"""Async generators: a step runs in the caller's turn up to the yield, asend and athrow reach the
yield, aclose runs the clean-up, a second one does nothing, two at once are refused (rule 159)."""

import asyncio

from scenario import report, trace


async def counter(label, n):
    try:
        for i in range(n):
            got = yield i
            trace(label, "got", got)
            await asyncio.sleep(0)
    except ValueError as error:
        trace(label, "caught", error)
        yield -1
    finally:
        await asyncio.sleep(0)
        trace(label, "cleans up")


async def step(awaitable):
    try:
        return await awaitable
    except StopAsyncIteration:
        return None


async def program():
    generator = counter("a", 3)
    trace(await step(generator.__anext__()))
    trace(await step(generator.asend(10)))
    trace(await step(generator.athrow(ValueError("thrown"))))
    trace(await step(generator.__anext__()))
    trace(await step(generator.__anext__()))

    generator = counter("b", 3)
    trace(await step(generator.__anext__()))
    await generator.aclose()
    await generator.aclose()
    trace(await step(generator.__anext__()))

    generator = counter("c", 2)
    await report("send too early", generator.asend(1))
    async for item in generator:
        trace("item", item)

    generator = counter("d", 3)
    await generator.__anext__()
    busy = asyncio.create_task(step(generator.__anext__()))
    await asyncio.sleep(0)
    await report("second", step(generator.__anext__()))
    await report("first", busy)
    await generator.aclose()


asyncio.run(program())
