#include "memory.hpp"

#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace asyncio_ps {

namespace {

constexpr std::size_t longest_text = 64 * 1024;

std::string of_proc(pid_t pid, const std::string& file) {
    return "/proc/" + std::to_string(pid) + "/" + file;
}

}  // namespace

Memory::Memory(pid_t pid) : pid_(pid) {
    if (pid <= 0) throw Failure("a process id is a positive number");
    if (kill(pid, 0) != 0 && errno == ESRCH) {
        throw Failure("there is no process " + std::to_string(pid));
    }
}

Ended Memory::ended() const {
    return Ended("process " + std::to_string(pid_) + " has ended");
}

Failure Memory::forbidden() const {
    return Failure("no permission to read process " + std::to_string(pid_) +
                   "; run as its user, where kernel.yama.ptrace_scope allows that, or as root");
}

void Memory::read(Address from, void* to, std::size_t size) const {
    iovec local{to, size};
    iovec remote{reinterpret_cast<void*>(from), size};
    const ssize_t got = process_vm_readv(pid_, &local, 1, &remote, 1, 0);
    if (got == static_cast<ssize_t>(size)) return;
    if (got < 0 && errno == ESRCH) throw ended();
    if (got < 0 && errno == EPERM) throw forbidden();
    // A process that is going has no memory any more; it is no use to try again.
    if (kill(pid_, 0) != 0 || mappings().empty()) throw ended();
    throw Torn();
}

std::string Memory::text(Address from) const {
    std::string whole;
    while (whole.size() < longest_text) {
        char part[64];
        // Never across a page: the next one may not be there.
        const std::size_t size = std::min<std::size_t>(sizeof part, 4096 - (from & 4095));
        read(from, part, size);
        const void* end = std::memchr(part, 0, size);
        whole.append(part, end == nullptr ? size : static_cast<const char*>(end) - part);
        if (end != nullptr) return whole;
        from += size;
    }
    throw Torn();
}

std::string Memory::text(Address from, std::size_t size) const {
    if (size > longest_text) throw Torn();
    std::string whole(size, '\0');
    if (size > 0) read(from, whole.data(), size);
    return whole;
}

std::vector<Memory::Mapping> Memory::mappings() const {
    std::ifstream file(of_proc(pid_, "maps"));
    if (!file) {
        const int error = errno;
        if (error == EACCES || error == EPERM) throw forbidden();
        throw ended();
    }
    std::vector<Mapping> all;
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream fields(line);
        std::string range, rights, device, inode;
        Mapping mapping{};
        fields >> range >> rights >> std::hex >> mapping.offset >> device >> inode;
        std::getline(fields >> std::ws, mapping.path);
        mapping.begin = std::stoull(range, nullptr, 16);
        if (rights.starts_with("r")) all.push_back(std::move(mapping));
    }
    // One that is ending, or has ended and was not waited for yet, has none.
    if (all.empty() && !is_kernel_thread()) throw ended();
    return all;
}

bool Memory::is_kernel_thread() const {
    std::ifstream file(of_proc(pid_, "stat"));
    std::string line;
    std::getline(file, line);
    // After the name, which may hold anything: state, five numbers, flags.
    const auto name_end = line.rfind(") ");
    if (name_end == line.npos) return false;
    std::istringstream fields(line.substr(name_end + 2));
    std::string skipped;
    for (int i = 0; i < 6; ++i) fields >> skipped;
    unsigned long flags = 0;
    fields >> flags;
    constexpr unsigned long kernel_thread = 0x00200000;
    return (flags & kernel_thread) != 0;
}

std::string Memory::thread_name(pid_t tid) const {
    std::ifstream file(of_proc(pid_, "task/" + std::to_string(tid) + "/comm"));
    std::string name;
    std::getline(file, name);
    return name;
}

}  // namespace asyncio_ps
