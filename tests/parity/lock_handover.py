"""Lock: first come, first served; a cancelled waiter passes its turn on, also when it was
already chosen; who comes between release and wake-up waits behind (rules 75 to 78)."""

import asyncio

from scenario import report, trace


async def holder(lock, label, turns):
    async with lock:
        trace(label, "has it")
        for _ in range(turns):
            await asyncio.sleep(0)
        trace(label, "gives it up")


async def program():
    lock = asyncio.Lock()
    tasks = [asyncio.create_task(holder(lock, label, 2), name=label) for label in "abcd"]
    await asyncio.sleep(0)
    trace("b asked to go", tasks[1].cancel())
    await report("b", tasks[1])
    await asyncio.gather(tasks[0], tasks[2], tasks[3])
    trace("locked", lock.locked())

    # Chosen and cancelled in the same turn: the next one gets it.
    await lock.acquire()
    chosen = asyncio.create_task(holder(lock, "chosen", 0))
    after = asyncio.create_task(holder(lock, "after", 0))
    await asyncio.sleep(0)
    lock.release()
    chosen.cancel()
    late = asyncio.create_task(holder(lock, "late", 0))
    await report("chosen", chosen)
    await asyncio.gather(after, late)
    trace("locked", lock.locked())
    try:
        lock.release()
    except RuntimeError as error:
        trace(error)


asyncio.run(program())
