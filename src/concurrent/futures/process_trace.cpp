// The worker's side of remote_traceback(): the stack at the throw, and its names.
#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "asyncio/proactors/descriptor.hpp"
#include "process_errors.hpp"
#include "process_probe.hpp"

namespace concurrent::futures::detail {
namespace {

using asyncio::detail::Descriptor;

// A file of the program, mapped to read its symbols.
class ElfFile {
  public:
    explicit ElfFile(const char* path) {
        const Descriptor file(open(path, O_RDONLY | O_CLOEXEC));
        struct stat status{};
        if (!file || fstat(file.get(), &status) != 0) return;
        size_ = static_cast<std::size_t>(status.st_size);
        void* data = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
        if (data != MAP_FAILED) data_ = static_cast<const std::byte*>(data);
    }
    ~ElfFile() {
        if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
    }
    ElfFile(const ElfFile&) = delete;
    ElfFile& operator=(const ElfFile&) = delete;

    // Calls `use(symbol, name)` for each function. Nothing on a file that makes no sense.
    template <class Use>
    void for_each_function(Use use) const {
        ElfW(Ehdr) header;
        if (!read(0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return;
        // The full table if the file was not stripped, else what it exports.
        for (const unsigned wanted : {SHT_SYMTAB, SHT_DYNSYM}) {
            for (unsigned i = 0; i < header.e_shnum; ++i) {
                ElfW(Shdr) table, names;
                if (!read(header.e_shoff + i * sizeof table, table)) return;
                if (table.sh_type != wanted) continue;
                if (!read(header.e_shoff + table.sh_link * sizeof names, names)) return;
                for (std::size_t at = 0; at + sizeof(ElfW(Sym)) <= table.sh_size;
                     at += sizeof(ElfW(Sym))) {
                    ElfW(Sym) symbol;
                    if (!read(table.sh_offset + at, symbol)) return;
                    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_value == 0) continue;
                    const std::size_t name = names.sh_offset + symbol.st_name;
                    if (name < size_) use(symbol, reinterpret_cast<const char*>(data_ + name));
                }
                return;
            }
        }
    }

  private:
    template <class T>
    bool read(std::size_t at, T& value) const {
        if (data_ == nullptr || at > size_ || size_ - at < sizeof value) return false;
        std::memcpy(&value, data_ + at, sizeof value);
        return true;
    }

    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
}

std::string readable(const char* symbol) {
    int status = 0;
    char* demangled = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
    std::string name = status == 0 ? demangled : symbol;
    std::free(demangled);
    replace_all(name,
                "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >",
                "std::string");
    return name;
}

std::string hexadecimal(std::uint64_t value) {
    char text[2 + 16 + 1];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

// What lies between the worker's loop and the user's function.
bool is_ours(std::string_view name) {
    return name.find("concurrent::futures::detail::") != std::string_view::npos ||
           name.find("10concurrent7futures6detail") != std::string_view::npos ||
           name.find("std::__invoke") != std::string_view::npos;
}

}  // namespace

std::vector<std::string> name_places(const std::vector<CodePlace>& places) {
    std::vector<std::string> names(places.size());
    std::map<std::string, std::vector<std::size_t>> by_module;
    for (std::size_t i = 0; i < places.size(); ++i) by_module[places[i].module].push_back(i);

    for (const auto& [module, indices] : by_module) {
        const ElfFile file(module.empty() ? "/proc/self/exe" : module.c_str());
        file.for_each_function([&, &indices = indices](const ElfW(Sym) & symbol, const char* name) {
            for (const std::size_t i : indices) {
                // A return address points behind the call, so it may be one past the end.
                const std::uint64_t inside = places[i].offset - 1;
                if (inside >= symbol.st_value && inside < symbol.st_value + symbol.st_size) {
                    names[i] = readable(name);
                }
            }
        });
    }

    // Innermost are the probe and the unwinder, up to the throw; outermost are we.
    std::size_t first = 0, last = names.size();
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (names[i].starts_with("_Unwind_") || names[i].starts_with("__cxa_")) first = i + 1;
        if (names[i].starts_with("concurrent::futures::detail::run_traced"))
            last = std::min(last, i);
    }
    std::vector<std::string> shown;
    for (std::size_t i = first; i < last; ++i) {
        if (is_ours(names[i])) continue;
        if (names[i].empty()) {
            const std::string& module = places[i].module;
            names[i] =
                (module.empty() ? "the program" : module) + "+" + hexadecimal(places[i].offset);
        }
        shown.push_back(names[i]);
    }
    return shown;
}

std::exception_ptr run_traced(void (*work)(void*), void* argument,
                              std::vector<const void*>& running) {
    running.clear();
    probed_stack = &running;
    std::exception_ptr error;
    try {
        work(argument);
    } catch (const StackProbe&) {  // never; see StackProbe
    } catch (...) {
        error = std::current_exception();
    }
    probed_stack = nullptr;
    return error;
}

}  // namespace concurrent::futures::detail
