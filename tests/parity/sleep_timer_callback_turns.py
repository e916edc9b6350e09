"""A timer's callback runs in the iteration in which it is due, a sleeping task one later, a
task that waits for a future set by a timer one later too (rules 1, 21, 22, 46)."""

import asyncio

from scenario import block, trace


async def sleeper(delay):
    await asyncio.sleep(delay)
    trace("sleeper", delay)


async def waiter(future):
    await future
    trace("waiter")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    future = loop.create_future()
    trace("makes the tasks")
    tasks = [
        asyncio.create_task(sleeper(0)),
        asyncio.create_task(waiter(future)),
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    loop.call_later(0.010, trace, "timer before")
    loop.call_later(0.020, future.set_result, None)
    loop.call_later(0.030, trace, "timer after")
    loop.call_soon(trace, "callback")
    trace("blocks")
    block(0.05)
    await asyncio.sleep(0)
    trace("program: timers are due")
    await asyncio.sleep(0)
    trace("program: one later")
    await asyncio.sleep(0)
    trace("program: two later")
    await asyncio.gather(*tasks)


asyncio.run(program())
