#!/usr/bin/env python3
"""Growth: what one of n costs, for n = 1, 10, ... 1,000,000: tasks, sleepers, timers, children of
a group, open connections; and one server of 1, 2, ... loops. benchmarks/run starts it."""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "page"))
from results import Writer, columns

OURS = pathlib.Path(os.environ["SCALE_OURS"])
PEERS = pathlib.Path(os.environ["SCALE_PEERS"])
MICRO = HERE.parent / "micro"
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")

# Our workload, its last n, and the workload of benchmarks/micro that the others do for it.
RUNTIME = [("tasks", 1_000_000, "gather"), ("sleepers", 1_000_000, "sleepers"),
           ("timers", 1_000_000, None), ("group", 1_000_000, None),
           ("group_fails", 1_000_000, None)]
WHAT = {"tasks": "one of n tasks spawned, then joined",
        "sleepers": "one of n tasks put to sleep; ours are then cancelled and joined",
        "timers": "one of n timers armed, then cancelled",
        "group": "one of n children of a group",
        "group_fails": "one of n sleeping children of a group that fails",
        "connections": "one of n connections open at once, with a coroutine at each end",
        "loops": "a server of n loops in n threads on one port, 128 clients, 64 bytes"}
# Each process has 20,000 descriptors here, and some are not connections.
IN_ONE_PROCESS = 18_500
PROACTORS = ("epoll", "io_uring")


def powers_of_ten(last):
    n = 1
    while n < last:
        yield n
        n *= 10
    yield last


class Results(Writer):
    """Also prints each line as soon as it is known."""

    def missing(self, program, reason):
        print(f"not here: {program}: {reason}")
        super().missing(program, reason)

    def add_rounds(self, workload, program, group, n, rounds):
        """`rounds`: one dictionary of figures each."""
        samples = columns(rounds, *rounds[0])
        text = "  ".join(f"{name} {statistics.median(v):.6g} ({min(v):.6g}..{max(v):.6g})"
                         for name, v in samples.items())
        print(f"{workload:12} {program:20} {n:>9}  {text}", flush=True)
        self.add(workload, program, group, samples, n, WHAT[workload])


# ---- one loop ------------------------------------------------------------------------------

def one_line(command):
    """What a program of benchmarks/micro says of itself, or None."""
    done = subprocess.run(["taskset", "-c", "1", *map(str, command)], capture_output=True,
                          text=True, timeout=300, env={**os.environ, "GOMAXPROCS": "1"})
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return None
    said = json.loads(lines[-1])
    figures = {"ns": said["ns_per_op"], "cpu_ns": said["cpu_ns_per_op"]}
    if "bytes_per_task" in said:
        figures["bytes"] = said["bytes_per_task"]
    return figures | {name: said[name] for name in ("bytes", "cancel_ns") if name in said}


def peers(results):
    found = {}
    for name, group, command in [("limit", "limit", [PEERS / "limit"]),
                                 ("asio", "peer", [PEERS / "asio"]),
                                 ("tokio", "peer", [PEERS / "tokio/release/tokio-peer"]),
                                 ("go", "peer", [PEERS / "goroutines"]),
                                 ("py3.11", "peer", [PYTHON, MICRO / "asyncio_peer.py"])]:
        if pathlib.Path(command[0]).exists():
            found[name] = (group, command)
        else:
            results.missing(name, "was not built here")
    return found


def runtime(results, options):
    others = peers(results) if options.peers else {}
    for workload, last, of_peers in RUNTIME:
        if not options.wants(workload):
            continue
        for n in powers_of_ten(min(last, options.most)):
            jobs = [("asyncio.cpp", "ours", [OURS / "scale_runtime", workload])]
            # Those of benchmarks/micro do a few only once: no clock measures that.
            if of_peers and 10_000 <= n <= (100_000 if of_peers == "gather" else last):
                jobs += [(name, group, [*command, of_peers])
                         for name, (group, command) in others.items()]
            figures = {name: [] for name, _, _ in jobs}
            for _ in range(options.rounds):
                for name, _, command in jobs:
                    if said := one_line([*command, n]):
                        figures[name].append(said)
            for name, group, _ in jobs:
                if figures[name]:
                    results.add_rounds(workload, name, group, n, figures[name])


# ---- connections ---------------------------------------------------------------------------

class Program:
    """One of the processes that hold connections."""

    def __init__(self, proactor, *arguments):
        self.process = subprocess.Popen(
            [OURS / "scale_connections", *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "ASYNCIO_PROACTOR": proactor})
        self.first = self.answer()

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a program of {self.process.args} ended")
        return json.loads(line)

    def report(self):
        self.ask("report")
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


