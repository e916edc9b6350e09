"""A task copies the context when it is made; callbacks run in the one captured when they were
added; a context given is shared (rules 47, 48)."""

import asyncio
import contextvars

from scenario import trace

variable = contextvars.ContextVar("variable", default="unset")


def show(label, *_):
    trace(label, variable.get())


async def child(name):
    trace(name, "sees", variable.get())
    variable.set(name)
    await asyncio.sleep(0)
    trace(name, "still sees", variable.get())


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    variable.set("one")
    task = asyncio.create_task(child("a"))
    variable.set("two")
    # The task has the value of when it was made.
    await task
    trace("program sees", variable.get())

    # A plain await shares.
    await child("b")
    trace("program sees", variable.get())

    # Callbacks.
    future = loop.create_future()
    variable.set("three")
    future.add_done_callback(lambda _: show("first"))
    variable.set("four")
    future.add_done_callback(lambda _: show("second"))
    loop.call_soon(show, "soon")
    loop.call_later(0, show, "later")
    variable.set("five")
    future.set_result(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    # A context that is given: shared by its tasks, not with us.
    context = contextvars.copy_context()
    await asyncio.create_task(child("c"), context=context)
    trace("program sees", variable.get(), "the context", context[variable])
    await asyncio.create_task(child("d"), context=context)
    loop.call_soon(show, "callback", context=context)
    await asyncio.gather(child("e"), child("f"))
    trace("program sees", variable.get())

    # Undoing a change.
    token = variable.set("six")
    trace("changed to", variable.get())
    variable.reset(token)
    trace("back to", variable.get())


asyncio.run(program())
