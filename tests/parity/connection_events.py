"""Protocols and transports over real connections: which callbacks come, in which order, with which
errors, and what the transport allows when."""

import asyncio

from scenario import note


class Recorder(asyncio.Protocol):
    def __init__(self, label, keep_open=False):
        self.label, self.keep_open = label, keep_open
        self.made = asyncio.get_running_loop().create_future()
        self.got = asyncio.Event()
        self.ended = asyncio.Event()
        self.lost = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport):
        note(self.label, "made")
        self.transport = transport
        self.made.set_result(None)

    def data_received(self, data):
        self.received += data
        self.got.set()

    def eof_received(self):
        note(self.label, "eof after", len(self.received))
        self.ended.set()
        return self.keep_open

    def pause_writing(self):
        note(self.label, "pause")

    def resume_writing(self):
        note(self.label, "resume")

    def connection_lost(self, error):
        note(self.label, "lost", type(error).__name__ if error else "None")
        self.lost.set_result(None)

    async def until(self, size):
        while len(self.received) < size:
            self.got.clear()
            await self.got.wait()


async def connected(keep_open=False):
    loop = asyncio.get_running_loop()
    accepted = Recorder("server:", keep_open)
    server = await loop.create_server(lambda: accepted, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, client = await loop.create_connection(lambda: Recorder("client:"), "127.0.0.1", port)
    await accepted.made
    server.close()
    return client, accepted


async def close_by_client():
    client, server = await connected()
    client.transport.write(b"hello")
    client.transport.writelines([b" ", b"there"])
    await server.until(11)
    note(server.received.decode())
    client.transport.close()
    note(client.transport.is_closing(), client.lost.done())
    await client.lost
    await server.lost


async def half_close():
    client, server = await connected(keep_open=True)
    client.transport.write(b"question")
    note(client.transport.can_write_eof())
    client.transport.write_eof()
    try:
        client.transport.write(b"more")
    except RuntimeError as error:
        note(type(error).__name__)
    await server.ended.wait()
    server.transport.write(b"answer")
    await client.until(6)
    note(client.received.decode(), client.transport.is_closing())
    server.transport.close()
    await client.lost
    await server.lost


async def abort():
    client, server = await connected()
    client.transport.write(b"x" * 20_000_000)
    note(client.transport.get_write_buffer_size() > 0)
    client.transport.abort()
    note(client.transport.get_write_buffer_size())
    await client.lost
    await server.lost
    note(len(server.received) < 20_000_000)


async def after_close():
    client, server = await connected()
    client.transport.close()
    client.transport.close()
    client.transport.write(b"ignored")
    client.transport.abort()
    await client.lost
    await server.lost
    note(len(server.received))


async def paused():
    client, server = await connected()
    server.transport.pause_reading()
    note(server.transport.is_reading())
    client.transport.write(b"data")
    await asyncio.sleep(0.02)
    note(len(server.received))
    server.transport.resume_reading()
    note(server.transport.is_reading())
    await server.until(4)
    client.transport.close()
    await server.lost
    await client.lost


async def limits():
    client, server = await connected()
    transport = client.transport
    note(transport.get_write_buffer_limits())
    for arguments in ({"high": 1000}, {"low": 500}, {"high": 0}, {"high": 10, "low": 5}, {}):
        transport.set_write_buffer_limits(**arguments)
        note(transport.get_write_buffer_limits())
    for arguments in ({"high": 5, "low": 10}, {"low": -1}):
        try:
            transport.set_write_buffer_limits(**arguments)
        except ValueError:
            note("ValueError")
    transport.close()
    await client.lost
    await server.lost


async def flow_control():
    client, server = await connected()
    server.transport.pause_reading()
    client.transport.write(b"x" * 20_000_000)
    client.transport.write(b"y")
    server.transport.resume_reading()
    await server.until(20_000_001)
    client.transport.close()
    await client.lost
    await server.lost


async def flush_on_close():
    client, server = await connected()
    client.transport.write(b"x" * 5_000_000)
    client.transport.close()
    await server.lost
    note(len(server.received))
    await client.lost


async def another_protocol():
    client, server = await connected()
    other = Recorder("other:")
    server.transport.set_protocol(other)
    note(server.transport.get_protocol() is other)
    client.transport.write(b"to the other")
    await other.until(12)
    note(len(server.received), other.received.decode())
    client.transport.close()
    await other.lost
    await client.lost


class Buffered(asyncio.BufferedProtocol):
    def __init__(self):
        self.buffer = bytearray(4)
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        note("buffered: made")

    def get_buffer(self, hint):
        return self.buffer

    def buffer_updated(self, size):
        note("buffered:", bytes(self.buffer[:size]).decode())

    def eof_received(self):
        note("buffered: eof")

    def connection_lost(self, error):
        note("buffered: lost", error)
        self.lost.set_result(None)


async def buffered():
    client, server = await connected()
    other = Buffered()
    server.transport.set_protocol(other)
    client.transport.write(b"abcdefghij")
    client.transport.write_eof()
    await other.lost
    await client.lost


async def no_connection():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    try:
        await loop.create_connection(lambda: Recorder("nobody:"), "127.0.0.1", port)
    except OSError as error:
        note(type(error).__name__)
    for arguments in ({}, {"server_hostname": "here", "host": "127.0.0.1", "port": 1}):
        try:
            await loop.create_connection(lambda: Recorder("nobody:"), **arguments)
        except ValueError:
            note("ValueError")


async def main():
    for part in (close_by_client, half_close, abort, after_close, paused, limits, flow_control,
                 flush_on_close, another_protocol, buffered, no_connection):
        note("==", part.__name__)
        await part()


asyncio.run(main())
