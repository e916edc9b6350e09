#!/usr/bin/env python3
"""TCP and TLS echo: our servers beside their peers, for each load; benchmarks/run starts it.

All servers wait, pinned to one core, and take turns, a short one each in every round, in
another order each time: the machine changes its speed from one second to the next, and by
more than what lies between two programs, so only what is measured side by side can be
compared. A turn is a load generator pinned to another core; the server's CPU time is that of
its whole process tree. After some rounds all servers are started anew, because where their
memory lies makes a difference, too.
"""
import argparse
import glob
import json
import os
import random
import re
import shlex
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from measuring import TICK, Lock, Watch, have, median, not_here, user_time
from page.results import Writer, columns, spread

BUILD = os.environ["NETBENCH_BUILD"]
PYTHON = os.environ.get("PYTHON", "python3")
PYTHON_NEW = os.environ.get("PYTHON_NEW")      # a second, newer interpreter, if there is one


# ---------------------------------------------------------------- processes and their cost
def tree(pid):
    """pid and all its descendants."""
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        for f in glob.glob(f"/proc/{p}/task/*/children"):
            try:
                todo += [int(x) for x in open(f).read().split()]
            except OSError:
                pass
    return out


def cpu_seconds(pids):
    user = system = 0
    for p in pids:
        try:
            f = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        user += int(f[11])
        system += int(f[12])
    return user / TICK, system / TICK


def port_free():
    while True:
        p = random.randrange(15000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", p))
                return p
            except OSError:
                pass


class Server:
    def __init__(self, command, core, port, sock=None, log=None):
        env = dict(os.environ, GOMAXPROCS="1")
        self.proc = subprocess.Popen(["taskset", "-c", str(core)] + shlex.split(command), env=env,
                                     stdout=log or subprocess.DEVNULL, stderr=log or subprocess.DEVNULL)
        deadline = time.time() + 10
        while True:
            try:
                if sock:
                    s = socket.socket(socket.AF_UNIX)
                    s.connect(sock)
                else:
                    s = socket.create_connection(("127.0.0.1", port), timeout=1)
                s.close()
                break
            except OSError:
                if self.proc.poll() is not None or time.time() > deadline:
                    self.stop()
                    raise RuntimeError(f"server did not come up: {command}")
                time.sleep(0.02)
        time.sleep(0.15)
        self.pids = tree(self.proc.pid)

    def stop(self):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for p in tree(self.proc.pid)[::-1]:
                try:
                    os.kill(p, sig)
                except OSError:
                    pass
            try:
                self.proc.wait(2)
                return
            except subprocess.TimeoutExpired:
                pass


# ---------------------------------------------------------------- the peers
def b(name):
    return os.path.join(BUILD, name)


def s(name):
    return os.path.join(HERE, name)


NO_TLS = {"libuv": "it has no TLS", "limit_uring": "there is one hand-tuned program with TLS, over epoll"}


def echo_servers(pem=None):
    """The command of each server; under TLS with `pem`, a certificate and its key."""
    out = {}
    tail = f" {shlex.quote(pem)}" if pem else ""
    for proactor in ("uring", "epoll"):
        for kind in ("streams", "protocol", "buffered"):
            out[f"ours_{kind}_{proactor}"] = (
                f"env ASYNCIO_PROACTOR={'io_uring' if proactor == 'uring' else 'epoll'} "
                f"{os.environ['NETBENCH_OURS']} {{port}} {kind}{tail}")

    def add(name, command, *need):
        if have(*need):
            out[name] = command + tail

    def program(name, plain, tls=None):
        if path := b(tls) if pem and tls else None if pem else b(plain):
            add(name, path + " {port}", path)
    program("limit_uring", "limit_uring")
    program("limit_epoll", "limit_epoll", "limit_tls")
    program("asio_epoll", "asio_coro_epoll", "asio_tls")
    program("asio_uring", "asio_coro_uring")
    program("libuv", "libuv_echo")
    program("tokio", "tokio_echo", "tokio_tls_echo")
    program("go", "go_echo", "go_echo")
    add("node", f"node {s('peers/node_echo.js')} {{port}}", "node")
    for tag, py in (("", PYTHON), ("_new", PYTHON_NEW)):
        if py and have(py):
            add(f"py{tag}_streams", f"{py} {s('peers/py_echo.py')} {{port}} streams", py)
            add(f"py{tag}_protocol", f"{py} {s('peers/py_echo.py')} {{port}} protocol", py)
            if subprocess.run([py, "-c", "import uvloop"], capture_output=True).returncode == 0:
                add(f"uvloop{tag}_streams", f"{py} {s('peers/py_echo.py')} {{port}} streams uvloop", py)
                add(f"uvloop{tag}_protocol", f"{py} {s('peers/py_echo.py')} {{port}} protocol uvloop", py)
    return out


# The programs whose buffer is theirs to choose, 64 KiB else. For messages larger than that they
# are measured with as much as Python's transports and ours take at once, too.
LARGE_BUFFERS = {"limit_epoll", "asio_epoll", "libuv", "tokio", "go"}
SMALL, LARGE = 64 * 1024, 256 * 1024


def with_large_buffers(servers, load):
    conns, msg, depth, tls = load
    if tls or msg <= SMALL:
        return servers
    larger = {f"{name}_256k": f"env ECHO_BUFFER={LARGE} {command}"
              for name, command in servers.items() if name in LARGE_BUFFERS}
    return servers | larger


def make_certificate(folder):
    """A certificate for a day, with its key."""
    pem = os.path.join(folder, "server.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", pem + ".key", "-out", pem + ".crt"],
                   check=True, capture_output=True)
    with open(pem, "w") as file:
        for part in (".crt", ".key"):
            file.write(open(pem + part).read())
    return pem


