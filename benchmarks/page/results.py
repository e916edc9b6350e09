"""The figures of a benchmark run: the runners write them, page.py reads them.

A line of JSON each:

    {"suite", "run": {"date", "commit", "command", "seconds", "busy"}}
    {"suite", "workload", "program", "group", "rounds", "n"?, "what"?, "metrics"}
    {"suite", "program", "missing": reason}

`busy` is the share of the machine that others took meanwhile, the median of the measurements.
`group` is ours, limit (a program that only shows what the machine can do) or peer. `n` is the
size in a workload that grows. The first of `metrics` is the one to show; each is a number if
there was one round, else {"median", "min", "max", "each"} of the rounds, of three without `each`:
they are the other three. {"below": bound} is what was too little for its clock.
"""

import json
import os
import pathlib
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
GROUPS = ("ours", "limit", "peer")


def summary(values, paired=False):
    """What a metric is in several rounds."""
    if len(values) == 1:
        return values[0]
    spread = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    if paired:
        return spread | {"each": values, "paired": True}
    return spread if len(values) == 3 else spread | {"each": values}


def spread(values):
    """The same without the single rounds."""
    whole = summary(values)
    return {k: whole[k] for k in ("median", "min", "max")} if isinstance(whole, dict) else whole


def median(metric):
    return metric["median"] if isinstance(metric, dict) else metric


def below(metric):
    """The bound of a metric of which nothing else is known; None of the others."""
    return metric.get("below") if isinstance(metric, dict) else None


def paired(metric):
    return isinstance(metric, dict) and bool(metric.get("paired"))


def rounds(metric):
    """The figures of the single rounds, in no particular order unless they are paired."""
    if not isinstance(metric, dict):
        return [metric]
    return metric.get("each") or [metric["min"], metric["median"], metric["max"]]


def commit():
    """The commit that was measured, `+` if the tree differs from it; "" outside of git."""
    git = subprocess.run(["git", "-C", HERE, "describe", "--always", "--abbrev=10", "--dirty=+",
                          "--exclude=*"], capture_output=True, text=True, check=False)
    return git.stdout.strip()


class Writer:
    """Writes the figures of one run to `path`, all of them at its end; without a path, nothing."""

    def __init__(self, path, suite):
        self.path, self.suite, self.lines = path and pathlib.Path(path), suite, []
        self.others = []
        self.began, self.date = time.monotonic(), time.strftime("%Y-%m-%d %H:%M", time.gmtime())

    def close(self):
        if self.path is None:
            return
        run = {"date": self.date, "commit": commit(),
               "command": os.environ.get("BENCHMARK_COMMAND", ""),
               "seconds": round(time.monotonic() - self.began),
               "busy": round(statistics.median(self.others), 3) if self.others else ""}
        lines = [{"suite": self.suite, "run": run}, *self.lines]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def add(self, workload, program, group, samples, n=None, what=None, of_all=None, paired=False):
        """`samples`: for each metric its values, one of each round; `of_all`: metrics that are
        made of all rounds together."""
        assert group in GROUPS
        line = {"suite": self.suite, "workload": workload, "program": program, "group": group,
                "rounds": max(len(values) for values in samples.values())}
        if n is not None:
            line["n"] = n
        if what is not None:
            line["what"] = what
        line["metrics"] = {name: summary(values, paired) for name, values in samples.items()}
        line["metrics"] |= of_all or {}
        self.lines.append(line)

    def noticed(self, share):
        """What others took of the machine during one measurement."""
        self.others.append(share)

    def missing(self, program, reason):
        self.lines.append({"suite": self.suite, "program": program, "missing": reason})


def columns(rows, *names):
    """The values of each of `names` in `rows`, as Writer.add takes them."""
    values = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: of_name for name, of_name in values.items() if of_name}
