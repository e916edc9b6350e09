"""current_task() and all_tasks() across interleaved tasks, callbacks and coroutines
(rule 45)."""

import asyncio

from scenario import trace


async def inner():
    trace("inner in", asyncio.current_task())
    await asyncio.sleep(0)
    trace("inner still in", asyncio.current_task())


async def child(name):
    trace(name, "in", asyncio.current_task())
    await inner()
    trace(name, "again in", asyncio.current_task())


def callback(*_):
    trace("callback in", asyncio.current_task())


def names():
    return sorted(task.get_name() for task in asyncio.all_tasks())


async def program():
    loop = asyncio.get_running_loop()
    asyncio.current_task().set_name("main")
    trace("begins in", asyncio.current_task())
    a = asyncio.create_task(child("a"), name="task a")
    b = asyncio.create_task(child("b"), name="task b")
    b.add_done_callback(callback)
    loop.call_soon(callback)
    trace("tasks:", names())
    await asyncio.sleep(0)
    trace("main in", asyncio.current_task())
    await a
    trace("tasks:", names())
    await b
    trace("tasks:", names())
    a.set_name("renamed")
    trace(a)
    await asyncio.sleep(0)


asyncio.run(program())
