"""TaskGroup and cancellations from outside: children are cancelled and waited for; errors
make a group, and the cancellation comes back at the next await (rules 78, 79, 81, 82)."""
# requires: 3.13

import asyncio

from scenario import describe, report, trace


async def child(name, clean_up):
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        trace(name, "sees", error)
        for _ in range(clean_up):
            await asyncio.sleep(0)
        trace(name, "leaves")
        if name.startswith("bad"):
            raise ValueError(name)
        raise


async def fails(name, yields):
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "fails")
    raise ValueError(name)


async def grouped(*children):
    try:
        async with asyncio.TaskGroup() as group:
            for function, name, number in children:
                group.create_task(function(name, number))
            await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        trace("block gives", error, asyncio.current_task().cancelling())
        raise
    except ExceptionGroup as error:
        trace("block gives", error, asyncio.current_task().cancelling())
    await asyncio.sleep(0)
    trace("the next await passed")


async def nested():
    async with asyncio.TaskGroup() as outer:
        outer.create_task(fails("outer child", 2))
        try:
            async with asyncio.TaskGroup() as inner:
                inner.create_task(child("bad inner child", 1))
        except ExceptionGroup as error:
            trace("inner block gives", error, asyncio.current_task().cancelling())
            raise


async def cancelled(label, *children):
    task = asyncio.create_task(grouped(*children))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    trace("cancel", task.cancel(label))
    await report(label, task)
    trace(describe(task), task.cancelling())


async def program():
    trace("begins")
    await cancelled("obeying", (child, "a", 2))
    await cancelled("failing", (child, "bad b", 2))
    await cancelled("none")

    # A child's failure and a cancellation in the same iteration.
    task = asyncio.create_task(grouped((fails, "c", 1)))
    for _ in range(3):
        await asyncio.sleep(0)
    trace("cancel", task.cancel("outside as well"))
    await report("both", task)
    trace(describe(task), task.cancelling())

    await report("nested", nested())
    trace("cancelling", asyncio.current_task().cancelling())


asyncio.run(program())
