"""A task cancelled before its first step executes no statement of its body (rules 31, 33,
40)."""

import asyncio

from scenario import describe, report, trace


async def child(name):
    trace(name, "must not run")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    a = asyncio.create_task(child("a"))
    a.add_done_callback(lambda _: trace("callback", describe(a)))
    trace("cancel", a.cancel("early"), describe(a), a.cancelling())
    loop.call_soon(trace, "callback behind")
    await asyncio.sleep(0)
    trace("program", describe(a))
    await report("a", a)

    # By a callback between its making and its start.
    b = asyncio.create_task(child("b"))
    trace("cancel twice", b.cancel("first"), b.cancel("second"), b.cancelling())
    await report("b", b)
    trace("again", b.cancel(), b.cancelling())


asyncio.run(program())
