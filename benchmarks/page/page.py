#!/usr/bin/env python3
"""Draws docs/performance.md and its charts from the figures of the benchmarks.

    page.py collect RESULTS DOCS/performance   condenses what the runners left into tables
    page.py draw DOCS                          draws the page and the charts from these tables
    page.py check DOCS                         fails unless they are what `draw` would write

The text is performance.md.in with {{names}} for what is drawn, the targets are targets.tsv.
"""

import collections
import csv
import json
import pathlib
import re
import sys

import svg
import targets
from results import below, median, paired

HERE = pathlib.Path(__file__).resolve().parent
TABLES = {
    "figures.tsv": ["suite", "workload", "n", "program", "group", "rounds", "metric", "median",
                    "min", "max", "each", "paired"],
    "workloads.tsv": ["suite", "workload", "what"],
    "missing.tsv": ["suite", "program", "missing"],
    "runs.tsv": ["suite", "date", "commit", "command", "seconds", "busy"],
}
# What a figure is called, and how it is written.
METRICS = {
    "ns": "time of one",
    "bytes": "bytes of one",
    "open_us": "time to open one, µs",
    "ns_per_op": "time per operation",
    "cpu_ns_per_op": "processor time per operation",
    "median_ns": "median latency",
    "bytes_per_task": "bytes per task",
    "workers_busy": "share of the time that the workers are busy",
    "allocations": "heap allocations per operation",
    "instructions": "instructions per operation",
    "rps": "requests per second, more is better",
    "iops": "reads per second, more is better",
    "mbps": "MB per second, more is better",
    "srv_user_us": "server's user processor time per request, µs",
    "srv_cpu_us": "server's processor time per request, µs",
}


# ---- reading and condensing ---------------------------------------------------------------

def read_lines(folder):
    """What the runners left. A line that is broken, as by a full disk, is named and left out."""
    lines = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                line = json.loads(text)
                kind = {"run", "missing", "metrics"} & line.keys()
                if "suite" not in line or not kind or ("metrics" in kind and not line["metrics"]):
                    raise ValueError("not a figure")
            except (ValueError, AttributeError) as error:
                print(f"{path.name}:{number}: left out: {error}", file=sys.stderr)
                continue
            lines.append(line)
    return lines


def as_rows(lines):
    """The same as rows of the tables."""
    rows = collections.defaultdict(list)
    for line in lines:
        if "run" in line:
            rows["runs.tsv"].append({"suite": line["suite"], **line["run"]})
        elif "missing" in line:
            rows["missing.tsv"].append(line)
        else:
            if row := line.get("what") and {k: line[k] for k in TABLES["workloads.tsv"]}:
                if row not in rows["workloads.tsv"]:
                    rows["workloads.tsv"].append(row)
            for metric, value in line["metrics"].items():
                rows["figures.tsv"].append({**line, "metric": metric, **as_columns(value)})
    return rows


def as_columns(value):
    """A metric in the table of figures."""
    if not isinstance(value, dict):
        return {"median": value}
    if (bound := below(value)) is not None:
        return {"median": f"<{bound}"}
    return value | {"each": " ".join(map(str, value.get("each", []))),
                    "paired": "yes" if paired(value) else ""}


def as_metric(row):
    """And back."""
    if row["median"].startswith("<"):
        return {"below": float(row["median"][1:])}
    middle = float(row["median"])
    each = [float(word) for word in row["each"].split()] if row["min"] else [middle]
    return {"median": middle, "min": float(row["min"] or middle),
            "max": float(row["max"] or middle), **({"each": each} if each else {}),
            **({"paired": True} if row["paired"] else {})}


def write_table(path, names, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, names, delimiter="\t", lineterminator="\n", restval="",
                             extrasaction="ignore", quoting=csv.QUOTE_NONE, escapechar="\\")
        out.writeheader()
        for row in rows:
            out.writerow({name: " ".join(value.split()) if isinstance(value, str) else value
                          for name, value in row.items()})


