"""Checks the code on the pages: check_snippets.py ROOT

Every C++ block of README.md, CONTRIBUTING.md, docs/**/*.md and examples/**/*.md has to be a region
of an example: what stands between `// [name]` and `// [/name]` in a source below examples/, which
CMake builds and the tests run. Whitespace is not compared, so a page may break lines where
its columns need it. Every Python block has to be Python.
"""

import ast
import difflib
import re
import sys
from pathlib import Path
from typing import NamedTuple

CPP = {"cpp", "c++", "cc", "cxx"}
PYTHON = {"python", "py"}
MARK = re.compile(r"\s*// \[(/?)([\w-]+)\]\s*$")
FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*(.*)$")


class Region(NamedTuple):
    place: str  # "examples/hello.cpp [hello]"
    lines: list[str]


class Block(NamedTuple):
    place: str  # "README.md:29"
    language: str
    lines: list[str]


class Wrong(Exception):
    pass


def squeezed(lines):
    return "".join("".join(lines).split())


def regions_of(path, name):
    """The regions of one source, also those inside others, whose marks are left out."""
    open_regions, closed = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        mark = MARK.match(line)
        if not mark:
            for region in open_regions:
                region.lines.append(line)
        elif not mark[1]:
            open_regions.append(Region(f"{name} [{mark[2]}]", []))
        elif open_regions and open_regions[-1].place == f"{name} [{mark[2]}]":
            closed.append(open_regions.pop())
        else:
            raise Wrong(f"{name}:{number}: [/{mark[2]}] ends no region that is open")
    if open_regions:
        raise Wrong(f"{name}: {open_regions[-1].place} has no end")
    return closed


def all_regions(root):
    return [
        region
        for path in sorted(root.glob("examples/**/*.cpp"))
        for region in regions_of(path, path.relative_to(root).as_posix())
    ]


def blocks_of(path, name):
    fence, block, found = None, None, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = FENCE.match(line)
        if fence is None and match:
            language = match[2].split()
            if not language:
                raise Wrong(f"{name}:{number}: this block of code does not say its language")
            fence = match[1]
            block = Block(f"{name}:{number}", language[0].lower(), [])
        elif fence is not None and line.strip() == fence:
            fence = None
            found.append(block)
        elif fence is not None:
            block.lines.append(line)
    if fence is not None:
        raise Wrong(f"{block.place}: this block of code has no end")
    return found


def check_python(block):
    try:
        # Single lines of a page may await without a function around them.
        compile("\n".join(block.lines), block.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        raise Wrong(f"{block.place}: not Python: {error}") from None


def check_cpp(block, regions):
    text = squeezed(block.lines)
    if any(text == squeezed(region.lines) for region in regions):
        return

    def likeness(region):
        return difflib.SequenceMatcher(None, text, squeezed(region.lines)).ratio()

    message = f"{block.place}: no region of an example says this"
    if regions:
        nearest = max(regions, key=likeness)
        diff = difflib.unified_diff(
            nearest.lines, block.lines, nearest.place, block.place, lineterm=""
        )
        message = "\n".join([message + "; the nearest differs by:", *diff])
    raise Wrong(message)


def main(root):
    pages = [root / "README.md", root / "CONTRIBUTING.md"]
    pages += sorted(root.glob("docs/**/*.md")) + sorted(root.glob("examples/**/*.md"))
    complaints, checked = [], 0
    try:
        regions = all_regions(root)
    except Wrong as wrong:
        sys.exit(str(wrong))
    for page in filter(Path.exists, pages):
        try:
            blocks = blocks_of(page, page.relative_to(root).as_posix())
        except Wrong as wrong:
            complaints.append(str(wrong))
            continue
        for block in blocks:
            try:
                if block.language in PYTHON:
                    check_python(block)
                elif block.language in CPP:
                    check_cpp(block, regions)
                else:
                    continue
                checked += 1
            except Wrong as wrong:
                complaints.append(str(wrong))
    if complaints:
        sys.exit("\n\n".join(complaints))
    print(f"{checked} blocks of code are right")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
