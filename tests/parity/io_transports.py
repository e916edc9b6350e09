"""Transports over sockets, twelve scenarios: the order in which a protocol is told, end of
file, close(), abort(), write_eof(), pauses of reading, errors in callbacks and of the
connection, what is allowed after the end."""

import asyncio

from io_scenario import Recorder, attempted, connected, listen, pending, receive, said, show
from scenario import note


async def order():
    note("== order")
    loop = asyncio.get_running_loop()
    one = Recorder("one")
    transport, peer = await connected(one)
    note("opened", transport is one.transport, transport.is_reading(), transport.is_closing())
    peer.send(b"first")
    await one.receives(5)
    loop.call_soon(note, "next iteration")
    peer.send(b"second")
    peer.close()
    await one.lost
    note("closing", transport.is_closing(), transport.is_reading())


async def end_of_file():
    note("== end of file")
    for keep_open in (False, True):
        one = Recorder("open" if keep_open else "closed", keep_open)
        transport, peer = await connected(one)
        peer.shutdown(1)
        await one.eof
        await asyncio.sleep(0)
        note("closing", transport.is_closing())
        if keep_open:
            transport.write(b"still here")
            note("peer gets", show(await receive(peer, 10)))
            transport.close()
        await one.lost
        note("peer gets", show(await receive(peer, 1)))
        peer.close()


async def close_flushes():
    note("== close")
    one = Recorder("one", quiet=True)
    transport, peer = await connected(one)
    transport.write(b"x" * 3_000_000)
    note("buffered", transport.get_write_buffer_size() > 0)
    transport.close()
    transport.close()
    note("closing", transport.is_closing(), transport.is_reading(), one.lost.done())
    transport.write(b"too late?")
    data = await receive(peer, 4_000_000)
    await one.lost
    note("peer gets", show(data))
    peer.close()

    one = Recorder("idle")
    transport, peer = await connected(one)
    transport.close()
    note("never inside of it")
    await one.lost
    note("peer gets", pending(peer))
    peer.close()


async def abort_drops():
    note("== abort")
    one = Recorder("one", quiet=True)
    transport, peer = await connected(one)
    transport.write(b"x" * 3_000_000)
    transport.abort()
    note("buffered", transport.get_write_buffer_size(), transport.is_closing(), one.lost.done())
    transport.abort()
    await one.lost
    note("peer gets all", len(await receive(peer, 4_000_000)) >= 3_000_000)
    peer.close()

    one = Recorder("closed before", quiet=True)
    transport, peer = await connected(one)
    transport.write(b"x" * 3_000_000)
    transport.close()
    transport.abort()
    await one.lost
    peer.close()


async def half_close():
    note("== half close")
    one = Recorder("one")
    transport, peer = await connected(one)
    note("can", transport.can_write_eof())
    transport.write(b"all")
    transport.write_eof()
    transport.write_eof()
    for data in (b"more", b""):
        try:
            transport.write(data)
        except RuntimeError as error:
            note(said(error))
    note("peer gets", show(await receive(peer, 10)))
    peer.send(b"answer")
    await one.receives(6)
    note("closing", transport.is_closing())
    peer.close()
    await one.lost

    # Behind what is buffered.
    one = Recorder("full", quiet=True)
    transport, peer = await connected(one)
    transport.write(b"x" * 3_000_000)
    transport.write_eof()
    data = await receive(peer, 4_000_000)
    await one.resumed
    note("peer gets", show(data))
    peer.send(b"answer")
    await one.receives(6)
    transport.close()
    await one.lost
    peer.close()


async def pausing():
    note("== pausing")
    one = Recorder("one")
    transport, peer = await connected(one)
    transport.pause_reading()
    transport.pause_reading()
    note("reading", transport.is_reading())
    peer.send(b"early")
    peer.send(b"and late")
    await asyncio.sleep(0.02)
    transport.resume_reading()
    transport.resume_reading()
    note("reading", transport.is_reading())
    await one.receives(13)
    transport.pause_reading()
    peer.close()
    await asyncio.sleep(0.02)
    note("nothing so far")
    transport.resume_reading()
    await one.lost
    transport.resume_reading()
    note("reading", transport.is_reading())

    # Closed while paused.
    one = Recorder("closed")
    transport, peer = await connected(one)
    transport.pause_reading()
    peer.send(b"never read")
    transport.close()
    transport.resume_reading()
    note("reading", transport.is_reading())
    await one.lost
    peer.close()


