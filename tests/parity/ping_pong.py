"""Two tasks that hand futures to each other: one iteration for each hand-over."""

import asyncio

from scenario import trace


async def player(name, own, other, rounds):
    for round in range(rounds):
        value = await own[round]
        trace(name, "has", value)
        other[round].set_result(value + 1)
        trace(name, "passed it on")
    trace(name, "done")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    left = [loop.create_future() for _ in range(4)]
    right = [loop.create_future() for _ in range(4)]

    # The right player's n-th future lets the left player's n+1-st come.
    a = asyncio.create_task(player("left", left, right, 3))
    b = asyncio.create_task(player("right", right, left[1:], 3))
    left[0].set_result(0)
    await asyncio.gather(a, b)
    trace("end with", await left[3])


asyncio.run(program())
