"""Timers that come due in one iteration run in the order of their deadlines, behind what was
ready (rules 1, 3, 5)."""

import asyncio

from scenario import block, trace


async def sleeper(name, delay):
    trace(name, "sleeps")
    await asyncio.sleep(delay)
    trace(name, "wakes")


def reschedule(loop, name):
    trace(name)
    loop.call_soon(trace, name, "again")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    loop.call_later(0.030, reschedule, loop, "timer 30")
    loop.call_later(0.010, reschedule, loop, "timer 10")
    loop.call_later(0.020, reschedule, loop, "timer 20")
    cancelled = loop.call_later(0.015, trace, "never")
    a = asyncio.create_task(sleeper("a", 0.035))
    b = asyncio.create_task(sleeper("b", 0.005))
    cancelled.cancel()
    await asyncio.sleep(0)

    trace("blocks until all are due")
    block(0.1)
    loop.call_soon(reschedule, loop, "callback")
    await a
    trace("a is done")
    await b
    trace("b is done")


asyncio.run(program())
