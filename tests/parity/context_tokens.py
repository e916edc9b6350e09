"""Context variables: defaults, tokens used once and in their own context, a copy keeps what was,
callbacks and tasks run in theirs (rules 165 to 168)."""

import asyncio
import contextvars

from scenario import trace

variable = contextvars.ContextVar("variable", default="default")
other = contextvars.ContextVar("other")


def attempt(label, action):
    try:
        trace(label, action())
    except (LookupError, RuntimeError, ValueError) as error:
        trace(label, type(error).__name__)


async def child():
    trace("child sees", variable.get())
    variable.set("child")
    await asyncio.sleep(0)
    trace("child keeps", variable.get())


async def program():
    trace(variable.get())
    attempt("unset", other.get)
    attempt("given", lambda: other.get("given"))
    token = variable.set("one")
    copy = contextvars.copy_context()
    variable.set("two")
    trace("copy has", copy.run(variable.get), copy[variable], variable in copy, other in copy)
    attempt("elsewhere", lambda: copy.run(variable.reset, token))
    variable.reset(token)
    trace("after reset", variable.get())
    attempt("again", lambda: variable.reset(token))
    attempt("of another", lambda: variable.reset(other.set("x")))

    variable.set("parent")
    task = asyncio.create_task(child())
    variable.set("later")
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: trace("callback sees", variable.get()))
    loop.call_soon(lambda: trace("in copy", variable.get()), context=copy)
    await task
    trace("parent keeps", variable.get())
    attempt("entered twice", lambda: copy.run(lambda: copy.run(variable.get)))


asyncio.run(program())
