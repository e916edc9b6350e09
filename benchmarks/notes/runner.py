"""The notes' program (examples/notes.cpp) with the notes' own figures; benchmarks/run starts it.

What it shows of itself is parsed: seconds of each part. Beside the real time stand the time
that its sleeps leave no way around, and the processor time of a run whose calls do next to nothing.
"""

import argparse
import os
import pathlib
import re
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from page.results import Writer, columns

SECONDS = 3.4  # of each sleep
PART = re.compile(r"(sequential|concurrent) (cpu|io) +([\d.]+) +[\d.]+x")
SIZE = re.compile(r"(\d+) tasks, (\d+) workers, (\d+) cores")


def parts(text):
    """Seconds by part, and how many rounds of sleeps the workers need."""
    seconds = {f"{how} {kind}": float(number) for how, kind, number in PART.findall(text)}
    tasks, workers, _ = map(int, SIZE.search(text).groups())
    return seconds, -(-tasks // workers)


def measure(program):
    full = subprocess.run([program, "--full"], capture_output=True, text=True, check=True)
    seconds, rounds = parts(full.stdout)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([program, "--iterations", "1", "--seconds", "0.001"], capture_output=True,
                   check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "speed_up": seconds["sequential cpu"] / seconds["concurrent cpu"],
        "over_ideal": seconds["concurrent io"] / (rounds * SECONDS) - 1,
        "own_cpu_ms": 1e3 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime),
        **{name.replace(" ", "_") + "_s": value for name, value in seconds.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/run notes")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=1, help="of a minute each")
    parser.add_argument("--out", help="where to leave the figures for the page")
    options = parser.parse_args()
    results = Writer(options.out, "notes")
    runs = [measure(os.path.abspath(options.program)) for _ in range(options.rounds)]
    for name in runs[0]:
        values = columns(runs, name)
        results.add(name, "asyncio.cpp", "ours", values)
        print(f"{name:20} " + " ".join(f"{value:.4g}" for value in values[name]))
    results.close()


if __name__ == "__main__":
    main()
