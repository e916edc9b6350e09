// concurrent/futures/remote_error.hpp - exceptions that come home from a worker process.
//
// What a call throws in a worker is thrown again where its result is asked for.
// Exceptions of the standard library and of this library arrive as the type they
// were thrown as. So does any type registered at namespace scope:
//
//   struct OutOfPaper : std::runtime_error { using std::runtime_error::runtime_error; };
//   const auto registered = concurrent::futures::register_exception<OutOfPaper>();
//
// Everything else arrives as RemoteError, which keeps the name of the type and
// the text. Where it came from is kept for each of them, as Python's __cause__:
//
//   try {
//       future.result();
//   } catch (const std::exception& error) {
//       fmt::print("{}{}\n", error.what(), remote_traceback(std::current_exception()));
//   }
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>

#include <concurrent/futures/serialize.hpp>

namespace concurrent::futures {

// An exception whose type cannot cross: neither the standard's, nor ours, nor
// registered. what() is "Type: text".
class RemoteError : public std::runtime_error {
  public:
    RemoteError(std::string type_name, std::string text);
    ~RemoteError() override;
    // The type as it is written in C++, "printing::OutOfPaper".
    [[nodiscard]] const std::string& type_name() const noexcept { return type_name_; }
    // Its what(), empty for a type that has none.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

  private:
    std::string type_name_;
    std::string text_;
};

// Which process threw `error` and where: the worker's pid, the call, and the
// functions that were running, innermost last. Empty for an exception that came
// from no worker, and for a copy of one that did.
[[nodiscard]] std::string remote_traceback(const std::exception_ptr& error);

namespace detail {

struct RemoteOrigin;

// How one type of exception crosses: its state, beside its type and its text.
struct ExceptionCodec {
    const std::type_info* type;
    void (*save)(const void* exception, Writer& state);
    // Builds the exception. `state` is null when the type was registered here but
    // not in the worker; then the result may be null.
    std::exception_ptr (*load)(Reader* state, const std::string& text, const RemoteOrigin& origin);
};

bool add_exception_codec(const ExceptionCodec& codec);

// An exception of the dynamic type `type` that remembers its origin for as long
// as it lives. `construct` moves `source` to its place, `destroy` ends it.
std::exception_ptr make_remote(const std::type_info& type, std::size_t size, void* source,
                               void (*construct)(void* place, void* source), void (*destroy)(void*),
                               const RemoteOrigin& origin);
void forget_origin(const void* exception) noexcept;

template <class E>
std::exception_ptr make_remote(E error, const RemoteOrigin& origin) {
    return make_remote(
        typeid(E), sizeof(E), &error,
        [](void* place, void* source) { ::new (place) E(std::move(*static_cast<E*>(source))); },
        [](void* exception) {
            forget_origin(exception);
            static_cast<E*>(exception)->~E();
        },
        origin);
}

}  // namespace detail

// Lets exceptions of exactly the type E cross as themselves. Call it at
// namespace scope, as above, so that workers have done it too: they never run
// main(). E is sent whole if it is sendable (serialize.hpp); otherwise it must
// be constructible from its text, and only the text is sent.
//
// Returns true, for the sake of the variable. Thread: any.
template <class E>
bool register_exception() {
    static_assert(std::is_class_v<E> && std::is_copy_constructible_v<E>,
                  "an exception type must be a copyable class");
    if constexpr (detail::sendable<E>) {
        return detail::add_exception_codec({
            &typeid(E),
            [](const void* exception, detail::Writer& state) {
                detail::OutputArchive archive(state);
                archive(*static_cast<const E*>(exception));
            },
            [](detail::Reader* state, const std::string&, const detail::RemoteOrigin& origin) {
                if (state == nullptr) return std::exception_ptr();
                E error{};
                detail::InputArchive archive(*state);
                archive(error);
                return detail::make_remote(std::move(error), origin);
            },
        });
    } else {
        static_assert(std::is_constructible_v<E, const std::string&>,
                      "this exception type cannot be sent to another process: give it a "
                      "constructor from a string, or cereal's serialize function and a default "
                      "constructor, or register it with two functions");
        return detail::add_exception_codec({
            &typeid(E),
            [](const void*, detail::Writer&) {},
            [](detail::Reader*, const std::string& text, const detail::RemoteOrigin& origin) {
                return detail::make_remote(E(text), origin);
            },
        });
    }
}

// The same for a type that needs a hand: `save(error)` gives something sendable,
// and `load(value)` makes the exception from it. Both must be plain functions or
// capture-free lambdas.
//
//   const auto registered = register_exception<DiskFull>(
//       [](const DiskFull& error) { return error.free_bytes(); },
//       [](std::size_t free_bytes) { return DiskFull(free_bytes); });
template <class E, class Save, class Load>
bool register_exception(Save save, Load load) {
    using State = std::remove_cvref_t<std::invoke_result_t<Save&, const E&>>;
    static_assert(detail::sendable<State>, "what `save` returns cannot be sent to another process");
    static_assert(std::is_invocable_r_v<E, Load&, State>,
                  "`load` must make an E of what `save` returns");
    // A type is registered once, so that the pair can live in a static.
    static Save saver = std::move(save);
    static Load loader = std::move(load);
    return detail::add_exception_codec({
        &typeid(E),
        [](const void* exception, detail::Writer& state) {
            detail::OutputArchive archive(state);
            archive(State(saver(*static_cast<const E*>(exception))));
        },
        [](detail::Reader* state, const std::string&, const detail::RemoteOrigin& origin) {
            if (state == nullptr) return std::exception_ptr();
            State value{};
            detail::InputArchive archive(*state);
            archive(value);
            return detail::make_remote(E(loader(std::move(value))), origin);
        },
    });
}

}  // namespace concurrent::futures
