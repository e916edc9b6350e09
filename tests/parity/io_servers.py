"""Servers, five scenarios: when they serve, serve_forever() and what ends it, leaving one as a
context manager, what wait_closed() waits for, and closing the connections too."""
# requires: 3.13

import asyncio

from io_scenario import Recorder, listen, noted
from scenario import note, text

HOST = "127.0.0.1"


async def make(label="peer", **options):
    """A server, its port, and the protocols of its connections."""
    protocols = asyncio.Queue()

    def factory():
        protocol = Recorder(label)
        protocols.put_nowait(protocol)
        return protocol

    server = await asyncio.get_running_loop().create_server(factory, HOST, 0, **options)
    return server, server.sockets[0].getsockname()[1], protocols


async def connect(port, label="client"):
    _, protocol = await asyncio.get_running_loop().create_connection(
        lambda: Recorder(label), HOST, port)
    return protocol


async def serving():
    note("== serving")
    server, port, protocols = await make()
    note(server.is_serving(), len(server.sockets))
    client = await connect(port)
    peer = await protocols.get()
    await peer.made
    server.close()
    note(server.is_serving(), len(server.sockets))
    server.close()
    # A connection goes on.
    client.transport.write(b"hello")
    await peer.receives(5)
    client.transport.close()
    await peer.lost

    server, port, protocols = await make(start_serving=False)
    note(server.is_serving(), len(server.sockets))
    await server.start_serving()
    await server.start_serving()
    note(server.is_serving())
    server.close()
    await noted("wait_closed", server.wait_closed())
    await noted("wait_closed", server.wait_closed())


async def forever():
    note("== serve_forever")
    for how in ("cancel", "close"):
        server, port, protocols = await make(start_serving=False)
        task = asyncio.create_task(noted(how, server.serve_forever()))
        await asyncio.sleep(0.01)
        note(server.is_serving())
        await noted("second", server.serve_forever())
        task.cancel() if how == "cancel" else server.close()
        await task
        note(server.is_serving(), len(server.sockets))
        await noted("once more", server.serve_forever())


async def context_manager():
    note("== context manager")
    server, port, protocols = await make()
    async with server:
        note("inside", server.is_serving())
    note("outside", server.is_serving())
    server, port, protocols = await make()
    try:
        async with server:
            raise ValueError("in the block")
    except ValueError as error:
        note(text(error), server.is_serving())


async def waiting():
    note("== wait_closed")
    server, port, protocols = await make()
    client = await connect(port)
    await (await protocols.get()).made
    task = asyncio.create_task(noted("wait_closed", server.wait_closed()))
    await asyncio.sleep(0.01)
    note("closes", task.done())
    server.close()
    await asyncio.sleep(0.02)
    note("a connection is open", task.done())
    client.transport.close()
    await client.lost
    await task


async def clients():
    note("== clients")
    for how in ("close_clients", "abort_clients"):
        server, port, protocols = await make(how)
        client = await connect(port)
        peer = await protocols.get()
        await peer.made
        server.close()
        getattr(server, how)()
        await peer.lost
        await client.lost
        await noted("wait_closed", server.wait_closed())
        getattr(server, how)()


async def program():
    listen(asyncio.get_running_loop())
    await serving()
    await forever()
    await context_manager()
    await waiting()
    await clients()


asyncio.run(program())
