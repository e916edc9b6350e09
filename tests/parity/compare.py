"""compare.py SCENARIO.py PROGRAM REQUIRE_IO_URING: runs one scenario on CPython, with the
interpreter that runs this, and on ours with each proactor and in debug mode. The traces must
be equal.

Exits with 77, which ctest counts as skipped, where this Python is older than the line
`# requires: 3.12` of the scenario asks for. io_uring is left out, with a line that says why,
where the kernel does not let us use it.
"""

import difflib
import os
import pathlib
import re
import signal
import subprocess
import sys

SKIPPED = 77
TIMEOUT = 60  # seconds
# Scenarios put 20 ms and more between events that only the clock orders. A machine that
# stalls for longer than that turns them round, a real difference shows each time.
ATTEMPTS = 3


def required_version(scenario):
    match = re.search(r"^# requires: (\d+)\.(\d+)$", scenario.read_text(), re.MULTILINE)
    return tuple(map(int, match.groups())) if match else (3, 11)


def run(command, **environment):
    # Nothing around the scenario may change what it prints.
    environment = {"PYTHONDONTWRITEBYTECODE": "1", **environment}
    inherited = {k: v for k, v in os.environ.items()
                 if not k.startswith(("PYTHON", "ASYNCIO_"))}
    return subprocess.run(command, env=inherited | environment, timeout=TIMEOUT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


class Failure(Exception):
    pass


class Skipped(Exception):
    pass


def trace(what, command, **environment):
    result = run(command, **environment)
    if result.returncode == SKIPPED:
        raise Skipped(result.stdout.strip())
    if result.returncode != 0:
        raise Failure(f"{what} ends with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def compare(scenario, how, command, **environment):
    for _ in range(ATTEMPTS):
        python = trace(scenario.name, [sys.executable, scenario])
        ours = trace(f"{scenario.stem} {how}", command, **environment)
        if ours == python:
            return
    raise Failure("\n".join(difflib.unified_diff(
        python.splitlines(), ours.splitlines(), "CPython {}.{}.{}".format(*sys.version_info),
        f"asyncio.cpp {how}", n=1000, lineterm="")))


def main():
    try:
        return compare_all()
    except OSError as error:
        return f"cannot run the scenario: {error}"


def compare_all():
    scenario, program, require_io_uring = map(pathlib.Path, sys.argv[1:])
    needed = required_version(scenario)
    if sys.version_info[:2] < needed:
        print(f"skipping {scenario.stem}: its rule is that of Python {needed[0]}.{needed[1]}, "
              f"this is {sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})")
        return SKIPPED

    status = 0
    for how, command, environment in (
        ("on epoll", [program], {"ASYNCIO_PROACTOR": "epoll"}),
        ("on io_uring", [require_io_uring, program], {"ASYNCIO_PROACTOR": "io_uring"}),
        ("in debug mode", [program], {"ASYNCIO_DEBUG": "1"}),
    ):
        try:
            compare(scenario, how, command, **environment)
            print(f"{scenario.stem}: equal {how}")
        except Skipped as why:
            print(why)
        except Failure as error:
            print(error)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
