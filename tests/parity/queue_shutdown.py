"""Queue.shutdown: getters take what is left, waiting putters and getters end, an immediate one
drops everything and lets join return (rules 99 to 101)."""
# requires: 3.13

import asyncio

from scenario import report, trace


async def program():
    queue = asyncio.Queue(1)
    await queue.put("left")
    putter = asyncio.create_task(queue.put("too late"))
    await asyncio.sleep(0)
    queue.shutdown()
    await report("putter", putter)
    await report("put", queue.put("no"))
    await report("get", queue.get())
    await report("get", queue.get())

    queue = asyncio.Queue()
    getters = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.shutdown()
    for getter in getters:
        await report("getter", getter)

    queue = asyncio.Queue()
    for i in range(3):
        queue.put_nowait(i)
    joined = asyncio.create_task(queue.join())
    await asyncio.sleep(0)
    queue.shutdown(immediate=True)
    await report("join", joined)
    trace("size", queue.qsize())
    try:
        queue.get_nowait()
    except asyncio.QueueShutDown:
        trace("QueueShutDown")


asyncio.run(program())
