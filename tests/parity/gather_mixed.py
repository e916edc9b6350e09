"""gather() of coroutines, tasks and futures: results in the order of the arguments, and the
waiter wakes two iterations after the last child (rules 22, 64)."""

import asyncio

from scenario import describe, trace


async def child(name, yields):
    trace(name, "starts")
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "ends")
    return name


async def nothing():
    trace("nothing")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    task = asyncio.create_task(child("task", 1))
    future = loop.create_future()
    loop.call_soon(future.set_result, "future")
    together = asyncio.gather(child("slow", 3), task, future, child("quick", 0), nothing())
    trace("made", describe(together))
    trace("results", await together)
    trace(describe(together))

    # Of a list; the same waited for by two.
    tasks = [asyncio.create_task(child(name, 1)) for name in "abc"]
    together = asyncio.gather(*tasks)
    again = asyncio.gather(*reversed(tasks))
    together.add_done_callback(lambda done: trace("callback", done.result()))
    trace("results", await again)
    trace("results", await together)
    await asyncio.sleep(0)

    # Nested: two iterations for each level.
    trace("nested", await asyncio.gather(asyncio.gather(child("x", 0)), child("y", 0)))

    # Of nothing.
    await asyncio.gather()
    trace("end")


asyncio.run(program())
