// concurrent/futures/serialize.hpp - what can be sent to another process, and how.
//
// Sendable as they are: numbers, enums, strings, std::filesystem::path, chrono
// durations and time points, the standard containers, pair, tuple, optional,
// variant, unique_ptr, shared_ptr, function pointers, and plain aggregates of
// sendable members, which need no code at all:
//
//   struct Point { double x, y; };
//   struct Path { std::string name; std::vector<Point> points; };
//
// Any other class says how with cereal's own functions, the one hook there is:
//
//   class Account {
//     public:
//       template <class Archive>
//       void serialize(Archive& archive) { archive(owner_, balance_); }
//     private:
//       std::string owner_;
//       long balance_ = 0;
//   };
//
// A pair of save and load works as well, as a member or as a free function
// beside the class. A class must be default constructible to be received. Raw
// pointers, references, views and handles to things of one process (sockets,
// mutexes, threads) cannot be sent: the compiler says so at the call.
#pragma once

#include <filesystem>
#include <type_traits>

#include <boost/pfr/core.hpp>
#include <cereal/cereal.hpp>
#include <cereal/types/array.hpp>
#include <cereal/types/bitset.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/complex.hpp>
#include <cereal/types/deque.hpp>
#include <cereal/types/list.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/unordered_map.hpp>
#include <cereal/types/unordered_set.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>

#include <concurrent/futures/serialize_detail.hpp>

namespace concurrent::futures {
namespace detail {

class OutputArchive : public cereal::OutputArchive<OutputArchive, cereal::AllowEmptyClassElision> {
  public:
    explicit OutputArchive(Writer& to)
        : cereal::OutputArchive<OutputArchive, cereal::AllowEmptyClassElision>(this), writer(to) {}
    Writer& writer;
};

class InputArchive : public cereal::InputArchive<InputArchive, cereal::AllowEmptyClassElision> {
  public:
    explicit InputArchive(Reader& from)
        : cereal::InputArchive<InputArchive, cereal::AllowEmptyClassElision>(this), reader(from) {}
    Reader& reader;
};

// Archives that nothing below accepts. What cereal can do with them is what
// cereal and the user's own functions provide, without our aggregates.
struct OutputProbe : cereal::OutputArchive<OutputProbe> {};
struct InputProbe : cereal::InputArchive<InputProbe> {};

}  // namespace detail
}  // namespace concurrent::futures

CEREAL_SETUP_ARCHIVE_TRAITS(concurrent::futures::detail::InputArchive,
                            concurrent::futures::detail::OutputArchive)
CEREAL_SETUP_ARCHIVE_TRAITS(concurrent::futures::detail::InputProbe,
                            concurrent::futures::detail::OutputProbe)

