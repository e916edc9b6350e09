"""The performance page: what is kept of a run, the verdicts, the charts."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "benchmarks" / "page"
sys.path[:0] = [str(PAGE), str(PAGE.parent)]
import measuring
import page
import svg
import targets
from results import Writer, rounds, summary

SVG = "{http://www.w3.org/2000/svg}"


def record(program, group, workload="w", n=None, **metrics):
    return {"suite": "s", "workload": workload, "program": program, "group": group, "rounds": 1,
            "metrics": metrics, **({} if n is None else {"n": n})}


def criterion(against, rule, bound, metric="t", ours="ours", workloads=("w",)):
    return targets.Criterion("T", "c", "s", workloads, ours, metric, against, rule, bound, "why")


class Verdicts(unittest.TestCase):
    RECORDS = [record("ours", "ours", t=12.0, rate=90.0), record("other", "ours", t=1.0),
               record("slow limit", "limit", t=20.0, rate=50.0),
               record("limit", "limit", t={"median": 10.0, "min": 1, "max": 99}, rate=100.0),
               record("peer", "peer", t=24.0), record("ours", "ours", "half", t=24.0)]

    def judge(self, *arguments, **named):
        return targets.judge(criterion(*arguments, **named), "w", self.RECORDS)

    def test_ratio_to_the_median_of_the_best_limit(self):
        verdict = self.judge("@limit", "<=", 1.3)
        self.assertEqual((verdict.other, verdict.ratio, verdict.says), ("limit", 1.2, "holds"))
        self.assertIsNone(verdict.short)

    def test_says_by_what_share_of_the_bound_it_falls_short(self):
        verdict = self.judge("@limit", "<=", 1.0)
        self.assertEqual(verdict.says, "short")
        self.assertAlmostEqual(verdict.short, 0.2)

    def test_more_is_better_where_the_rule_is_at_least(self):
        verdict = self.judge("@limit", ">=", 0.97, metric="rate")
        self.assertEqual((verdict.other, verdict.ratio, verdict.says), ("limit", 0.9, "short"))
        self.assertAlmostEqual(verdict.short, 0.07 / 0.97)

    def test_ahead_means_not_equal(self):
        self.assertEqual(self.judge("ours", "<", 1).says, "short")
        self.assertEqual(self.judge("ours", "<=", 1).says, "holds")

    def test_another_workload_of_ours_as_the_measure(self):
        self.assertEqual(self.judge("=half", "<=", 0.4).ratio, 0.5)
        self.assertEqual(self.judge("=half", "<=", 0.4).says, "short")

    def test_figure_itself_may_be_judged_also_against_nothing(self):
        self.assertEqual(self.judge("-", "<", 13).says, "holds")
        self.assertEqual(self.judge("-", "<=", 0).short, 12.0)

    def test_what_has_no_figures_is_not_measured(self):
        absent = [self.judge("nobody", "<", 1), self.judge("@peer", "<", 1, metric="rate"),
                  self.judge("-", "<", 1, ours="absent"), self.judge("=absent", "<", 1)]
        self.assertEqual([verdict.says for verdict in absent], [None] * 4)
        self.assertEqual({page.cell(verdict) for verdict in absent}, {"not measured"})

    def test_figure_of_a_curve_is_none_of_the_workload(self):
        grown = [record("ours", "ours", n=10, t=1.0)]
        self.assertIsNone(targets.judge(criterion("-", "<", 9), "w", grown).says)

    def test_growth_is_judged_from_a_thousand_to_the_most(self):
        grown = [record("ours", "ours", n=n, t=t)
                 for n, t in ((1, 90.0), (1000, 10.0), (10**6, 25.0), (10**5, 70.0))]
        verdict = targets.judge(criterion("~", "<=", 3), "w", grown)
        self.assertEqual((verdict.ours, verdict.ratio, verdict.says), (25.0, 2.5, "holds"))
        self.assertEqual(targets.judge(criterion("~", "<=", 2), "w", grown).says, "short")
        self.assertIsNone(targets.judge(criterion("~", "<=", 3), "w", grown[:2]).says)

    def test_in_words(self):
        good, bad = self.judge("-", "<", 13), self.judge("-", "<", 1)
        unknown = self.judge("nobody", "<", 1)
        self.assertEqual(targets.in_words([good, good]), "holds")
        self.assertEqual(targets.in_words([good, bad, unknown]),
                         "falls short in 1 of 2; 1 not measured")
        self.assertEqual(targets.in_words([unknown]), "not measured")

    def test_in_words_even_is_neither_holding_nor_short(self):
        def said(*says):
            return targets.in_words([targets.Verdict(criterion("-", "<", 1), "w", says=one)
                                     for one in says])
        self.assertEqual(said("holds", "even", "short", "even", None),
                         "falls short in 1 of 4, even in 2; 1 not measured")
        self.assertEqual(said("holds", "even"), "even in 1 of 2")

    def test_reason_stands_where_it_does_not_hold_only(self):
        holds, short = self.judge("-", "<", 13), self.judge("-", "<", 1)
        self.assertNotIn("why", page.details_of_target("T", [holds]))
        self.assertIn("why", page.details_of_target("T", [short]))

    def test_table_of_targets_can_be_read_and_says_why(self):
        criteria = targets.read(PAGE / "targets.tsv")
        self.assertGreater(len(criteria), 20)
        self.assertTrue(all(c.workloads and c.target and c.label for c in criteria))


class Rounds(unittest.TestCase):
    """Verdicts where the rounds of the one and those of the other overlap."""

    def judge(self, ours, theirs=(1,), *more, rule="<", bound=1, against="@peer"):
        records = [record(name, group, t=summary(values)) for name, group, values in
                   (("ours", "ours", ours), ("peer", "peer", theirs), *more)]
        return targets.judge(criterion(against, rule, bound), "w", records)

    def test_holds_by_the_medians_however_the_rounds_lie(self):
        verdict = self.judge([1, 9, 50], [2, 10, 11])
        self.assertEqual((verdict.says, verdict.met, verdict.pairs), ("holds", 5, 9))

    def test_holds_barely_if_a_quarter_of_the_pairs_do_not_meet_the_rule(self):
        barely, clearly = self.judge([1, 9, 50], [2, 10, 11]), self.judge([1, 3, 4], [2, 10, 11])
        self.assertEqual((barely.says, barely.barely), ("holds", True))
        self.assertEqual((clearly.met, clearly.barely), (7, False))
        self.assertFalse(self.judge([1], [2]).barely)
        self.assertEqual(page.cell(barely), "0.90x, barely (5 of 9)")
        self.assertEqual(targets.in_words([barely, clearly]), "holds, barely in 1 of 2")
        short = self.judge([3], [2])
        self.assertEqual(targets.in_words([barely, short]),
                         "falls short in 1 of 2, barely holds in 1")

    def test_even_if_a_quarter_of_the_pairs_meet_the_rule(self):
        verdict = self.judge([10, 11, 12, 13], [1, 2, 12.5, 12.5])
        self.assertEqual((verdict.says, verdict.met, verdict.pairs), ("even", 6, 16))
        self.assertIsNone(verdict.short)
        self.assertEqual(self.judge([10, 20, 20, 20], [9, 9, 9, 21]).says, "even")  # 4 of 16

    def test_short_if_fewer_do(self):
        verdict = self.judge([10, 20, 20, 20], [9, 9, 9, 15])  # 1 of 16
        self.assertEqual((verdict.says, verdict.met), ("short", 1))
        self.assertEqual(self.judge([10, 11, 12], [1, 2, 11.5]).says, "short")  # 2 of 9
        self.assertEqual(self.judge([11, 12, 13], [1, 2, 3]).met, 0)

    def test_more_is_better_and_the_bound_counts(self):
        ours, theirs = [90, 95, 98], [99, 100, 101]
        self.assertEqual(self.judge(ours, theirs, rule=">=", bound=0.97).says, "even")  # 3 of 9
        self.assertEqual(self.judge(ours, theirs, rule=">", bound=1).says, "short")
        self.assertEqual(self.judge(ours, theirs, rule=">=", bound=0.95).says, "holds")

    def test_ties_do_not_meet_ahead(self):
        self.assertEqual(self.judge([5, 5, 5], [5, 5, 5]).says, "short")

    def test_with_too_few_rounds_nothing_is_even(self):
        self.assertEqual(self.judge([10], [9]).says, "short")
        self.assertEqual(self.judge([10], [1, 9, 20]).says, "short")
        self.assertEqual(self.judge([8, 11, 12], [9]).says, "short")
        self.assertEqual(self.judge([8, 12], [9, 10]).says, "short")

    def test_best_peer_is_the_one_with_the_best_median(self):
        verdict = self.judge([10, 11, 12], [9, 13, 14], ("worse", "peer", [1, 15, 16]))
        self.assertEqual((verdict.other, verdict.says), ("peer", "holds"))
        verdict = self.judge([10, 11, 12], [9, 13, 14], ("close", "peer", [10.2, 10.8, 12.1]))
        self.assertEqual((verdict.other, verdict.says, verdict.met), ("close", "even", 5))

    def test_close_and_noisy_peer_does_not_hide_one_that_is_ahead(self):
        ours, noisy, ahead = [10, 11, 12], [1, 8, 40], [9, 9.1, 9.2]
        self.assertEqual(self.judge(ours, noisy).says, "even")
        verdict = self.judge(ours, noisy, ("ahead", "peer", ahead), ("slow", "peer", [99, 99, 99]))
        self.assertEqual((verdict.other, verdict.says, verdict.met), ("ahead", "short", 0))

    def test_missing_peers_are_not_measured(self):
        self.assertIsNone(self.judge([1, 2, 3], [1, 2, 3], against="absent").says)

    def test_alone_the_rounds_are_compared_with_the_bound(self):
        verdict = self.judge([0.9, 1.1, 1.2], against="-")
        self.assertEqual((verdict.says, verdict.met, verdict.pairs), ("even", 1, 3))
        self.assertEqual(self.judge([1.1, 1.1, 1.2], against="-").says, "short")
        self.assertEqual(self.judge([1.1], against="-").says, "short")

    def test_growth_goes_by_the_rounds_too(self):
        grown = [record("ours", "ours", n=n, t=summary(values))
                 for n, values in ((1000, [9, 10, 12]), (10**6, [29, 31, 32]))]
        self.assertEqual(targets.judge(criterion("~", "<=", 3), "w", grown).says, "even")

    def test_page_says_even_and_in_how_many_pairs(self):
        verdict = self.judge([10, 11, 12, 13], [1, 2, 12.5, 12.5], against="peer")
        self.assertEqual(page.cell(verdict), "1.59x peer, even (6 of 16)")
        self.assertIn("why", page.details_of_target("T", [verdict]))


class Turns(unittest.TestCase):
    """Verdicts where the rounds of the one and those of the other were side by side."""

    def judge(self, ours, theirs, rule="<", bound=1, against="@peer"):
        records = [record("ours", "ours", t=summary(ours, paired=True)),
                   record("peer", "peer", t=summary(theirs, paired=True))]
        return targets.judge(criterion(against, rule, bound), "w", records)

    def test_a_machine_that_changes_its_speed_does_not_matter(self):
        theirs = [100, 200, 150, 300, 120, 250, 110, 180]
        slower = self.judge([1.02 * each for each in theirs], theirs)
        self.assertEqual((slower.says, slower.met, slower.pairs), ("short", 0, 8))
        self.assertAlmostEqual(slower.ratio, 1.02)
        faster = self.judge([0.98 * each for each in theirs], theirs)
        self.assertEqual((faster.says, faster.barely), ("holds", False))

    def test_the_median_of_the_ratios_counts_not_the_ratio_of_the_medians(self):
        verdict = self.judge([9, 19, 40], [10, 20, 30])
        self.assertEqual((verdict.ratio, verdict.says), (0.95, "holds"))

    def test_even_and_barely_as_far_as_a_coin_may_have_decided(self):
        theirs = [10] * 20
        def ours(ahead):
            return [9] * ahead + [11] * (20 - ahead)
        says = {ahead: (verdict.says, verdict.barely) for ahead in (0, 5, 6, 9, 11, 14, 15, 20)
                for verdict in [self.judge(ours(ahead), theirs)]}
        self.assertEqual(says, {0: ("short", False), 5: ("short", False), 6: ("even", False),
                                9: ("even", False), 11: ("holds", True), 14: ("holds", True),
                                15: ("holds", False), 20: ("holds", False)})

    def test_where_no_pair_meets_the_rule_it_is_short_however_few_there_are(self):
        self.assertEqual(self.judge([11, 12, 13], [10, 11, 12]).says, "short")
        self.assertEqual(self.judge([11, 12, 11], [10, 11, 12]).says, "even")
        self.assertFalse(self.judge([9, 10, 11], [10, 11, 12]).barely)

    def test_unequal_numbers_of_rounds_are_not_side_by_side(self):
        verdict = self.judge([11, 12, 13, 14], [10, 11, 12])
        self.assertEqual((verdict.in_turns, verdict.pairs), (False, 12))

    def test_page_keeps_what_was_side_by_side(self):
        value = summary([11, 12, 11], paired=True)
        row = dict.fromkeys(page.TABLES["figures.tsv"], "") | page.as_columns(value)
        self.assertEqual(page.as_metric({k: str(v) for k, v in row.items()}), value)


class Ticks(unittest.TestCase):
    """User time, which is counted in ticks."""

    @staticmethod
    def rows(*ticks, requests=30_000):
        return [{"requests": requests, "srv_user_us": round(n * 1e6 / measuring.TICK / requests, 3)}
                for n in ticks]

    def judge(self, metric, rule="<="):
        return targets.judge(criterion("-", rule, 0.3), "w", [record("ours", "ours", t=metric)])

    def test_is_of_all_rounds_together(self):
        tick = 1e6 / measuring.TICK / 30_000
        self.assertEqual(measuring.user_time(self.rows(0, 1, 4)), round(tick * 5 / 3, 3))

    def test_of_fewer_than_two_only_a_bound_is_known(self):
        tick = 1e6 / measuring.TICK / 90_000
        for ticks, most in (((0, 0, 0), 3), ((0, 1, 0), 4)):
            time = measuring.user_time(self.rows(*ticks))
            self.assertEqual(list(time), ["below"])
            self.assertGreaterEqual(time["below"], most * tick)
            self.assertAlmostEqual(time["below"], most * tick, places=2)

    def test_bound_below_the_target_is_enough(self):
        self.assertEqual(self.judge({"below": 0.3}).says, "holds")
        self.assertFalse(self.judge({"below": 0.3}).barely)
        self.assertEqual(page.cell(self.judge({"below": 0.3})), "< 0.3")

    def test_bound_above_the_target_tells_nothing(self):
        coarse = self.judge({"below": 0.35})
        self.assertIsNone(coarse.says)
        self.assertIsNone(self.judge({"below": 0.3}, ">=").says)
        self.assertEqual(page.cell(coarse), "< 0.35, too coarse to tell")
        self.assertEqual(targets.in_words([coarse]), "not measured")
        self.assertIn("| `w` | < 0.35 |", page.details_of_target("T", [coarse]))

    def test_what_is_known_comes_before_a_bound(self):
        records = [record("ours a", "ours", t={"below": 0.1}), record("ours b", "ours", t=0.2),
                   record("a", "peer", t={"below": 0.1}), record("b", "peer", t=0.4)]
        verdict = targets.judge(criterion("@peer", "<", 1, ours="ours .*"), "w", records)
        self.assertEqual((verdict.ours, verdict.other, verdict.says), (0.2, "b", "holds"))


class Charts(unittest.TestCase):
    ROWS = [("ours", "ours", 10.0, 9.0, 12.0, "10 ns"), ("a < b & c", "limit", 5.0, 5.0, 5.0, "5"),
            ("slow", "peer", 5000.0, 1.0, 9000.0, "5 µs"), ("none", "peer", 0.0, 0.0, 0.0, "0")]

    def test_bars_are_well_formed_and_within_the_picture(self):
        root = xml.etree.ElementTree.fromstring(svg.bars('"t" & <u>', "ns", self.ROWS))
        bars = root.findall(f"{SVG}rect")
        self.assertEqual([bar.get("class") for bar in bars], ["ours", "limit", "peer", "peer"])
        for bar in bars:
            self.assertGreater(float(bar.get("width")), 0)
            self.assertLessEqual(float(bar.get("x")) + float(bar.get("width")), svg.WIDTH)
        self.assertEqual(len(root.findall(f"{SVG}path[@class='gap']")), 1)
        self.assertIn("a < b & c", [text.text for text in root.iter(f"{SVG}text")])

    def test_both_modes_have_colours(self):
        self.assertIn("prefers-color-scheme:dark", svg.bars("t", "ns", self.ROWS))

    def test_bars_of_nothing_but_zeros(self):
        xml.etree.ElementTree.fromstring(svg.bars("t", "", [("a", "ours", 0.0, 0.0, 0.0, "0")]))

    def test_curves_are_well_formed_and_labels_apart(self):
        lines = {"ours": ("ours", [(10, 5.0), (1000, 6.0)]),
                 "limit": ("limit", [(10, 5.1), (1000, 6.1)]),
                 "one point": ("peer", [(100, 7000.0)])}
        root = xml.etree.ElementTree.fromstring(svg.curves("t", "ns", lines, str))
        self.assertEqual(len(root.findall(f"{SVG}circle")), 5)
        labels = {text.text.rsplit(" ", 1)[0]: int(text.get("y"))
                  for text in root.iter(f"{SVG}text") if text.text.rsplit(" ", 1)[0] in lines}
        self.assertGreaterEqual(abs(labels["ours"] - labels["limit"]), 13)

    def test_curve_of_one_size_and_one_value(self):
        xml.etree.ElementTree.fromstring(svg.curves("t", "", {"a": ("ours", [(1, 1.0)])}, str))

    def test_growth_and_bars_of_one_workload_are_two_pictures(self):
        data = page.Data(pathlib.Path("absent"))
        one = {"median": 1.0, "min": 1.0, "max": 1.0}
        data.records = [record("ours", "ours", ns_per_op=one),
                        record("ours", "ours", n=9, ns_per_op=one),
                        record("ours", "ours", n=99, ns_per_op=dict.fromkeys(one, 0.0))]
        self.assertEqual([name for name, *_ in page.charts(data, "s")],
                         ["s-w.svg", "s-w-growth.svg"])


class Collected(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.results = pathlib.Path(folder.name) / "results"
        self.docs = pathlib.Path(folder.name) / "docs"
        self.results.mkdir()

    def collect(self):
        page.collect(self.results, self.docs / "performance")
        return page.Data(self.docs / "performance")

    def write(self, suite, *figures):
        results = Writer(self.results / f"{suite}.jsonl", suite)
        for program, values in figures:
            results.add("w", program, "peer", {"ns_per_op": values}, what="what\tit is")
        results.missing("gone", "not\ninstalled")
        results.close()

    def test_figures_survive_the_table(self):
        self.write("micro", ("a", [3.0, 1.0, 2.0]), ("b", [5]))
        data = self.collect()
        first, second = data.records
        self.assertEqual(first["metrics"], {"ns_per_op": {"median": 2.0, "min": 1.0, "max": 3.0}})
        self.assertEqual((first["rounds"], second["rounds"]), (3, 1))
        self.assertEqual(second["metrics"]["ns_per_op"]["max"], 5.0)
        self.assertEqual(data.what["micro", "w"], "what it is")
        self.assertEqual(data.missing, [{"suite": "micro", "program": "gone",
                                         "missing": "not installed"}])
        self.assertEqual([run["suite"] for run in data.runs], ["micro"])

    def test_single_rounds_survive_the_table(self):
        written = {"once": [5.0], "twice": [2.0, 1.0], "thrice": [3.0, 1.0, 2.0],
                   "often": [4.0, 9.5, 1.0, 3.0]}
        self.write("micro", *written.items())
        kept = {r["program"]: rounds(r["metrics"]["ns_per_op"]) for r in self.collect().records}
        self.assertEqual({name: sorted(values) for name, values in kept.items()},
                         {name: sorted(values) for name, values in written.items()})

    def test_suite_that_was_not_run_again_stays(self):
        self.write("micro", ("a", [1.0]), ("b", [1.0]))
        self.write("net", ("a", [2.0]))
        self.collect()
        (self.results / "net.jsonl").unlink()
        self.write("micro", ("a", [3.0]))
        data = self.collect()
        self.assertEqual([(r["suite"], r["program"]) for r in data.records],
                         [("micro", "a"), ("net", "a")])
        self.assertEqual(data.records[0]["metrics"]["ns_per_op"]["median"], 3.0)

    def test_broken_lines_are_named_and_left_out(self):
        self.write("micro", ("a", [1.0]))
        with open(self.results / "micro.jsonl", "a") as file:
            file.write('{"suite": "mic\n[1]\n{"suite": "micro"}\n\n'
                       '{"suite": "micro", "workload": "w", "program": "c", "metrics": {}}\n')
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            data = self.collect()
        self.assertEqual([r["program"] for r in data.records], ["a"])
        self.assertEqual(said.getvalue().count("micro.jsonl:"), 5)

    def test_matrix_leaves_gaps_where_nothing_was_measured(self):
        self.write("net", ("a", [1.0]), ("b", [250.0]))
        data = self.collect()
        data.records.append(record("b", "peer", "other", ns_per_op=3.0) | {"suite": "net"})
        self.assertEqual(page.section_matrix(data, "net", "ns_per_op").splitlines()[2:],
                         ["| a | 1 |  |", "| b | 250 | 3 |"])
        self.assertEqual(page.section_matrix(data, "net", "rps"), "Not measured.")

    def test_bounds_survive_the_table(self):
        results = Writer(self.results / "net.jsonl", "net")
        results.add("w", "a", "ours", {"rps": [7.0]}, of_all={"srv_user_us": {"below": 0.35}})
        results.close()
        data = self.collect()
        self.assertEqual(data.records[0]["metrics"]["srv_user_us"], {"below": 0.35})
        self.assertEqual(page.section_matrix(data, "net", "srv_user_us").splitlines()[2:],
                         ["| a | < 0.35 |"])

    def test_nothing_is_written_without_a_sign(self):
        self.assertEqual(page.amount("allocations", -0.0), "0")

    def test_page_without_any_figures(self):
        text = page.render(page.Data(self.docs / "performance"))["performance.md"]
        self.assertIn("not measured", text)
        self.assertNotIn("{{", text)

    def test_check_tells_what_is_not_as_drawn(self):
        self.write("micro", ("a", [1.0]))
        self.collect()
        page.draw(self.docs)
        page.check(self.docs)
        (self.docs / "performance" / "old.svg").write_text("")
        with open(self.docs / "performance.md", "a") as file:
            file.write("more")
        with self.assertRaises(SystemExit) as caught:
            page.check(self.docs)
        self.assertIn("performance.md, performance/old.svg", str(caught.exception))

    def test_quick_look_says_so(self):
        self.write("micro", ("a", [1.0, 1.0, 1.0]))
        self.assertEqual(page.section_caution(self.collect()), "")
        results = Writer(self.results / "net.jsonl", "net")
        results.add("w", "a", "ours", {"rps": [1]})
        for share in (0.0, 0.4, 0.5):
            results.noticed(share)
        results.close()
        said = page.section_caution(self.collect())
        self.assertIn("fewer than three rounds of `net`", said)
        self.assertIn("other work during `net`", said)

    def test_writer_without_a_path_writes_nothing(self):
        results = Writer(None, "micro")
        results.add("w", "a", "ours", {"t": [1]})
        results.close()
        self.assertEqual(list(self.results.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
