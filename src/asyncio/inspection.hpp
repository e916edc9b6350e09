// What another process, or a debugger, has to know to read this one's tasks: where the loops
// are, and where in each object the interesting fields stand.
//
// The program carries one such table for each copy of the library in it. An ELF note of the
// name below tells where; notes are found through the program headers, which are in memory,
// so a stripped or deleted file, a shared library and a core file do as well. `asyncio-ps`
// and the gdb script are the readers.
//
// Whoever changes an object named here need do nothing: the offsets are taken by the
// compiler. A change of meaning, or of what a reader must walk, needs a new version.
#pragma once

#include <cstdint>

namespace asyncio::detail {

inline constexpr char inspection_note_name[] = "asyncio.cpp";  // 12 bytes with the zero
inline constexpr std::uint32_t inspection_note_type = 1;
inline constexpr char inspection_magic[16] = {'a', 's', 'y', 'n', 'c', 'i', 'o', '.',
                                              'c', 'p', 'p', ' ', 't', 'a', 'b', 0};
inline constexpr std::uint32_t inspection_version = 1;

// A class that is recognised by its run-time type information, also as a base, and the
// distance from its start to a field.
struct InspectedType {
    std::uint64_t type = 0;   // its std::type_info
    std::uint64_t field = 0;  // see each use
};

// Addresses are absolute; offsets are in bytes from the start of the object named. Readers
// take `size` bytes and no more. Fields are only ever added, at the end.
struct InspectionTable {
    char magic[16];
    std::uint32_t version;
    std::uint32_t size;
    std::uint64_t loops;  // address of the head of the circular list of loops

    // A loop, from its place in that list: next, previous.
    std::uint32_t loop_tasks;      // head of the circular list of its tasks, the same
    std::uint32_t loop_tid;        // int32: the thread that runs it, zero when none does
    std::uint32_t loop_time;       // int64: CLOCK_MONOTONIC in ns, when it last looked
    std::uint32_t loop_ready;      // pointer to the first of the ready queue's pointers
    std::uint32_t loop_simulated;  // bool: its clock is not the system's

    // A task, from its start. What also holds for a future comes first.
    std::uint32_t future_state;     // uint8: 0 pending
    std::uint32_t future_is_task;   // bool
    std::uint32_t future_waiters;   // head of the circular list of who waits for it
    std::uint32_t future_created;   // source location
    std::uint32_t task_links;       // its place in the loop's list
    std::uint32_t task_node;        // its place in the ready queue: next, function
    std::uint32_t task_name;        // odd: the number of "Task-N" twice, plus one; else a string*
    std::uint32_t task_root;        // outermost frame; null when done
    std::uint32_t task_resume_at;   // link to the innermost frame
    std::uint32_t task_waiting_on;  // what it waits on; null while it runs
    std::uint32_t task_cancel_requests;  // uint32
    std::uint32_t task_since;            // int64: loop_time when it last stopped running
    std::uint64_t task_first_step;       // the function in `task_node` before the first step

    // A link to a frame is its address and, in the low bits, marks.
    std::uint32_t link_foreign;  // mark: a coroutine of another library
    std::uint32_t link_marks;    // all marks
    std::uint32_t frame_parent;  // link to who awaits this one
    std::uint32_t frame_where;   // source location

    // A source location is a pointer to: file, function, line (uint32); null if unknown.
    std::uint32_t place_file;
    std::uint32_t place_function;
    std::uint32_t place_line;

    // A std::string: pointer and size; both UINT32_MAX if the library is not known.
    std::uint32_t string_data;
    std::uint32_t string_size;

    // Who waits is in the list of `future_waiters` by a part of a polymorphic object; from
    // that link to its virtual table pointer:
    std::int32_t waiter_object;
    std::uint32_t padding;

    // Objects whose own types tell what a class with one base, and with several, looks like.
    std::uint64_t single_base_type;
    std::uint64_t several_bases_type;

    InspectedType future_awaiter;         // field: the task that waits
    InspectedType future_awaiter_awaits;  // field: the future it waits for
    InspectedType awaited_by;             // field: the task or future that waits
    InspectedType gather_child;           // field: pointer to a `relay`
    InspectedType relay;                  // field: the future that is made of others
    InspectedType gather;
    InspectedType shield;
    InspectedType sleep;  // field: int64, the deadline in ns
    InspectedType yield;
};

}  // namespace asyncio::detail
