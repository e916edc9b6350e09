// Code addresses that mean the same in another process running this program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace concurrent::futures::detail {

// A place in a program file: what debuggers and addr2line take.
struct CodePlace {
    std::string module;  // path of the file; empty for the main program
    std::uint64_t offset = 0;
};

// Where an address lies. The module is "?" if none holds it.
[[nodiscard]] CodePlace place_of(const void* address);

// What tells one build of the main program from another.
[[nodiscard]] std::vector<std::byte> program_id();

// Around a fork of this process: the copy must not find them locked by a thread
// that it does not have.
void lock_code_tables();
void unlock_code_tables();
void lock_error_tables();
void unlock_error_tables();

// "solve(int)", or "program+0x1234" where no symbol covers the place.
[[nodiscard]] std::vector<std::string> name_places(const std::vector<CodePlace>& places);

}  // namespace concurrent::futures::detail
