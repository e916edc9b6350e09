"""The targets of targets.tsv, and what the figures say about them.

A row of the table: the target it belongs to (empty: that of the row above), what is compared, the suite, its workloads (with
spaces between), whose figure (an expression for the program's name), which figure, against
what, the rule, and what there is to say if it falls short. `against` is one of

    -            nothing: the figure itself is judged
    ~            our own figure among a thousand things; ours is that among the most there were
    =WORKLOAD    our own figure of another workload
    @limit       the best of the limit programs; @peer: the best peer
    EXPRESSION   the best of the programs whose names match

and the rule is one of <, <=, >, >= with a number, of the ratio where there is one.
"""

import csv
import dataclasses
import operator
import re

from results import median

RULES = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclasses.dataclass(frozen=True)
class Criterion:
    target: str
    label: str
    suite: str
    workloads: tuple
    ours: str
    metric: str
    against: str
    rule: str
    bound: float
    why: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    criterion: Criterion
    workload: str
    ours: float | None = None     # None: not measured
    other: str | None = None      # whom ours is compared with
    value: float | None = None    # and the figure of theirs
    ratio: float | None = None    # what the rule is about: ours / value, or ours
    holds: bool | None = None

    @property
    def short(self):
        """By how much it falls short: a share of the bound, or the distance from a bound of 0."""
        if self.holds is not False:
            return None
        distance = abs(self.ratio - self.criterion.bound)
        return distance / self.criterion.bound if self.criterion.bound else distance


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                if row and not row[0].startswith("#")]
    criteria, target = [], None
    for named, label, suite, workloads, ours, metric, against, rule, why in rows:
        target = named or target
        sign, _, bound = rule.partition(" ")
        assert sign in RULES, (target, label)
        criteria.append(Criterion(target, label, suite, tuple(workloads.split()), ours, metric,
                                  against, sign, float(bound), why))
    return criteria


def growth(criterion, workload, records):
    sizes = {r["n"]: median(r["metrics"][criterion.metric]) for r in records
             if r["suite"] == criterion.suite and r["workload"] == workload
             and r.get("n", 0) >= 1000 and r["group"] == "ours"
             and re.fullmatch(criterion.ours, r["program"]) and criterion.metric in r["metrics"]}
    if len(sizes) < 2:
        return Verdict(criterion, workload)
    few, many = min(sizes), max(sizes)
    ratio = sizes[many] / sizes[few] if sizes[few] else float("inf")
    return Verdict(criterion, workload, sizes[many], f"n = {few}", sizes[few], ratio,
                   RULES[criterion.rule](ratio, criterion.bound))


def judge(criterion, workload, records):
    """`records`: those of the page; one without n has the figure."""
    if criterion.against == "~":
        return growth(criterion, workload, records)

    def figures(of, chosen):
        return {r["program"]: median(r["metrics"][criterion.metric]) for r in records
                if r["suite"] == criterion.suite and r["workload"] == of and "n" not in r
                and criterion.metric in r["metrics"] and chosen(r)}

    less = criterion.rule.startswith("<")
    best = min if less else max

    def of_ours(record):
        return re.fullmatch(criterion.ours, record["program"])

    mine = figures(workload, of_ours)
    if not mine:
        return Verdict(criterion, workload)
    ours = best(mine.values())
    against = criterion.against
    if against == "-":
        return Verdict(criterion, workload, ours, ratio=ours,
                       holds=RULES[criterion.rule](ours, criterion.bound))
    if against.startswith("="):
        others = {against[1:]: value for value in figures(against[1:], of_ours).values()}
    elif against.startswith("@"):
        others = figures(workload, lambda r: r["group"] == against[1:])
    else:
        others = figures(workload, lambda r: re.fullmatch(against, r["program"]))
    if not others:
        return Verdict(criterion, workload, ours)
    other = best(others, key=others.get)
    value = others[other]
    ratio = ours / value if value else float("inf")
    return Verdict(criterion, workload, ours, other, value, ratio,
                   RULES[criterion.rule](ratio, criterion.bound))


def verdicts(criteria, records):
    return [judge(criterion, workload, records)
            for criterion in criteria for workload in criterion.workloads]


def in_words(of_target):
    """The verdict of a target: of all its rows together."""
    known = [v for v in of_target if v.holds is not None]
    short = [v for v in known if not v.holds]
    unknown = len(of_target) - len(known)
    if not known:
        return "not measured"
    words = "holds" if not short else f"falls short in {len(short)} of {len(known)}"
    return words + (f"; {unknown} not measured" if unknown else "")
