"""wait(): when it returns in each mode, with everything that is done by then; a cancelled
task is no exception (rules 71, 72, 73)."""

import asyncio

from scenario import collect, describe, listen, name, trace


async def child(name, yields):
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "ends")
    if name.startswith("bad"):
        raise ValueError(name)
    return name


def show(label, done, pending):
    trace(label, "done", sorted(task.get_name() for task in done),
          "pending", sorted(task.get_name() for task in pending))


def make(name, yields):
    return asyncio.create_task(child(name, yields), name=name)


async def program():
    listen(asyncio.get_running_loop())
    trace("begins")

    done, pending = await asyncio.wait([make("a", 2), make("b", 0), make("c", 1)])
    show("all", done, pending)

    tasks = [make("d", 14), make("e", 1), make("f", 7), make("g", 1)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    show("first", done, pending)
    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    show("first", done, pending)
    done, pending = await asyncio.wait(pending)
    show("rest", done, pending)

    tasks = [make("h", 1), make("bad i", 2), make("j", 9), make("k", 3)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    show("exception", done, pending)
    for task in done:
        task.exception()
    await asyncio.wait(pending)

    # A cancelled one does not count as an exception.
    tasks = [make("l", 9), make("m", 6)]
    asyncio.get_running_loop().call_soon(tasks[0].cancel)
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    show("cancelled", done, pending)
    trace("l is", describe(tasks[0]))

    # All done before: it still takes its turns.
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    show("again", done, pending)

    # With a timeout that passes, and with one of zero.
    tasks = [asyncio.create_task(asyncio.sleep(0.1), name="long"), make("short", 1)]
    done, pending = await asyncio.wait(tasks, timeout=0.03)
    show("timeout", done, pending)
    done, pending = await asyncio.wait(tasks, timeout=0)
    show("zero", done, pending)
    done, pending = await asyncio.wait(pending, timeout=10)
    show("enough", done, pending)

    try:
        await asyncio.wait([])
    except ValueError as error:
        trace("none:", name(error))
    # An exception that nobody looked at: wait() does not count as looking.
    await asyncio.wait([make("bad n", 0)])
    collect()
    trace("end")


asyncio.run(program())
