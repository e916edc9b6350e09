"""What the runners share: how busy and how fast the machine is while they measure."""

import fcntl
import math
import os
import shutil
import statistics
import time

TICK = os.sysconf("SC_CLK_TCK")


def core_times():
    """busy seconds of all cores together, and stolen seconds."""
    f = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return (sum(f) - f[3] - f[4] - f[7]) / TICK, f[7] / TICK


def busy_share(seconds=0.05):
    """The share of all cores that is in use by others right now."""
    before = sum(core_times())
    time.sleep(seconds)
    return (sum(core_times()) - before) / (seconds * os.cpu_count())


def core_speed(core):
    """Time of a fixed piece of work on one core, in ms: shows a core slowed from outside."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    best = min(_work() for _ in range(3))
    os.sched_setaffinity(0, before)
    return best


def _work():
    t = time.perf_counter()
    x = 1
    for _ in range(30000):
        x = (x * 3 + 1) & 0xFFFFFFFF
    return (time.perf_counter() - t) * 1e3


class Lock:
    """Several users of one machine: a lock file is held around each measurement, and kept
    from one to the next for up to `hold` seconds before it is offered to others."""
    def __init__(self, path, hold=0.0):
        self.f = open(path, "a") if path else None
        self.hold, self.since = hold, None

    def __enter__(self):
        if self.f and self.since is None:
            fcntl.flock(self.f, fcntl.LOCK_EX)
            self.since = time.monotonic()

    def __exit__(self, *a):
        if self.f and time.monotonic() - self.since >= self.hold:
            self.release()

    def release(self):
        if self.f and self.since is not None:
            fcntl.flock(self.f, fcntl.LOCK_UN)
            self.since = None
            time.sleep(0.3)


class Watch:
    """What else the machine did during a measurement, and how fast the cores were."""
    def __init__(self, cores):
        self.cores = cores

    def __enter__(self):
        self.speed0 = [core_speed(c) for c in self.cores]
        self.busy0, self.steal0 = core_times()
        self.t0 = time.time()
        return self

    def __exit__(self, *a):
        self.wall = time.time() - self.t0
        self.busy, self.steal = (y - x for x, y in zip((self.busy0, self.steal0), core_times()))
        self.speed = [max(a, core_speed(c)) for a, c in zip(self.speed0, self.cores)]

    def note(self):
        return {"core_ms": [round(x, 2) for x in self.speed], "steal": round(self.steal / self.wall, 3)}


def user_time(rows):
    """The server's for a request, in µs: of all rows together, because it is counted in ticks.

    A row may have had nearly one tick more than was counted in it. With fewer than two ticks in
    all that is most of it, and only what the time is below can be told.
    """
    tick = 1e6 / TICK
    requests = max(1, sum(r["requests"] for r in rows))
    ticks = sum(round(r["srv_user_us"] * r["requests"] / tick) for r in rows)
    if ticks < 2:
        return {"below": math.ceil((ticks + len(rows)) * tick / requests * 1e3) / 1e3}
    return round(ticks * tick / requests, 3)


def have(*paths):
    return all(os.path.exists(p) or shutil.which(p) for p in paths)


def median(rows, key):
    v = [r[key] for r in rows if key in r]
    return statistics.median(v) if v else float("nan")


def not_here(results, build):
    """Says what benchmarks/run could not build."""
    with open(os.path.join(build, "missing.tsv")) as f:
        for line in f:
            results.missing(*line.rstrip("\n").split("\t"))