# ---------------------------------------------------------------- one measurement
def start(servers, a):
    """(server, port) of each name, or the error of one that did not come up."""
    out = {}
    for name, command in servers.items():
        port = port_free()
        try:
            out[name] = Server(command.replace("{port}", str(port)), a.server_core, port), port
        except RuntimeError as error:
            out[name] = error
    return out


def stop(running):
    for one in running.values():
        if not isinstance(one, RuntimeError):
            one[0].stop()


def seconds(load, a):
    """How long a turn takes: with much in flight long enough for some of all of it, with many
    connections for some messages of each."""
    conns, msg, depth, _ = load
    return max(a.secs, 3 * conns * msg * depth / 1e9, conns * 3e-4)


def measure_echo(one, load, a):
    if isinstance(one, RuntimeError):
        raise one
    srv, port = one
    conns, msg, depth, tls = load
    secs = seconds(load, a)
    with Watch((a.server_core, a.load_core)) as w:
        p = subprocess.run(["taskset", "-c", str(a.load_core), b("echo_load"), "127.0.0.1", str(port), str(conns),
                            str(msg), str(secs), str(depth), *["--tls"] * tls, "--warmup", str(secs / 2),
                            "--pids", ",".join(map(str, srv.pids))],
                           capture_output=True, text=True, timeout=secs + 8)
    line = p.stdout.strip().splitlines()[-1] if p.stdout.strip() else ""
    if not line.startswith("{"):
        return {"error": (p.stderr.strip() or "no result")[:200]}
    r = json.loads(line)
    r["other"] = round(max(0.0, w.busy - (r["srv_util"] + r["gen_util"]) * (w.wall - 0.02)) / w.wall, 3)
    r.update(w.note())
    return r


def quiet_measure(one, load, a, lock):
    """Measure, and again (up to --retries times) while other processes took part of the cores."""
    best = None
    for k in range(a.retries + 1):
        try:
            with lock:
                r = measure_echo(one, load, a)
        except (RuntimeError, subprocess.TimeoutExpired) as e:
            return {"error": "timed out" if isinstance(e, subprocess.TimeoutExpired) else str(e)[:200]}
        if best is None or "error" in best or ("error" not in r and r["other"] < best["other"]):
            best = r
        if "error" not in best and best["other"] <= a.max_other:
            break
        if k < a.retries:
            lock.release()
            time.sleep(min(6, 0.5 * 2 ** k))
    return best


