#!/usr/bin/env python3
"""Fails when an operation, a task, a binary or a header costs more than it did.

  benchmarks/guard/guard.py                   compares with baselines.tsv
  benchmarks/guard/guard.py --update REASON   writes what has changed, with the reason

Counts instructions (callgrind), allocations, bytes and lines, so a busy machine changes
nothing. The programs are those of a release build; see --help for where they are looked for.
"""

import argparse
import pathlib
import shutil
import sys

import baselines
import measures

BASELINES = measures.HERE / "baselines.tsv"
SKIPPED = 77


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, metavar="DIR",
                        default=measures.ROOT / "build" / "release" / "benchmarks",
                        help="where micro_asyncio_cpp and guard_hello are (default: %(default)s)")
    parser.add_argument("--compiler", default="clang++-19")
    parser.add_argument("--update", metavar="REASON")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: there is no valgrind to count instructions with")
        return SKIPPED
    figures = measures.all_figures(options.programs / "micro_asyncio_cpp",
                                   options.programs / "guard_hello", options.compiler)
    known = baselines.read(BASELINES) if BASELINES.exists() else {}
    if options.update:
        baselines.write(BASELINES, baselines.updated(figures, known, options.update))
        return 0
    print(f"the hello program compiles in {measures.compile_seconds(options.compiler):.1f} s")
    faults, advice = baselines.compare(figures, known)
    for text in advice:
        print(f"less than before, worth a new baseline: {text}")
    for text in faults:
        print(f"FAULT: {text}")
    if faults:
        print('\nIf it is worth it: benchmarks/guard/guard.py --update "why", in the same commit.')
    else:
        print(f"{len(figures)} figures, none grew by more than {baselines.TOLERANCE:.0%}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
