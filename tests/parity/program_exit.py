"""KeyboardInterrupt and SystemExit leave the run call at once, from callbacks and from tasks;
what was ready stays for the next run (rule 13)."""

import asyncio

from scenario import describe, listen, trace


def interrupt():
    trace("interrupts")
    raise KeyboardInterrupt("callback")


async def exiting(code):
    trace("task starts")
    await asyncio.sleep(0)
    trace("task exits")
    raise SystemExit(code)




async def waiting(task):
    try:
        await task
    except SystemExit as error:
        trace("waiter sees", error)
        raise


def run(loop, function, *args):
    try:
        trace("ran", function(*args))
    except (KeyboardInterrupt, SystemExit) as error:
        trace("left with", error, "running", loop.is_running(), "closed", loop.is_closed())


loop = asyncio.new_event_loop()
listen(loop)
trace("not running")
loop.call_soon(trace, "before")
loop.call_soon(interrupt)
loop.call_soon(trace, "after")
run(loop, loop.run_forever)
loop.call_soon(loop.stop)
run(loop, loop.run_forever)

# The task itself is run.
task = loop.create_task(exiting(3))
loop.call_soon(trace, "callback")
run(loop, loop.run_until_complete, task)
trace(describe(task))

# A task on the side.
side = loop.create_task(exiting(4))
main = loop.create_task(asyncio.sleep(0.02, "slept"))
run(loop, loop.run_until_complete, main)
trace("side", describe(side), "main", describe(main))
run(loop, loop.run_until_complete, main)

# Who awaits it gets it too, and the loop stops a second time.
side = loop.create_task(exiting(5))
waiter = loop.create_task(waiting(side))
run(loop, loop.run_until_complete, waiter)
trace("side", describe(side), "waiter", describe(waiter))
run(loop, loop.run_until_complete, waiter)
trace("side", describe(side), "waiter", describe(waiter))
run(loop, loop.run_until_complete, asyncio.sleep(0, "still usable"))
loop.close()
