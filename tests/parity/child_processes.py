"""Child processes: what they return, what passes through their pipes, how they end, and programs
that cannot be run."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

from scenario import note


async def returncodes():
    for code in (0, 3):
        child = await asyncio.create_subprocess_exec("sh", "-c", f"exit {code}")
        note(await child.wait(), child.returncode, await child.wait())


async def killed():
    child = await asyncio.create_subprocess_exec("sleep", "100")
    child.kill()
    note(await child.wait())
    child = await asyncio.create_subprocess_exec("sleep", "100")
    child.terminate()
    note(await child.wait())
    child = await asyncio.create_subprocess_exec("sleep", "100")
    child.send_signal(10)
    note(await child.wait())
    try:
        child.kill()
    except ProcessLookupError:
        note("ProcessLookupError")


async def communicate():
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", "cat; echo errors >&2; exit 5", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    output, errors = await child.communicate(b"input\n")
    note(output.decode().strip(), errors.decode().strip(), child.returncode)
    child = await asyncio.create_subprocess_exec("echo", "only output", stdout=PIPE)
    output, errors = await child.communicate()
    note(output.decode().strip(), errors is None)


async def much_data():
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    data = b"0123456789" * 500_000
    output, _ = await child.communicate(data)
    note(len(output), output == data)


async def merged():
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", "echo out; echo err >&2; echo out", stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    output, _ = await child.communicate()
    note(output.decode().split())
    note(child.stdin is None, child.stderr is None)


async def line_by_line():
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    for word in (b"one\n", b"two\n"):
        child.stdin.write(word)
        await child.stdin.drain()
        note((await child.stdout.readline()).decode().strip())
    child.stdin.close()
    note(len(await child.stdout.read()), child.stdout.at_eof(), await child.wait())


async def nobody_reads():
    child = await asyncio.create_subprocess_exec("true", stdin=PIPE)
    await child.wait()
    await asyncio.sleep(0.02)
    child.stdin.write(b"x" * 1000)
    try:
        await child.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        note("broken")
    child = await asyncio.create_subprocess_exec("true", stdin=PIPE)
    note(await child.communicate(b"x" * 1_000_000), child.returncode)


async def shell():
    child = await asyncio.create_subprocess_shell("echo $((6 * 7)) | cat", stdout=PIPE)
    output, _ = await child.communicate()
    note(output.decode().strip(), child.returncode)
    child = await asyncio.create_subprocess_shell("exit 7")
    note(await child.wait())


async def environment():
    child = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", "echo $NAME; pwd", stdout=PIPE, cwd="/", env={"NAME": "value"})
    output, _ = await child.communicate()
    note(output.decode().split())


async def not_there():
    for program in ("/no/such/program", "/etc/passwd", "/"):
        try:
            await asyncio.create_subprocess_exec(program)
        except OSError as error:
            note(type(error).__name__)
    try:
        await asyncio.create_subprocess_exec("true", cwd="/no/such/folder")
    except OSError as error:
        note(type(error).__name__)
    try:
        await asyncio.create_subprocess_exec("tr\0ue")
    except ValueError:
        note("ValueError")


async def cancelled():
    child = await asyncio.create_subprocess_exec("sleep", "100")
    waiting = asyncio.create_task(child.wait())
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    note(waiting.cancelled(), child.returncode)
    child.kill()
    note(await child.wait())


async def main():
    for part in (returncodes, killed, communicate, much_data, merged, line_by_line, nobody_reads,
                 shell, environment, not_there, cancelled):
        note("==", part.__name__)
        await part()


asyncio.run(main())
