"""asyncio.cpp tasks in gdb: of a stopped process, and of a core file.

    (gdb) source asyncio.py
    (gdb) asyncio-tasks          every task: state, what it waits for, where, who waits for it
    (gdb) asyncio-tree           what waits for what

It reads the same table as asyncio-ps, by way of a note in the program, so it needs neither
symbols nor debug information, only the program's memory.
"""

import collections
import re
import struct
import types

import gdb

NOTE_NAME = b"asyncio.cpp\0"
MAGIC = b"asyncio.cpp tab\0"
VERSION = 1

# The table, in the order of src/asyncio/inspection.hpp: a name for each field.
TABLE = [
    *("loops:Q loop_tasks:I loop_tid:I loop_time:I loop_ready:I loop_simulated:I").split(),
    *("future_state:I future_is_task:I future_waiters:I future_created:I").split(),
    *("task_links:I task_node:I task_name:I task_root:I task_resume_at:I").split(),
    *("task_waiting_on:I task_cancel_requests:I task_since:I task_first_step:Q").split(),
    *("link_foreign:I link_marks:I frame_parent:I frame_where:I").split(),
    *("place_file:I place_function:I place_line:I string_data:I string_size:I").split(),
    *("waiter_object:i padding:I single_base_type:Q several_bases_type:Q").split(),
]
TYPES = (
    "future_awaiter future_awaiter_awaits awaited_by gather_child relay gather shield sleep yield"
).split()


class Failure(gdb.GdbError):
    pass


class Memory:
    """Of the process or core file that gdb looks at."""

    def __init__(self):
        self.inferior = gdb.selected_inferior()

    def read(self, address, size):
        return bytes(self.inferior.read_memory(address, size))

    def word(self, address):
        return struct.unpack("<Q", self.read(address, 8))[0]

    def number(self, kind, address):
        return struct.unpack("<" + kind, self.read(address, struct.calcsize(kind)))[0]

    def text(self, address):
        text = b""
        while b"\0" not in text:
            text += self.read(address + len(text), 64 - (address + len(text)) % 64)
        return text[: text.index(b"\0")].decode(errors="replace")

    def images(self):
        """Where the program and its shared libraries begin."""
        try:
            lines = gdb.execute("info proc mappings", to_string=True)
        except gdb.error as error:
            raise Failure(f"nothing to look at: {error}") from None
        for line in lines.splitlines():
            match = re.match(r"\s*(0x[0-9a-f]+)\s+0x[0-9a-f]+\s+0x[0-9a-f]+\s+0x0\s.*?/", line)
            if match:
                yield int(match[1], 16)


def notes_of(memory, base):
    """Each (type, name, content, address of the content) in the notes of an ELF image."""
    if memory.read(base, 5) != b"\x7fELF\x02":
        return
    start = memory.word(base + 32)
    count = memory.number("H", base + 56)
    segments = [
        struct.unpack("<IIQQQQQQ", memory.read(base + start + 56 * i, 56)) for i in range(count)
    ]
    loaded = [segment for segment in segments if segment[0] == 1]
    for kind, _, _, address, _, _, size, _ in segments:
        if kind != 4 or not loaded:
            continue
        at = base + address - (loaded[0][3] - loaded[0][2])
        end = at + size
        while at + 12 <= end:
            name_size, size_, type_ = struct.unpack("<III", memory.read(at, 12))
            content = at + 12 + (name_size + 3 & ~3)
            yield type_, memory.read(at + 12, name_size), memory.read(content, size_), content
            at = content + (size_ + 3 & ~3)


def find_tables(memory):
    tables = {}
    for base in memory.images():
        try:
            for kind, name, content, address in notes_of(memory, base):
                if kind == 1 and name == NOTE_NAME:
                    table = address + struct.unpack("<q", content)[0]
                    tables[table] = read_table(memory, table)
        except gdb.MemoryError:
            continue
    if not tables:
        raise Failure("this process does not use asyncio.cpp")
    return tables.values()


def read_table(memory, address):
    magic, version, _ = struct.unpack("<16sII", memory.read(address, 24))
    if magic != MAGIC:
        raise Failure("the process is only just starting")
    if version != VERSION:
        raise Failure(f"the table of tasks is of version {version}; this script reads {VERSION}")
    table, at = {}, 24
    for field in TABLE:
        name, kind = field.split(":")
        size = struct.calcsize(kind)
        at = (at + size - 1) // size * size
        table[name] = memory.number(kind, address + at)
        at += size
    for name in TYPES:
        table[name] = (memory.word(address + at), memory.word(address + at + 8))
        at += 16
    return types.SimpleNamespace(**table)