def kernel_memory():
    """Bytes that the kernel has taken for itself, wherever it keeps them."""
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    used = {name: int(lines[name].split()[0]) * 1024
            for name in ("MemTotal", "MemFree", "Buffers", "Cached", "AnonPages")}
    return (used["MemTotal"] - used["MemFree"] - used["Buffers"] - used["Cached"]
            - used["AnonPages"])


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def grown(programs):
    return sum(p.report()["heap"] - p.first["heap"] for p in programs)


def connections_once(proactor, total, pings):
    pairs = -(-total // IN_ONE_PROCESS)
    shares = [total // pairs + (i < total % pairs) for i in range(pairs)]
    servers, clients = [], []
    try:
        for i, share in enumerate(shares):
            address = f"127.0.0.{i + 2}"
            servers.append(Program(proactor, "server", address, 7000))
            clients.append(Program(proactor, "client", address, 7000, share))
        kernel = kernel_memory()
        begin = time.monotonic()
        for client in clients:
            client.ask("open")
        for client in clients:
            client.answer()
        while sum(server.report()["open"] for server in servers) < total:
            time.sleep(0.01)
        opened = time.monotonic() - begin
        figures = {"open_us": opened / total * 1e6, "open_s": opened,
                   "kernel_bytes": (kernel_memory() - kernel) / total,
                   "server_bytes": grown(servers) / total, "client_bytes": grown(clients) / total}
        latencies = []
        for client in clients:
            client.ask(f"ping {pings // pairs}")
            latencies += client.answer()["latencies"]
        latencies.sort()
        for name, share in (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)):
            figures[name] = quantile(latencies, share) / 1000
        begin = time.monotonic()
        for program in (*servers, *clients):
            program.ask("close")
        left = sum(program.answer()["open"] for program in (*servers, *clients))
        for program in (*servers, *clients):
            program.end()
        figures["close_s"] = time.monotonic() - begin
        figures["close_us"] = figures["close_s"] / total * 1e6
        if left or any(p.process.returncode for p in (*servers, *clients)):
            raise RuntimeError(f"{left} connections were left at the end")
        return figures
    finally:
        for program in (*servers, *clients):
            if program.process.poll() is None:
                program.process.kill()


def connections(results, options):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for n in powers_of_ten(min(options.connections, options.most)):
        for proactor in PROACTORS:
            # Beside few connections everything else is what one would measure.
            rounds = [connections_once(proactor, n, options.pings) for _ in range(options.rounds)]
            if n < 10_000:
                rounds = [{k: v for k, v in r.items() if "bytes" not in k} for r in rounds]
            results.add_rounds("connections", f"asyncio.cpp {proactor}", "ours", n, rounds)


# ---- loops ---------------------------------------------------------------------------------

def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def loops_once(proactor, loops, seconds):
    """Two load generators of 64 connections each, whoever gets the processors."""
    port = 7100 + loops
    server = subprocess.Popen([OURS / "scale_loops", str(port), str(loops)],
                              env={**os.environ, "ASYNCIO_PROACTOR": proactor})
    try:
        time.sleep(0.3)
        begin, before = time.monotonic(), cpu_seconds(server.pid)
        load = [subprocess.Popen([PEERS / "echo_load", "127.0.0.1", str(port), "64", "64",
                                  str(seconds)], stdout=subprocess.PIPE, text=True)
                for _ in range(2)]
        said = [json.loads(process.communicate(timeout=60)[0]) for process in load]
        wall, cpu = time.monotonic() - begin, cpu_seconds(server.pid) - before
        rate = sum(one["rps"] for one in said)
        return {"requests_per_s": rate, "server_cores": cpu / wall,
                "server_cpu_us": cpu / wall / rate * 1e6}
    finally:
        server.kill()
        server.wait()


def loops(results, options):
    for proactor in PROACTORS:
        counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= os.cpu_count()]
        figures = {n: [] for n in counts}
        for _ in range(options.rounds):
            for n in counts:
                figures[n].append(loops_once(proactor, n, options.secs))
        for n in counts:
            results.add_rounds("loops", f"asyncio.cpp {proactor}", "ours", n, figures[n])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="of tasks,sleepers,timers,group,group_fails,connections,loops")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=1_000_000, help="the last n")
    parser.add_argument("--connections", type=int, default=200_000)
    parser.add_argument("--pings", type=int, default=20_000)
    parser.add_argument("--secs", type=float, default=2.0, help="of load on the loops")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--out", help="a file that gets the figures as JSON lines")
    options = parser.parse_args()
    options.wants = lambda name: not options.only or name in options.only.split(",")
    results = Results(options.out, "scale")
    runtime(results, options)
    if options.wants("connections"):
        connections(results, options)
    if options.wants("loops"):
        loops(results, options)
    results.close()


if __name__ == "__main__":
    sys.exit(main())
