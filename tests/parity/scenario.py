"""What the Python halves of the scenarios share; scenario.hpp is the same in C++.

Every line of a trace starts with the number of the loop's iteration, counted from the first
line of an act. An act ends when the loop has run 20 iterations without a line, or sleeps: so
numbers never depend on how long something took, and a wake-up that comes one iteration early
or late shows.
"""

import asyncio
import gc
import re
import time

_QUIET_ITERATIONS = 20

# Only collect() collects: reports of lost futures come at the same line in every run.
gc.disable()


class _Act:
    """Counts iterations with a callback that schedules itself again."""

    def __init__(self, loop):
        self.loop = loop
        self.iteration = 0
        self.quiet = 0
        self.over = False
        loop.call_soon(self._tick)

    def _tick(self):
        self.iteration += 1
        self.quiet += 1
        if self.quiet > _QUIET_ITERATIONS:
            self.over = True
        else:
            self.loop.call_soon(self._tick)


_act = None


def _iteration():
    global _act
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return "-"
    if _act is None or _act.over or _act.loop is not loop:
        if _act is not None:
            print("--")
        _act = _Act(loop)
    _act.quiet = 0
    return str(_act.iteration)


def _show(value):
    if isinstance(value, BaseException):
        return text(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_show, value)) + "]"
    if isinstance(value, asyncio.Task):
        return value.get_name()
    return str(value)


def trace(*parts):
    """Prints a line of the trace."""
    print(f"{_iteration():>3}", *map(_show, parts), flush=True)


def note(*parts):
    """The same without an iteration, for what other threads have a hand in."""
    print("   ", *map(_show, parts), flush=True)


# Errors whose wording is the scenario's own; that of others belongs to each library.
_OWN = (ValueError, asyncio.CancelledError, KeyboardInterrupt, SystemExit)


def name(error):
    """The type of an error."""
    return type(error).__name__


def text(error):
    """"ValueError: message"."""
    if isinstance(error, BaseExceptionGroup):
        return name(error) + _show(error.exceptions)
    return f"{name(error)}: {error}" if isinstance(error, _OWN) and str(error) else name(error)


async def report(label, awaitable):
    """Awaits in the calling task and traces the outcome, cancellation included."""
    try:
        trace(label, "gets", await awaitable)
    except (Exception, asyncio.CancelledError) as error:
        trace(label, "gets", error)


def listen(loop):
    """Traces what the loop's exception handler is told."""
    loop.set_exception_handler(_handler)


def _handler(loop, context):
    # Without the object's description, which is each library's own.
    message = re.sub("(in callback).*", r"\1", context["message"])
    if exception := context.get("exception"):
        trace("handler:", message, "|", exception)
    else:
        trace("handler:", message)


def block(seconds):
    """Keeps the loop from running, so that timers come due together."""
    time.sleep(seconds)


def collect():
    """Finds what only reference cycles keep alive."""
    gc.collect()


def describe(task):
    """The state of a task or future in a word or two."""
    if not task.done():
        return "pending"
    if task.cancelled():
        return "cancelled"
    if task.exception():
        return "failed"
    return "finished"