class Types:
    """Run-time type information, as the Itanium C++ ABI lays it out."""

    def __init__(self, memory, table):
        self.memory = memory
        self.single = memory.word(table.single_base_type)
        self.several = memory.word(table.several_bases_type)
        self.known = {}

    def object_at(self, pointer):
        """The whole object, and its type, of a pointer to it or to a base of it."""
        table = self.memory.word(pointer)
        to_top = self.memory.number("q", table - 16)
        return pointer + to_top, self.memory.word(table - 8)

    def name(self, type_):
        if type_ not in self.known:
            self.known[type_] = self.memory.text(self.memory.word(type_ + 8)).lstrip("*")
        return self.known[type_]

    def bases(self, type_):
        kind = self.memory.word(type_)
        if kind == self.single:
            yield self.memory.word(type_ + 16), 0
        elif kind == self.several:
            for i in range(self.memory.number("I", type_ + 20)):
                base, flags = struct.unpack("<Qq", self.memory.read(type_ + 24 + 16 * i, 16))
                if not flags & 1:
                    yield base, flags >> 8

    def field(self, pointer, wanted):
        """The address of the field of `wanted`, where the object is one."""
        begin, type_ = self.object_at(pointer)
        distance = self.distance(type_, wanted[0])
        return None if distance is None else begin + distance + wanted[1]

    def distance(self, type_, wanted):
        if type_ == wanted or self.name(type_) == self.name(wanted):
            return 0
        for base, offset in self.bases(type_):
            rest = self.distance(base, wanted)
            if rest is not None:
                return offset + rest
        return None


def function_text(pretty):
    """The name in what a compiler calls a function: no result, no parameters."""
    text = re.sub(r" \[[^]]*\]$", "", pretty)
    for lambda_ in ("(anonymous class)::operator()", "(lambda)::operator()"):
        text = text.replace(lambda_, "<lambda>")
    text = text.replace("(anonymous namespace)::", "").replace("{anonymous}::", "")
    depth, end = 0, len(text)
    for i in range(len(text) - 1, -1, -1):
        depth += (text[i] == ")") - (text[i] == "(")
        if text[i] == "(" and depth == 0:
            end = i
            break
    text = text[:end]
    depth = 0
    for i in range(len(text) - 1, -1, -1):
        depth += (text[i] in ">)") - (text[i] in "<(")
        if text[i] == " " and depth == 0:
            return text[i + 1 :]
    return text


class Node:
    """A task, or a future that is none."""

    def __init__(self, name, is_task):
        self.name = name
        self.is_task = is_task
        self.state = ""
        self.waits_for = "-"
        self.stack = []  # innermost first
        self.awaited_by = []


class Reader:
    def __init__(self, memory, table):
        self.memory = memory
        self.table = table
        self.types = Types(memory, table)
        self.nodes = {}
        self.futures = set()

    def list_at(self, head):
        link = self.memory.word(head)
        while link != head:
            yield link
            link = self.memory.word(link)

    def loops(self):
        """Each (thread, ids of its tasks); fills `nodes`."""
        for loop in self.list_at(self.table.loops):
            ready = self.ready_of(loop)
            tasks = [
                link - self.table.task_links
                for link in self.list_at(loop + self.table.loop_tasks)
            ]
            for task in tasks:
                self.nodes[task] = self.task_at(task, ready)
            while self.futures - self.nodes.keys():
                future = (self.futures - self.nodes.keys()).pop()
                node = self.nodes[future] = Node(self.kind_of(future), False)
                node.awaited_by = list(self.waiters_of(future))
            yield self.memory.number("i", loop + self.table.loop_tid), tasks

    def ready_of(self, loop):
        nodes = []
        node = self.memory.word(self.memory.word(loop + self.table.loop_ready))
        while node:
            nodes.append(node)
            node = self.memory.word(node)
        return set(nodes)

    def task_at(self, task, ready):
        memory, table = self.memory, self.table
        node = Node(self.name_of(task), True)
        node.awaited_by = list(self.waiters_of(task))
        waiting_on = memory.word(task + table.task_waiting_on)
        if waiting_on:
            node.state = "ready" if task + table.task_node in ready else "waiting"
            node.stack = list(self.stack_at(memory.word(task + table.task_resume_at)))
            node.waits_for = self.wait_text(waiting_on)
        else:
            # Of what runs, only the outermost frame is sure to be there still.
            fresh = memory.word(task + table.task_node + 8) == table.task_first_step
            node.state = "new" if fresh else "running"
            node.stack = list(self.stack_at(memory.word(task + table.task_root)))
        if memory.number("I", task + table.task_cancel_requests):
            node.state += ", cancelling"
        return node

    def name_of(self, task):
        word = self.memory.word(task + self.table.task_name)
        if word & 1:
            return f"Task-{word >> 1}"
        size = self.memory.word(word + self.table.string_size)
        data = self.memory.word(word + self.table.string_data)
        return self.memory.read(data, size).decode(errors="replace") if size else ""

    def stack_at(self, link):
        while link and not link & self.table.link_foreign:
            frame = link & ~self.table.link_marks
            place = self.memory.word(frame + self.table.frame_where)
            if place:
                text = function_text(
                    self.memory.text(self.memory.word(place + self.table.place_function))
                )
                file = self.memory.text(self.memory.word(place + self.table.place_file))
                line = self.memory.number("I", place + self.table.place_line)
                if not text.startswith("asyncio::detail::"):
                    yield f"{text} {file}:{line}"
            link = self.memory.word(frame + self.table.frame_parent)

    def kind_of(self, future):
        if self.types.field(future, self.table.gather) is not None:
            return "gather()"
        if self.types.field(future, self.table.shield) is not None:
            return "shield()"
        return "a future"

    def wait_text(self, waiting_on):
        field = self.types.field(waiting_on, self.table.future_awaiter_awaits)
        if field is not None:
            future = self.memory.word(field)
            if self.memory.number("B", future + self.table.future_is_task):
                return self.name_of(future)
            self.futures.add(future)
            return self.kind_of(future)
        for name in ("sleep", "yield"):
            if self.types.field(waiting_on, getattr(self.table, name)) is not None:
                return name
        mangled = self.types.name(self.types.object_at(waiting_on)[1])
        name = gdb.execute(f"demangle -l c++ -- _ZTI{mangled}", to_string=True).strip()
        name = name.removeprefix("typeinfo for ")
        while re.search("<[^<>]*>", name):
            name = re.sub("<[^<>]*>", "", name)
        return re.sub("^asyncio::(detail::)?", "", name)

    def waiters_of(self, future):
        table, word = self.table, self.memory.word
        for link in self.list_at(future + table.future_waiters):
            node = link + table.waiter_object
            for kind in (table.future_awaiter, table.awaited_by):
                field = self.types.field(node, kind)
                if field is not None:
                    yield word(field)
                    break
            else:
                child = self.types.field(node, table.gather_child)
                relay = self.types.field(node, table.relay)
                if child is not None:
                    relay = word(child) + table.relay[1]
                if relay is not None:
                    self.futures.add(word(relay))
                    yield word(relay)


