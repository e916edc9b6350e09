#include "tables.hpp"

#include <elf.h>

#include <cstring>
#include <optional>
#include <set>

namespace asyncio_ps {

namespace {

using asyncio::detail::inspection_magic;
using asyncio::detail::inspection_note_name;
using asyncio::detail::inspection_note_type;
using asyncio::detail::inspection_version;

constexpr std::size_t longest_notes = 1 << 20;

std::size_t aligned(std::size_t size) {
    return (size + 3) & ~std::size_t{3};
}

// The addresses of tables that a block of notes tells.
void scan_notes(const std::string& notes, Address begin, std::set<Address>& found) {
    std::size_t at = 0;
    while (at + sizeof(Elf64_Nhdr) <= notes.size()) {
        Elf64_Nhdr header;
        std::memcpy(&header, notes.data() + at, sizeof header);
        const std::size_t name = at + sizeof header;
        const std::size_t content = name + aligned(header.n_namesz);
        const std::size_t next = content + aligned(header.n_descsz);
        if (next > notes.size()) return;
        std::int64_t distance;
        if (header.n_type == inspection_note_type && header.n_descsz == sizeof distance &&
            header.n_namesz == sizeof inspection_note_name &&
            std::memcmp(notes.data() + name, inspection_note_name, header.n_namesz) == 0) {
            std::memcpy(&distance, notes.data() + content, sizeof distance);
            found.insert(begin + content + static_cast<Address>(distance));
        }
        at = next;
    }
}

// Looks at a mapping that may be the start of an ELF file, in memory.
void scan_image(const Memory& memory, Address base, std::set<Address>& found) {
    const auto header = memory.get<Elf64_Ehdr>(base);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
        return;
    }
    std::vector<Elf64_Phdr> segments(header.e_phnum);
    memory.read(base + header.e_phoff, segments.data(), segments.size() * sizeof(Elf64_Phdr));
    std::optional<Address> first;  // where the file's first byte would like to be
    for (const Elf64_Phdr& segment : segments) {
        if (segment.p_type == PT_LOAD && !first) first = segment.p_vaddr - segment.p_offset;
    }
    if (!first) return;
    for (const Elf64_Phdr& segment : segments) {
        if (segment.p_type != PT_NOTE || segment.p_memsz > longest_notes) continue;
        const Address begin = base + segment.p_vaddr - *first;
        scan_notes(memory.text(begin, segment.p_memsz), begin, found);
    }
}

Table read_table(const Memory& memory, Address from) {
    // What every version begins with.
    struct {
        char magic[16];
        std::uint32_t version;
        std::uint32_t size;
    } start{};
    memory.read(from, &start, sizeof start);
    if (std::memcmp(start.magic, inspection_magic, sizeof start.magic) != 0) {
        throw Failure("process " + std::to_string(memory.pid()) + " is only just starting");
    }
    if (start.version != inspection_version || start.size < sizeof(Table)) {
        throw Failure("process " + std::to_string(memory.pid()) + " has version " +
                      std::to_string(start.version) +
                      " of the table of tasks, and this program reads version " +
                      std::to_string(inspection_version) +
                      "; use the asyncio-ps of the process's asyncio.cpp");
    }
    return memory.get<Table>(from);
}

}  // namespace

std::vector<Table> find_tables(const Memory& memory) {
    std::set<Address> found;
    for (const Memory::Mapping& mapping : memory.mappings()) {
        if (mapping.offset != 0 || mapping.path.starts_with("[")) continue;
        try {
            scan_image(memory, mapping.begin, found);
        } catch (const Torn&) {
            // Not an ELF file, or unmapped meanwhile.
        }
    }
    if (found.empty()) {
        throw Failure("process " + std::to_string(memory.pid()) + " does not use asyncio.cpp");
    }
    std::vector<Table> tables;
    for (const Address address : found) tables.push_back(read_table(memory, address));
    return tables;
}

}  // namespace asyncio_ps