def measure_load(title, load, servers, a, lock, wrote):
    """The rows of all rounds; `wrote` is called with each."""
    rows, running = [], {}
    try:
        for rnd in range(a.round_base, a.round_base + a.rounds):
            if (rnd - a.round_base) % a.fresh == 0:
                stop(running)
                running = start(servers, a)
            for name in random.Random(rnd).sample(list(servers), len(servers)):
                r = quiet_measure(running[name], load, a, lock)
                r.update(server=name, load=title, round=rnd, idle=a.idle)
                rows.append(r)
                wrote(r)
    finally:
        stop(running)
    return sorted(rows, key=lambda r: (list(servers).index(r["server"]), r["round"]))


# ---------------------------------------------------------------- tables
def table(rows, title):
    """Medians for each server, and ratios to the two limits.  The CPU ratio is the median
    of the ratios inside a round, so that a machine that changes speed cancels out."""
    names = list(dict.fromkeys(r["server"] for r in rows))
    by = {n: [r for r in rows if r["server"] == n and "error" not in r] for n in names}
    lim = {k: {r["round"]: r["srv_cpu_us"] for r in by.get(k, [])} for k in ("limit_uring", "limit_epoll")}
    print(f"\n{title}")
    print(f"{'server':22}{'req/s':>9}{'MB/s':>9}{'p50us':>8}{'p99us':>8}{'cpu us/req':>11}{'(min..max)':>16}{'user':>7}"
          f"{'util':>6}{'cpu/uring':>10}{'cpu/epoll':>10}{'n':>3}{'err':>4}")

    def ratio(name, k):
        v = [r["srv_cpu_us"] / lim[k][r["round"]] for r in by[name] if lim[k].get(r["round"])]
        return f"{statistics.median(v):10.2f}" if v else f"{'-':>10}"
    for n in sorted(names, key=lambda n: median(by[n], "srv_cpu_us") if by[n] else 1e9):
        r = by[n]
        if not r:
            print(f"{n:22} failed: {[x.get('error') for x in rows if x['server'] == n][0]}")
            continue
        cpu = [x["srv_cpu_us"] for x in r]
        print(f"{n:22}{median(r, 'rps'):9.0f}{median(r, 'mbps'):9.1f}{median(r, 'p50_us'):8.0f}{median(r, 'p99_us'):8.0f}"
              f"{statistics.median(cpu):11.2f}{f'{min(cpu):.2f}..{max(cpu):.2f}':>16}{median(r, 'srv_user_us'):7.2f}"
              f"{median(r, 'srv_util'):6.2f}{ratio(n, 'limit_uring')}{ratio(n, 'limit_epoll')}{len(r):3}{sum(x.get('errors', 0) for x in r):4}")


def write(rows, results):
    """The figures of one load, for the page, of the rounds in which all programs went well but
    those that never did."""
    good = {name: {r["round"]: r for r in rows if r["server"] == name and "error" not in r}
            for name in dict.fromkeys(r["server"] for r in rows)}
    whole = set.intersection(*(set(by_round) for by_round in good.values() if by_round))
    load = rows[0]["load"]
    for name, by_round in good.items():
        mine = [r for rnd, r in sorted(by_round.items()) if rnd in whole]
        if not mine:
            results.missing(f"{name}, {load}",
                            next((r["error"] for r in rows if r["server"] == name and "error" in r), "no whole round"))
            continue
        group = {"ours": "ours", "limit": "limit"}.get(name.split("_")[0], "peer")
        for r in mine:
            results.noticed(r["other"])
        others = {name: spread(of_name) for name, of_name in columns(mine, "p50_us", "p99_us").items()}
        results.add(load, name, group, columns(mine, "rps", "srv_cpu_us"), paired=True,
                    of_all={**others, "srv_user_us": user_time(mine)},
                    what="{conns} connections, {msg} B each".format(**mine[0]) + ", TLS" * load.startswith("tls:"))


