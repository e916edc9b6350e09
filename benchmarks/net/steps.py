#!/usr/bin/env python3
"""What a message costs in user code: the instructions, and the cache lines and pages of code they
lie in; benchmarks/run steps starts it.

One connection echoes, and the server executes one instruction at a time (ptrace). So the figures
are exact, and the same on every run; io_uring is counted as well as epoll. A server with one
connection sleeps between two messages, and the kernel uses the processor's caches meanwhile: how
many lines have to be fetched again says more than how many instructions there are.
"""
import argparse
import os
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
    ap.add_argument("--server-core", type=int, default=0)
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


if __name__ == "__main__":
    main()
