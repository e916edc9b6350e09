"""Ctrl-C in run(): the first cancels the main task, and KeyboardInterrupt follows when that
ended cancelled; one that swallows it just ends (rules 150, 151)."""

import asyncio
import signal

from scenario import trace


async def program(how):
    loop = asyncio.get_running_loop()
    trace("begins", how)
    if how != "yielding":
        loop.call_later(0.02, signal.raise_signal, signal.SIGINT)
    try:
        if how == "yielding":
            signal.raise_signal(signal.SIGINT)
            while True:
                await asyncio.sleep(0)
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        trace("sees", error, asyncio.current_task().cancelling())
        if how == "swallowing":
            return "went on"
        if how == "failing":
            raise ValueError("instead")
        raise


for how in ("waiting", "yielding", "swallowing", "failing"):
    try:
        trace("run gives", asyncio.run(program(how)))
    except (KeyboardInterrupt, ValueError) as error:
        trace("run gives", error)
