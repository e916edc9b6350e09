"""What the scenarios of I/O share; io_scenario.hpp is the same in C++.

Real I/O comes at iterations that differ from run to run: such lines have no number, and each
step waits for what the one before has caused.
"""

import asyncio
import socket

from scenario import name, note, text, trace


def show(value):
    """Bytes in quotes, long ones as their number; errors with what they carry."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value).decode("latin-1")
        if len(value) > 60:
            return f"{len(value)} bytes"
        return '"' + value.replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0") + '"'
    if isinstance(value, asyncio.IncompleteReadError):
        return f"{said(value)}, partial {show(value.partial)}"
    if isinstance(value, asyncio.LimitOverrunError):
        return f"{said(value)}, consumed {value.consumed}"
    if isinstance(value, BaseException):
        return text(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(show, value)) + "]"
    return str(value)


def said(error):
    """The type of an error with its message, whosever the wording is."""
    return f"{name(error)}: {error}" if str(error) else name(error)


async def _outcome(awaitable):
    try:
        return show(await awaitable)
    except (Exception, asyncio.CancelledError) as error:
        return show(error)


async def noted(label, awaitable):
    """Awaits and notes the outcome, cancellation included."""
    note(label, "gets", await _outcome(awaitable))


async def traced(label, awaitable):
    """The same with the iteration."""
    trace(label, "gets", await _outcome(awaitable))


def attempted(label, function):
    """Calls and notes what is thrown, or nothing."""
    try:
        function()
    except Exception as error:
        note(label, "throws", show(error))
    else:
        note(label, "is fine")


def kind(error):
    """The type of an error, or None."""
    return "None" if error is None else name(error)


class Recorder(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self, label, keep_open=False, quiet=False):
        self.label = label
        self.keep_open = keep_open
        self.quiet = quiet  # about data
        self.received = b""
        self.expected = 0
        loop = asyncio.get_running_loop()
        self.made, self.got, self.eof, self.lost, self.resumed = (
            loop.create_future() for _ in range(5))

    def connection_made(self, transport):
        note(self.label, "connection_made")
        self.transport = transport
        self.made.set_result(None)

    def data_received(self, data):
        if not self.quiet:
            note(self.label, "data_received", show(data))
        self.received += data
        if len(self.received) >= self.expected and not self.got.done():
            self.got.set_result(None)

    def eof_received(self):
        note(self.label, "eof_received")
        self.eof.set_result(None)
        return self.keep_open

    def connection_lost(self, error):
        note(self.label, "connection_lost", kind(error))
        self.lost.set_result(None)

    def pause_writing(self):
        note(self.label, "pause_writing")

    def resume_writing(self):
        note(self.label, "resume_writing")
        if not self.resumed.done():
            self.resumed.set_result(None)

    async def receives(self, count):
        """Returns when that many bytes have come, and forgets them."""
        self.expected = count
        if len(self.received) < count:
            self.got = asyncio.get_running_loop().create_future()
            await self.got
        self.received = b""


async def connected(protocol):
    """A transport with that protocol, and a plain socket at the other end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: protocol, sock=ours)
    return transport, theirs


def pending(sock):
    """What there is to receive just now; None at the end of file with nothing before it."""
    data = b""
    while True:
        try:
            piece = sock.recv(65536)
        except BlockingIOError:
            return data
        if not piece:
            return data or None
        data += piece


async def receive(sock, count):
    """That many bytes, or fewer at the end of file."""
    data = b""
    while len(data) < count:
        piece = await asyncio.get_running_loop().sock_recv(sock, 65536)
        if not piece:
            break
        data += piece
    return data


def listen(loop):
    """Notes what the loop's exception handler is told."""
    def handler(loop, context):
        error = context.get("exception")
        # Without the object's description, which is each library's own.
        note("handler:", context["message"].split("in callback")[0], show(error))

    loop.set_exception_handler(handler)
