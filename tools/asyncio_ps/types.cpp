#include "types.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace asyncio_ps {

namespace {

constexpr int deepest_hierarchy = 32;
constexpr std::uint32_t most_bases = 64;

std::string demangled(const std::string& mangled) {
    int status = 0;
    char* name = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
    std::string text = status == 0 ? name : mangled;
    std::free(name);
    return text;
}

}  // namespace

Types::Types(const Memory& memory, const Table& table)
    : memory_(memory),
      single_base_(memory.get<Address>(table.single_base_type)),
      several_bases_(memory.get<Address>(table.several_bases_type)) {}

Types::Object Types::object_at(Address pointer) {
    const auto table = memory_.get<Address>(pointer);
    auto known = tables_.find(table);
    if (known == tables_.end()) {
        const auto to_top = memory_.get<std::int64_t>(table - 16);
        const auto type = memory_.get<Address>(table - 8);
        static_cast<void>(type_at(type));
        known = tables_.emplace(table, std::pair(to_top, type)).first;
    }
    return {pointer + static_cast<Address>(known->second.first), known->second.second};
}

const Types::Type& Types::type_at(Address address) {
    if (const auto known = types_.find(address); known != types_.end()) return known->second;
    Type type;
    const auto kind = memory_.get<Address>(address);
    type.mangled = memory_.text(memory_.get<Address>(address + 8));
    if (type.mangled.starts_with('*')) type.mangled.erase(0, 1);  // unique by its address
    const auto printable = [](unsigned char c) { return std::isgraph(c) != 0; };
    if (type.mangled.empty() || !std::all_of(type.mangled.begin(), type.mangled.end(), printable)) {
        throw Torn();
    }
    type.name = demangled(type.mangled);
    if (kind == single_base_) {
        type.bases.emplace_back(memory_.get<Address>(address + 16), 0);
    } else if (kind == several_bases_) {
        const auto count = memory_.get<std::uint32_t>(address + 20);
        if (count > most_bases) throw Torn();
        for (std::uint32_t i = 0; i < count; ++i) {
            const Address base = address + 24 + 16 * i;
            const auto flags = memory_.get<std::int64_t>(base + 8);
            if ((flags & 1) != 0) continue;  // virtual: none of ours
            type.bases.emplace_back(memory_.get<Address>(base), flags >> 8);
        }
    }
    return types_.emplace(address, std::move(type)).first->second;
}

const std::string& Types::name(Address type) {
    return type_at(type).name;
}

std::optional<std::int64_t> Types::distance(Address from, Address base, int depth) {
    if (from == base) return 0;
    if (depth == deepest_hierarchy) throw Torn();
    const Type& type = type_at(from);
    // Each shared library may have its own copy.
    if (type.mangled == type_at(base).mangled) return 0;
    for (const auto& [next, offset] : type.bases) {
        if (const auto rest = distance(next, base, depth + 1)) return offset + *rest;
    }
    return std::nullopt;
}

std::optional<Address> Types::field(const Object& object,
                                    const asyncio::detail::InspectedType& wanted) {
    const auto base = distance(object.type, wanted.type, 0);
    if (!base) return std::nullopt;
    return object.begin + static_cast<Address>(*base) + wanted.field;
}

}  // namespace asyncio_ps