def read_table(path):
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        # Tables of an earlier day may lack a column.
        return [dict.fromkeys(TABLES[path.name], "") | row for row in rows]


def collect(results, folder):
    """Replaces the suites that there are results of; the others stay as they are."""
    rows = as_rows(read_lines(results))
    if not rows:
        return
    folder.mkdir(parents=True, exist_ok=True)
    new = {row["suite"] for of_table in rows.values() for row in of_table}
    for table, names in TABLES.items():
        kept = [row for row in read_table(folder / table) if row["suite"] not in new]
        write_table(folder / table, names,
                    sorted(kept + rows[table], key=lambda row: row["suite"]))
    if (results / "machine.json").exists():
        (folder / "machine.json").write_text((results / "machine.json").read_text())


class Data:
    """The tables, the figures as records like those the runners write."""

    def __init__(self, folder):
        def table(name):
            return read_table(folder / name)
        self.runs, self.missing = table("runs.tsv"), table("missing.tsv")
        self.what = {(row["suite"], row["workload"]): row["what"] for row in table("workloads.tsv")}
        path = folder / "machine.json"
        self.machine = json.loads(path.read_text()) if path.exists() else {}
        records = {}
        for row in table("figures.tsv"):
            key = (row["suite"], row["workload"], row["n"], row["program"])
            record = records.setdefault(key, {
                "suite": row["suite"], "workload": row["workload"], "program": row["program"],
                "group": row["group"], "rounds": int(row["rounds"]), "metrics": {},
                **({"n": int(row["n"])} if row["n"] else {})})
            record["metrics"][row["metric"]] = as_metric(row)
        self.records = list(records.values())


# ---- writing figures ----------------------------------------------------------------------

def number(value):
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:.1f} k"
    return f"{value:.0f}" if value >= 100 else f"{value + 0:.3g}"  # -0.0 is 0, too


def amount(metric, value):
    """A figure with its unit."""
    if metric.removeprefix("cpu_") in ("ns", "ns_per_op") or metric.endswith("_ns"):
        for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
            if value >= size:
                return f"{number(value / size)} {unit}"
        return f"{number(value)} ns"
    for ending, unit in (("us", "µs"), ("ms", "ms"), ("s", "s")):
        if metric.endswith("_" + ending):
            return f"{number(value)} {unit}"
    return number(value) + (" B" if metric.startswith("bytes") else "")


def file_name(*words):
    return re.sub(r"[^\w.]+", "-", "-".join(words)) + ".svg"


# ---- charts -------------------------------------------------------------------------------

def draw_bars(title, of_workload, what):
    metric = next(iter(of_workload[0]["metrics"]))
    shown = [r for r in of_workload if metric in r["metrics"]]
    shown.sort(key=lambda r: ["ours", "limit", "peer"].index(r["group"]))
    base = median(shown[0]["metrics"][metric])
    rows = []
    for r in shown:
        m = r["metrics"][metric]
        behind = amount(metric, m["median"])
        if r["group"] != "ours" and base > 0:
            behind += f"  ({m['median'] / base:.2f}x)"
        rows.append((r["program"].replace("_", " "), r["group"], m["median"], m["min"], m["max"],
                     behind))
    return svg.bars(f"{title}: {what}" if what else title, METRICS.get(metric, metric), rows)


def draw_curves(title, of_workload, what):
    metric = next(iter(of_workload[0]["metrics"]))
    lines = {}
    for r in sorted(of_workload, key=lambda r: r["n"]):
        if metric in r["metrics"] and median(r["metrics"][metric]) > 0 and r["n"] > 0:
            label = r["program"].replace("asyncio.cpp", "ours").replace("_", " ")
            _, line = lines.setdefault(label, (r["group"], []))
            line.append((r["n"], median(r["metrics"][metric])))
    if not lines:
        return None
    return svg.curves(f"{title}: {what}" if what else title,
                      f"{METRICS.get(metric, metric)}; against n", lines,
                      lambda value: amount(metric, value))


