"""The targets of targets.tsv, and what the figures say about them.

A row of the table: the target it belongs to (empty: that of the row above), what is compared,
the suite, its workloads (with spaces between), whose figure (an expression for the program's
name), which figure, against what, the rule, and what there is to say if it does not hold.
`against` is one of

    -            nothing: the figure itself is judged
    ~            our own figure among a thousand things; ours is that among the most there were
    =WORKLOAD    our own figure of another workload
    @limit       the limit programs; @peer: the peers
    EXPRESSION   the programs whose names match

and the rule is one of <, <=, >, >= with a number, of the ratio where there is one.

What the figures say of a workload:

    holds    the medians meet the rule
    even     they do not, but so many pairs of a round of ours and a round of theirs do that the
             rounds do not tell that it falls short
    short    neither

Where the programs were measured in turns, pairs are of the rounds that were beside each other,
and what counts is the median of their ratios. The rounds do not tell if so few, or fewer, meet
the rule in more than one of forty cases where it is a coin that decides. Else every round of ours
is paired with every round of theirs, and a quarter of the pairs have to meet the rule.

Of several others the one with the best median counts, but where it is even, one that ours falls
short of: that a peer is close and noisy does not hide one that is ahead.

With fewer than three rounds of either nothing is even. What holds although the rounds would not
tell if it did not does so barely. Where there are no others, the rounds of ours are paired with
the bound alone.
"""

import csv
import dataclasses
import itertools
import math
import operator
import re
import statistics

from results import below, median, paired, rounds

RULES = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
WORST_FIRST = ["short", "even", "holds"]
EVEN_SHARE = 1 / 4
EVEN_ROUNDS = 3
CHANCE = 1 / 40


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

    def met(self, ratio):
        return RULES[self.rule](ratio, self.bound)

    def best_first(self, metrics):
        """The names by their medians."""
        return sorted(metrics, key=lambda name: median(metrics[name]),
                      reverse=self.rule.startswith(">"))


@dataclasses.dataclass(frozen=True)
class Verdict:
    criterion: Criterion
    workload: str
    ours: float | None = None     # None: not measured
    below: float | None = None    # ours is less than this, and nothing else is known of it
    other: str | None = None      # whom ours is compared with
    value: float | None = None    # and the figure of theirs
    ratio: float | None = None    # what the rule is about: ours / value, or ours
    says: str | None = None       # "holds", "even", "short"; None: not measured, or too coarsely
    met: int = 0                  # by so many
    pairs: int = 0                # of the pairs of rounds
    in_turns: bool = False        # they are of rounds beside each other

    @property
    def barely(self):
        return self.says == "holds" and may_be(self.pairs - self.met, self.pairs, self.in_turns)

    @property
    def short(self):
        """By how much it falls short: a share of the bound, or the distance from a bound of 0."""
        if self.says != "short":
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


def quotient(ours, theirs):
    return ours / theirs if theirs else float("inf")


def may_be(met, pairs, in_turns):
    """Whether a rule may be met that only `met` of `pairs` meet."""
    if not in_turns:
        return met >= EVEN_SHARE * pairs > 0
    return met > 0 and sum(math.comb(pairs, k) for k in range(met + 1)) / 2**pairs > CHANCE


def compare(criterion, workload, ours, other=None, theirs=None):
    """The verdict on the metric of ours beside that of `other`, or alone."""
    alone = theirs is None
    mine, others = rounds(ours), [1] if alone else rounds(theirs)
    in_turns = not alone and paired(ours) and paired(theirs) and len(mine) == len(others)
    pairs = list(zip(mine, others) if in_turns else itertools.product(mine, others))
    quotients = [quotient(*pair) for pair in pairs]
    if in_turns:
        ratio = statistics.median(quotients)
    else:
        ratio = quotient(median(ours), 1 if alone else median(theirs))
    met = sum(criterion.met(one) for one in quotients)
    enough = len(mine) >= EVEN_ROUNDS and (alone or len(others) >= EVEN_ROUNDS)
    if criterion.met(ratio):
        says = "holds"
    elif enough and may_be(met, len(pairs), in_turns):
        says = "even"
    else:
        says = "short"
    return Verdict(criterion, workload, median(ours), None, other,
                   None if alone else median(theirs), ratio, says, met, len(pairs), in_turns)


def bounded(criterion, workload, least):
    """The verdict where only what ours is below is known: that may be enough."""
    enough = (criterion.against == "-" and criterion.rule.startswith("<")
              and least <= criterion.bound)
    return Verdict(criterion, workload, below=least, says="holds" if enough else None)


def growth(criterion, workload, records):
    sizes = {r["n"]: r["metrics"][criterion.metric] for r in records
             if r["suite"] == criterion.suite and r["workload"] == workload
             and r.get("n", 0) >= 1000 and r["group"] == "ours"
             and re.fullmatch(criterion.ours, r["program"]) and criterion.metric in r["metrics"]}
    if len(sizes) < 2:
        return Verdict(criterion, workload)
    few, many = min(sizes), max(sizes)
    return compare(criterion, workload, sizes[many], f"n = {few}", sizes[few])


def judge(criterion, workload, records):
    """`records`: those of the page; one without n has the figure."""
    if criterion.against == "~":
        return growth(criterion, workload, records)

    def metrics(of, chosen, exact=True):
        return {r["program"]: r["metrics"][criterion.metric] for r in records
                if r["suite"] == criterion.suite and r["workload"] == of and "n" not in r
                and criterion.metric in r["metrics"] and chosen(r)
                and (below(r["metrics"][criterion.metric]) is None) == exact}

    def of_ours(record):
        return re.fullmatch(criterion.ours, record["program"])

    mine = metrics(workload, of_ours)
    if not mine:
        bounds = [below(metric) for metric in metrics(workload, of_ours, exact=False).values()]
        return bounded(criterion, workload, min(bounds)) if bounds else Verdict(criterion, workload)
    ours = mine[criterion.best_first(mine)[0]]
    against = criterion.against
    if against == "-":
        return compare(criterion, workload, ours)
    if against.startswith("="):
        others = {against[1:]: metric for metric in metrics(against[1:], of_ours).values()}
    elif against.startswith("@"):
        others = metrics(workload, lambda r: r["group"] == against[1:])
    else:
        others = metrics(workload, lambda r: re.fullmatch(against, r["program"]))
    if not others:
        return Verdict(criterion, workload, median(ours))
    found = [compare(criterion, workload, ours, name, others[name])
             for name in criterion.best_first(others)]
    return min(found, key=lambda verdict: WORST_FIRST.index(verdict.says))


def verdicts(criteria, records):
    return [judge(criterion, workload, records)
            for criterion in criteria for workload in criterion.workloads]


def in_words(of_target):
    """The verdict of a target: of all its rows together."""
    said = [v.says for v in of_target if v.says is not None]
    unknown = len(of_target) - len(said)
    if not said:
        return "not measured"
    missed = {"falls short in": said.count("short"), "even in": said.count("even")}
    words = [f"{what} {count}" for what, count in missed.items() if count]
    if barely := sum(v.barely for v in of_target):
        words.append(f"{'barely holds' if words else 'holds, barely'} in {barely}")
    if words:
        words[0] += f" of {len(said)}"
    return ", ".join(words or ["holds"]) + (f"; {unknown} not measured" if unknown else "")
