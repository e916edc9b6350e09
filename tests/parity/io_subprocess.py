"""Child processes, seven scenarios: return codes, communicate(), where the streams lead, how a
child is ended, waiting and its cancellation, what cannot be started, the order in which a
protocol is told."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

from io_scenario import attempted, kind, noted, show
from scenario import note


def shell(script, **options):
    return asyncio.create_subprocess_exec("/bin/sh", "-c", script, **options)


async def codes():
    note("== return codes")
    for script in ("exit 0", "exit 3", "exit 255", "kill -TERM $$", "kill -KILL $$"):
        process = await shell(script)
        note(script, process.stdin, process.stdout, process.stderr)
        await noted("wait", process.wait())
        await noted("again", process.wait())
        note("returncode", process.returncode)
    process = await asyncio.create_subprocess_shell("exit 7")
    await noted("shell", process.wait())


async def communicating():
    note("== communicate")
    process = await shell("cat; echo wrong >&2; exit 3", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    note("returncode", process.returncode)
    await noted("both", process.communicate(b"right"))
    note("returncode", process.returncode)
    await noted("again", process.communicate())
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    await noted("no input", process.communicate(b""))
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    await noted("much", process.communicate(b"x" * 1_000_000))
    process = await asyncio.create_subprocess_exec("true", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    await noted("nobody reads", process.communicate(b"x" * 1_000_000))
    note("returncode", process.returncode)


async def streams():
    note("== streams")
    process = await shell("echo out; echo err >&2", stdout=PIPE, stderr=STDOUT)
    await noted("together", process.stdout.read())
    note(process.stderr, await process.wait())
    process = await shell("cat; echo out; echo err >&2", stdin=DEVNULL, stdout=PIPE,
                          stderr=DEVNULL)
    await noted("nothing else", process.stdout.read())
    note(await process.wait())
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    for line in (b"one\n", b"two\n"):
        process.stdin.write(line)
        await process.stdin.drain()
        await noted("line", process.stdout.readline())
    process.stdin.close()
    await noted("rest", process.stdout.read())
    await noted("stdin closed", process.stdin.wait_closed())
    note(await process.wait(), process.stdout.at_eof())
    process = await shell("echo a long line; echo short", stdout=PIPE, limit=8)
    await noted("line", process.stdout.readline())
    await noted("line", process.stdout.readline())
    await noted("end", process.wait())
    process = await shell("echo kept until read", stdout=PIPE)
    await noted("wait", process.wait())
    await noted("read", process.stdout.read())
    process = await shell("pwd; echo $NAME", stdout=PIPE, cwd="/", env={"NAME": "value"})
    await noted("elsewhere", process.stdout.read())
    await noted("wait", process.wait())


async def ending():
    note("== ending")
    for label, how in (("terminate", lambda process: process.terminate()),
                       ("kill", lambda process: process.kill()),
                       ("SIGINT", lambda process: process.send_signal(signal.SIGINT))):
        process = await asyncio.create_subprocess_exec("sleep", "100")
        attempted(label, lambda: how(process))
        note("returncode", process.returncode)
        await noted("wait", process.wait())
        await asyncio.sleep(0.02)
        attempted("once more", lambda: how(process))
    process = await shell("trap 'echo trapped; exit 5' TERM; echo ready; read line", stdin=PIPE,
                          stdout=PIPE)
    await noted("line", process.stdout.readline())
    process.terminate()
    process.stdin.write(b"\n")
    await noted("rest", process.stdout.read())
    await noted("wait", process.wait())


async def waiting():
    note("== waiting")
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    tasks = [asyncio.create_task(noted(label, process.wait())) for label in ("a", "b", "c")]
    await asyncio.sleep(0.01)
    tasks[1].cancel("enough")
    await tasks[1]
    await noted("timeout", asyncio.wait_for(process.wait(), 0.02))
    note("runs", process.returncode)
    process.stdin.close()
    await asyncio.wait(tasks)
    await noted("late", process.wait())

    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    task = asyncio.create_task(noted("reader", process.stdout.readline()))
    await asyncio.sleep(0.01)
    task.cancel()
    await task
    process.stdin.write(b"line\n")
    await noted("next", process.stdout.readline())
    await noted("timeout", asyncio.wait_for(process.stdout.read(1), 0.02))
    process.kill()
    await noted("end", process.stdout.read())
    await noted("wait", process.wait())


async def refused():
    note("== refused")
    for label, command, options in (
        ("no program", ["/nonexistent/program"], {}),
        ("no name", ["no-such-program-anywhere"], {}),
        ("no right", ["/etc/passwd"], {}),
        ("no folder", ["true"], {"cwd": "/nonexistent"}),
        ("null byte", ["tr\0ue"], {}),
    ):
        try:
            await asyncio.create_subprocess_exec(*command, **options)
        except (OSError, ValueError) as error:
            note(label, type(error).__name__)


class Told(asyncio.SubprocessProtocol):
    def __init__(self):
        self.data = {1: b"", 2: b""}
        self.events = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        note("connection_made")
        self.transport = transport

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, error):
        self.events.append(f"pipe {fd} {kind(error)}")

    def process_exited(self):
        self.events.append(f"exited {self.transport.get_returncode()}")

    def connection_lost(self, error):
        # The pipes and the exit come in any order.
        note(sorted(self.events))
        note("connection_lost", kind(error))
        self.lost.set_result(None)


async def protocols():
    note("== protocol")
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        Told, "/bin/sh", "-c", "cat; echo err >&2; exit 4")
    note("pipes", [transport.get_pipe_transport(fd) is not None for fd in range(4)])
    transport.get_pipe_transport(0).write(b"some data")
    transport.get_pipe_transport(0).close()
    await protocol.lost
    note(show(protocol.data[1]), show(protocol.data[2]), transport.get_returncode())
    note("closing", transport.is_closing())

    # close() kills a child that runs.
    transport, protocol = await loop.subprocess_exec(
        Told, "sleep", "100", stdin=None, stdout=None, stderr=None)
    note("pipes", [transport.get_pipe_transport(fd) is not None for fd in range(3)])
    transport.close()
    note("closing", transport.is_closing())
    await protocol.lost
    note("returncode", transport.get_returncode())
    await asyncio.sleep(0.02)
    attempted("kill", transport.kill)

    transport, protocol = await loop.subprocess_shell(Told, "printf out; exit 2", stdin=None)
    await protocol.lost
    note(show(protocol.data[1]), transport.get_returncode())


async def program():
    await codes()
    await communicating()
    await streams()
    await ending()
    await waiting()
    await refused()
    await protocols()


asyncio.run(program())
