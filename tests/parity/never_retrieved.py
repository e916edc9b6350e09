"""A failed future or task that nobody looked at is reported when it goes, once; looking at
it, awaiting it and cancel() disarm that (rule 27)."""

import asyncio

from scenario import collect, listen, report, trace


async def failing(name):
    raise ValueError(name)


def failed(name):
    future = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError(name))
    return future


async def until_done(task):
    await asyncio.wait([task])
    return task


async def program():
    loop = asyncio.get_running_loop()
    listen(loop)
    trace("begins")

    future = failed("lost future")
    trace("drops it")
    del future
    collect()

    task = await until_done(asyncio.create_task(failing("lost task")))
    trace("drops it")
    del task
    collect()

    # Nobody ever held it: reported once it is done.
    asyncio.create_task(failing("nobody's task"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    collect()
    trace("looking at it:")

    future = failed("exception()")
    trace(future.exception())
    del future
    future = failed("result()")
    try:
        future.result()
    except ValueError as error:
        trace(error)
    del future
    await report("await", failed("await"))
    task = await until_done(asyncio.create_task(failing("exception()")))
    trace(task.exception())
    del task
    await report("await task", asyncio.create_task(failing("await")))
    collect()

    # cancel() of one that failed does nothing, but counts as looking.
    future = failed("cancelled")
    trace("cancel", future.cancel())
    del future
    task = await until_done(asyncio.create_task(failing("cancelled")))
    trace("cancel", task.cancel())
    del task
    collect()

    # A done callback that does not look is no help; one that looks is.
    task = asyncio.create_task(failing("callback"))
    task.add_done_callback(lambda _: trace("callback"))
    await until_done(task)
    del task
    collect()
    task = asyncio.create_task(failing("looking callback"))
    task.add_done_callback(lambda done: trace("callback", done.exception()))
    await until_done(task)
    del task
    collect()

    # Two names for one future: reported when the last one goes.
    future = failed("two names")
    other = future
    del future
    collect()
    trace("one is left")
    del other
    collect()
    trace("end")


asyncio.run(program())
