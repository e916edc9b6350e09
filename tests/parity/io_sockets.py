"""Sockets and descriptors without transports, eight scenarios: what the loop's sock_ methods
give, what a cancelled one leaves, datagrams, connecting and accepting, files, what
add_reader() and its like answer and when they call, signals."""

import asyncio
import os
import signal
import socket
import tempfile

from io_scenario import attempted, noted, show
from scenario import note


def sockets(kind=socket.SOCK_STREAM):
    pair = socket.socketpair(socket.AF_UNIX, kind)
    for sock in pair:
        sock.setblocking(False)
    return pair


async def receiving():
    note("== receiving")
    loop = asyncio.get_running_loop()
    ours, theirs = sockets()
    theirs.send(b"0123456789")
    await noted("four", loop.sock_recv(ours, 4))
    memory = bytearray(3)
    await noted("into", loop.sock_recv_into(ours, memory))
    note(show(memory))
    await noted("rest", loop.sock_recv(ours, 100))
    task = asyncio.create_task(noted("waiting", loop.sock_recv(ours, 100)))
    await asyncio.sleep(0.01)
    note("sends")
    await noted("all", loop.sock_sendall(theirs, b"later"))
    await task
    theirs.close()
    await noted("end", loop.sock_recv(ours, 100))
    await noted("end", loop.sock_recv_into(ours, memory))
    await noted("broken", loop.sock_sendall(ours, b"nobody"))
    ours.close()


async def cancelled():
    note("== cancelled")
    loop = asyncio.get_running_loop()
    ours, theirs = sockets()
    task = asyncio.create_task(noted("receiver", loop.sock_recv(ours, 100)))
    await asyncio.sleep(0.01)
    task.cancel()
    await task
    theirs.send(b"kept")
    await noted("next", loop.sock_recv(ours, 100))
    await noted("timeout", asyncio.wait_for(loop.sock_recv(ours, 100), 0.02))
    theirs.send(b"kept too")
    await noted("next", loop.sock_recv(ours, 100))
    note("readers left", loop.remove_reader(ours))
    # A sender who waits for room.
    task = asyncio.create_task(noted("sender", loop.sock_sendall(ours, b"x" * 3_000_000)))
    await asyncio.sleep(0.01)
    task.cancel()
    await task
    note("writers left", loop.remove_writer(ours))
    ours.close()
    theirs.close()


async def sending_much():
    note("== sending much")
    loop = asyncio.get_running_loop()
    ours, theirs = sockets()
    task = asyncio.create_task(noted("sender", loop.sock_sendall(ours, b"x" * 3_000_000)))
    got = 0
    while got < 3_000_000:
        got += len(await loop.sock_recv(theirs, 65536))
    await task
    note("got", got)
    await noted("nothing", loop.sock_sendall(ours, b""))
    ours.close()
    theirs.close()


async def connecting():
    note("== connecting")
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.setblocking(False)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    where = listener.getsockname()
    accepting = asyncio.create_task(loop.sock_accept(listener))
    await asyncio.sleep(0.01)
    client = socket.socket()
    client.setblocking(False)
    await noted("connect", loop.sock_connect(client, where))
    served, address = await accepting
    note("accepted", address == client.getsockname(), served.getblocking())
    await loop.sock_sendall(client, b"hello")
    await noted("served", loop.sock_recv(served, 100))
    served.close()
    await noted("client", loop.sock_recv(client, 100))
    client.close()

    # An accept that nobody wants any more takes no connection.
    task = asyncio.create_task(loop.sock_accept(listener))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    client = socket.socket()
    client.setblocking(False)
    await noted("connect", loop.sock_connect(client, where))
    served, address = await loop.sock_accept(listener)
    note("accepted", address == client.getsockname())
    served.close()
    client.close()
    listener.close()
    client = socket.socket()
    client.setblocking(False)
    await noted("refused", loop.sock_connect(client, where))
    client.close()


