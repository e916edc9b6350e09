"""A coroutine runs once: awaiting it again, or while another task does, is RuntimeError at
once (rule 43)."""

import asyncio

from scenario import report, trace


async def child():
    trace("child starts")
    await asyncio.sleep(0)
    trace("child ends")
    return "result"


async def waiter(name, coroutine):
    trace(name, "awaits")
    return await coroutine


async def program():
    trace("begins")
    coroutine = child()
    await report("first", waiter("first", coroutine))
    await report("second", waiter("second", coroutine))

    coroutine = child()
    a = asyncio.create_task(waiter("a", coroutine))
    b = asyncio.create_task(waiter("b", coroutine))
    await report("b", b)
    await report("a", a)

    coroutine = child()
    coroutine.close()
    await report("closed", waiter("closed", coroutine))


asyncio.run(program())