class Failing(Recorder):
    def __init__(self, label, where):
        super().__init__(label)
        self.where = where

    def connection_made(self, transport):
        super().connection_made(transport)
        if self.where == "made":
            raise ValueError("in connection_made")

    def data_received(self, data):
        super().data_received(data)
        if self.where == "data":
            raise ValueError("in data_received")

    def eof_received(self):
        super().eof_received()
        if self.where == "eof":
            raise ValueError("in eof_received")


async def failures():
    note("== failures")
    for where in ("made", "data", "eof"):
        one = Failing(where, where)
        transport, peer = await connected(one)
        peer.send(b"data")
        if where != "eof":
            await one.got
        peer.close()
        await one.lost
        await asyncio.sleep(0.01)


async def after_the_end():
    note("== after the end")
    one = Recorder("one")
    transport, peer = await connected(one)
    transport.close()
    await one.lost
    await asyncio.sleep(0)
    attempted("write", lambda: transport.write(b"x"))
    attempted("write_eof", transport.write_eof)
    attempted("pause_reading", transport.pause_reading)
    attempted("resume_reading", transport.resume_reading)
    attempted("close", transport.close)
    attempted("abort", transport.abort)
    note(transport.is_closing(), transport.is_reading(), transport.get_write_buffer_size())
    note("protocol", transport.get_protocol() is None)
    note("peer gets", pending(peer))
    peer.close()


async def other_protocol():
    note("== other protocol")
    one = Recorder("one")
    transport, peer = await connected(one)
    peer.send(b"for one")
    await one.receives(7)
    two = Recorder("two")
    transport.set_protocol(two)
    note(transport.get_protocol() is two)
    peer.send(b"for two")
    await two.receives(7)
    peer.close()
    await two.lost
    note("one knows", one.lost.done())


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, size):
        self.memory = bytearray(size)
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        note("connection_made")

    def get_buffer(self, hint):
        return self.memory

    def buffer_updated(self, count):
        note("buffer_updated", count, show(self.memory[:count]))

    def eof_received(self):
        note("eof_received")

    def connection_lost(self, error):
        note("connection_lost", "None" if error is None else type(error).__name__)
        self.lost.set_result(None)


async def buffered():
    note("== buffered")
    one = Buffered(4)
    transport, peer = await connected(one)
    peer.send(b"0123456789")
    peer.close()
    await one.lost
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: note("handler", context["exception"]))
    one = Buffered(0)
    transport, peer = await connected(one)
    peer.send(b"no room")
    await one.lost
    peer.close()
    listen(loop)


async def lost_connections():
    note("== lost connections")
    # The peer closes with unread data.
    one = Recorder("reset")
    transport, peer = await connected(one)
    transport.write(b"unread")
    peer.close()
    await one.lost

    # It is gone when we write.
    one = Recorder("broken")
    transport, peer = await connected(one)
    transport.pause_reading()
    peer.close()
    transport.write(b"nobody")
    note("closing", transport.is_closing(), one.lost.done())
    await one.lost

    # It goes while we have data for it.
    one = Recorder("buffered", quiet=True)
    transport, peer = await connected(one)
    transport.pause_reading()
    transport.write(b"x" * 3_000_000)
    pending(peer)
    peer.close()
    await one.lost
    note("buffered", transport.get_write_buffer_size())


async def pieces():
    note("== pieces")
    one = Recorder("one", quiet=True)
    transport, peer = await connected(one)
    transport.writelines([b"one ", b"", b"two ", b"three"])
    note("peer gets", show(pending(peer)))
    transport.writelines([])
    transport.write(b"")
    note("peer gets", show(pending(peer)))
    transport.set_write_buffer_limits(10_000_000)
    transport.writelines([b"x" * 10_000] * 300)
    transport.writelines([b"the", b" end"])
    data = await receive(peer, 3_000_007)
    note("peer gets", show(data), show(data[-8:]))
    note("nothing", transport.get_extra_info("nonsense"), transport.get_extra_info("nonsense", 7))
    transport.close()
    await one.lost
    peer.close()


async def program():
    listen(asyncio.get_running_loop())
    await order()
    await end_of_file()
    await close_flushes()
    await abort_drops()
    await half_close()
    await pausing()
    await failures()
    await after_the_end()
    await other_protocol()
    await buffered()
    await lost_connections()
    await pieces()


asyncio.run(program())