async def datagrams():
    note("== datagrams")
    loop = asyncio.get_running_loop()
    ours, theirs = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
    await noted("sends", loop.sock_sendto(ours, b"message", theirs.getsockname()))
    data, sender = await loop.sock_recvfrom(theirs, 100)
    note(show(data), sender == ours.getsockname())
    await noted("sends", loop.sock_sendto(ours, b"cut off", theirs.getsockname()))
    data, sender = await loop.sock_recvfrom(theirs, 3)
    note(show(data), sender == ours.getsockname())
    await noted("sends", loop.sock_sendto(ours, b"", theirs.getsockname()))
    memory = bytearray(16)
    count, sender = await loop.sock_recvfrom_into(theirs, memory)
    note(count, sender == ours.getsockname())
    waiting = asyncio.create_task(loop.sock_recvfrom_into(theirs, memory))
    await asyncio.sleep(0.01)
    await noted("sends", loop.sock_sendto(ours, b"second", theirs.getsockname()))
    count, sender = await waiting
    note(count, show(memory[:count]), sender == ours.getsockname())
    ours.close()
    theirs.close()


async def files():
    note("== files")
    loop = asyncio.get_running_loop()
    ours, theirs = sockets()
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        for offset, count in ((0, None), (3, None), (2, 4), (8, 100)):
            await noted("sends", loop.sock_sendfile(ours, file, offset, count))
            note("position", file.tell())
            await noted("receives", loop.sock_recv(theirs, 100))
        await noted("behind the end", loop.sock_sendfile(ours, file, 20))
    ours.close()
    theirs.close()


async def readiness():
    note("== readiness")
    loop = asyncio.get_running_loop()
    ours, theirs = sockets()
    note("none", loop.remove_reader(ours), loop.remove_writer(ours))
    done = loop.create_future()

    def readable(label):
        note(label, show(ours.recv(100)))
        done.set_result(None)

    loop.add_reader(ours, readable, "first")
    loop.add_reader(ours, readable, "second")
    theirs.send(b"data")
    await done
    note("removed", loop.remove_reader(ours), loop.remove_reader(ours))
    theirs.send(b"more")
    await asyncio.sleep(0.01)
    note("not told")

    # Level triggered: told again until it is read.
    calls = []
    done = loop.create_future()

    def peek():
        calls.append(1)
        if len(calls) == 3:
            loop.remove_reader(ours.fileno())
            readable("third time")

    loop.add_reader(ours.fileno(), peek)
    await done
    await asyncio.sleep(0.01)
    note("calls", len(calls))

    # Both ways, each of which goes on without the other.
    done = loop.create_future()
    written = loop.create_future()

    def writable():
        if not written.done():
            written.set_result(None)

    loop.add_reader(ours, readable, "reader")
    loop.add_writer(ours, writable)
    await written
    note("writable")
    note("removed", loop.remove_writer(ours), loop.remove_writer(ours))
    theirs.send(b"both")
    await done
    note("removed", loop.remove_reader(ours))

    # The end of file is something to read.
    done = loop.create_future()
    loop.add_reader(ours, readable, "end")
    theirs.close()
    await done
    loop.remove_reader(ours)
    ours.close()

    with tempfile.TemporaryFile() as file:
        attempted("regular file", lambda: loop.add_reader(file, note))
        attempted("regular file", lambda: loop.add_writer(file, note))


async def signals():
    note("== signals")
    loop = asyncio.get_running_loop()
    note("none", loop.remove_signal_handler(signal.SIGUSR1))
    done = loop.create_future()

    def handler(label):
        note("handler", label)
        done.set_result(None)

    loop.add_signal_handler(signal.SIGUSR1, handler, "first")
    loop.add_signal_handler(signal.SIGUSR1, handler, "second")
    os.kill(os.getpid(), signal.SIGUSR1)
    note("not at once")
    await done
    done = loop.create_future()
    signal.raise_signal(signal.SIGUSR1)
    await done
    note("removed", loop.remove_signal_handler(signal.SIGUSR1),
         loop.remove_signal_handler(signal.SIGUSR1))
    for label, number in (("SIGKILL", signal.SIGKILL), ("zero", 0), ("much", 1000)):
        try:
            loop.add_signal_handler(number, handler, label)
        except (RuntimeError, ValueError) as error:
            note(label, type(error).__name__)


async def program():
    await receiving()
    await cancelled()
    await sending_much()
    await connecting()
    await datagrams()
    await files()
    await readiness()
    await signals()


asyncio.run(program())
