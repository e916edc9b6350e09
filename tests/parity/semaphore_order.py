"""Semaphore: waiters are served in order although it has become free meanwhile, a cancelled
one frees its place, a bounded one refuses one release too many (rules 79 to 83)."""

import asyncio

from scenario import report, trace


async def user(semaphore, label, turns):
    async with semaphore:
        trace(label, "in, locked", semaphore.locked())
        for _ in range(turns):
            await asyncio.sleep(0)
    trace(label, "out")


async def program():
    semaphore = asyncio.BoundedSemaphore(2)
    tasks = [asyncio.create_task(user(semaphore, label, 1)) for label in "abcdef"]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait(tasks)
    trace("locked", semaphore.locked())

    # Two permits, two chosen, one of them cancelled: the third gets in.
    await semaphore.acquire()
    await semaphore.acquire()
    waiting = [asyncio.create_task(user(semaphore, label, 0)) for label in "xyz"]
    await asyncio.sleep(0)
    semaphore.release()
    semaphore.release()
    waiting[0].cancel()
    await asyncio.wait(waiting)
    trace("locked", semaphore.locked())
    try:
        semaphore.release()
    except ValueError as error:
        trace(type(error).__name__)
    try:
        asyncio.Semaphore(-1)
    except ValueError as error:
        trace(type(error).__name__)
    await report("a free one", semaphore.acquire())


asyncio.run(program())
