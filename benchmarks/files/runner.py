#!/usr/bin/env python3
"""Buffered file reads out of the page cache, 64 concurrent: 4 KiB random and 1 MiB sequential,
from a 1 GiB file. Everything runs on one core ("1 core"); peers that use threads also on all
cores ("all"). Programs take short turns, in another order in each round, as machines change
their speed from one second to the next. benchmarks/run starts it; --peer NAME='command {file} {mode} {secs}' adds one."""
import argparse
import json
import os
import random
import re
import shlex
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from measuring import Lock, Watch, have, median, not_here
from page.results import Writer, columns

BUILD = os.environ["NETBENCH_BUILD"]
PYTHON = os.environ.get("PYTHON", "python3")

LIMITS = ("limit_uring", "uring_plain", "uring_depth1", "fio io_uring fixed", "fio io_uring", "fio psync (pread)")
WHAT = {"rand4k": "4 KiB at a random place, 64 in flight, out of the page cache",
        "seq1m": "1 MiB after 1 MiB, 64 in flight, out of the page cache"}


def fio(engine, mode, path, secs, *more):
    bs, rw = ("4k", "randread") if mode == "rand4k" else ("1m", "read")
    depth = 64 if engine == "io_uring" else 1
    return ["fio", "--name=j", f"--filename={path}", f"--ioengine={engine}", f"--rw={rw}", f"--bs={bs}", f"--iodepth={depth}", "--direct=0", "--invalidate=0",
            "--norandommap", "--time_based", f"--runtime={max(1, int(secs))}", "--size=1g", "--output-format=json", "--thread", "--gtod_reduce=1", "--fadvise_hint=0", *more]


