"""What CPython's own tests check, and which of our tests check it here.

    behaviours.py check TESTS_FOLDER    fails unless every row holds

A row has CPython's file and test, our tests (Suite.Name, or as ctest names them: parity.NAME,
compile_fail.NAME; separated by commas), and why there is none where the behaviour has no
meaning in C++. Checked: each test of ours that is named is
there; each row has tests or a reason, not both; where this Python comes with its tests, none of
theirs in the listed files is missing.
"""

import ast
import csv
import pathlib
import re
import sys
import sysconfig

HERE = pathlib.Path(__file__).parent
DEFINED = re.compile(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)")
# The tables follow this version's tests.
PYTHON = (3, 13)


def read():
    with open(HERE / "asyncio.tsv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def ours(folder):
    tests = pathlib.Path(folder)
    return {
        *(f"{suite}.{name}"
          for path in tests.rglob("test_*.cpp")
          for suite, name in DEFINED.findall(path.read_text(encoding="utf-8"))),
        *(f"parity.{path.stem}" for path in (tests / "parity").glob("*.cpp")),
        *(f"compile_fail.{path.stem}" for path in (tests / "build/compile_fail").glob("*.cpp")),
    }


def theirs(path):
    """The names of the tests in a file of CPython's, as "Class.test"."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        f"{node.name}.{part.name}"
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))
        and part.name.startswith("test")
    }


def wrong_rows(rows, known):
    for row in rows:
        label = f"{row['file']} {row['test']}"
        tests = [test.strip() for test in (row["ours"] or "").split(",") if test.strip()]
        if bool(tests) == bool(row["why"]):
            yield f"{label}: say either which tests of ours check it, or why none does"
        yield from (f"{label}: there is no test {test}" for test in tests if test not in known)


def missing_rows(rows):
    if sys.version_info[:2] != PYTHON:
        return
    library = pathlib.Path(sysconfig.get_path("stdlib")) / "test"
    listed = {(row["file"], row["test"]) for row in rows}
    for name in sorted({row["file"] for row in rows}):
        for path in (library / "test_asyncio" / name, library / name):
            if path.exists():
                yield from (f"{name} {test}: no row" for test in sorted(theirs(path))
                            if (name, test) not in listed)
                break


def main():
    if len(sys.argv) != 3 or sys.argv[1] != "check":
        sys.exit(__doc__)
    rows = read()
    wrong = [*wrong_rows(rows, ours(sys.argv[2])), *missing_rows(rows)]
    if wrong:
        sys.exit("\n".join(wrong))
    checked = sum(bool(row["ours"]) for row in rows)
    print(f"{len(rows)} tests of CPython's: {checked} checked here, {len(rows) - checked} "
          "have no meaning in C++")


if __name__ == "__main__":
    main()
