// The run-time type information of objects in another process, as the Itanium C++ ABI lays it
// out. It never changes, so what was read once is kept.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tables.hpp"

namespace asyncio_ps {

class Types {
  public:
    Types(const Memory& memory, const Table& table);

    struct Object {
        Address begin;  // of the whole object
        Address type;
    };
    // The object whose virtual table pointer stands at `pointer`, perhaps in a base of it.
    [[nodiscard]] Object object_at(Address pointer);
    // Where in the object the field of `wanted` stands, if it is one or derives from it.
    [[nodiscard]] std::optional<Address> field(const Object& object,
                                               const asyncio::detail::InspectedType& wanted);
    // Demangled.
    [[nodiscard]] const std::string& name(Address type);

  private:
    struct Type {
        std::string mangled;
        std::string name;
        std::vector<std::pair<Address, std::int64_t>> bases;
    };
    const Type& type_at(Address address);
    std::optional<std::int64_t> distance(Address from, Address base, int depth);

    const Memory& memory_;
    Address single_base_;
    Address several_bases_;
    std::map<Address, Type> types_;
    std::map<Address, std::pair<std::int64_t, Address>> tables_;  // by virtual table
};

}  // namespace asyncio_ps
