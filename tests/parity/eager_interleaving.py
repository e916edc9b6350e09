"""Eager tasks between callbacks, done callbacks and waiters: what they schedule takes its
place in the queue, and they leave no trace where they end at once (rule 49)."""
# requires: 3.12

import asyncio

from scenario import trace


async def setter(future, value):
    trace("sets", value)
    future.set_result(value)
    await asyncio.sleep(0)
    trace("setter goes on")


async def waiter(name, future):
    trace(name, "waits")
    trace(name, "gets", await future)


async def program():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    trace("begins")
    future = loop.create_future()

    a = asyncio.create_task(waiter("a", future))
    loop.call_soon(trace, "callback 1")
    c = asyncio.create_task(setter(future, 1))
    loop.call_soon(trace, "callback 2")
    b = asyncio.create_task(waiter("b", future))
    a.add_done_callback(lambda _: trace("a is done"))
    b.add_done_callback(lambda _: trace("b is done"))
    trace("made")
    await asyncio.gather(a, b, c)
    trace("all done")

    # From a plain callback.
    future = loop.create_future()
    tasks = []
    loop.call_soon(lambda: tasks.append(loop.create_task(waiter("d", future))))
    loop.call_soon(lambda: tasks.append(loop.create_task(setter(future, 2))))
    await asyncio.sleep(0)
    trace("program")
    await asyncio.gather(*tasks)
    trace("end")


asyncio.run(program())