def charts(data, suite):
    """(file's name, what it shows in words, the drawing) of each workload of a suite."""
    by_workload = collections.defaultdict(list)
    for record in data.records:
        if record["suite"] == suite:
            by_workload[record["workload"], "n" in record].append(record)
    for (workload, grows), of_workload in by_workload.items():
        what = data.what.get((suite, workload), "")
        drawing = (draw_curves if grows else draw_bars)(workload, of_workload, what)
        if drawing:
            name = file_name(suite, workload, *(["growth"] if grows else []))
            yield name, f"{workload}: {what}".rstrip(": "), drawing


# ---- the page -----------------------------------------------------------------------------

def table(names, rows):
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([line(names), "|" + "---|" * len(names), *map(line, rows)])


def own(verdict):
    """Our figure; None where there is none."""
    metric = verdict.criterion.metric
    if verdict.below is not None:
        return f"< {amount(metric, verdict.below)}"
    return None if verdict.ours is None else amount(metric, verdict.ours)


def cell(verdict):
    """Of one workload and one criterion."""
    if verdict.says is None:
        return "not measured" if verdict.below is None else f"{own(verdict)}, too coarse to tell"
    c = verdict.criterion
    if verdict.other is None:
        text = own(verdict)
    elif verdict.other == c.against[1:]:
        text = f"{verdict.ratio:.2f}x"
    else:
        text = f"{verdict.ratio:.2f}x {verdict.other}"
    if verdict.says == "even" or verdict.barely:
        word = "barely" if verdict.barely else "even"
        return f"{text}, {word} ({verdict.met} of {verdict.pairs})"
    if verdict.says == "holds":
        return text
    by = (f"{100 * verdict.short:.0f} %" if c.bound else amount(c.metric, verdict.short))
    return f"**{text}**, short by {by}"


def summary_of_targets(criteria, all_verdicts):
    rows = []
    for target in dict.fromkeys(c.target for c in criteria):
        of_target = [v for v in all_verdicts if v.criterion.target == target]
        rows.append((target, targets.in_words(of_target)))
    return table(["Target", "Verdict"], rows)


def details_of_target(target, of_target):
    labels = list(dict.fromkeys(v.criterion.label for v in of_target))
    by_cell = {(v.workload, v.criterion.label): v for v in of_target}
    rows = []
    for workload in dict.fromkeys(v.workload for v in of_target):
        mine = [by_cell.get((workload, label)) for label in labels]
        ours = dict.fromkeys(own(v) for v in mine if v is not None and own(v) is not None)
        rows.append([f"`{workload}`", " · ".join(ours) or "not measured",
                     *("" if v is None else cell(v) for v in mine)])
    reasons = dict.fromkeys(v.criterion.why for v in of_target
                            if v.says in ("even", "short"))
    return "\n\n".join([f"### {target}", table(["Workload", "ours", *labels], rows),
                        *(reason for reason in reasons if reason)])


def section_targets(data):
    criteria = targets.read(HERE / "targets.tsv")
    found = targets.verdicts(criteria, data.records)
    parts = [summary_of_targets(criteria, found)]
    for target in dict.fromkeys(c.target for c in criteria):
        parts.append(details_of_target(target, [v for v in found if v.criterion.target == target]))
    return "\n\n".join(parts)


def section_machine(data):
    m = data.machine
    if not m:
        return "Not known."
    rows = [("Processor", f"{m['processor']}, {m['cores']} cores"
             + (", a virtual machine" if m["virtual"] else "")),
            ("Memory", f"{m['memory_gib']} GiB"), ("System", f"{m['system']}, {m['kernel']}"),
            *m["versions"].items()]
    return table(["", ""], rows)


def share(text):
    return f"{100 * float(text):.0f} %" if text else ""


