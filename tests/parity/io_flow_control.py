"""Flow control of what is written, six scenarios: the limits, when a protocol is told to pause
and to resume, drain() with one and with several tasks, its cancellation and its errors."""

import asyncio
import socket

from io_scenario import Recorder, attempted, connected, listen, noted, pending, receive, show
from scenario import describe, note

MUCH = b"x" * 3_000_000


async def limits():
    note("== limits")
    one = Recorder("one")
    transport, peer = await connected(one)
    note(transport.get_write_buffer_limits())
    for keywords in ({"high": 1024, "low": 128}, {"high": 256}, {"low": 256}, {"high": 0}, {},
                     {"high": 8, "low": 8}, {"low": 0}):
        transport.set_write_buffer_limits(**keywords)
        note(transport.get_write_buffer_limits())
    for keywords in ({"high": 0, "low": 1}, {"high": 1, "low": -1}, {"high": -4}, {"low": -4}):
        attempted("limits", lambda: transport.set_write_buffer_limits(**keywords))
    note(transport.get_write_buffer_limits())
    transport.close()
    await one.lost
    peer.close()


async def told():
    note("== told")
    one = Recorder("one")
    transport, peer = await connected(one)
    note("writes little")
    transport.write(b"little")
    note("writes much")
    transport.write(MUCH)
    note("writes more")
    transport.write(b"more")
    note("buffered", transport.get_write_buffer_size() > 65536)
    data = await receive(peer, len(MUCH) + 10)
    await one.resumed
    await asyncio.sleep(0.01)
    note("buffered", transport.get_write_buffer_size())
    note("peer gets", show(data), show(data[:8]), show(data[-8:]))
    transport.close()
    await one.lost
    peer.close()


async def zero():
    note("== zero")
    one = Recorder("one")
    transport, peer = await connected(one)
    transport.set_write_buffer_limits(high=0)
    transport.write(b"sent at once")
    note("still in the buffer", transport.get_write_buffer_size())
    transport.write(MUCH)
    note("paused")
    await receive(peer, len(MUCH) + 12)
    await one.resumed
    await asyncio.sleep(0.01)
    note("buffered", transport.get_write_buffer_size())
    transport.close()
    await one.lost
    peer.close()


async def closed_while_paused():
    note("== closed while paused")
    for how in ("close", "abort"):
        one = Recorder(how)
        transport, peer = await connected(one)
        transport.write(MUCH)
        getattr(transport, how)()
        note("buffered", transport.get_write_buffer_size() > 0)
        if how == "close":
            await receive(peer, len(MUCH))
        await one.lost
        peer.close()


async def stream():
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours)
    return reader, writer, peer


async def drains():
    note("== drains")
    reader, writer, peer = await stream()
    writer.write(b"little")
    await noted("at once", writer.drain())
    writer.write(MUCH)
    tasks = [asyncio.create_task(noted(label, writer.drain())) for label in ("a", "b", "c")]
    await asyncio.sleep(0.01)
    note("waiting", [describe(task) for task in tasks])
    tasks[1].cancel("enough")
    await tasks[1]
    await receive(peer, len(MUCH) + 6)
    await asyncio.wait(tasks)
    await noted("later", writer.drain())
    writer.close()
    await noted("wait_closed", writer.wait_closed())
    await noted("after the end", writer.drain())
    peer.close()


async def drain_fails():
    note("== drain fails")
    # close() while it waits: it returns when all is sent.
    reader, writer, peer = await stream()
    writer.write(MUCH)
    task = asyncio.create_task(noted("closed meanwhile", writer.drain()))
    await asyncio.sleep(0)
    writer.close()
    await receive(peer, len(MUCH))
    await task
    await noted("wait_closed", writer.wait_closed())
    peer.close()

    # abort() while it waits.
    reader, writer, peer = await stream()
    writer.write(MUCH)
    task = asyncio.create_task(noted("aborted meanwhile", writer.drain()))
    await asyncio.sleep(0)
    writer.transport.abort()
    await task
    await noted("wait_closed", writer.wait_closed())
    peer.close()

    # The peer goes.
    reader, writer, peer = await stream()
    writer.write(MUCH)
    task = asyncio.create_task(noted("lost meanwhile", writer.drain()))
    await asyncio.sleep(0)
    pending(peer)
    peer.close()
    await task
    await noted("drain", writer.drain())
    await noted("read", reader.read())
    await noted("wait_closed", writer.wait_closed())

    # The reader has an error.
    reader, writer, peer = await stream()
    reader.set_exception(ValueError("of the reader"))
    await noted("drain", writer.drain())
    writer.close()
    await noted("wait_closed", writer.wait_closed())
    peer.close()


async def program():
    listen(asyncio.get_running_loop())
    await limits()
    await told()
    await zero()
    await closed_while_paused()
    await drains()
    await drain_fails()


asyncio.run(program())
