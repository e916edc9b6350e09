"""Barrier: everybody gets a number as all have come, rounds do not mix, a cancelled waiter
breaks nothing, reset and abort break those who wait (rules 88 to 92)."""

import asyncio

from scenario import report, trace


async def runner(barrier, label, rounds):
    for _ in range(rounds):
        index = await barrier.wait()
        trace(label, "passes as", index)


async def wait(barrier, label):
    await report(label, barrier.wait())


async def program():
    barrier = asyncio.Barrier(3)
    await asyncio.gather(*[runner(barrier, label, 2) for label in "abc"])
    trace("waiting", barrier.n_waiting, "broken", barrier.broken)

    gone = asyncio.create_task(runner(barrier, "gone", 1))
    await asyncio.sleep(0)
    trace("waiting", barrier.n_waiting)
    gone.cancel()
    await report("gone", gone)
    trace("waiting", barrier.n_waiting, "broken", barrier.broken)

    two = [asyncio.create_task(wait(barrier, label)) for label in "xy"]
    await asyncio.sleep(0)
    await barrier.reset()
    await asyncio.gather(*two)
    trace("after reset", barrier.n_waiting, "broken", barrier.broken)

    two = [asyncio.create_task(wait(barrier, label)) for label in "xy"]
    await asyncio.sleep(0)
    await barrier.abort()
    await asyncio.gather(*two)
    trace("after abort", barrier.n_waiting, "broken", barrier.broken)
    await wait(barrier, "late")
    await barrier.reset()
    await asyncio.gather(*[wait(barrier, label) for label in "abc"])


asyncio.run(program())
