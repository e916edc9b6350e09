"""Datagram endpoints, five scenarios: messages there and back, what a connected endpoint
refuses, errors that come from the other side, the end, options that do not go together."""

import asyncio

from io_scenario import attempted, kind, listen, show
from scenario import note


class Messages(asyncio.DatagramProtocol):
    def __init__(self, label):
        loop = asyncio.get_running_loop()
        self.label = label
        self.got = asyncio.Queue()
        self.failed = loop.create_future()
        self.lost = loop.create_future()

    def connection_made(self, transport):
        note(self.label, "connection_made")

    def datagram_received(self, data, sender):
        note(self.label, "datagram_received", show(data))
        self.got.put_nowait(sender)

    def error_received(self, error):
        note(self.label, "error_received", kind(error))
        if not self.failed.done():
            self.failed.set_result(None)

    def connection_lost(self, error):
        note(self.label, "connection_lost", kind(error))
        self.lost.set_result(None)


HERE = ("127.0.0.1", 0)


async def endpoint(label, **options):
    return await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Messages(label), **options)


def address(transport):
    return transport.get_extra_info("sockname")


async def messages():
    note("== messages")
    one, first = await endpoint("one", local_addr=HERE)
    two, second = await endpoint("two", local_addr=HERE)
    for data in (b"message", b"x" * 10_000):
        one.sendto(data, address(two))
        sender = await second.got.get()
        note("from one", sender == address(one))
    two.sendto(b"answer", sender)
    note("from two", await first.got.get() == address(two))
    note("waiting to be sent", one.get_write_buffer_size(), one.get_write_buffer_limits())
    one.close()
    two.close()
    await first.lost
    await second.lost


async def connected():
    note("== connected")
    one, first = await endpoint("one", local_addr=HERE)
    two, second = await endpoint("two", remote_addr=address(one))
    note("peer", two.get_extra_info("peername") == address(one), one.get_extra_info("peername"))
    two.sendto(b"without an address")
    sender = await first.got.get()
    two.sendto(b"with its own", address(one))
    await first.got.get()
    try:
        two.sendto(b"elsewhere", sender)
    except ValueError as error:
        note(type(error).__name__)
    one.sendto(b"answer", sender)
    await second.got.get()
    # From elsewhere nothing comes.
    three, third = await endpoint("three", local_addr=HERE)
    three.sendto(b"never told", address(two))
    one.sendto(b"told", sender)
    await second.got.get()
    for transport, protocol in ((one, first), (two, second), (three, third)):
        transport.close()
        await protocol.lost


async def errors():
    note("== errors")
    one, first = await endpoint("one", local_addr=HERE)
    where = address(one)
    two, second = await endpoint("two", remote_addr=where)
    one.close()
    await first.lost
    await asyncio.sleep(0.02)
    two.sendto(b"to nobody")
    await second.failed
    note("closing", two.is_closing())
    two.close()
    await second.lost


async def ends():
    note("== ends")
    for how in ("close", "abort"):
        one, first = await endpoint(how, local_addr=HERE)
        note("closing", one.is_closing())
        getattr(one, how)()
        getattr(one, how)()
        note("closing", one.is_closing(), first.lost.done())
        await first.lost
        await asyncio.sleep(0)
        attempted("close", one.close)
        attempted("abort", one.abort)


async def refused():
    note("== refused")
    for label, options in (
        ("nothing", {}),
        ("two families", {"local_addr": ("127.0.0.1", 0), "remote_addr": ("::1", 9)}),
    ):
        try:
            await endpoint(label, **options)
        except ValueError as error:
            note(label, type(error).__name__)


async def program():
    listen(asyncio.get_running_loop())
    await messages()
    await connected()
    await errors()
    await ends()
    await refused()


asyncio.run(program())
