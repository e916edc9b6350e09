"""Condition: notify wakes in order of waiting, each takes the lock again; wait_for looks again
after each notification; a cancelled waiter has the lock when it leaves (rules 84 to 87)."""

import asyncio

from scenario import report, trace


async def waiter(condition, label):
    async with condition:
        trace(label, "waits")
        await condition.wait()
        trace(label, "woken, locked", condition.locked())


async def program():
    condition = asyncio.Condition()
    tasks = [asyncio.create_task(waiter(condition, label)) for label in "abcde"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with condition:
        condition.notify(2)
        trace("notified two")
    await asyncio.gather(*tasks[:2])
    tasks[2].cancel()
    await report("c", tasks[2])
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks[3:])
    trace("locked", condition.locked())

    count = 0

    def enough():
        trace("looks", count)
        return count >= 2

    async def until():
        async with condition:
            return await condition.wait_for(enough)

    task = asyncio.create_task(until())
    for _ in range(2):
        await asyncio.sleep(0)
        async with condition:
            count += 1
            condition.notify()
    await report("until", task)
    for misuse in (condition.notify, condition.notify_all):
        try:
            misuse()
        except RuntimeError as error:
            trace(error)
    await report("wait without the lock", condition.wait())


asyncio.run(program())
