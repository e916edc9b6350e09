"""Streams over TCP and Unix sockets, eight scenarios: a conversation, half-closed connections,
writing at the end, a peer that is lost, cancelled reads, handlers that fail, connections that
are refused."""

import asyncio
import os
import socket
import struct
import tempfile

from io_scenario import attempted, kind, listen, noted, said, show
from scenario import note

HOST = "127.0.0.1"


async def serve(handler):
    server = await asyncio.start_server(handler, HOST, 0)
    return server, server.sockets[0].getsockname()[1]


async def end(*closables):
    for closable in closables:
        closable.close()
        await closable.wait_closed()


async def echo(reader, writer):
    async for line in reader:
        writer.write(b"echo " + line)
        await writer.drain()
    note("handler sees the end", reader.at_eof())
    writer.write(b"bye")
    writer.close()
    await writer.wait_closed()
    note("handler is done")


async def talk(reader, writer):
    note("open", writer.is_closing(), reader.at_eof(), writer.can_write_eof())
    for line in (b"one\n", b"two\n"):
        writer.write(line)
        await writer.drain()
        await noted("line", reader.readline())
    writer.writelines([b"three", b"\n"])
    await noted("exactly", reader.readexactly(5))
    await noted("until", reader.readuntil(b"ee"))
    await noted("line", reader.readline())
    writer.write_eof()
    await noted("rest", reader.read())
    note("at_eof", reader.at_eof())
    await asyncio.sleep(0.02)
    writer.close()
    note("closing", writer.is_closing())
    await noted("wait_closed", writer.wait_closed())


async def conversation():
    note("== conversation")
    server, port = await serve(echo)
    await talk(*await asyncio.open_connection(HOST, port))
    await end(server)


async def over_a_unix_socket():
    note("== over a Unix socket")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        server = await asyncio.start_unix_server(echo, path)
        await talk(*await asyncio.open_unix_connection(path))
        await end(server)


async def pair():
    """Both ends of a connection."""
    ends = asyncio.get_running_loop().create_future()
    server, port = await serve(lambda reader, writer: ends.set_result((reader, writer)))
    client = await asyncio.open_connection(HOST, port)
    served = await ends
    server.close()
    return client, served


async def half_closed():
    note("== half closed")
    (reader, writer), (peer_reader, peer_writer) = await pair()
    writer.write(b"question")
    writer.write_eof()
    try:
        writer.write(b"more")
    except RuntimeError as error:
        note(said(error))
    await noted("peer", peer_reader.read())
    note("peer is closing", peer_writer.is_closing())
    peer_writer.write(b"answer")
    await noted("answer", reader.read(100))
    await end(peer_writer)
    await noted("end", reader.read())
    note("closing", writer.is_closing())
    await end(writer)


async def at_the_end():
    note("== at the end")
    (reader, writer), (peer_reader, peer_writer) = await pair()
    writer.close()
    note("closing", writer.is_closing())
    attempted("write", lambda: writer.write(b"late"))
    await noted("drain", writer.drain())
    await noted("wait_closed", writer.wait_closed())
    await noted("again", writer.wait_closed())
    await noted("drain", writer.drain())
    await noted("own read", reader.read())
    attempted("close", writer.close)
    attempted("write", lambda: writer.write(b"later"))
    await noted("peer", peer_reader.read())
    await end(peer_writer)


async def lost_peer():
    note("== lost peer")
    (reader, writer), (peer_reader, peer_writer) = await pair()
    waiting = asyncio.create_task(noted("read", reader.read(10)))
    await asyncio.sleep(0)
    # Closed without a lingering good-bye it is a reset.
    peer_writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer_writer.transport.abort()
    await waiting
    note("exception", kind(reader.exception()))
    await noted("wait_closed", writer.wait_closed())
    await noted("read", reader.read(10))
    await noted("drain", writer.drain())
    await noted("peer", peer_writer.wait_closed())
    await noted("peer reads", peer_reader.read())


async def cancelled_reads():
    note("== cancelled reads")
    (reader, writer), (peer_reader, peer_writer) = await pair()
    for label, how in (("read", lambda: reader.read(10)), ("line", reader.readline),
                       ("exactly", lambda: reader.readexactly(8))):
        task = asyncio.create_task(noted(label, how()))
        await asyncio.sleep(0.01)
        if label != "read":
            peer_writer.write(b"half")
            await asyncio.sleep(0.02)
        task.cancel()
        await task
        peer_writer.write(b"+rest\n")
        await noted("then", reader.readuntil(b"\n"))
    await noted("timeout", asyncio.wait_for(reader.read(10), 0.02))
    peer_writer.write(b"late")
    await noted("then", reader.readexactly(4))
    await end(writer, peer_writer)


async def failing(reader, writer):
    note("handler got", show(await reader.readline()))
    raise ValueError("in a handler")


async def too_long(reader, writer):
    await noted("handler", reader.readline())
    await noted("handler", reader.readline())
    await end(writer)


async def handlers():
    note("== handlers")
    server, port = await serve(failing)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"line\n")
    await noted("end", reader.read())
    await end(writer, server)

    server = await asyncio.start_server(too_long, HOST, 0, limit=8)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"much too long a line\nshort\n")
    await noted("end", reader.read())
    await end(writer, server)


async def refused():
    note("== refused")
    server, port = await serve(echo)
    await end(server)
    await noted("nobody", asyncio.open_connection(HOST, port))
    await noted("no path", asyncio.open_unix_connection("/nonexistent/socket"))
    await noted("no limit", asyncio.open_connection(HOST, port, limit=0))


async def program():
    listen(asyncio.get_running_loop())
    await conversation()
    await over_a_unix_socket()
    await half_closed()
    await at_the_end()
    await lost_peer()
    await cancelled_reads()
    await handlers()
    await refused()


asyncio.run(program())
