"""Cancelling gather() cancels every child that is not done; plain, it ends with the first
child that does, with return_exceptions with the last, cancelled too (rules 67, 68)."""

import asyncio

from scenario import collect, describe, listen, report, trace


async def child(name, clean_up):
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        trace(name, "sees", error)
        for _ in range(clean_up):
            await asyncio.sleep(0)
        trace(name, "leaves")
        if name == "bad":
            raise ValueError(name)
        if name == "stubborn":
            return name
        raise


async def done():
    return "done"


async def gathering(*children, return_exceptions=False):
    try:
        trace("results", await asyncio.gather(
            *children, return_exceptions=return_exceptions))
    except (ValueError, asyncio.CancelledError) as error:
        trace("gather gets", error)
        raise


async def cancelled(label, *children, return_exceptions=False):
    task = asyncio.create_task(gathering(*children, return_exceptions=return_exceptions))
    for _ in range(4):
        await asyncio.sleep(0)
    trace(label, "cancel", task.cancel(label))
    await report(label, task)
    trace(describe(task))
    for _ in range(6):
        await asyncio.sleep(0)


async def program():
    loop = asyncio.get_running_loop()
    listen(loop)
    trace("begins")
    await cancelled("plain", child("a", 2), child("b", 0), done())
    await cancelled("kept", child("c", 2), child("d", 0), done(), return_exceptions=True)
    await cancelled("bad first", child("bad", 0), child("e", 2))
    await cancelled("bad last", child("f", 0), child("bad", 2))
    await cancelled("kept bad", child("bad", 0), child("g", 2), return_exceptions=True)
    await cancelled("all refuse", child("stubborn", 0), child("stubborn", 2))
    await cancelled("one refuses", child("stubborn", 2), child("h", 0), return_exceptions=True)
    await cancelled("last refuses", child("i", 0), child("stubborn", 2),
                    return_exceptions=True)
    collect()

    # The future itself; and one whose children are all done.
    future = loop.create_future()
    together = asyncio.gather(future, child("j", 1))
    await asyncio.sleep(0)
    trace("cancel", together.cancel("by hand"), describe(future), describe(together))
    await report("gather", together)
    # Completed with the error, not cancelled.
    trace(together.cancelled(), together.cancel())
    future = loop.create_future()
    together = asyncio.gather(future)
    future.set_result(1)
    trace("all done", together.cancel(), describe(together))
    await report("gather", together)


asyncio.run(program())