namespace concurrent::futures {
namespace detail {

template <class T>
inline constexpr bool has_hook = cereal::traits::is_output_serializable<T, OutputProbe>::value &&
                                 cereal::traits::is_input_serializable<T, InputProbe>::value;

template <class T>
concept PlainAggregate =
    std::is_class_v<T> && std::is_aggregate_v<T> && !std::is_empty_v<T> &&
    std::is_move_constructible_v<T> && !std::is_polymorphic_v<T> && !has_hook<T>;

// --- Which types can be sent ----------------------------------------------------------------

// `Seen` are the types around T, so that a tree of nodes ends.
template <class T, class... Seen>
struct Sendable;

template <class T, class... Seen>
inline constexpr bool sendable_member =
    std::disjunction_v<std::is_same<T, Seen>..., Sendable<T, Seen...>>;

template <class T, class... Seen, std::size_t... I>
constexpr bool sendable_fields(std::index_sequence<I...>) {
    return (sendable_member<boost::pfr::tuple_element_t<I, T>, T, Seen...> && ...);
}

template <class T, class... Seen>
constexpr bool is_sendable() {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
        return true;
    } else if constexpr (std::is_pointer_v<T>) {
        return std::is_function_v<std::remove_pointer_t<T>>;
    } else if constexpr (!std::is_class_v<T> || !std::is_object_v<T>) {
        return false;
    } else if constexpr (std::is_empty_v<T>) {
        return std::is_trivially_copyable_v<T>;
    } else if constexpr (PlainAggregate<T>) {
        return sendable_fields<T, Seen...>(std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
    } else {
        return has_hook<T> && std::is_default_constructible_v<T>;
    }
}

template <class T, class... Seen>
struct Sendable : std::bool_constant<is_sendable<T, Seen...>()> {};

// A template of the standard library is sendable if its elements are. Its
// allocator, order or hash is not an element, and has no state to send.
template <template <class...> class C>
inline constexpr bool holds_elements = false;
template <>
inline constexpr bool holds_elements<std::vector> = true;
template <>
inline constexpr bool holds_elements<std::deque> = true;
template <>
inline constexpr bool holds_elements<std::list> = true;
template <>
inline constexpr bool holds_elements<std::set> = true;
template <>
inline constexpr bool holds_elements<std::multiset> = true;
template <>
inline constexpr bool holds_elements<std::unordered_set> = true;
template <>
inline constexpr bool holds_elements<std::unordered_multiset> = true;
template <>
inline constexpr bool holds_elements<std::map> = true;
template <>
inline constexpr bool holds_elements<std::multimap> = true;
template <>
inline constexpr bool holds_elements<std::unordered_map> = true;
template <>
inline constexpr bool holds_elements<std::unordered_multimap> = true;
template <>
inline constexpr bool holds_elements<std::optional> = true;
template <>
inline constexpr bool holds_elements<std::variant> = true;
template <>
inline constexpr bool holds_elements<std::tuple> = true;
template <>
inline constexpr bool holds_elements<std::pair> = true;
template <>
inline constexpr bool holds_elements<std::unique_ptr> = true;
template <>
inline constexpr bool holds_elements<std::shared_ptr> = true;

template <class T>
inline constexpr bool is_smart_pointer = false;
template <class T, class D>
inline constexpr bool is_smart_pointer<std::unique_ptr<T, D>> = true;
template <class T>
inline constexpr bool is_smart_pointer<std::shared_ptr<T>> = true;

template <template <class...> class C, class... T, class... Seen>
    requires holds_elements<C>
struct Sendable<C<T...>, Seen...>
    : std::bool_constant<((std::is_empty_v<T> || sendable_member<T, C<T...>, Seen...>) && ...) &&
                         !(is_smart_pointer<C<T...>> && (std::is_polymorphic_v<T> || ...))> {};

template <class T, std::size_t N, class... Seen>
struct Sendable<std::array<T, N>, Seen...> : Sendable<T, Seen...> {};
template <class C, class Traits, class A, class... Seen>
struct Sendable<std::basic_string<C, Traits, A>, Seen...> : std::true_type {};
template <class... Seen>
struct Sendable<std::filesystem::path, Seen...> : std::true_type {};
template <class T, class... Seen>
struct Sendable<const T, Seen...> : std::false_type {};

template <class T>
inline constexpr bool sendable = Sendable<T>::value;

// --- Types that are one block of memory -----------------------------------------------------

template <class T>
constexpr bool is_one_block();

template <class T, std::size_t... I>
constexpr bool fields_are_blocks(std::index_sequence<I...>) {
    return (is_one_block<boost::pfr::tuple_element_t<I, T>>() && ...);
}

template <class T>
inline constexpr bool is_array_of_blocks = false;
template <class T, std::size_t N>
inline constexpr bool is_array_of_blocks<std::array<T, N>> = is_one_block<T>();

template <class T>
constexpr bool is_one_block() {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
        return true;
    } else if constexpr (is_array_of_blocks<T>) {
        return true;
    } else if constexpr (std::is_trivially_copyable_v<T> && PlainAggregate<T>) {
        return fields_are_blocks<T>(std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
    } else {
        return false;
    }
}

template <class T>
concept OneBlock = is_one_block<T>();

// --- How each kind is written and read; cereal finds these through the archive ---------------

template <class T>
    requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const T& value) {
    archive.writer.put(value);
}
template <class T>
    requires std::is_arithmetic_v<T>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, T& value) {
    archive.reader.read(&value, sizeof value);
}

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const cereal::BinaryData<T>& block) {
    archive.writer.write(block.data, static_cast<std::size_t>(block.size));
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, cereal::BinaryData<T>& block) {
    archive.reader.read(block.data, static_cast<std::size_t>(block.size));
}

