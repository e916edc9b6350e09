"""Runner: several runs in one loop and one context; nothing after close(), nothing inside a
running loop (rules 152, 153)."""

import asyncio
import contextvars

from scenario import describe, trace

variable = contextvars.ContextVar("variable", default="unset")


async def step(value):
    trace("sees", variable.get())
    variable.set(value)
    await asyncio.sleep(0)
    return value


async def never():
    trace("never")


async def nested(runner):
    coroutine = never()
    try:
        runner.run(coroutine)
    except RuntimeError as error:
        trace("nested", error)
    try:
        asyncio.run(coroutine)
    except RuntimeError as error:
        trace("nested", error)
    coroutine.close()
    await asyncio.sleep(0)
    return "goes on"


async def leaving(tasks):
    tasks.append(asyncio.create_task(step("left over")))


runner = asyncio.Runner()
loop = runner.get_loop()
trace(runner.run(step("one")))
trace(runner.run(step("two")))
trace("outside", variable.get())
context = contextvars.copy_context()
trace(runner.run(step("three"), context=context))
trace(context[variable])
trace(runner.run(step("four")))
trace("the same loop", runner.get_loop() is loop)
trace(runner.run(nested(runner)))

# What one run leaves behind goes on in the next.
tasks = []
runner.run(leaving(tasks))
trace(describe(tasks[0]))
trace(runner.run(step("five")), describe(tasks[0]))
runner.run(leaving(tasks))
runner.close()
trace("closed", loop.is_closed(), describe(tasks[1]))
runner.close()
try:
    runner.get_loop()
except RuntimeError as error:
    trace(error)
coroutine = never()
try:
    runner.run(coroutine)
except RuntimeError as error:
    trace(error)
coroutine.close()
