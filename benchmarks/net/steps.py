#!/usr/bin/env python3
"""What a message costs in user code: the instructions, and the cache lines and pages of code they
lie in; then the time; benchmarks/run steps starts it.

One connection echoes, and the server executes one instruction at a time (ptrace). So the figures
are exact, and the same on every run, but for what depends on the time; io_uring is counted as well
as epoll. A server with one connection sleeps between two messages, and the kernel uses the
processor's caches meanwhile: how many lines have to be fetched again says more than how many
instructions there are.

For the time the servers run at full speed, in turns, with between.so preloaded: how long it is from
the end of one call of the kernel to the beginning of the next. It tells a tenth of a microsecond
apart, which requests per second do not; but compare within a run, as the next one may take half as
long again for all of them. What does not call through the C library has none.
"""
import argparse
import array
import os
import random
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import runner

SENDS = {1: "write", 20: "writev", 44: "sendto", 46: "sendmsg"}
CALLS = SENDS | {0: "read", 45: "recvfrom", 47: "recvmsg", 228: "clock_gettime", 232: "epoll_wait",
                 233: "epoll_ctl", 281: "epoll_pwait", 426: "io_uring_enter"}
WARM_UP = 400  # messages


class Client:
    """One connection that sends `size` bytes and waits for them, again and again."""

    def __init__(self, port, size):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.message = bytes(size)

    def echo(self):
        self.socket.sendall(self.message)
        left = len(self.message)
        while left > 0:
            got = len(self.socket.recv(left))
            if got == 0:
                raise OSError("the server has closed the connection")
            left -= got

    def go_on(self, over):
        try:
            while not over.is_set():
                self.echo()
        except OSError:
            pass  # the server is gone


def steps_of(command, size, a):
    """(address, number of the system call or None) of each instruction."""
    port = runner.port_free()
    server = runner.Server(command.replace("{port}", str(port)), a.server_core, port)
    over = threading.Event()
    try:
        client = Client(port, size)
        for _ in range(WARM_UP):
            client.echo()
        echoing = threading.Thread(target=client.go_on, args=(over,))
        echoing.start()
        with tempfile.TemporaryFile() as out:
            subprocess.run([os.path.join(runner.BUILD, "step"), str(server.pids[-1]), str(a.steps)],
                           stdout=out, check=True)
            out.seek(0)
            found = [(at, call - 1 if call else None) for at, call in struct.iter_unpack("<QQ", out.read())]
    finally:
        over.set()
        server.stop()
    echoing.join()
    return found


def messages(steps):
    """The steps of each message: from one sending to the next."""
    calls = {call for _, call in steps if call is not None}
    marks = set(SENDS) & calls or {426}
    at = [i for i, (_, call) in enumerate(steps) if call in marks]
    return [steps[i:j] for i, j in zip(at[1:-1], at[2:])]


KINDS = ("wait", "receive", "send")
PLACES, TICKS = 4096, 8  # of each pair of kinds in the file


class Times:
    """What between.so counted of one server, turn by turn."""

    def __init__(self, command, core, directory, number):
        self.file = os.path.join(directory, str(number))
        self.port = runner.port_free()
        command = command.replace("{port}", str(self.port))
        self.server = runner.Server(f"env BETWEEN_OUT={self.file} LD_PRELOAD={runner.b('between.so')} {command}",
                                    core, self.port)
        self.turns = {}  # (kind, kind): medians in ns
        self.seen = self.read()[1]

    def read(self):
        with open(self.file, "rb") as f:
            per_us = struct.unpack("<Q", f.read(8))[0]
            counts = array.array("I", f.read())
        return per_us, counts

    def take_turn(self, size, a):
        subprocess.run(["taskset", "-c", str(a.load_core), runner.b("echo_load"), "127.0.0.1", str(self.port),
                        "1", str(size), str(a.secs), "1", "--warmup", "0.02", "--pids", str(self.server.pids[-1])],
                       stdout=subprocess.DEVNULL, check=True)
        before, (per_us, self.seen) = self.seen, self.read()
        new = [now - then for now, then in zip(self.seen, before)]
        for i in range(len(KINDS) ** 2):
            times = new[i * PLACES:(i + 1) * PLACES]
            if sum(times) * 20 > sum(new):  # others are no part of each message
                pair = divmod(i, len(KINDS))
                self.turns.setdefault(pair, []).append(median_place(times) * TICKS * 1000 / per_us)

    def row(self, name, size):
        middle = {pair: statistics.median(turns) for pair, turns in sorted(self.turns.items())}
        parts = ", ".join(f"{KINDS[a]} to {KINDS[b]} {ns:.0f}" for (a, b), ns in middle.items())
        total = f"{sum(middle.values()):.0f}" if middle else "-"
        return f"{name:24}{size:8}{total:>14}  {parts}"


def median_place(times):
    left = sum(times) / 2
    for place, count in enumerate(times):
        left -= count
        if left <= 0:
            return place
    return len(times)


def measure_times(servers, size, a):
    with tempfile.TemporaryDirectory() as directory:
        all_of_them = {}
        try:
            for number, (name, command) in enumerate(servers.items()):
                all_of_them[name] = Times(command, a.server_core, directory, number)
            for _ in range(a.rounds):
                for one in random.sample(list(all_of_them.values()), len(all_of_them)):
                    one.take_turn(size, a)
        finally:
            for one in all_of_them.values():
                one.server.stop()
        for name, one in all_of_them.items():
            print(one.row(name, size), flush=True)


def row(name, size, found):
    def middle(count):
        return round(statistics.median(count(one) for one in found))
    calls = [CALLS.get(call, str(call)) for _, call in found[len(found) // 2] if call is not None]
    return (f"{name:24}{size:8}{middle(len):14}{middle(lambda one: len({at >> 6 for at, _ in one})):8}"
            f"{middle(lambda one: len({at >> 12 for at, _ in one})):8}  {' '.join(calls)}")


def main():
    ap = argparse.ArgumentParser(prog="benchmarks/run steps", description=__doc__.split("\n\n")[0])
    ap.add_argument("--only", default="ours_(streams|protocol)_.*,limit_.*,tokio,asio_epoll,libuv",
                    help="comma-separated names (regular expressions)")
    ap.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND", help="one more server; {port} is filled in")
    ap.add_argument("--sizes", default="64,16384", help="of messages, in bytes")
    ap.add_argument("--steps", type=int, default=60_000, help="instructions of each server")
    ap.add_argument("--rounds", type=int, default=20, help="of turns for the time; 0 for no times")
    ap.add_argument("--secs", type=float, default=0.1, help="of each turn")
    ap.add_argument("--server-core", type=int, default=0)
    ap.add_argument("--load-core", type=int, default=1)
    a = ap.parse_args()
    servers = {name: command for name, command in runner.echo_servers().items()
               if any(re.fullmatch(one, name) for one in a.only.split(","))}
    servers |= dict(one.split("=", 1) for one in a.server)
    print(f"{'per message':24}{'bytes':>8}{'instructions':>14}{'lines':>8}{'pages':>8}  system calls")
    for size in map(int, a.sizes.split(",")):
        for name, command in servers.items():
            found = messages(steps_of(command, size, a))
            if not found:
                sys.exit(f"{name}: no message was echoed within {a.steps} instructions; try --steps {a.steps * 10}")
            print(row(name, size, found), flush=True)
    if a.rounds > 0:
        print(f"\n{'per message':24}{'bytes':>8}{'user time, ns':>14}  between which calls, medians of {a.rounds} turns")
        for size in map(int, a.sizes.split(",")):
            measure_times(servers, size, a)


if __name__ == "__main__":
    main()
