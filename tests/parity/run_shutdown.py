"""run(): what is left over when the program ends is cancelled and waited for, errors on the
way are reported, and then the loop is closed (rule 149)."""

import asyncio

from scenario import describe, listen, trace


async def leftover(how):
    try:
        trace("leftover starts")
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        trace("leftover sees", error)
        await asyncio.sleep(0)
        trace("leftover wound down")
        if how == "bad":
            raise ValueError("leftover")
        raise


async def program(how):
    loop = asyncio.get_running_loop()
    listen(loop)
    trace("begins", how)
    task = asyncio.create_task(leftover(how))
    task.add_done_callback(lambda done: trace("leftover is done"))
    loop.call_later(10, trace, "never")
    await asyncio.sleep(0)
    if how == "failing":
        raise ValueError("program")
    if how == "exiting":
        raise SystemExit(1)
    if how == "cancelled":
        asyncio.current_task().cancel("program")
        await asyncio.sleep(0)
    trace("ends")
    return task


for how in ("obeying", "bad", "failing", "cancelled", "exiting"):
    try:
        task = asyncio.run(program(how))
        trace("run gives the task", describe(task), "closed", task.get_loop().is_closed())
    except (ValueError, asyncio.CancelledError, SystemExit) as error:
        trace("run gives", error)
