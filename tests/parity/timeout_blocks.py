"""timeout(): past deadlines fire at the first real suspension, bodies that never suspend
finish, nested ones tell apart whose time was up (rules 58, 59, 60, 61, 62)."""
# requires: 3.12

import asyncio

from scenario import block, trace


async def body(delay):
    trace("sleeps")
    await asyncio.sleep(delay)
    trace("slept")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    async with asyncio.timeout(10) as limit:
        await body(0)
    trace("expired", limit.expired())

    # In the past: even sleep(0) is interrupted.
    try:
        async with asyncio.timeout(-1) as limit:
            trace("inside")
            await body(0)
    except TimeoutError:
        trace("TimeoutError, expired", limit.expired(), asyncio.current_task().cancelling())

    # Without a suspension it finishes, however late.
    async with asyncio.timeout(0.01) as limit:
        block(0.03)
    trace("never suspended, expired", limit.expired())
    await asyncio.sleep(0)

    # Another error leaving an expired block stays.
    try:
        async with asyncio.timeout(0.01) as limit:
            try:
                await body(10)
            finally:
                raise ValueError("while winding down")
    except ValueError as error:
        trace(error, "expired", limit.expired())

    # Nested: the outer one's time, the inner one's, both.
    for outer_delay, inner_delay in ((0.02, 10), (10, 0.02), (0.02, 0.02)):
        now = loop.time()
        try:
            async with asyncio.timeout_at(now + outer_delay) as outer:
                try:
                    async with asyncio.timeout_at(now + inner_delay) as inner:
                        await body(10)
                except TimeoutError:
                    trace("inner TimeoutError")
        except TimeoutError:
            trace("outer TimeoutError")
        trace("outer", outer.expired(), "inner", inner.expired(),
              "cancelling", asyncio.current_task().cancelling())

    # Moved forward, and switched off.
    async with asyncio.timeout(0.02) as limit:
        limit.reschedule(loop.time() + 10)
        await body(0.05)
    trace("expired", limit.expired())
    async with asyncio.timeout(0.02) as limit:
        limit.reschedule(None)
        await body(0.05)
    trace("expired", limit.expired())


asyncio.run(program())
