"""Figures, what they were when somebody last looked at them, and what is to be said of both."""

import math

TOLERANCE = 0.03
# Below this a figure is mostly rounding and start-up: so much more is never too much.
LEEWAY = {"instructions": 2, "allocations": 0.01}

HEADER = "# measure\twhat\tvalue\treason for the last change\n"


def read(path):
    """{(measure, what): (value, reason)}"""
    rows = {}
    with open(path) as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            measure, what, value, reason = line.rstrip("\n").split("\t")
            rows[measure, what] = (float(value), reason)
    return rows


def write(path, rows):
    with open(path, "w") as file:
        file.write(HEADER)
        for (measure, what), (value, reason) in rows.items():
            file.write(f"{measure}\t{what}\t{value:g}\t{reason}\n")


def too_much(measure, value, baseline):
    return value > baseline * (1 + TOLERANCE) and value > baseline + LEEWAY.get(measure, 0)


def much_less(measure, value, baseline):
    return too_much(measure, baseline, value)


def compare(figures, baselines):
    """What is wrong, and what would be worth an update, as two lists of sentences."""
    faults, advice = [], []
    for key, value in figures.items():
        name = " of ".join(key)
        if not math.isfinite(value):
            faults.append(f"{name} could not be measured")
        elif key not in baselines:
            faults.append(f"{name} is {value:g} and has no baseline")
        else:
            baseline = baselines[key][0]
            change = f"{name} was {baseline:g} and is {value:g}"
            if baseline:
                change += f" ({(value / baseline - 1) * 100:+.1f} %)"
            if too_much(key[0], value, baseline):
                faults.append(change)
            elif much_less(key[0], value, baseline):
                advice.append(change)
    for key in baselines:
        if key not in figures:
            faults.append(f"{' of '.join(key)} has a baseline and was not measured")
    return faults, advice


def updated(figures, baselines, reason):
    """New baselines: a figure that has not moved keeps its value and its reason."""
    rows = {}
    for key, value in figures.items():
        if not math.isfinite(value):
            raise ValueError(f"{' of '.join(key)} could not be measured")
        old = baselines.get(key)
        moved = old is None or too_much(key[0], value, old[0]) or much_less(key[0], value, old[0])
        rows[key] = (float(f"{value:g}"), reason) if moved else old
    return rows
