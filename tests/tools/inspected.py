"""Starts the processes that the tests of the tools look at."""

import contextlib
import os
import subprocess


@contextlib.contextmanager
def running(*command):
    """A process that said it is ready; ends it, and checks that it ends well."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        if line != "ready\n":
            raise AssertionError(f"{command} said {line!r}: {process.stderr.read()}")
        yield process
        if process.poll() is None:
            _, errors = process.communicate(timeout=120)
            if process.returncode != 0 or errors:
                raise AssertionError(f"{command} ended with {process.returncode}: {errors}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def inspected(kind):
    return running(os.environ["INSPECTED"], kind)
