"""Tasks that put, get, join and shut queues down in a random order, and are cancelled at
random: the same items reach the same tasks in the same iteration.
"""

# requires: 3.13

import asyncio

from scenario import name, note, trace


class Random:
    def __init__(self, seed):
        self.state = seed * 7919 + 17

    def below(self, n):
        self.state = (self.state * 1103515245 + 12345) % 2147483648
        return self.state // 65536 % n


async def put(who, queue, random, item):
    if random.below(3) == 0:
        queue.put_nowait(item)
    else:
        await queue.put(item)
    trace(who, "put", item)


async def get(who, queue, random):
    if random.below(3) == 0:
        item = queue.get_nowait()
    else:
        item = await queue.get()
    trace(who, "got", item)
    for _ in range(random.below(3)):
        await asyncio.sleep(0)
    queue.task_done()


async def worker(who, number, queue, random):
    for i in range(14):
        try:
            what = random.below(11)
            if what < 5:
                await put(who, queue, random, (i * 7 + number * 3) % 10)
            elif what < 9:
                await get(who, queue, random)
            elif what == 9:
                await queue.join()
                trace(who, "joined")
            else:
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            trace(who, "was cancelled")
        except (asyncio.QueueEmpty, asyncio.QueueFull, asyncio.QueueShutDown, ValueError) as error:
            trace(who, name(error))


async def program(seed, queue):
    trace("seed", seed)
    random = Random(seed)
    names = ["a", "b", "c", "d", "e"]
    tasks = [asyncio.create_task(worker(names[i], i, queue, Random(seed * 100 + i)))
             for i in range(5)]
    for _ in range(40):
        what = random.below(10)
        if what < 5:
            one = random.below(len(tasks))
            trace("cancel", names[one], tasks[one].cancel())
        elif what < 7:
            trace("state", queue.qsize(), queue.empty(), queue.full())
        await asyncio.sleep(0)
    immediate = random.below(2) == 0
    trace("shutdown", immediate)
    queue.shutdown(immediate)
    while not all(task.done() for task in tasks):
        if random.below(3) == 0:
            tasks[random.below(len(tasks))].cancel()
        await asyncio.sleep(0)
    trace("end", queue.qsize())


for seed in range(60):
    kind = [asyncio.Queue, asyncio.PriorityQueue, asyncio.LifoQueue][seed % 3]
    asyncio.run(program(seed, kind(seed % 4)))
note("all")
