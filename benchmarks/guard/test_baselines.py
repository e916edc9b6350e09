"""What the guard says of figures and their baselines."""

import math
import pathlib
import tempfile
import unittest

import baselines
import measures

KEY = ("instructions", "yield_2")


class Compare(unittest.TestCase):
    def faults(self, value, baseline, key=KEY):
        return baselines.compare({key: value}, {key: (baseline, "")})[0]

    def test_a_little_more_is_nothing(self):
        self.assertEqual(self.faults(1029, 1000), [])

    def test_more_than_three_percent_is_a_fault(self):
        self.assertEqual(self.faults(1031, 1000),
                         ["instructions of yield_2 was 1000 and is 1031 (+3.1 %)"])

    def test_two_instructions_are_never_too_many(self):
        self.assertEqual(self.faults(22, 20), [])
        self.assertEqual(len(self.faults(23, 20)), 1)

    def test_the_first_allocation_is_a_fault(self):
        key = ("allocations", "yield_2")
        self.assertEqual(self.faults(0.005, 0, key), [])
        self.assertEqual(len(self.faults(1, 0, key)), 1)

    def test_less_is_advice(self):
        faults, advice = baselines.compare({KEY: 900}, {KEY: (1000, "")})
        self.assertEqual((faults, len(advice)), ([], 1))

    def test_what_is_new_or_gone_or_unknown_is_a_fault(self):
        self.assertEqual(len(baselines.compare({KEY: 1}, {})[0]), 1)
        self.assertEqual(len(baselines.compare({}, {KEY: (1, "")})[0]), 1)
        self.assertEqual(len(self.faults(math.nan, 1)), 1)


class Update(unittest.TestCase):
    def test_only_what_moved_gets_the_reason(self):
        other = ("lines compiled", "hello")
        rows = baselines.updated({KEY: 1001, other: 2000},
                                 {KEY: (1000, "old"), other: (1000, "old")}, "new")
        self.assertEqual(rows, {KEY: (1000, "old"), other: (2000, "new")})

    def test_what_could_not_be_measured_is_not_written(self):
        with self.assertRaises(ValueError):
            baselines.updated({KEY: math.nan}, {}, "new")

    def test_rows_come_back_from_the_file(self):
        rows = {KEY: (12.5, "a reason"), ("allocations", "lock"): (0, "none")}
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "baselines.tsv"
            baselines.write(path, rows)
            self.assertEqual(baselines.read(path), rows)


class Measures(unittest.TestCase):
    def test_what_a_start_costs_falls_out(self):
        self.assertEqual(measures.per_operation(lambda n: 1000 + 7 * n, 10), 7)
        self.assertTrue(math.isnan(measures.per_operation(lambda n: None, 10)))

    def test_every_public_header_is_measured(self):
        names = [str(header) for header in measures.public_headers()]
        self.assertIn("asyncio/tasks.hpp", names)
        self.assertNotIn("asyncio/tasks_detail.hpp", names)


if __name__ == "__main__":
    unittest.main()
