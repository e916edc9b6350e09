"""What is measured: nothing that a clock has a part in, so that it is the same every time."""

import concurrent.futures
import json
import math
import os
import pathlib
import re
import resource
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# The micro workloads that one thread runs alone, and how many operations are counted.
WORKLOADS = {
    "await_chain": 10_000, "await_chain_visible": 10_000, "await_depth": 10_000,
    "spawn_join": 5_000, "gather": 100_000, "yield_2": 10_000, "yield_1000": 20_000,
    "hand_over": 5_000, "timers": 10_000, "sleepers": 4_000, "timer_cancel": 5_000,
    "wait_for": 5_000, "queue_1": 5_000, "queue_1024": 20_000, "lock": 20_000,
    "lock_handoff": 5_000, "event_pingpong": 5_000, "call_soon": 5_000,
    "call_soon_1000": 20_000, "async_gen": 10_000, "async_gen_yield": 5_000,
    "cancel": 1_000, "cancel_outcome": 1_000,
}
# These wait for a real clock, and what they do meanwhile depends on it.
NOT_COUNTED = {"timers"}
SLEEPERS = 200_000


def run(command, **environment):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=600, env={**os.environ, "ASYNCIO_PROACTOR": "epoll",
                                            **environment})


def per_operation(count, n):
    """From a run of n operations and one of 2n, so that what a start costs falls out."""
    one, two = count(n), count(2 * n)
    return math.nan if one is None or two is None else round((two - one) / n, 3)


class Micro:
    def __init__(self, program, compiler):
        self.program, self.compiler = program, compiler

    def instructions(self, workload, n):
        def count(operations):
            done = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                        self.program, workload, operations])
            found = re.search(r"Collected : (\d+)", done.stderr)
            return int(found[1]) if found else None
        return per_operation(count, n)

    def allocations(self, workload, n, counter):
        def count(operations):
            with tempfile.NamedTemporaryFile() as file:
                run([self.program, workload, operations], LD_PRELOAD=str(counter),
                    ALLOC_COUNT_FILE=file.name)
                data = file.read(8)
            return int.from_bytes(data, "little") if len(data) == 8 else None
        return per_operation(count, n)

    def bytes_per_task(self):
        lines = run([self.program, "sleepers", SLEEPERS]).stdout.splitlines()
        return json.loads(lines[-1])["bytes_per_task"] if lines else math.nan

    def figures(self, pool):
        with tempfile.TemporaryDirectory() as directory:
            counter = pathlib.Path(directory) / "alloc_count.so"
            source = HERE.parent / "micro" / "alloc_count.c"
            run([self.compiler, "-x", "c", "-O2", "-shared", "-fPIC", source, "-o", counter])
            jobs = {}
            for workload, n in WORKLOADS.items():
                if workload in NOT_COUNTED:
                    continue
                jobs["instructions", workload] = pool.submit(self.instructions, workload, n)
                jobs["allocations", workload] = pool.submit(self.allocations, workload, n, counter)
            jobs["bytes per task", "sleepers"] = pool.submit(self.bytes_per_task)
            return {key: job.result() for key, job in jobs.items()}


def binary_figures(program):
    """What a program of ten lines carries with it: code and data, no symbols."""
    words = run(["size", program]).stdout.split()
    return {("binary bytes", "hello"): float(int(words[6]) + int(words[7]))}


def public_headers():
    include = ROOT / "include"
    return sorted(path.relative_to(include) for path in include.rglob("*.hpp")
                  if not path.stem.endswith("_detail"))


def lines_read(compiler, text):
    """How much the compiler reads for it: what its time follows, and no clock has a part in."""
    done = subprocess.run([compiler, "-std=c++20", f"-I{ROOT / 'include'}", "-E", "-P", "-x",
                           "c++", "-"], input=text, capture_output=True, text=True, timeout=600)
    return float(done.stdout.count("\n")) if done.returncode == 0 else math.nan


def header_figures(compiler, pool):
    texts = {str(header): f"#include <{header}>\n" for header in public_headers()}
    texts["hello"] = (HERE / "hello.cpp").read_text()
    jobs = {("lines compiled", name): pool.submit(lines_read, compiler, text)
            for name, text in texts.items()}
    return {key: job.result() for key, job in jobs.items()}


def compile_seconds(compiler):
    """Of processor time, for the hello program. Told, not judged: it is a clock's."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    run([compiler, "-std=c++20", "-fsyntax-only", f"-I{ROOT / 'include'}", HERE / "hello.cpp"])
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def all_figures(micro, hello, compiler):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return {**Micro(micro, compiler).figures(pool), **binary_figures(hello),
                **header_figures(compiler, pool)}
