"""asyncio-ps on processes that stand still, run, end, or are not ours."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from inspected import inspected, running

NOBODY = 65534
PYTHON = "import sys; print('ready', flush=True); sys.stdin.read()"


def asyncio_ps(*arguments, **options):
    return subprocess.run(
        [os.environ["ASYNCIO_PS"], *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def rows_of(table):
    """By task: the columns, which are two spaces or more apart."""
    rows = {}
    for line in table.splitlines():
        if line.startswith(("loop ", "TASK ", "cycle:")):
            continue
        columns = [column.strip() for column in line.split("  ") if column.strip()]
        rows[columns[0]] = columns[1:]
    return rows


class OfAProcessThatWaits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = inspected("waiting")
        cls.process = cls.context.__enter__()
        cls.pid = cls.process.pid

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)

    def test_the_table_has_each_task_of_each_loop(self):
        seen = asyncio_ps(self.pid)
        self.assertEqual((seen.returncode, seen.stderr), (0, ""))
        titles = [line for line in seen.stdout.splitlines() if line.startswith("loop in thread ")]
        self.assertEqual(sorted(title.split(", ")[1] for title in titles), ["1 task", "11 tasks"])
        rows = rows_of(seen.stdout)
        self.assertIn("other main", rows)
        state, _, waits_for, at, awaited_by = rows["page"]
        self.assertEqual((state, awaited_by), ("waiting", "gathers"))
        self.assertRegex(waits_for, r"^sleep, (1h00m|59m\d\ds) left$")
        self.assertRegex(at, r"^fetch .*inspected\.cpp:\d+$")
        for name, words in {
            "locked": "lock or semaphore",
            'getter "quoted"': "queue, to get",
            "future": "a future",
            "gathers": "gather()",
            "shields": "shield()",
        }.items():
            self.assertEqual(rows[name][2], words, name)
        self.assertEqual(rows["gathers"][-1], "shields")
        self.assertEqual(rows["child"][-1], "group")

    def test_the_tree_goes_from_who_waits_to_what_is_awaited(self):
        seen = asyncio_ps("--tree", self.pid)
        self.assertEqual((seen.returncode, seen.stderr), (0, ""))
        names = ["shields  [", "shield()", "gathers  [", "gather()", "page  [", "read_page ", "fetch "]
        lines = seen.stdout.splitlines()
        begin = next(i for i, line in enumerate(lines) if names[0] in line)
        columns = []
        for name in names:
            begin, column = next(
                (i, line.index(name)) for i, line in enumerate(lines) if i >= begin and name in line
            )
            columns.append(column)
        self.assertEqual(columns, sorted(set(columns)))  # each to the right of the one before

    def test_json_has_everything(self):
        seen = asyncio_ps("--json", self.pid)
        self.assertEqual((seen.returncode, seen.stderr), (0, ""))
        everything = json.loads(seen.stdout)
        self.assertEqual(everything["pid"], self.pid)
        self.assertEqual(everything["cycles"], [])
        self.assertEqual(len(everything["loops"]), 2)
        tasks = {task["name"]: task for loop in everything["loops"] for task in loop["tasks"]}
        futures = {future["id"]: future for future in everything["futures"]}
        self.assertIn('getter "quoted"', tasks)
        page = tasks["page"]
        self.assertEqual([frame["function"] for frame in page["stack"]], ["fetch", "read_page"])
        self.assertGreater(page["wakes_in"], 3000)
        self.assertGreaterEqual(page["seconds"], 0)
        self.assertLess(page["seconds"], 600)
        (gather,) = page["awaited_by"]
        self.assertEqual(futures[gather]["kind"], "gather()")
        self.assertEqual(futures[gather]["awaited_by"], [tasks["gathers"]["id"]])
        self.assertEqual({loop["complete"] for loop in everything["loops"]}, {True})

    def test_watch_looks_again(self):
        seen = asyncio_ps("--watch", "0.01", "--count", "3", self.pid)
        self.assertEqual(seen.returncode, 0)
        self.assertEqual(seen.stdout.count("TASK "), 6)

    def test_nobody_may_not_read_it(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to become somebody else")
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            program = shutil.copy(os.environ["ASYNCIO_PS"], directory)
            seen = subprocess.run(
                [program, str(self.pid)], capture_output=True, text=True, user=NOBODY, timeout=60
            )
        self.assertEqual((seen.returncode, seen.stdout), (1, ""))
        self.assertEqual(len(seen.stderr.splitlines()), 1)
        self.assertIn(f"no permission to read process {self.pid}", seen.stderr)


class OfOtherProcesses(unittest.TestCase):
    def fails(self, words, *arguments):
        seen = asyncio_ps(*arguments)
        self.assertEqual((seen.returncode, seen.stdout), (1, ""), seen.stderr)
        self.assertEqual(len(seen.stderr.splitlines()), 1, seen.stderr)
        self.assertIn(words, seen.stderr)

    def test_tasks_that_wait_for_each_other_are_named(self):
        with inspected("cycle") as process:
            seen = asyncio_ps(process.pid)
            self.assertEqual(seen.returncode, 0)
            self.assertIn("cycle: chicken -> egg -> chicken\n", seen.stdout)
            self.assertEqual(rows_of(seen.stdout)["chicken"][2], "egg")
            tree = asyncio_ps("--tree", process.pid).stdout
            self.assertIn("(see above)", tree)
            self.assertIn("cycle: chicken -> egg -> chicken\n", tree)
            everything = json.loads(asyncio_ps("--json", process.pid).stdout)
            self.assertEqual(len(everything["cycles"]), 1)

    def test_a_deep_stack_shows_its_ends(self):
        with inspected("deep") as process:
            self.assertIn("more ...", asyncio_ps("--tree", process.pid).stdout)
            everything = json.loads(asyncio_ps("--json", process.pid).stdout)
            (digger,) = (
                task
                for task in everything["loops"][0]["tasks"]
                if task["name"] == "digger"
            )
            self.assertEqual(len(digger["stack"]) + digger["frames_left_out"], 5001)

    def test_a_process_that_never_stands_still(self):
        with inspected("busy") as process:
            for _ in range(20):
                for kind in ("--json", "--tree"):
                    seen = asyncio_ps(kind, process.pid)
                    self.assertEqual((seen.returncode, seen.stderr), (0, ""))
                    if kind == "--json":
                        json.loads(seen.stdout)

    def test_a_process_that_ends_while_it_is_watched(self):
        with inspected("busy") as process:
            watcher = subprocess.Popen(
                [os.environ["ASYNCIO_PS"], "--watch=0.001", str(process.pid)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            watcher.stdout.readline()
            process.kill()
            _, errors = watcher.communicate(timeout=60)
            self.assertEqual(errors, f"asyncio-ps: process {process.pid} has ended\n")
            self.assertEqual(watcher.returncode, 0)
            self.fails("has ended", process.pid)
            process.wait()
            self.fails("no process", process.pid)

    def test_a_process_without_a_loop(self):
        with inspected("none") as process:
            seen = asyncio_ps(process.pid)
            self.assertEqual((seen.returncode, seen.stdout), (0, "no event loops\n"))

    def test_a_process_without_the_library(self):
        with running(sys.executable, "-c", PYTHON) as process:
            self.fails(f"process {process.pid} does not use asyncio.cpp", process.pid)

    def test_a_table_of_a_later_version(self):
        with running(os.environ["NEWER_TABLE"]) as process:
            self.fails("version 99", process.pid)

    def test_what_is_no_process(self):
        self.fails("a positive number", 0)
        self.fails("no process 4194305", 4194305)
        self.assertNotEqual(asyncio_ps("init").returncode, 0)
        self.assertNotEqual(asyncio_ps().returncode, 0)
        self.assertNotEqual(asyncio_ps("--tree", "--json", 1).returncode, 0)

    def test_a_stripped_program_whose_file_is_gone(self):
        strip = shutil.which("strip") or shutil.which("llvm-strip-19")
        if strip is None:
            self.skipTest("needs strip")
        with tempfile.TemporaryDirectory() as directory:
            program = pathlib.Path(directory, "stripped")
            subprocess.run([strip, "-o", program, os.environ["INSPECTED"]], check=True)
            with running(str(program), "waiting") as process:
                program.unlink()
                self.assertIn("page", rows_of(asyncio_ps(process.pid).stdout))

    def test_a_library_that_a_program_loaded(self):
        host, module = os.environ["INSPECTED_HOST"], os.environ["INSPECTED_MODULE"]
        with running(host, module, "waiting") as process:
            rows = rows_of(asyncio_ps(process.pid).stdout)
            self.assertEqual(rows["gathers"][-1], "shields")


if __name__ == "__main__":
    unittest.main()
