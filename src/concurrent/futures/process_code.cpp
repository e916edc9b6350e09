#include "process_code.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>

#include <concurrent/futures/serialize_detail.hpp>

namespace concurrent::futures::detail {
namespace {

struct Module {
    std::string path;  // empty for the main program
    std::uintptr_t base = 0;
    std::vector<std::byte> id;  // build id, else a fingerprint of the layout
    std::vector<std::pair<std::uintptr_t, std::uintptr_t>> segments;

    [[nodiscard]] bool holds(std::uintptr_t address) const {
        return std::any_of(segments.begin(), segments.end(), [&](const auto& segment) {
            return address >= segment.first && address < segment.second;
        });
    }
};

void append(std::vector<std::byte>& id, const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    id.insert(id.end(), bytes, bytes + size);
}

// The GNU build id among the notes of one segment, if it is there.
void find_build_id(const std::byte* notes, std::size_t size, std::vector<std::byte>& id) {
    std::size_t at = 0;
    const auto padded = [](std::size_t length) { return (length + 3) / 4 * 4; };
    while (at + sizeof(ElfW(Nhdr)) <= size) {
        ElfW(Nhdr) note;
        std::memcpy(&note, notes + at, sizeof note);
        const std::size_t name = at + sizeof note;
        const std::size_t content = name + padded(note.n_namesz);
        at = content + padded(note.n_descsz);
        if (at > size) return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            std::memcmp(notes + name, "GNU", 4) == 0) {
            append(id, notes + content, note.n_descsz);
            return;
        }
    }
}

Module describe(const dl_phdr_info& info, bool main_program) {
    Module module;
    module.base = info.dlpi_addr;
    if (!main_program) {
        // Absolute, so that it means the same after a chdir.
        std::error_code ignored;
        module.path = std::filesystem::absolute(info.dlpi_name, ignored).native();
    }
    for (int i = 0; i < info.dlpi_phnum; ++i) {
        const ElfW(Phdr)& header = info.dlpi_phdr[i];
        const std::uintptr_t start = info.dlpi_addr + header.p_vaddr;
        if (header.p_type == PT_LOAD) module.segments.emplace_back(start, start + header.p_memsz);
        if (header.p_type == PT_NOTE && module.id.empty()) {
            find_build_id(reinterpret_cast<const std::byte*>(start), header.p_memsz, module.id);
        }
    }
    if (module.id.empty()) {
        for (int i = 0; i < info.dlpi_phnum; ++i) {
            const ElfW(Phdr)& header = info.dlpi_phdr[i];
            append(module.id, &header.p_vaddr, sizeof header.p_vaddr);
            append(module.id, &header.p_memsz, sizeof header.p_memsz);
        }
    }
    return module;
}

// What is loaded, read again only when something was loaded or unloaded since.
class Modules {
  public:
    // Calls `use` with the first module for which `wanted` holds, if there is one.
    template <class Wanted, class Use>
    bool find(Wanted wanted, Use use) {
        const std::lock_guard lock(mutex_);
        refresh();
        const auto found = std::find_if(modules_.begin(), modules_.end(), wanted);
        if (found == modules_.end()) return false;
        use(*found);
        return true;
    }

    std::mutex& mutex() noexcept { return mutex_; }

  private:
    using Version = std::pair<unsigned long long, unsigned long long>;

    void refresh() {
        Version version;
        dl_iterate_phdr(
            [](dl_phdr_info* info, std::size_t, void* to) {
                *static_cast<Version*>(to) = {info->dlpi_adds, info->dlpi_subs};
                return 1;
            },
            &version);
        if (version == version_) return;
        modules_.clear();
        dl_iterate_phdr(
            [](dl_phdr_info* info, std::size_t, void* to) {
                auto& modules = *static_cast<std::vector<Module>*>(to);
                modules.push_back(describe(*info, modules.empty()));
                return 0;
            },
            &modules_);
        version_ = version;
    }

    std::mutex mutex_;
    Version version_{};
    std::vector<Module> modules_;
};

Modules& modules() {
    // Never destroyed: calls may still be under way in threads at exit.
    static Modules& all = *new Modules;
    return all;
}

enum class CodeKind : std::uint8_t { null, main_program, library };

void put_bytes(Writer& writer, const void* data, std::size_t size) {
    writer.put(static_cast<std::uint32_t>(size));
    writer.write(data, size);
}

}  // namespace

void write_code(Writer& writer, const void* address) {
    if (address == nullptr) return writer.put(CodeKind::null);
    const auto value = reinterpret_cast<std::uintptr_t>(address);
    const bool found =
        modules().find([&](const Module& module) { return module.holds(value); },
                       [&](const Module& module) {
                           if (module.path.empty()) {
                               writer.put(CodeKind::main_program);
                           } else {
                               writer.put(CodeKind::library);
                               put_bytes(writer, module.path.data(), module.path.size());
                               put_bytes(writer, module.id.data(), module.id.size());
                           }
                           writer.put(static_cast<std::uint64_t>(value - module.base));
                       });
    if (!found) {
        throw SerializationError(
            "a function that lies in no loaded program file cannot be sent to another process "
            "(was it generated at run time?)");
    }
}

const void* read_code(Reader& reader) {
    const auto kind = reader.take<CodeKind>();
    if (kind == CodeKind::null) return nullptr;

    std::string path;
    std::vector<std::byte> id;
    if (kind == CodeKind::library) {
        const auto path_size = reader.take<std::uint32_t>();
        path.assign(reinterpret_cast<const char*>(reader.view(path_size)), path_size);
        const auto id_size = reader.take<std::uint32_t>();
        const std::byte* id_bytes = reader.view(id_size);
        id.assign(id_bytes, id_bytes + id_size);
    }
    const auto offset = reader.take<std::uint64_t>();

    std::uintptr_t address = 0;
    const auto same_module = [&](const Module& module) {
        return path.empty() ? module.path.empty() : !module.path.empty() && module.id == id;
    };
    const auto locate = [&](const Module& module) {
        if (module.holds(module.base + offset)) address = module.base + offset;
    };
    if (!modules().find(same_module, locate)) {
        // Loaded in the sender after this process started, by dlopen.
        if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
            const char* reason = dlerror();
            throw SerializationError("the worker cannot load " + path +
                                     (reason ? std::string(": ") + reason : std::string()));
        }
        if (!modules().find(same_module, locate)) {
            throw SerializationError(path + " is another build in the worker than in the caller; " +
                                     "restart the program after replacing a library");
        }
    }
    if (address == 0) throw SerializationError("a function arrived with an impossible address");
    return reinterpret_cast<const void*>(address);
}

CodePlace place_of(const void* address) {
    const auto value = reinterpret_cast<std::uintptr_t>(address);
    CodePlace place{"?", value};
    modules().find([&](const Module& module) { return module.holds(value); },
                   [&](const Module& module) { place = {module.path, value - module.base}; });
    return place;
}

void lock_code_tables() {
    modules().mutex().lock();
}
void unlock_code_tables() {
    modules().mutex().unlock();
}

std::vector<std::byte> program_id() {
    std::vector<std::byte> id;
    modules().find([](const Module& module) { return module.path.empty(); },
                   [&](const Module& module) { id = module.id; });
    return id;
}

}  // namespace concurrent::futures::detail
