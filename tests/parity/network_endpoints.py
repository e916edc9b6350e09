"""Streams, servers, datagrams, Unix sockets, bare sockets, watched descriptors, signals and pipes:
what each call gives, and the errors of each."""

import asyncio
import os
import signal
import socket
import tempfile

from scenario import note


async def outcome(label, awaitable):
    try:
        note(label, await awaitable)
    except (Exception, asyncio.CancelledError) as error:
        note(label, type(error).__name__)


async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def streams():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    writer.write(b"one\n")
    writer.writelines([b"two", b"\n"])
    note((await reader.readline()).decode().strip(), (await reader.readline()).decode().strip())
    note(writer.can_write_eof(), writer.is_closing(), writer.get_extra_info("nothing", "none"))
    writer.write_eof()
    note(len(await reader.read()), reader.at_eof())
    writer.close()
    note(writer.is_closing())
    await outcome("closed:", writer.wait_closed())
    server.close()


async def handler_that_fails():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda loop, context: note("handler:", context["message"], type(context["exception"]).__name__))

    async def fail(reader, writer):
        raise ValueError("in a handler")

    server = await asyncio.start_server(fail, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    note(len(await reader.read()))
    writer.close()
    await writer.wait_closed()
    server.close()
    loop.set_exception_handler(None)


async def reset():
    def abort(reader, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    server = await asyncio.start_server(abort, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    await outcome("read:", reader.read())
    await outcome("drain:", writer.drain())
    writer.close()
    await outcome("wait_closed:", writer.wait_closed())
    server.close()


async def server_life():
    server = await asyncio.start_server(echo, "127.0.0.1", 0, start_serving=False)
    note(server.is_serving(), len(server.sockets))
    await server.start_serving()
    await server.start_serving()
    note(server.is_serving())
    serving = asyncio.create_task(outcome("first:", server.serve_forever()))
    await asyncio.sleep(0)
    await outcome("second:", server.serve_forever())
    server.close()
    await serving
    note(server.is_serving(), len(server.sockets))
    await outcome("serve_forever:", server.serve_forever())
    await outcome("wait_closed:", server.wait_closed())


async def server_cancelled():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    serving = asyncio.create_task(outcome("serving:", server.serve_forever()))
    await asyncio.sleep(0)
    serving.cancel()
    await serving
    note(server.is_serving())


async def bad_servers():
    await outcome("nothing:", asyncio.start_server(echo))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await outcome("datagrams:", asyncio.start_server(echo, sock=sock))
    sock.close()
    taken = await asyncio.start_server(echo, "127.0.0.1", 0)
    await outcome("taken:", asyncio.start_server(echo, "127.0.0.1", port_of(taken)))
    await outcome("timeout:", asyncio.start_server(echo, "127.0.0.1", 0, ssl_handshake_timeout=1))
    taken.close()


async def unix_sockets():
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/socket"
        await outcome("nobody:", asyncio.open_unix_connection(path))
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"over a path")
        note((await reader.read(100)).decode())
        writer.close()
        await writer.wait_closed()
        await outcome("both:", asyncio.open_unix_connection(path, sock=socket.socket()))
        await outcome("neither:", asyncio.open_unix_connection())
        server.close()
        await server.wait_closed()
        os.path.exists(path) and os.unlink(path)  # before 3.13 it stays


class Messages(asyncio.DatagramProtocol):
    def __init__(self, label):
        self.label = label
        self.event = asyncio.Event()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        note(self.label, "made")
        self.transport = transport

    def datagram_received(self, data, address):
        note(self.label, data.decode())
        self.address = address
        self.event.set()

    def error_received(self, error):
        note(self.label, type(error).__name__)
        self.event.set()

    def connection_lost(self, error):
        note(self.label, "lost", error)
        self.lost.set_result(None)

    async def next(self):
        await self.event.wait()
        self.event.clear()


async def datagrams():
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(
        lambda: Messages("server:"), local_addr=("127.0.0.1", 0))
    _, client = await loop.create_datagram_endpoint(
        lambda: Messages("client:"), remote_addr=server.transport.get_extra_info("sockname"))
    client.transport.sendto(b"question")
    await server.next()
    server.transport.sendto(b"answer", server.address)
    await client.next()
    try:
        client.transport.sendto(b"elsewhere", ("127.0.0.1", 1))
    except ValueError:
        note("ValueError")
    server.transport.close()
    await server.lost
    await asyncio.sleep(0.02)  # until the kernel has let go of it, too
    client.transport.sendto(b"anybody?")
    await client.next()
    client.transport.abort()
    await client.lost


async def bad_datagrams():
    loop = asyncio.get_running_loop()
    await outcome("nothing:", loop.create_datagram_endpoint(asyncio.DatagramProtocol))
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    await outcome("stream:", loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=sock))
    sock.close()


async def bare_sockets():
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.setblocking(False)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = socket.socket()
    client.setblocking(False)
    accepting = asyncio.create_task(loop.sock_accept(listener))
    await loop.sock_connect(client, listener.getsockname())
    peer, _ = await accepting
    peer.setblocking(False)
    await loop.sock_sendall(client, b"hello")
    note((await loop.sock_recv(peer, 3)).decode())
    memory = bytearray(10)
    note(await loop.sock_recv_into(peer, memory), memory[:2].decode())
    receiving = asyncio.create_task(outcome("cancelled:", loop.sock_recv(peer, 10)))
    await asyncio.sleep(0)
    receiving.cancel()
    await receiving
    await loop.sock_sendall(client, b"again")
    note((await loop.sock_recv(peer, 10)).decode())
    client.close()
    note(len(await loop.sock_recv(peer, 10)))
    note(len(await loop.sock_recv(peer, 10)))
    peer.close()
    nobody = listener.getsockname()
    listener.close()
    client = socket.socket()
    client.setblocking(False)
    await outcome("refused:", loop.sock_connect(client, nobody))
    client.close()


async def watched_descriptors():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    done = asyncio.Event()

    def readable(label):
        note(label, ours.recv(100).decode())
        done.set()

    loop.add_reader(ours, readable, "first:")
    loop.add_reader(ours, readable, "second:")
    theirs.send(b"data")
    await done.wait()
    note(loop.remove_reader(ours), loop.remove_reader(ours))
    loop.add_writer(ours, lambda: (note("writable"), loop.remove_writer(ours), done.set()))
    done.clear()
    await done.wait()
    note(loop.remove_writer(ours))
    ours.close()
    theirs.close()


async def signals():
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, lambda: (note("first"), came.set()))
    loop.add_signal_handler(signal.SIGUSR1, lambda text: (note(text), came.set()), "second")
    os.kill(os.getpid(), signal.SIGUSR1)
    await came.wait()
    note(loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1))
    for number in (0, 1000):
        try:
            loop.add_signal_handler(number, print)
        except ValueError:
            note("ValueError")
    try:
        loop.add_signal_handler(signal.SIGKILL, print)
    except RuntimeError:
        note("RuntimeError")


async def pipes():
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0))
    transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(writing, "wb", 0))
    transport.write(b"through a pipe")
    transport.write(b", and more")
    note((await reader.readexactly(24)).decode(), transport.can_write_eof())
    transport.write_eof()
    note(len(await reader.read()))


async def main():
    for part in (streams, handler_that_fails, reset, server_life, server_cancelled, bad_servers,
                 unix_sockets, datagrams, bad_datagrams, bare_sockets, watched_descriptors,
                 signals, pipes):
        note("==", part.__name__)
        await part()


asyncio.run(main())
