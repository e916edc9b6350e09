"""TaskGroup: the block ends when every child is done; the first failure cancels the others
and the body, and all failures leave as one group (rules 75, 76, 77, 79, 83)."""
# requires: 3.13

import asyncio

from scenario import describe, report, trace


async def child(name, yields):
    try:
        for _ in range(yields):
            await asyncio.sleep(0)
    except asyncio.CancelledError as error:
        trace(name, "sees", error)
        if name == "bad when cancelled":
            raise ValueError(name)
        raise
    trace(name, "ends")
    if name.startswith("bad"):
        raise ValueError(name)
    return name


async def group(body, *children):
    tasks = []
    try:
        async with asyncio.TaskGroup() as group:
            for name, yields in children:
                tasks.append(group.create_task(child(name, yields)))
            trace("body")
            await body(group)
            trace("body ends")
    finally:
        trace([describe(task) for task in tasks], asyncio.current_task().cancelling())
    return "after the block"


async def nothing(group):
    pass


async def failing(group):
    raise ValueError("body")


async def sleeping(group):
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        trace("body sees", error, asyncio.current_task().cancelling())
        raise


async def adding(group):
    async def late():
        trace("late child adds another")
        group.create_task(child("added", 1))

    group.create_task(late())


async def refused(group):
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        coroutine = child("never", 0)
        try:
            group.create_task(coroutine)
        except RuntimeError as error:
            trace("create_task:", error)
        coroutine.close()
        raise


async def program():
    trace("begins")
    await report("good", group(nothing, ("a", 1), ("b", 3), ("c", 0)))
    await report("empty", group(nothing))
    await report("adding", group(adding, ("d", 1)))
    await report("child fails", group(sleeping, ("bad e", 2), ("f", 9)))
    await report("body fails", group(failing, ("g", 9)))
    await report("two fail", group(nothing, ("bad i", 1), ("bad j", 1)))
    await report("fails winding down", group(sleeping, ("bad k", 1), ("bad when cancelled", 9)))
    await report("refused", group(refused, ("bad l", 1)))
    # Nothing is left of all this.
    trace("cancelling", asyncio.current_task().cancelling())
    await asyncio.sleep(0)
    trace("end")


asyncio.run(program())
