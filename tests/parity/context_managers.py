"""Cleanup that awaits, in order, whatever ended the block: `async with`, an exit stack, and a
manager that swallows or replaces the error."""

import asyncio
import contextlib

from scenario import report, text, trace


class Manager:
    def __init__(self, name, swallow=False, fail=False):
        self.name, self.swallow, self.fail = name, swallow, fail

    async def __aenter__(self):
        trace(self.name, "enters")
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, kind, error, traceback):
        trace(self.name, "leaves with", error)
        await asyncio.sleep(0)
        if self.fail:
            raise ValueError(self.name)
        return self.swallow


async def block(first, second, how):
    async with first, second:
        trace("body", how)
        await asyncio.sleep(0)
        if how == "fails":
            raise ValueError("body")
    trace("after")


async def stack():
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(Manager("one"))
        stack.callback(trace, "callback")
        await stack.enter_async_context(Manager("two"))
        raise ValueError("body")


async def program():
    trace("begins")
    await report("ends", block(Manager("a"), Manager("b"), "ends"))
    await report("fails", block(Manager("a"), Manager("b"), "fails"))
    await report("swallowed", block(Manager("a"), Manager("b", swallow=True), "fails"))
    await report("replaced", block(Manager("a"), Manager("b", fail=True), "fails"))
    await report("stack", stack())

    task = asyncio.create_task(block(Manager("a"), Manager("b"), "is cancelled"))
    for _ in range(3):
        await asyncio.sleep(0)
    trace("cancel", task.cancel("from outside"))
    await report("task", task)


asyncio.run(program())
