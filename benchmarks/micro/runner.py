"""Runs programs and workloads in turns; prints medians, spread and ratios to ours.

A program takes `WORKLOAD N`, prints one line of JSON with at least "ns_per_op", and exits
with 3 for a workload that it does not have. peers.tsv names them, workloads.tsv what they run.
"""

import argparse
import collections
import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from measuring import busy_share
from page.results import Writer, columns

# How many operations are counted where the clock is not asked.
COUNTED = {"gather": 100_000, "timers": 100_000, "sleepers": 100_000, "to_thread_10k": 10_000,
           "wake_latency": 300, "to_thread": 2000, "process_int": 500, "process_1mib": 100,
           "process_int_1000": 1000, "process_busy": 1000}

# What takes more seconds is measured in one round only.
SLOW = 12

FIGURES = ["ns_per_op", "cpu_ns_per_op", "median_ns", "bytes_per_task", "workers_busy",
           "allocations", "instructions"]


def rows(path):
    with open(path) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                yield line.rstrip("\n").split("\t")


def chosen(name, wanted):
    return not wanted or any(name == w or name.startswith(w + "-") for w in wanted.split(","))


def wait_until_quiet(patience):
    """Waits for the machine to have nothing else to do, but not for ever."""
    until = time.monotonic() + patience
    while (busy := busy_share()) > 0.08 and time.monotonic() < until:
        time.sleep(0.2)
    return busy


def execute(command, timeout, **environment):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, **environment})
    except subprocess.TimeoutExpired:
        return None, "timeout", ""
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return json.loads(line), None, done.stderr
    return None, f"exit {done.returncode}", done.stderr


class Peer:
    def __init__(self, name, group, divisor, command):
        self.name, self.group, self.divisor, self.command = name, group, int(divisor), command

    def time(self, workload, n, cores, options):
        pin = ["taskset", "-c", "1"] if cores == 1 else []
        environment = {"GOMAXPROCS": "2" if cores == 2 else "1"}
        busy = wait_until_quiet(options.patience)
        figures, error, _ = execute(pin + self.command + [workload, str(n)], options.timeout,
                                    **environment)
        if figures:
            figures["busy"] = round(busy, 3)
        return figures, error

    def count(self, workload, n, options):
        """Per operation, from a run of n and one of 2n: what start-up costs falls out."""
        one = self._count(workload, n, options)
        two = self._count(workload, 2 * n, options) if one is not None else None
        if two is None:
            return None, "exit 3"
        return {options.kind: round((two - one) / n, 3)}, None

    def _count(self, workload, n, options):
        if options.instructions:
            tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
            _, _, text = execute(tool + self.command + [workload, str(n)], options.timeout)
            for line in text.splitlines():
                if "Collected :" in line:
                    return int(line.split(":")[1])
            return None
        with tempfile.NamedTemporaryFile() as file:
            figures, _, _ = execute(self.command + [workload, str(n)], options.timeout,
                                    LD_PRELOAD=str(options.build / "alloc_count.so"),
                                    ALLOC_COUNT_FILE=file.name, PYTHONMALLOC="malloc")
            data = file.read(8)
            return int.from_bytes(data, "little") if figures and len(data) == 8 else None


def number(x):
    if x >= 1e6:
        return f"{x / 1e6:.2f}M"
    if x >= 1e4:
        return f"{x / 1e3:.1f}k"
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}"


def table(title, samples, key, workloads, names):
    """One line per workload: medians, how many times ours, and the spread of the rounds."""
    values = {pair: [s[key] for s in figures] for pair, figures in samples.items()
              if key in figures[0]}
    if not values:
        return
    ours = names[0]
    shown = [n for n in names if any((n, w) in values for w in workloads)]
    width = max(len(w) for w in workloads)
    print(f"\n{title}")
    print(" " * width, *(f"{name[:19]:>20}" for name in shown))
    for workload in workloads:
        cells = []
        for name in shown:
            if (name, workload) not in values:
                cells.append("-")
                continue
            several = values[name, workload]
            median = statistics.median(several)
            cell = number(median)
            base = statistics.median(values.get((ours, workload), [0]))
            if name != ours and base > 0:
                cell += f" ({median / base:.2f}x)"
            elif len(several) > 1 and median > 0:
                cell += f" ±{(max(several) - min(several)) / median * 50:.0f}%"
            cells.append(cell)
        if any(cell != "-" for cell in cells):
            print(f"{workload:{width}}", *(f"{cell:>20}" for cell in cells))