def write(rows, jobs, results):
    """The figures for the page; peers that have all cores get a name of their own."""
    not_here(results, BUILD)
    paired = not any("error" in r for r in rows)
    for mode, name, cores, *_ in jobs:
        mine = [r for r in rows if (r["mode"], r["name"], r["cores"]) == (mode, name, cores)]
        program = name if cores == "1 core" else f"{name}, all cores"
        group = "ours" if name.startswith("ours") else "limit" if name in LIMITS else "peer"
        good = [r for r in mine if "error" not in r]
        for r in good:
            results.noticed(r["other"])
        if good:
            shown = ("iops", "mbps") if mode == "rand4k" else ("mbps", "iops")
            results.add(mode, program, group, columns(good, *shown, "cpu_us"), what=WHAT[mode], paired=paired)
        else:
            results.missing(f"{program}, {mode}", mine[0]["error"])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    ap.add_argument("--rounds", type=int, default=12)
    ap.add_argument("--only", help="comma-separated names (regular expressions)")
    ap.add_argument("--secs", type=float, default=0.2)
    ap.add_argument("--rows", help="JSON-lines file to append every measurement to")
    ap.add_argument("--out", help="where to leave the figures for the page")
    ap.add_argument("--lock")
    ap.add_argument("--hold", type=float, default=0.0)
    ap.add_argument("--retries", type=int, default=0)
    ap.add_argument("--max-other", type=float, default=0.15)
    a = ap.parse_args()
    path = os.path.join(BUILD, "file1g")
    if not os.path.exists(path) or os.path.getsize(path) != 1 << 30:
        with open(path, "wb") as f:
            for _ in range(1024):
                f.write(os.urandom(1 << 20))
    with open(path, "rb") as f:
        while f.read(1 << 24):
            pass
    lock = Lock(a.lock, a.hold)
    jobs = []
    for mode in ("rand4k", "seq1m"):
        def add(name, cmd, cores="1 core", env=None):
            jobs.append((mode, name, cores, cmd, env or {}))
        ours = os.environ["FILESBENCH_OURS"]
        for proactor in ("epoll", "io_uring"):
            proactor_env = {"ASYNCIO_PROACTOR": proactor}
            add(f"ours os.pread {proactor}", [ours, path, mode, str(a.secs)], env=proactor_env)
            add(f"ours seek, readinto {proactor}", [ours, path, mode, str(a.secs), "seek"], env=proactor_env)
        u = os.path.join(BUILD, "uring_read")
        if os.path.exists(u):
            add("limit_uring", [u, path, mode, str(a.secs)])
            add("uring_plain", [u, path, mode, str(a.secs), "plain"])
            add("uring_depth1", [u, path, mode, str(a.secs), "depth=1"])
        if have("fio"):
            add("fio io_uring fixed", fio("io_uring", mode, path, a.secs, "--fixedbufs", "--registerfiles", "--iodepth_batch_submit=16", "--iodepth_batch_complete_max=64"))
            add("fio io_uring", fio("io_uring", mode, path, a.secs))
            add("fio psync (pread)", fio("psync", mode, path, a.secs))
        v = os.path.join(BUILD, "uv_read")
        if os.path.exists(v):
            add("libuv 4 threads", [v, path, mode, str(a.secs)])
            add("libuv 4 threads", [v, path, mode, str(a.secs)], "all")
        py = [PYTHON, os.path.join(HERE, "peers/aiofiles_read.py"), path, mode, str(a.secs)]
        if subprocess.run([PYTHON, "-c", "import aiofiles"], capture_output=True).returncode == 0:
            add("aiofiles", py)
            add("aiofiles", py, "all")
            add("asyncio run_in_executor pread", py + ["executor"])
        for x in a.peer:
            n, c = x.split("=", 1)
            add(n, shlex.split(c.replace("{file}", path).replace("{mode}", mode).replace("{secs}", str(a.secs))))
    if a.only:
        jobs = [job for job in jobs if any(re.fullmatch(p, job[1]) for p in a.only.split(","))]
    results = Writer(a.out, "files")
    rows = []
    for rnd in range(a.rounds):
        in_turn = random.Random(rnd).sample(jobs, len(jobs))
        for mode, name, cores, cmd, env in sorted(in_turn, key=lambda job: job[0]):
            best = None
            for k in range(a.retries + 1):
                with lock, Watch((0, 1)) as w:
                    pre = ["taskset", "-c", "0"] if cores == "1 core" else []
                    import resource
                    g0 = resource.getrusage(resource.RUSAGE_CHILDREN)
                    p = subprocess.run(pre + cmd, capture_output=True, text=True, timeout=60, env=dict(os.environ, **env))
                    g1 = resource.getrusage(resource.RUSAGE_CHILDREN)
                gen = g1.ru_utime + g1.ru_stime - g0.ru_utime - g0.ru_stime
                r = {"mode": mode, "name": name, "cores": cores, "round": rnd, "other": round(max(0, w.busy - gen) / w.wall, 3)}
                try:
                    if cmd[0] == "fio":
                        j = json.loads(p.stdout[p.stdout.index("{"):])["jobs"][0]
                        ops = j["read"]["total_ios"]
                        t = j["read"]["runtime"] / 1e3
                        r.update(ops=ops, iops=round(ops / t), mbps=round(j["read"]["io_bytes"] / t / 1e6, 1),
                                 cpu_us=round((j["usr_cpu"] + j["sys_cpu"]) / 100 * t * 1e6 / ops, 3), errors=j["error"])
                    else:
                        r.update(json.loads(p.stdout.strip().splitlines()[-1]))
                except (ValueError, IndexError, KeyError):
                    r["error"] = (p.stderr or p.stdout)[-300:]
                r.update(w.note())
                if best is None or r["other"] < best["other"]:
                    best = r
                if best["other"] <= a.max_other:
                    break
                lock.release()
                time.sleep(1)
            rows.append(best)
            if "error" in best:
                print(name, best["error"], file=sys.stderr)
            if a.rows:
                with open(a.rows, "a") as f:
                    f.write(json.dumps(best) + "\n")
    write(rows, jobs, results)
    results.close()
    for mode in ("rand4k", "seq1m"):
        print(f"\n{mode}\n{'peer':32}{'cores':>8}{'IOPS':>10}{'(min..max)':>18}{'MB/s':>9}{'cpu us/op':>11}{'vs limit':>9}{'n':>3}")
        lim = {r["round"]: r["cpu_us"] for r in rows if r["mode"] == mode and r["name"] == "limit_uring" and "error" not in r}
        for name, cores in dict.fromkeys((r["name"], r["cores"]) for r in rows if r["mode"] == mode):
            v = [r for r in rows if (r["mode"], r["name"], r["cores"]) == (mode, name, cores) and "error" not in r]
            if v:
                o = [r["iops"] for r in v]
                q = [r["cpu_us"] / lim[r["round"]] for r in v if r["round"] in lim]
                print(f"{name:32}{cores:>8}{statistics.median(o):10.0f}{f'{min(o)}..{max(o)}':>18}{median(v, 'mbps'):9.0f}{median(v, 'cpu_us'):11.2f}"
                      f"{statistics.median(q) if q else 0:9.2f}{len(v):3}")


if __name__ == "__main__":
    main()
