"""What the exception handler is told, in whose context it runs, and what becomes of a handler
that fails itself (rules 12, 14)."""
# requires: 3.12

import asyncio
import contextvars

from scenario import collect, trace

variable = contextvars.ContextVar("variable", default="unset")


def handler(loop, context):
    message = context["message"]
    if "callback" in message:
        message = "a callback"
    trace("handler:", message, "|", context.get("exception"), "| in", variable.get())


def broken(loop, context):
    trace("broken handler:", context.get("exception"))
    raise ValueError("broken handler")


def fail(message):
    trace("fails")
    raise ValueError(message)


async def failing():
    variable.set("the task's")
    raise ValueError("task")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    trace("no handler:", loop.get_exception_handler() is None)
    loop.set_exception_handler(handler)
    trace("no handler:", loop.get_exception_handler() is None)

    # By hand.
    loop.call_exception_handler({"message": "by hand", "exception": ValueError("ours")})
    loop.call_exception_handler({"message": "without an exception"})

    # A callback's error, in the callback's context.
    variable.set("the callback's")
    loop.call_soon(fail, "callback")
    variable.set("the program's")
    loop.call_soon(trace, "the next callback")
    await asyncio.sleep(0)

    # A task's, in the task's.
    task = asyncio.create_task(failing())
    await asyncio.wait([task])
    del task
    collect()

    # One that fails itself: the loop goes on.
    loop.set_exception_handler(broken)
    loop.call_soon(fail, "first")
    loop.call_soon(fail, "second")
    loop.call_soon(trace, "the next callback")
    await asyncio.sleep(0)
    trace("program goes on")
    loop.call_exception_handler({"message": "by hand", "exception": ValueError("ours")})

    # One that puts another in its place.
    def replacing(loop, context):
        trace("replaces itself:", context["exception"])
        loop.set_exception_handler(handler)

    loop.set_exception_handler(replacing)
    loop.call_soon(fail, "for the replacing one")
    loop.call_soon(fail, "for the next one")
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    trace("no handler:", loop.get_exception_handler() is None)


asyncio.run(program())
