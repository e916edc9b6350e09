"""run_until_complete() of coroutines, tasks and futures: results, errors, and what runs in
between (rules 9, 10)."""

import asyncio

from scenario import describe, listen, trace


async def child(name):
    trace(name, "starts")
    await asyncio.sleep(0)
    trace(name, "ends")
    if name == "bad":
        raise ValueError(name)
    return name


async def nested(loop):
    other = asyncio.new_event_loop()
    for inner in (loop, other):
        coroutine = child("never")
        try:
            inner.run_until_complete(coroutine)
        except RuntimeError as error:
            trace("nested", error)
        coroutine.close()
    other.close()
    # And this loop runs on.
    await asyncio.sleep(0)
    trace("nested ends")


loop = asyncio.new_event_loop()
listen(loop)
trace("not running")
trace(loop.run_until_complete(child("a")))
task = loop.create_task(child("b"))
other = loop.create_task(child("c"))
trace(loop.run_until_complete(task))
trace("b is", describe(task), "with", task.result())
trace("c is", describe(other))
loop.run_until_complete(other)

future = loop.create_future()
loop.call_soon(future.set_result, "future")
trace(loop.run_until_complete(future), future.result())

try:
    loop.run_until_complete(child("bad"))
except ValueError as error:
    trace("error", error)
try:
    loop.run_until_complete(loop.create_task(child("bad")))
except ValueError as error:
    trace("error", error)

# The others run on only as long as the loop does.
slow = loop.create_task(child("slow"))
trace(loop.run_until_complete(asyncio.sleep(0, "slept")))
trace("slow is", describe(slow))
loop.run_until_complete(slow)
loop.run_until_complete(nested(loop))
loop.close()
