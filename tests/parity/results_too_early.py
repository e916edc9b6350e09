"""What is asked of a future in the wrong state: results too early, results set twice, tasks
that are set from outside (rule 25)."""

import asyncio

from scenario import name, report, trace


def attempt(label, function):
    try:
        trace(label, function())
    except Exception as error:
        trace(label, name(error))
    except asyncio.CancelledError as error:
        trace(label, error)


async def child():
    await asyncio.sleep(0)
    return "result"


async def program():
    loop = asyncio.get_running_loop()
    trace("begins")
    future = loop.create_future()
    attempt("result", lambda: future.result())
    attempt("exception", lambda: future.exception())
    attempt("set_result", lambda: future.set_result("first"))
    attempt("set_result", lambda: future.set_result("second"))
    attempt("set_exception", lambda: future.set_exception(ValueError("late")))
    attempt("cancel", lambda: future.cancel())
    attempt("result", lambda: future.result())
    attempt("exception", lambda: future.exception())

    failed = loop.create_future()
    attempt("set_exception", lambda: failed.set_exception(ValueError("failed")))
    attempt("set_result", lambda: failed.set_result("late"))
    attempt("cancel", lambda: failed.cancel())
    attempt("exception", lambda: failed.exception())

    cancelled = loop.create_future()
    attempt("cancel", lambda: cancelled.cancel("message"))
    attempt("cancel", lambda: cancelled.cancel())
    attempt("set_result", lambda: cancelled.set_result("late"))
    attempt("set_exception", lambda: cancelled.set_exception(ValueError("late")))
    attempt("result", lambda: cancelled.result())
    attempt("exception", lambda: cancelled.exception())

    task = asyncio.create_task(child())
    attempt("result", lambda: task.result())
    attempt("exception", lambda: task.exception())
    await report("task", task)
    attempt("result", lambda: task.result())
    attempt("exception", lambda: task.exception())
    attempt("cancel", lambda: task.cancel())


asyncio.run(program())