def parse_echo_load(text):
    m = re.fullmatch(r"(tls:)?(\d+)x(\d+)([kK]?)(?:/(\d+))?", text)
    return int(m[2]), int(m[3]) * (1024 if m[4] else 1), int(m[5] or 1), bool(m[1])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("what", choices=["echo", "table"])
    ap.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND", help="one more server; {port} is filled in")
    ap.add_argument("--only", help="comma-separated names (regular expressions)")
    ap.add_argument("--loads", help="[tls:]CONNSxSIZE[/DEPTH],...")
    ap.add_argument("--rounds", type=int, default=20)
    ap.add_argument("--fresh", type=int, default=5, help="rounds after which all servers are started anew")
    ap.add_argument("--round-base", type=int, default=0, help="number of the first round (to add rounds to a file)")
    ap.add_argument("--secs", type=float, default=0.15, help="of a turn; more where much is in flight")
    ap.add_argument("--server-core", type=int, default=0)
    ap.add_argument("--load-core", type=int, default=1)
    ap.add_argument("--idle", choices=["default", "poll"], default="default",
                    help="poll: idle cores poll instead of halting (needs write access to the PM QoS device)")
    ap.add_argument("--rows", help="JSON-lines file to append every measurement to")
    ap.add_argument("--out", help="where to leave the figures for the page")
    ap.add_argument("--lock", help="file to lock around each measurement")
    ap.add_argument("--hold", type=float, default=0.0, help="seconds to keep that lock over several measurements")
    ap.add_argument("--max-other", type=float, default=0.08, help="share of a core other processes may take before a run is repeated")
    ap.add_argument("--retries", type=int, default=0, help="a turn is short: what others took is told by ticks, coarsely")
    ap.add_argument("--quiet", action="store_true")
    a = ap.parse_args()

    if a.what == "table":
        rows = [json.loads(x) for x in open(a.rows)]
        for key in dict.fromkeys((r["load"], r["idle"]) for r in rows):
            sel = [r for r in rows if (r["load"], r["idle"]) == key]
            table(sel, f"{key[0]} (idle {key[1]})")
        return

    qos = None
    if a.idle == "poll":
        qos = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
        os.write(qos, struct.pack("i", 0))
    folder = tempfile.TemporaryDirectory()
    loads = {t: parse_echo_load(t) for t in (a.loads or "1x64,64x64,1000x64,64x16k,64x128k").split(",")}

    def chosen(servers):
        extra = [x.split("=", 1)[0] for x in a.server]
        servers.update(x.split("=", 1) for x in a.server)
        return {n: c for n, c in servers.items()
                if not a.only or n in extra or any(re.fullmatch(p, n) for p in a.only.split(","))}
    by_tls = {tls: chosen(echo_servers(make_certificate(folder.name) if tls else None))
              for tls in sorted({load[-1] for load in loads.values()})}
    lock = Lock(a.lock, a.hold)
    every = open(a.rows, "a") if a.rows else None

    def wrote(row):
        if "error" in row:
            print(f"{row['load']} {row['server']}: {row['error']}", file=sys.stderr)
        if every:
            every.write(json.dumps(row) + "\n")
            every.flush()
    results = Writer(a.out, "net")
    not_here(results, BUILD)
    for name in set(by_tls.get(False, ())) - set(by_tls.get(True, by_tls.get(False, ()))):
        results.missing(f"{name}, TLS", NO_TLS.get(name, "did not build"))
    for title, load in loads.items():
        rows = measure_load(title, load, with_large_buffers(by_tls[load[-1]], load), a, lock, wrote)
        write(rows, results)
        if not a.quiet:
            table(rows, f"{title} (idle {a.idle})")
            sys.stdout.flush()
    results.close()


if __name__ == "__main__":
    main()
