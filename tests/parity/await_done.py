"""Awaiting what is done does not give up the turn; awaiting what is not costs one iteration
after it is done (rules 22, 26)."""

import asyncio

from scenario import trace


async def immediate(value):
    return value


async def yielding(value):
    await asyncio.sleep(0)
    return value


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    future = loop.create_future()
    future.set_result(1)
    loop.call_soon(trace, "callback")

    trace("future", await future)
    trace("the same again", await future)
    trace("coroutine", await immediate(2))
    task = asyncio.create_task(immediate(3))
    trace("task", await task)
    trace("the same again", await task)
    loop.call_soon(trace, "callback")
    trace("yielding coroutine", await yielding(4))
    trace("task that yields", await asyncio.create_task(yielding(5)))

    failed = loop.create_future()
    failed.set_exception(ValueError("done"))
    for _ in range(2):
        try:
            await failed
        except ValueError as error:
            trace("failed future", error)
    trace("end")


asyncio.run(program())
