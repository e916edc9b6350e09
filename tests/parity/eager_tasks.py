"""An eager task runs in create_task() up to its first suspension, in its own context and as
the current task; one that ends there costs no iteration (rules 49, 50)."""
# requires: 3.12

import asyncio
import contextvars

from scenario import describe, listen, report, trace

variable = contextvars.ContextVar("variable", default="unset")


def in_main():
    return asyncio.current_task().get_name() == "main"


async def child(name, yields):
    trace(name, "starts in main:", in_main(), variable.get())
    variable.set(name)
    for _ in range(yields):
        await asyncio.sleep(0)
    trace(name, "ends in main:", in_main(), variable.get())
    return name


async def failing(yields):
    for _ in range(yields):
        await asyncio.sleep(0)
    trace("fails")
    raise ValueError("eager")


async def parent():
    trace("parent starts")
    inner = asyncio.create_task(child("inner", 1))
    trace("parent goes on in main:", in_main())
    return await inner


async def program():
    loop = asyncio.get_running_loop()
    listen(loop)
    asyncio.current_task().set_name("main")
    variable.set("main's")
    trace("begins")
    loop.set_task_factory(asyncio.eager_task_factory)

    loop.call_soon(trace, "callback")
    a = asyncio.create_task(child("a", 0))
    trace("made a:", describe(a), "in main:", in_main(), variable.get())
    b = asyncio.create_task(child("b", 2))
    trace("made b:", describe(b), "of", len(asyncio.all_tasks()))
    trace(await a)
    trace(await b)

    # The wake-up of one that suspended is as any other's; nested ones start inside.
    trace(await asyncio.create_task(parent()))

    # Errors wait in the task.
    await report("failed at once", asyncio.create_task(failing(0)))
    await report("failed later", asyncio.create_task(failing(1)))

    # gather() of tasks that ended at once is done at once.
    together = asyncio.gather(child("c", 0), child("d", 0))
    trace("gather is", describe(together))
    trace(await together)

    loop.set_task_factory(None)
    lazy = asyncio.create_task(child("lazy", 0))
    trace("made lazy:", describe(lazy))
    trace(await lazy)


asyncio.run(program())
