"""timeout() and cancellations from elsewhere: only its own request becomes a TimeoutError
(rules 56, 57, 62)."""
# requires: 3.13

import asyncio

from scenario import block, describe, report, trace


async def limited(delay, future):
    try:
        async with asyncio.timeout(delay) as limit:
            try:
                trace("has", await future)
            except asyncio.CancelledError as error:
                trace("inside:", error, asyncio.current_task().cancelling())
                raise
    finally:
        trace("expired", limit.expired(), "cancelling", asyncio.current_task().cancelling())


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")

    # From outside, before the deadline.
    task = asyncio.create_task(limited(10, loop.create_future()))
    await asyncio.sleep(0)
    task.cancel("outside")
    await report("outside", task)

    # From outside after the deadline fired, before the task ran: both count.
    task = asyncio.create_task(limited(0.01, loop.create_future()))
    await asyncio.sleep(0)
    loop.call_later(0.02, task.cancel, "outside as well")
    block(0.04)
    await report("both", task)
    trace("cancelling", task.cancelling())

    # From outside first.
    task = asyncio.create_task(limited(0.02, loop.create_future()))
    await asyncio.sleep(0)
    loop.call_later(0.01, task.cancel, "outside first")
    block(0.04)
    await report("both", task)
    trace("cancelling", task.cancelling())

    # The deadline fires after the future was completed, before the task resumed (rule 56).
    future = loop.create_future()
    task = asyncio.create_task(limited(0.02, future))
    await asyncio.sleep(0)
    loop.call_later(0.01, future.set_result, "value")
    block(0.04)
    await report("late", task)

    # The other way round: the value comes just too late.
    future = loop.create_future()
    task = asyncio.create_task(limited(0.01, future))
    await asyncio.sleep(0)
    block(0.03)
    await report("late", task)
    trace(describe(future))

    # A task that carries an earlier cancellation can still time out.
    async def carrying():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            trace("swallowed")
        try:
            async with asyncio.timeout(0.02):
                await asyncio.sleep(10)
        except TimeoutError:
            trace("timed out,", asyncio.current_task().cancelling(), "is left")
        await asyncio.sleep(0)
        return "ends normally"

    task = asyncio.create_task(carrying())
    await asyncio.sleep(0)
    task.cancel()
    await report("carrying", task)


asyncio.run(program())
