"""Queue: a bounded one makes putters wait, both ends are served in order, join returns with the
last task_done, priorities and stacks (rules 93 to 98)."""

import asyncio

from scenario import report, trace


async def producer(queue, label, n):
    for i in range(n):
        await queue.put(f"{label}{i}")
        trace("put", f"{label}{i}", queue.qsize())


async def consumer(queue, label):
    while True:
        item = await queue.get()
        trace(label, "got", item)
        await asyncio.sleep(0)
        queue.task_done()


async def program():
    queue = asyncio.Queue(2)
    consumers = [asyncio.create_task(consumer(queue, label)) for label in "xy"]
    await asyncio.gather(producer(queue, "a", 4), producer(queue, "b", 3))
    await queue.join()
    trace("joined", queue.qsize(), queue.empty(), queue.full())
    for task in consumers:
        task.cancel()
    await asyncio.wait(consumers)
    try:
        queue.task_done()
    except ValueError as error:
        trace(type(error).__name__)
    for action in (queue.get_nowait, lambda: [queue.put_nowait("z") for _ in range(3)]):
        try:
            action()
        except (asyncio.QueueEmpty, asyncio.QueueFull) as error:
            trace(type(error).__name__)

    for kind in (asyncio.PriorityQueue, asyncio.LifoQueue):
        ordered = kind()
        for i in (3, 1, 2):
            ordered.put_nowait(i)
        trace([ordered.get_nowait() for _ in range(3)])

    # A getter that was chosen and then cancelled leaves the item for the next.
    queue = asyncio.Queue()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait("item")
    first.cancel()
    await report("first", first)
    await report("second", second)


asyncio.run(program())
