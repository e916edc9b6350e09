"""A closed loop takes nothing more; closing twice is fine, closing a running one is not; a
loop runs once at a time (rules 10, 11, 20)."""

import asyncio

from scenario import trace


def attempt(label, function):
    try:
        trace(label, function())
    except RuntimeError as error:
        trace(label, error)


async def child():
    trace("never")


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    attempt("close", lambda: loop.close())
    done = loop.create_future()
    done.set_result(None)
    attempt("run_until_complete", lambda: loop.run_until_complete(done))
    await asyncio.sleep(0)
    trace("goes on", loop.is_running(), loop.is_closed())


loop = asyncio.new_event_loop()
loop.run_until_complete(program())
future = loop.create_future()
future.set_result(None)
pending = loop.create_future()
loop.call_soon(trace, "never")
loop.call_later(0, trace, "never")
attempt("close", lambda: loop.close())
attempt("close", lambda: loop.close())
trace(loop.is_running(), loop.is_closed())

attempt("run_forever", lambda: loop.run_forever())
attempt("call_soon", lambda: loop.call_soon(trace, "never"))
attempt("call_later", lambda: loop.call_later(0, trace, "never"))
attempt("call_at", lambda: loop.call_at(loop.time(), trace, "never"))
attempt("call_soon_threadsafe", lambda: loop.call_soon_threadsafe(trace, "never"))
coroutine = child()
attempt("create_task", lambda: loop.create_task(coroutine))
attempt("run_until_complete", lambda: loop.run_until_complete(future))
attempt("run_in_executor", lambda: loop.run_in_executor(None, trace, "never"))
coroutine.close()
# A future with nobody waiting can still be completed.
pending.set_result("late")
trace(pending.result())
attempt("add_done_callback", lambda: future.add_done_callback(lambda _: trace("never")))
attempt("stop", lambda: loop.stop())
