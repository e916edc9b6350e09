"""The gdb script, on a process and on a core file."""

import os
import shutil
import subprocess
import tempfile
import unittest

from inspected import inspected


def gdb(*arguments):
    """Runs gdb with the script; returns what it printed."""
    command = ["gdb", "-q", "-nx", "-batch", *map(str, arguments)]
    command += ["-x", os.environ["GDB_SCRIPT"], "-ex", "asyncio-tasks", "-ex", "asyncio-tree"]
    seen = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "DEBUGINFOD_URLS": ""},
    )
    return seen.stdout + seen.stderr


@unittest.skipUnless(shutil.which("gdb"), "gdb is not installed")
class Gdb(unittest.TestCase):
    def look(self, *arguments):
        text = gdb(*arguments)
        if "ptrace: " in text:
            self.skipTest("this system refuses ptrace")
        self.assertNotIn("Python Exception", text)
        return text

    def check(self, text):
        self.assertIn(", 11 tasks\n", text)
        self.assertRegex(text, r"\npage +waiting +sleep +fetch \S*inspected\.cpp:\d+ +gathers\n")
        self.assertRegex(text, r"\ngathers +waiting +gather\(\) .* shields\n")
        self.assertRegex(text, r"\nlocked +waiting +Acquire\w* ")
        # The tree: each a level deeper than who waits for it.
        self.assertRegex(text, r"\n    shield\(\)\n +gathers  \[waiting\]\n")
        self.assertRegex(text, r"\n +read_page .*\n +fetch .*\n +sleep\n")

    def test_a_process(self):
        with inspected("waiting") as process:
            self.check(self.look("-p", process.pid))

    def test_tasks_that_wait_for_each_other(self):
        with inspected("cycle") as process:
            text = self.look("-p", process.pid)
            self.assertIn("a ring of tasks that wait for each other:\nchicken", text)

    def test_a_core_file(self):
        with tempfile.TemporaryDirectory() as directory:
            core = os.path.join(directory, "core")
            with inspected("waiting") as process:
                self.look("-p", process.pid, "-ex", f"generate-core-file {core}")
            self.check(self.look(os.environ["INSPECTED"], core))

    def test_a_program_without_the_library(self):
        self.assertIn("does not use asyncio.cpp", gdb("-ex", "starti", "/bin/true"))
        self.assertIn("nothing to look at", gdb())


if __name__ == "__main__":
    unittest.main()
