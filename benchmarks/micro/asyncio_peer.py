"""CPython's asyncio, the reference for what every workload means.

usage: asyncio_peer.py [--uvloop] [--eager] WORKLOAD [N]
"""

import asyncio
import concurrent.futures
import json
import os
import sys
import threading
import time


class Run:
    def __init__(self, n):
        self.n = n
        self.figures = {}

    def start(self):
        self.cpu = time.process_time_ns()
        self.wall = time.perf_counter_ns()

    def stop(self, operations=None):
        wall = time.perf_counter_ns() - self.wall
        cpu = time.process_time_ns() - self.cpu
        operations = operations or self.n
        self.figures = {"ops": operations, "ns_per_op": round(wall / operations, 2),
                        "cpu_ns_per_op": round(cpu / operations, 2), **self.figures}

    def latencies(self, each):
        each.sort()
        self.figures["median_ns"] = each[len(each) // 2]
        self.figures["p99_ns"] = each[len(each) * 99 // 100]


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def delays():
    """0..1000 ms in microseconds; the same sequence in every peer."""
    state = 42
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        yield (state >> 33) % 1_000_001


async def child():
    return 1


async def await_chain(run):
    total = 0
    run.start()
    for _ in range(run.n):
        total += await child()
    run.stop()


async def descend(depth):
    if depth == 0:
        return 0
    return 1 + await descend(depth - 1)


async def await_depth(run):
    sys.setrecursionlimit(5000)
    run.start()
    for _ in range(run.n // 1000):
        await descend(1000)
    run.stop(run.n // 1000 * 1000)


async def spawn_join(run):
    total = 0
    run.start()
    for _ in range(run.n):
        total += await asyncio.create_task(child())
    run.stop()


async def gather(run):
    at_once = min(run.n, 100_000)
    run.start()
    for _ in range(run.n // at_once):
        sum(await asyncio.gather(*(child() for _ in range(at_once))))
    run.stop(run.n // at_once * at_once)


async def yield_often(times):
    for _ in range(times):
        await asyncio.sleep(0)


async def yield_tasks(run, count):
    run.start()
    tasks = [asyncio.create_task(yield_often(run.n // count)) for _ in range(count)]
    for task in tasks:
        await task
    run.stop(run.n // count * count)


async def yield_2(run):
    await yield_tasks(run, 2)


async def yield_1000(run):
    await yield_tasks(run, 1000)


async def timers(run):
    delay = delays()
    run.start()
    tasks = [asyncio.create_task(asyncio.sleep(next(delay) / 1e6)) for _ in range(run.n)]
    for task in tasks:
        await task
    run.stop()


async def sleepers(run):
    before = resident()
    run.start()
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(run.n)]
    await asyncio.sleep(0)
    run.stop()
    run.figures["bytes_per_task"] = round((resident() - before) / run.n, 1)
    del tasks


async def timer_cancel(run):
    loop = asyncio.get_running_loop()
    call_later = loop.call_later
    run.start()
    for i in range(run.n):
        call_later(10 + i % 1000 / 1e6, int).cancel()
        if i % 1000 == 999:
            await asyncio.sleep(0)
    run.stop()


async def wait_for(run):
    run.start()
    for _ in range(run.n):
        await asyncio.wait_for(asyncio.sleep(0), 10)
    run.stop()


async def queue(run, capacity):
    q = asyncio.Queue(capacity)

    async def produce():
        for i in range(run.n):
            await q.put(i)

    async def consume():
        total = 0
        for _ in range(run.n):
            total += await q.get()

    run.start()
    producer = asyncio.create_task(produce())
    consumer = asyncio.create_task(consume())
    await producer
    await consumer
    run.stop()


async def queue_1(run):
    await queue(run, 1)


async def queue_1024(run):
    await queue(run, 1024)


async def lock(run):
    lock = asyncio.Lock()
    run.start()
    for _ in range(run.n):
        async with lock:
            pass
    run.stop()


async def lock_handoff(run):
    lock = asyncio.Lock()

    async def work(times):
        for _ in range(times):
            async with lock:
                await asyncio.sleep(0)

    run.start()
    tasks = [asyncio.create_task(work(run.n // 2)) for _ in range(2)]
    for task in tasks:
        await task
    run.stop(run.n // 2 * 2)


async def event_pingpong(run):
    ping, pong = asyncio.Event(), asyncio.Event()

    async def work(mine, other):
        for _ in range(run.n // 2):
            await mine.wait()
            mine.clear()
            other.set()

    run.start()
    tasks = [asyncio.create_task(work(ping, pong)), asyncio.create_task(work(pong, ping))]
    ping.set()
    for task in tasks:
        await task
    run.stop(run.n // 2 * 2)


async def call_soon_chains(run, chains):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = run.n

    def again():
        nonlocal left
        left -= 1
        if left > 0:
            loop.call_soon(again)
        elif not done.done():
            done.set_result(None)

    run.start()
    for _ in range(chains):
        loop.call_soon(again)
    await done
    run.stop()


async def call_soon(run):
    await call_soon_chains(run, 1)


async def call_soon_1000(run):
    await call_soon_chains(run, 1000)


async def call_soon_threadsafe(run):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    received = 0

    def receive():
        nonlocal received
        received += 1
        if received == run.n:
            done.set_result(None)

    def post():
        for _ in range(run.n):
            loop.call_soon_threadsafe(receive)

    run.start()
    poster = threading.Thread(target=post)
    poster.start()
    await done
    run.stop()
    poster.join()


async def wake_latency(run):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    each = []

    def receive(sent):
        each.append(time.perf_counter_ns() - sent)
        if len(each) == run.n:
            done.set_result(None)

    def post():
        for _ in range(run.n):
            time.sleep(0.0002)
            loop.call_soon_threadsafe(receive, time.perf_counter_ns())

    run.start()
    poster = threading.Thread(target=post)
    poster.start()
    await done
    run.stop()
    poster.join()
    run.latencies(each)


def answer():
    return 1


async def to_thread(run):
    loop = asyncio.get_running_loop()
    pool = concurrent.futures.ThreadPoolExecutor(2)
    await loop.run_in_executor(pool, answer)
    run.start()
    for _ in range(run.n):
        await loop.run_in_executor(pool, answer)
    run.stop()


async def to_thread_10k(run):
    loop = asyncio.get_running_loop()
    pool = concurrent.futures.ThreadPoolExecutor(2)
    at_once = min(run.n, 10_000)
    run.start()
    for _ in range(run.n // at_once):
        await asyncio.gather(*(loop.run_in_executor(pool, answer) for _ in range(at_once)))
    run.stop(run.n // at_once * at_once)


async def count(n):
    for i in range(n):
        yield i


async def count_yielding(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i


async def consume(run, make):
    total = 0
    run.start()
    async for i in make(run.n):
        total += i
    run.stop()


async def async_gen(run):
    await consume(run, count)


async def async_gen_yield(run):
    await consume(run, count_yielding)


async def cancel(run):
    caught = 0
    run.start()
    for _ in range(run.n):
        task = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            caught += 1
    run.stop()
    assert caught == run.n


async def hand_over(run):
    loop = asyncio.get_running_loop()
    run.start()
    for _ in range(run.n):
        future = loop.create_future()
        loop.call_soon(future.set_result, 1)
        await future
    run.stop()


WORKLOADS = [await_chain, await_depth, spawn_join, gather, yield_2, yield_1000, timers, sleepers,
             timer_cancel, wait_for, queue_1, queue_1024, lock, lock_handoff, event_pingpong,
             hand_over, call_soon, call_soon_1000, call_soon_threadsafe, wake_latency, to_thread,
             to_thread_10k, async_gen, async_gen_yield, cancel]


def main():
    args = sys.argv[1:]
    options = {a for a in args if a.startswith("--")}
    words = [a for a in args if not a.startswith("--")]
    workloads = {w.__name__: w for w in WORKLOADS}
    if "--list" in options:
        print(*workloads, sep="\n")
        return 0
    if not words or words[0] not in workloads:
        return 3
    run = Run(int(words[1]) if len(words) > 1 else 100_000)

    async def program():
        if "--eager" in options:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await workloads[words[0]](run)
        peer = "py%d.%d" % sys.version_info[:2]
        for option in ("uvloop", "eager"):
            if "--" + option in options:
                peer += "+" + option
        print(json.dumps({"peer": peer, "workload": words[0], **run.figures}), flush=True)
        os._exit(0)  # tearing a million tasks down is not part of any workload

    if "--uvloop" in options:
        import uvloop
        uvloop.install()
    asyncio.run(program())


if __name__ == "__main__":
    sys.exit(main())