def find_peers(options, results):
    unavailable = {name: reason for name, reason in rows(options.build / "missing.tsv")}
    peers, ours = [], None
    for name, group, divisor, command in rows(HERE / "peers.tsv"):
        ours = ours or name
        if name != ours and not chosen(name, options.peers):
            continue
        reason = unavailable.get(name) or unavailable.get("-".join(name.split("-")[:2]))
        if reason is None:
            words = shlex.split(command.format(
                ours=options.ours, build=options.build, here=HERE, python="/usr/bin/python3",
                newer_python=os.environ.get("PYTHON313", "python3.13")))
            if shutil.which(words[0]):
                peers.append(Peer(name, group, divisor, words))
                continue
            reason = f"{words[0]} is not there"
        print(f"not measured: {name}: {reason}", file=sys.stderr)
        results.missing(name, reason)
    return peers


def measure(peers, workloads, options, results):
    samples, missing, slow = collections.defaultdict(list), set(), set()
    counting = options.allocations or options.instructions
    for workload, n, least, cores, *_ in workloads:
        if options.instructions and cores != "1":
            continue
        for round_ in range(1 if counting else options.rounds):
            for peer in peers:
                for c in {"1": [1], "2": [2], "both": [1, 2]}[cores][:1 if counting else 2]:
                    label = f"{workload}/{c}cpu" if cores == "both" and not counting else workload
                    if (peer.name, workload) in missing or (peer.name, label) in slow:
                        continue
                    began = time.monotonic()
                    if counting:
                        count = COUNTED.get(workload, 20_000)
                        figures, error = peer.count(workload, count, options)
                    else:
                        count = max(int(n) // peer.divisor, int(least))
                        figures, error = peer.time(workload, count, c, options)
                    if time.monotonic() - began > SLOW:
                        slow.add((peer.name, label))
                    if figures is None:
                        missing.add((peer.name, workload))
                        if error != "exit 3":
                            print(f"{peer.name} {workload}: {error}", file=sys.stderr)
                        continue
                    figures.update(peer=peer.name, workload=label, round=round_)
                    results.write(json.dumps(figures) + "\n")
                    results.flush()
                    samples[peer.name, label].append(figures)
    return samples


def write(samples, peers, workloads, results):
    """What is worth showing, the figure that workloads.tsv names first."""
    shown = {name: (metric, what) for name, _, _, _, metric, what in workloads}
    groups = {peer.name: peer.group for peer in peers}
    for (program, label), figures in samples.items():
        metric, what = shown[label.split("/")[0]]
        for one in figures:
            if "busy" in one:
                results.noticed(one["busy"])
        values = columns(figures, *dict.fromkeys([metric, *FIGURES]))
        results.add(label, program, groups[program], values, what=what)


def main():
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/run micro")
    parser.add_argument("--ours", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--peers", default="", help="names, or what they begin with up to a -")
    parser.add_argument("--workloads", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--allocations", action="store_true")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--timeout", type=int, default=120, help="seconds for one program")
    parser.add_argument("--patience", type=float, default=5,
                        help="seconds to wait for an idle machine before each measurement")
    parser.add_argument("--out", help="where to leave the figures for the page")
    options = parser.parse_args()
    workloads = [row for row in rows(HERE / "workloads.tsv") if chosen(row[0], options.workloads)]
    options.kind = kind = ("allocations" if options.allocations else
                           "instructions" if options.instructions else "time")
    out = options.build / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    suite = "micro" if kind == "time" else kind
    results = Writer(options.out, suite)
    with open(out, "w") as every:
        peers = find_peers(options, results)
        samples = measure(peers, workloads, options, every)
    write(samples, peers, workloads, results)
    results.close()
    names = [peer.name for peer in peers]
    labels = list(dict.fromkeys(label for _, label in samples))
    if kind != "time":
        table(f"{kind} per operation", samples, kind, labels, names)
    else:
        table("ns per operation, wall clock, median of the rounds (times ours)", samples,
              "ns_per_op", labels, names)
        table("ns per operation, processor time", samples, "cpu_ns_per_op", labels, names)
        table("latency, ns", samples, "median_ns", labels, names)
        table("share of the time that workers are busy", samples, "workers_busy", labels, names)
        table("bytes per sleeping task", samples, "bytes_per_task", labels, names)
    print(f"\nfigures: {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