def waiters_text(nodes, node, seen=None):
    """The names of the tasks that wait, through gathers and the like."""
    seen = seen if seen is not None else set()
    names = []
    for waiter in node.awaited_by:
        if waiter in nodes and waiter not in seen:
            seen.add(waiter)
            waiter = nodes[waiter]
            names += [waiter.name] if waiter.is_task else waiters_text(nodes, waiter, seen)
    return names


def title(thread, tasks):
    where = f"in thread {thread}" if thread else "that does not run"
    return f"loop {where}, {len(tasks)} task" + ("s" if len(tasks) != 1 else "")


class Tasks(gdb.Command):
    """Every asyncio.cpp task: its name, its state, what it waits for and where, and who waits
    for it."""

    def __init__(self):
        super().__init__("asyncio-tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        memory = Memory()
        for table in find_tables(memory):
            reader = Reader(memory, table)
            for thread, tasks in reader.loops():
                print(title(thread, tasks))
                self.show(reader.nodes, tasks)

    def show(self, nodes, tasks):
        rows = [("TASK", "STATE", "WAITS FOR", "AT", "AWAITED BY")]
        for node in map(nodes.get, tasks):
            waiters = ", ".join(waiters_text(nodes, node)) or "-"
            place = node.stack[0] if node.stack else "?"
            rows.append((node.name, node.state, node.waits_for, place, waiters))
        widths = [max(map(len, column)) for column in zip(*rows)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


class Tree(gdb.Command):
    """What waits for what: at the left what nobody waits for."""

    def __init__(self):
        super().__init__("asyncio-tree", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        memory = Memory()
        for table in find_tables(memory):
            reader = Reader(memory, table)
            for thread, tasks in reader.loops():
                print(title(thread, tasks))
                self.show(reader.nodes, tasks)

    def show(self, nodes, tasks):
        awaited = collections.defaultdict(list)
        for id_, node in nodes.items():
            for waiter in node.awaited_by:
                awaited[waiter].append(id_)
        shown = set()

        def add(id_, indent):
            node = nodes[id_]
            state = f"  [{node.state}]" if node.is_task else ""
            if id_ in shown:
                print(f"{indent}{node.name}{state} (see above)")
                return
            shown.add(id_)
            print(f"{indent}{node.name}{state}")
            frames = node.stack[::-1]
            if len(frames) > 20:
                frames[10:-10] = [f"... {len(frames) - 20} more ..."]
            for frame in frames:
                indent += "  "
                print(f"{indent}{frame}")
            if node.is_task and not awaited[id_] and node.waits_for != "-":
                print(f"{indent}  {node.waits_for}")
            for child in awaited[id_]:
                add(child, indent + "  ")

        for task in tasks:
            if not waiters_text(nodes, nodes[task]):
                add(task, "")
        # What is left stands in rings, in which each waits for the next.
        for task in tasks:
            if task not in shown:
                print("a ring of tasks that wait for each other:")
                add(task, "")


Tasks()
Tree()
