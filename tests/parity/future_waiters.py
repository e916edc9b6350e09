"""Waiters and done callbacks of one future are woken in the order in which they came, all in
the iteration after it was completed (rules 21, 22)."""

import asyncio

from scenario import report, trace


async def waiter(name, future):
    trace(name, "waits")
    await report(name, future)
    await asyncio.sleep(0)
    trace(name, "goes on")


def callback(future):
    trace("callback", future.result())


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    future = loop.create_future()
    a = asyncio.create_task(waiter("a", future))
    b = asyncio.create_task(waiter("b", future))
    await asyncio.sleep(0)
    future.add_done_callback(callback)
    c = asyncio.create_task(waiter("c", future))
    await asyncio.sleep(0)
    future.add_done_callback(callback)

    loop.call_soon(trace, "scheduled before")
    future.set_result(42)
    loop.call_soon(trace, "scheduled after")
    trace("set; nobody ran")
    d = asyncio.create_task(waiter("d", future))
    trace("the program itself gets", await future)
    await asyncio.sleep(0)
    trace("program")
    await asyncio.gather(a, b, c, d)
    trace("end")


asyncio.run(program())
