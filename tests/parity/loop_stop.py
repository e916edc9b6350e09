"""stop() lets the iteration in progress finish; before a run it gives exactly one; what is
left over survives for the next run (rules 8, 9, 13)."""

import asyncio

from scenario import describe, trace


def again(loop, name, times):
    trace(name, times)
    if times > 1:
        loop.call_soon(again, loop, name, times - 1)


def stop(loop):
    trace("stop")
    loop.stop()
    loop.call_soon(trace, "scheduled behind stop")


async def child():
    trace("child starts")
    await asyncio.sleep(0)
    trace("child goes on")
    await asyncio.sleep(0)
    trace("child ends")
    return "result"


async def stopping(loop):
    trace("stopping")
    loop.stop()
    await asyncio.sleep(0)
    trace("never in this run")


loop = asyncio.new_event_loop()
trace("not running")
loop.call_soon(trace, "first callback")
loop.call_soon(again, loop, "before", 1)
loop.call_soon(stop, loop)
loop.call_soon(again, loop, "after", 3)
loop.run_forever()
trace("stopped", loop.is_running(), loop.is_closed())

loop.stop()
loop.run_forever()
trace("one iteration")
loop.stop()
loop.run_forever()
trace("another one")

task = loop.create_task(child())
loop.stop()
loop.run_forever()
trace("the child is", describe(task))
trace(loop.run_until_complete(task))
trace("and again", loop.run_until_complete(task))

# stop() inside run_until_complete(): an error, and the task goes on in the next run.
task = loop.create_task(stopping(loop))
try:
    loop.run_until_complete(task)
except RuntimeError as error:
    trace(error, describe(task))
loop.run_until_complete(task)
trace(describe(task))
loop.close()
trace("closed", loop.is_closed())
