"""Every accepted cancel() counts; two before the next step deliver one error, with the last
message (rules 32, 40)."""

import asyncio

from scenario import describe, report, trace


async def stubborn(name, times):
    me = asyncio.current_task()
    for _ in range(times):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as error:
            trace(name, "refuses", error, me.cancelling())
    trace(name, "ends")
    return name


async def program():
    trace("begins")
    a = asyncio.create_task(stubborn("a", 1))
    await asyncio.sleep(0)
    trace(a.cancel("first"), a.cancel("second"), a.cancelling(), describe(a))
    await report("a", a)
    trace(a.cancel("late"), a.cancelling(), a.cancelled())

    # One each iteration.
    b = asyncio.create_task(stubborn("b", 2))
    for number in range(4):
        await asyncio.sleep(0)
        trace("cancel", b.cancel(str(number)), b.cancelling(), describe(b))
    await report("b", b)

    # While it yields, the request waits for the step.
    async def yielding():
        me = asyncio.current_task()
        for step in range(3):
            try:
                await asyncio.sleep(0)
                trace("step", step)
            except asyncio.CancelledError as error:
                trace("step", step, error, me.cancelling())
        return "yielded"

    c = asyncio.create_task(yielding())
    await asyncio.sleep(0)
    c.cancel("one")
    c.cancel("two")
    await report("c", c)


asyncio.run(program())