def section_caution(data):
    """Says so where the figures are those of a quick look."""
    rounds = {}
    for r in data.records:
        rounds[r["suite"]] = max(r["rounds"], rounds.get(r["suite"], 0))
    once = [f"`{suite}`" for suite, n in rounds.items()
            if n < 3 and suite not in ("allocations", "notes")]
    crowded = [f"`{r['suite']}`" for r in data.runs if r["busy"] and float(r["busy"]) > 0.1]
    said = [f"fewer than three rounds of {', '.join(once)}"] if once else []
    said += [f"a machine that had other work during {', '.join(crowded)}"] if crowded else []
    return f"> **A quick look, not a measurement:** {'; '.join(said)}.\n\n" if said else ""


def section_runs(data):
    return table(["Suite", "Date (UTC)", "Commit", "Busy with others", "Seconds", "Command"],
                 [(r["suite"], r["date"], r["commit"], share(r["busy"]), r["seconds"],
                   f"`{r['command']}`") for r in data.runs]) if data.runs else "Nothing was run."


def section_missing(data):
    rows = [(r["suite"], r["program"], r["missing"]) for r in data.missing]
    return table(["Suite", "Program", "Why"], rows) if rows else "Nothing."


def section_numbers(data, suite):
    """For what is not worth a chart."""
    rows = [(f"`{r['workload']}`", r["program"], *(amount(name, value["median"])
             for name, value in list(r["metrics"].items())[:1]))
            for r in data.records if r["suite"] == suite]
    return table(["", "Program", "Figure"], rows) if rows else "Not measured."


def section_matrix(data, suite, metric):
    """One figure of every program in every workload."""
    of_suite = [r for r in data.records if r["suite"] == suite and metric in r["metrics"]
                and "n" not in r]
    if not of_suite:
        return "Not measured."

    def written(value):
        return number(median(value)) if below(value) is None else f"< {number(below(value))}"
    figures = {(r["program"], r["workload"]): written(r["metrics"][metric]) for r in of_suite}
    workloads = list(dict.fromkeys(r["workload"] for r in of_suite))
    return table(["Program", *workloads],
                 [[program, *(figures.get((program, w), "") for w in workloads)]
                  for program in dict.fromkeys(r["program"] for r in of_suite)])


def render(data):
    """{path below docs: text} of all that is drawn."""
    files = {}

    def section_charts(suite):
        images = []
        for name, words, drawing in charts(data, suite):
            files[f"performance/{name}"] = drawing
            images.append(f"![{words.replace('[', '(').replace(']', ')')}](performance/{name})")
        return "\n\n".join(images) or "Not measured."

    def fill(match):
        kind, suite, metric = (match[1].split(":") + ["", ""])[:3]
        if kind == "charts":
            return section_charts(suite)
        if kind == "numbers":
            return section_numbers(data, suite)
        if kind == "matrix":
            return section_matrix(data, suite, metric)
        return {"caution": section_caution, "targets": section_targets, "runs": section_runs,
                "machine": section_machine, "missing": section_missing}[kind](data)

    text = (HERE / "performance.md.in").read_text(encoding="utf-8")
    files["performance.md"] = re.sub(r"\{\{([\w:]+)\}\}", fill, text)
    return files


def draw(docs):
    files = render(Data(docs / "performance"))
    for old in (docs / "performance").glob("*.svg"):
        old.unlink()
    for name, text in files.items():
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")


def check(docs):
    files = render(Data(docs / "performance"))
    there = {f"performance/{path.name}" for path in (docs / "performance").glob("*.svg")}
    wrong = {name for name, text in files.items()
             if not (docs / name).exists() or (docs / name).read_text(encoding="utf-8") != text}
    wrong |= there - files.keys()
    if wrong:
        sys.exit("not what `page.py draw` writes: " + ", ".join(sorted(wrong)))


def main(arguments):
    match arguments:
        case ["collect", results, folder]:
            collect(pathlib.Path(results), pathlib.Path(folder))
        case ["draw", docs]:
            draw(pathlib.Path(docs))
        case ["check", docs]:
            check(pathlib.Path(docs))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
