"""Tasks that lock, wait, notify and meet in a random order, and are cancelled at random: every
primitive of asyncio.locks serves the same task in the same iteration.
"""

import asyncio

from scenario import note, trace


class Random:
    def __init__(self, seed):
        self.state = seed * 7919 + 17

    def below(self, n):
        self.state = (self.state * 1103515245 + 12345) % 2147483648
        return self.state // 65536 % n


class Things:
    def __init__(self):
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(2)
        self.event = asyncio.Event()
        self.condition = asyncio.Condition()
        self.barrier = asyncio.Barrier(3)
        self.ending = False


async def rest(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def act(name, things, random):
    what = random.below(9)
    count = random.below(3)
    if what <= 1:
        async with things.lock:
            trace(name, "has the lock")
            await rest(count)
        trace(name, "gave the lock back")
    elif what == 2:
        async with things.semaphore:
            trace(name, "has a permit")
            await rest(count + 1)
        trace(name, "gave the permit back")
    elif what == 3:
        await things.event.wait()
        trace(name, "saw the event")
    elif what == 4:
        things.event.set()
        trace(name, "set the event")
        await rest(count)
        things.event.clear()
    elif what <= 6:
        async with things.condition:
            trace(name, "waits for the condition")
            await things.condition.wait()
            trace(name, "was notified")
            await rest(count)
    elif what == 7:
        async with things.condition:
            things.condition.notify(count)
            trace(name, "notified", count)
            await rest(count)
    else:
        trace(name, "arrives")
        trace(name, "passes as", await things.barrier.wait())


async def worker(name, things, random):
    for _ in range(10):
        try:
            await act(name, things, random)
        except asyncio.CancelledError:
            trace(name, "was cancelled")
        except asyncio.BrokenBarrierError:
            trace(name, "found the barrier broken")
        if things.ending:
            return


async def program(seed):
    trace("seed", seed)
    random = Random(seed)
    things = Things()
    names = ["a", "b", "c", "d", "e"]
    tasks = [asyncio.create_task(worker(name, things, Random(seed * 100 + i)))
             for i, name in enumerate(names)]
    for _ in range(50):
        what = random.below(12)
        if what < 6:
            one = random.below(len(tasks))
            trace("cancel", names[one], tasks[one].cancel())
        elif what == 6:
            await things.barrier.reset()
            trace("reset")
        elif what == 7:
            await things.barrier.abort()
            trace("aborted")
        elif what <= 9:
            trace("state", things.lock.locked(), things.semaphore.locked(),
                  things.event.is_set(), things.condition.locked(),
                  things.barrier.n_waiting, things.barrier.broken)
        await asyncio.sleep(0)
    things.ending = True
    while not all(task.done() for task in tasks):
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
    trace("end", things.lock.locked(), things.semaphore.locked(), things.condition.locked(),
          things.barrier.n_waiting)


for seed in range(60):
    asyncio.run(program(seed))
note("all")
