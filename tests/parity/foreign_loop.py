"""Awaiting another loop's pending future is an error at the await, one iteration later, that
the task may catch; a done one just gives its result (rules 26, 28)."""

import asyncio

from scenario import describe, name, report, trace


async def waiter(label, future):
    trace(label, "waits")
    try:
        await future
    except RuntimeError as error:
        trace(label, "sees", error)
    except asyncio.CancelledError as error:
        trace(label, "sees", error)
        raise
    return "went on"


async def program(other):
    loop = asyncio.get_running_loop()
    trace("begins")
    future = other.create_future()
    a = asyncio.create_task(waiter("a", future))
    await asyncio.sleep(0)
    loop.call_soon(trace, "callback")
    await report("a", a)
    trace("the future is", describe(future))

    # Cancelled meanwhile: that comes first.
    future = other.create_future()
    b = asyncio.create_task(waiter("b", future))
    await asyncio.sleep(0)
    trace("cancel", b.cancel("meanwhile"))
    await report("b", b)
    trace("the future is", describe(future))

    future = other.create_future()
    await report("itself", waiter("c", future))
    done = other.create_future()
    done.set_result("done")
    await report("done", done)

    try:
        asyncio.gather(loop.create_future(), future)
    except ValueError as error:
        trace("gather:", name(error))
    try:
        asyncio.ensure_future(future, loop=loop)
    except ValueError as error:
        trace("ensure_future:", name(error))


other = asyncio.new_event_loop()
asyncio.run(program(other))
other.close()