template <class Archive, class T>
    requires std::same_as<Archive, OutputArchive> || std::same_as<Archive, InputArchive>
void CEREAL_SERIALIZE_FUNCTION_NAME(Archive& archive, cereal::NameValuePair<T>& pair) {
    archive(pair.value);
}
template <class Archive, class T>
    requires std::same_as<Archive, OutputArchive> || std::same_as<Archive, InputArchive>
void CEREAL_SERIALIZE_FUNCTION_NAME(Archive& archive, cereal::SizeTag<T>& tag) {
    archive(tag.size);
}

// Reads `count` elements straight into place: no pass that zeroes them first.
template <class Container>
void assign_block(InputArchive& archive, Container& container) {
    using T = typename Container::value_type;
    const auto count = archive.reader.take<std::size_t>();
    if (count > archive.reader.left() / sizeof(T)) archive.reader.view(SIZE_MAX);  // throws
    const std::byte* data = archive.reader.view(count * sizeof(T));
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) == 0) {
        const T* first = reinterpret_cast<const T*>(data);
        container.assign(first, first + count);
    } else {
        container.resize(count);
        if (count != 0) std::memcpy(container.data(), data, count * sizeof(T));
    }
}

inline void write_block(Writer& writer, const void* data, std::size_t count, std::size_t size) {
    writer.put(count);
    writer.write(data, count * size);
}

template <class C, class Traits, class A>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive,
                               const std::basic_string<C, Traits, A>& text) {
    write_block(archive.writer, text.data(), text.size(), sizeof(C));
}
template <class C, class Traits, class A>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, std::basic_string<C, Traits, A>& text) {
    assign_block(archive, text);
}

template <OneBlock T, class A>
    requires(!std::same_as<T, bool>)
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const std::vector<T, A>& vector) {
    write_block(archive.writer, vector.data(), vector.size(), sizeof(T));
}
template <OneBlock T, class A>
    requires(!std::same_as<T, bool>)
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, std::vector<T, A>& vector) {
    assign_block(archive, vector);
}

inline void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const std::filesystem::path& path) {
    archive(path.native());
}
inline void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, std::filesystem::path& path) {
    std::string text;
    archive(text);
    path = std::move(text);
}

template <PlainAggregate T>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const T& value) {
    if constexpr (OneBlock<T>) {
        archive.writer.put(value);
    } else {
        boost::pfr::for_each_field(value, [&](const auto& field) { archive(field); });
    }
}
template <PlainAggregate T>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, T& value) {
    if constexpr (OneBlock<T>) {
        archive.reader.read(&value, sizeof value);
    } else {
        boost::pfr::for_each_field(value, [&](auto& field) { archive(field); });
    }
}

// cereal refuses every raw pointer; see the specialisation at the end for functions.
template <class F>
    requires std::is_function_v<F>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, F* const& function) {
    write_code(archive.writer, reinterpret_cast<const void*>(function));
}
template <class F>
    requires std::is_function_v<F>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, F*& function) {
    function = reinterpret_cast<F*>(const_cast<void*>(read_code(archive.reader)));
}

}  // namespace detail

// Whether a value of type T can be sent to and from another process.
template <class T>
concept Sendable = detail::sendable<T>;

}  // namespace concurrent::futures

template <class Archive, class F>
    requires std::is_function_v<F> &&
             (std::same_as<Archive, concurrent::futures::detail::OutputArchive> ||
              std::same_as<Archive, concurrent::futures::detail::InputArchive>)
struct cereal::specialize<Archive, F*, cereal::specialization::non_member_load_save> {};
