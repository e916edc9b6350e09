"""AsyncExitStack: leaves in the opposite order, each may swallow or replace the error for those
below, pop_all takes everything along."""

import asyncio
import contextlib

from scenario import report, trace


class Manager:
    def __init__(self, label, swallow=False):
        self.label = label
        self.swallow = swallow

    async def __aenter__(self):
        await asyncio.sleep(0)
        trace("enter", self.label)
        return self.label

    async def __aexit__(self, _, error, traceback):
        await asyncio.sleep(0)
        trace("exit", self.label, error)
        return self.swallow


async def callback(text):
    await asyncio.sleep(0)
    trace("callback", text)


async def replacing():
    raise ValueError("replaced")


async def body(swallow, replace):
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(Manager("a", swallow))
        stack.push_async_callback(callback, "second")
        if replace:
            stack.push_async_callback(replacing)
        stack.callback(lambda: trace("plain"))
        await stack.enter_async_context(Manager("b"))
        await asyncio.sleep(0)
        raise ValueError("body")


async def program():
    await report("passes", body(False, False))
    await report("swallowed", body(True, False))
    await report("replaced", body(False, True))

    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(Manager("kept"))
        kept = stack.pop_all()
    trace("left the first")
    await kept.aclose()

    cancelled = asyncio.create_task(body(False, False))
    for _ in range(2):
        await asyncio.sleep(0)
    cancelled.cancel()
    await report("cancelled", cancelled)


asyncio.run(program())
