"""Done callbacks: order, on a future that is done already, removed ones, ones that fail, and
callbacks that change the list (rules 12, 21, 23, 24)."""

import asyncio

from scenario import describe, listen, trace


def first(future):
    trace("first", describe(future))


def second(future):
    trace("second", describe(future))


def failing(future):
    trace("failing")
    raise ValueError("in a done callback")


def adding(future):
    trace("adding")
    future.add_done_callback(first)
    # Both are scheduled by now and cannot be recalled.
    trace("removed", future.remove_done_callback(second))


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    listen(loop)

    future = loop.create_future()
    future.add_done_callback(second)
    future.add_done_callback(first)
    future.add_done_callback(second)
    trace("removed", future.remove_done_callback(second))
    trace("removed", future.remove_done_callback(second))
    future.add_done_callback(failing)
    future.add_done_callback(adding)
    future.add_done_callback(second)
    future.set_result(None)
    trace("set")
    await asyncio.sleep(0)
    trace("program")
    await asyncio.sleep(0)
    trace("program")

    # On one that is done: in the next iteration, never inline.
    future.add_done_callback(first)
    trace("added late")
    await asyncio.sleep(0)
    trace("program")

    # A failed and a cancelled one.
    failed = loop.create_future()
    failed.add_done_callback(first)
    failed.set_exception(ValueError("seen by describe()"))
    cancelled = loop.create_future()
    cancelled.add_done_callback(second)
    cancelled.cancel()
    await asyncio.sleep(0)
    trace("end")


asyncio.run(program())
