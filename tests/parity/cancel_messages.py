"""The message of cancel() goes with the error through futures, tasks and what waits for
them; asking a future for its result gives it again."""
# requires: 3.12

import asyncio

from scenario import report, text, trace


async def waiter(awaitable):
    await awaitable


async def renaming(future):
    try:
        await future
    except asyncio.CancelledError:
        raise asyncio.CancelledError("renamed")


def asked(label, future):
    for ask in (future.result, future.exception):
        try:
            ask()
        except asyncio.CancelledError as error:
            trace(label, text(error))


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    future = loop.create_future()
    future.cancel("a future")
    asked("future", future)
    await report("future", future)
    asked("future", future)
    trace("again", future.cancel("another"))
    asked("future", future)

    future = loop.create_future()
    future.cancel()
    asked("without", future)

    bottom = loop.create_future()
    task = asyncio.create_task(waiter(bottom))
    await asyncio.sleep(0)
    task.cancel("down and up")
    await report("task", task)
    asked("bottom", bottom)

    task = asyncio.create_task(renaming(loop.create_future()))
    await asyncio.sleep(0)
    task.cancel("original")
    await report("task", task)

    # Through gather, shield and wait_for.
    for wrap in (asyncio.gather, asyncio.shield, lambda inner: asyncio.wait_for(inner, 10)):
        inner = loop.create_future()
        task = asyncio.create_task(waiter(wrap(inner)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel("through")
        await report("task", task)
        inner.cancel("the inner one")
        asked("inner", inner)


asyncio.run(program())
