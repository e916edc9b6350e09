"""Work handed over from threads: in order, with the context that belongs to it (rules 15,
155, 156). Other threads have a hand in when it comes, so the lines carry no iterations."""

import asyncio
import contextvars
import threading

from scenario import describe, note

variable = contextvars.ContextVar("variable", default="unset")


def blocking(name):
    note(name, "in a thread sees", variable.get())
    variable.set("lost")
    if name == "bad":
        raise ValueError(name)
    return name


async def child(name):
    note(name, "runs in the loop")
    await asyncio.sleep(0)
    if name == "bad":
        raise ValueError(name)
    return name


async def forever():
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        note("forever is cancelled")
        raise


def from_thread(loop, future):
    for number in range(3):
        loop.call_soon_threadsafe(note, "posted", number)
    note("result:", asyncio.run_coroutine_threadsafe(child("c"), loop).result())
    try:
        asyncio.run_coroutine_threadsafe(child("bad"), loop).result()
    except ValueError as error:
        note("error:", error)
    loop.call_soon_threadsafe(future.set_result, "from the thread")


async def program():
    loop = asyncio.get_running_loop()
    variable.set("main's")
    note(await asyncio.to_thread(blocking, "a"))
    note(await loop.run_in_executor(None, blocking, "b"))
    note("program sees", variable.get())
    try:
        await asyncio.to_thread(blocking, "bad")
    except ValueError as error:
        note("error:", error)

    future = loop.create_future()
    thread = threading.Thread(target=from_thread, args=(loop, future))
    thread.start()
    note(await future)
    thread.join()

    # Cancelling the outer side cancels the task, and the reverse.
    outer = asyncio.run_coroutine_threadsafe(forever(), loop)
    await asyncio.sleep(0.02)
    outer.cancel()
    await asyncio.sleep(0.02)
    note("outer cancelled:", outer.cancelled())

    # A result that comes too late is dropped.
    go = threading.Event()
    late = asyncio.create_task(asyncio.to_thread(go.wait))
    await asyncio.sleep(0.02)
    late.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    note("late is", describe(late))
    go.set()


asyncio.run(program())
