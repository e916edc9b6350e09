"""Event: set wakes everybody in order although it is cleared at once; a wait for a set event
does not yield; a cancelled waiter goes alone (rules 73 and 74)."""

import asyncio

from scenario import report, trace


async def waiter(event, label):
    trace(label, "gets", await event.wait())


async def program():
    event = asyncio.Event()
    tasks = [asyncio.create_task(waiter(event, label)) for label in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    event.set()
    event.clear()
    trace("set", event.is_set())
    await report("b", tasks[1])
    await asyncio.gather(tasks[0], tasks[2])
    event.set()
    other = asyncio.create_task(waiter(event, "other"))
    trace("before")
    await event.wait()
    trace("no turn passed")
    await other


asyncio.run(program())
