#include <concurrent/futures/remote_error.hpp>

#include <cxxabi.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <typeindex>
#include <unordered_map>
#include <utility>
#include <variant>

#include "process_errors.hpp"
#include "process_wire.hpp"

namespace concurrent::futures {

RemoteError::RemoteError(std::string type_name, std::string text)
    : std::runtime_error(text.empty() ? type_name : type_name + ": " + text),
      type_name_(std::move(type_name)),
      text_(std::move(text)) {}
RemoteError::~RemoteError() = default;

namespace detail {
namespace {

// --- Codecs of the types everybody has --------------------------------------------------------

template <class E>
const E& as(const void* exception) {
    return *static_cast<const E*>(exception);
}

void save_nothing(const void*, Writer&) {}

// A type that is its text.
template <class E>
ExceptionCodec of_text() {
    return {&typeid(E), save_nothing,
            [](Reader*, const std::string& text, const RemoteOrigin& origin) {
                return make_remote(E(text), origin);
            }};
}

// A type that says the same each time.
template <class E>
ExceptionCodec of_type() {
    return {&typeid(E), save_nothing, [](Reader*, const std::string&, const RemoteOrigin& origin) {
                return make_remote(E(), origin);
            }};
}

enum class Category : std::uint8_t { generic, system, iostream, future, other };

Category category_of(const std::error_code& code) {
    if (code.category() == std::generic_category()) return Category::generic;
    if (code.category() == std::system_category()) return Category::system;
    if (code.category() == std::iostream_category()) return Category::iostream;
    if (code.category() == std::future_category()) return Category::future;
    return Category::other;
}

void write_code_of(Writer& writer, const std::error_code& code) {
    writer.put(category_of(code));
    writer.put(code.value());
}

// None for a category that belongs to some other library.
std::optional<std::error_code> read_code_of(Reader& reader) {
    const auto category = reader.take<Category>();
    const auto value = reader.take<int>();
    switch (category) {
        case Category::generic:
            return std::error_code(value, std::generic_category());
        case Category::system:
            return std::error_code(value, std::system_category());
        case Category::iostream:
            return std::error_code(value, std::iostream_category());
        case Category::future:
            return std::error_code(value, std::future_category());
        case Category::other:
            break;
    }
    return std::nullopt;
}

// The constructors of system errors compose what(); this takes their part off
// again, so that the text does not grow with each crossing.
std::string without_suffix(std::string text, const std::string& suffix) {
    if (text.ends_with(suffix)) text.resize(text.size() - suffix.size());
    return text;
}
std::string without_prefix(std::string text, const std::string& prefix) {
    if (text.starts_with(prefix)) text.erase(0, prefix.size());
    return text;
}

template <class E>
ExceptionCodec of_error_code() {
    return {&typeid(E),
            [](const void* error, Writer& state) { write_code_of(state, as<E>(error).code()); },
            [](Reader* state, const std::string& text, const RemoteOrigin& origin) {
                const auto code = read_code_of(*state);
                if (!code) return std::exception_ptr();
                const std::string what = without_suffix(text, ": " + code->message());
                if constexpr (std::is_constructible_v<E, std::error_code, std::string>) {
                    if (text == code->message()) return make_remote(E(*code), origin);
                    return make_remote(E(*code, what), origin);
                } else {
                    return make_remote(E(what, *code), origin);
                }
            }};
}

ExceptionCodec of_future_error() {
    return {&typeid(std::future_error),
            [](const void* error, Writer& state) {
                state.put(as<std::future_error>(error).code().value());
            },
            [](Reader* state, const std::string&, const RemoteOrigin& origin) {
                return make_remote(
                    std::future_error(static_cast<std::future_errc>(state->take<int>())), origin);
            }};
}

ExceptionCodec of_filesystem_error() {
    using Error = std::filesystem::filesystem_error;
    return {&typeid(Error),
            [](const void* error, Writer& state) {
                write_code_of(state, as<Error>(error).code());
                OutputArchive archive(state);
                archive(as<Error>(error).path1(), as<Error>(error).path2());
            },
            [](Reader* state, const std::string& text, const RemoteOrigin& origin) {
                const auto code = read_code_of(*state);
                if (!code) return std::exception_ptr();
                std::filesystem::path first, second;
                InputArchive archive(*state);
                archive(first, second);
                std::string what = without_prefix(text, "filesystem error: ");
                what.resize(std::min(what.find(": " + code->message()), what.size()));
                if (!second.empty()) return make_remote(Error(what, first, second, *code), origin);
                if (!first.empty()) return make_remote(Error(what, first, *code), origin);
                return make_remote(Error(what, *code), origin);
            }};
}

template <class E>
ExceptionCodec of_os_error() {
    return {&typeid(E), [](const void* error, Writer& state) { state.put(as<E>(error).number()); },
            [](Reader* state, const std::string& text, const RemoteOrigin& origin) {
                const int number = state->take<int>();
                if constexpr (std::is_constructible_v<E, const std::string&>) {
                    if (number == 0) return make_remote(E(text), origin);
                }
                const std::string composed = E(number, "").what();
                if (text == composed) return make_remote(E(number, ""), origin);
                return make_remote(E(number, without_prefix(text, composed + ": ")), origin);
            }};
}

ExceptionCodec of_system_exit() {
    return {
        &typeid(asyncio::SystemExit),
        [](const void* error, Writer& state) { state.put(as<asyncio::SystemExit>(error).code()); },
        [](Reader* state, const std::string&, const RemoteOrigin& origin) {
            return make_remote(asyncio::SystemExit(state->take<int>()), origin);
        }};
}

ExceptionCodec of_incomplete_read() {
    using Error = asyncio::IncompleteReadError;
    return {&typeid(Error),
            [](const void* error, Writer& state) {
                OutputArchive archive(state);
                archive(as<Error>(error).partial(), as<Error>(error).expected());
            },
            [](Reader* state, const std::string&, const RemoteOrigin& origin) {
                std::string partial;
                std::optional<std::size_t> expected;
                InputArchive archive(*state);
                archive(partial, expected);
                return make_remote(Error(std::move(partial), expected), origin);
            }};
}

ExceptionCodec of_limit_overrun() {
    using Error = asyncio::LimitOverrunError;
    return {&typeid(Error),
            [](const void* error, Writer& state) { state.put(as<Error>(error).consumed()); },
            [](Reader* state, const std::string& text, const RemoteOrigin& origin) {
                return make_remote(Error(text, state->take<std::size_t>()), origin);
            }};
}

ExceptionCodec of_remote_error() {  // a worker that used a pool of its own
    return {&typeid(RemoteError),
            [](const void* error, Writer& state) {
                OutputArchive archive(state);
                archive(as<RemoteError>(error).type_name(), as<RemoteError>(error).text());
            },
            [](Reader* state, const std::string&, const RemoteOrigin& origin) {
                std::string type, text;
                InputArchive archive(*state);
                archive(type, text);
                return make_remote(RemoteError(std::move(type), std::move(text)), origin);
            }};
}

class Codecs {
  public:
    Codecs() {
        add_all_of_text<std::runtime_error, std::logic_error, std::invalid_argument,
                        std::domain_error, std::length_error, std::out_of_range, std::range_error,
                        std::overflow_error, std::underflow_error, asyncio::RuntimeError,
                        asyncio::NotImplementedError, asyncio::ValueError, asyncio::TypeError,
                        asyncio::LookupError, asyncio::InvalidStateError, asyncio::EOFError,
                        asyncio::BrokenBarrierError, asyncio::SendfileNotAvailableError,
                        asyncio::BaseException, asyncio::CancelledError, asyncio::KeyboardInterrupt,
                        SerializationError>();
        add_all_of_type<std::exception, std::bad_exception, std::bad_alloc,
                        std::bad_array_new_length, std::bad_cast, std::bad_typeid,
                        std::bad_function_call, std::bad_weak_ptr, std::bad_optional_access,
                        std::bad_variant_access>();
        add_all_os_errors<
            asyncio::OSError, asyncio::TimeoutError, asyncio::BlockingIOError,
            asyncio::ChildProcessError, asyncio::FileExistsError, asyncio::FileNotFoundError,
            asyncio::InterruptedError, asyncio::IsADirectoryError, asyncio::NotADirectoryError,
            asyncio::PermissionError, asyncio::ProcessLookupError, asyncio::ConnectionError,
            asyncio::BrokenPipeError, asyncio::ConnectionAbortedError,
            asyncio::ConnectionRefusedError, asyncio::ConnectionResetError>();
        add(of_error_code<std::system_error>());
        add(of_error_code<std::ios_base::failure>());
        add(of_future_error());
        add(of_filesystem_error());
        add(of_system_exit());
        add(of_incomplete_read());
        add(of_limit_overrun());
        add(of_remote_error());
    }

    void add(const ExceptionCodec& codec) {
        const std::lock_guard lock(mutex_);
        by_name_.insert_or_assign(codec.type->name(), codec);
    }
    std::optional<ExceptionCodec> find(const std::string& name) {
        const std::lock_guard lock(mutex_);
        const auto found = by_name_.find(name);
        if (found == by_name_.end()) return std::nullopt;
        return found->second;
    }
    std::mutex& mutex() noexcept { return mutex_; }

  private:
    template <class... E>
    void add_all_of_text() {
        (add(of_text<E>()), ...);
    }
    template <class... E>
    void add_all_of_type() {
        (add(of_type<E>()), ...);
    }
    template <class... E>
    void add_all_os_errors() {
        (add(of_os_error<E>()), ...);
    }

    std::mutex mutex_;
    std::unordered_map<std::string, ExceptionCodec> by_name_;
};

Codecs& codecs() {
    static Codecs& all = *new Codecs;  // outlives whatever throws at exit
    return all;
}

// --- Origins ----------------------------------------------------------------------------------

// Origins of the exceptions that are alive, by the address of the object. So an
// exception keeps its exact type and can still be asked where it came from.
class Origins {
  public:
    void add(const void* exception, const RemoteOrigin& origin) {
        const std::lock_guard lock(mutex_);
        by_exception_.insert_or_assign(exception, origin);
    }
    void remove(const void* exception) noexcept {
        const std::lock_guard lock(mutex_);
        by_exception_.erase(exception);
    }
    std::optional<RemoteOrigin> find(const void* exception) {
        const std::lock_guard lock(mutex_);
        const auto found = by_exception_.find(exception);
        if (found == by_exception_.end()) return std::nullopt;
        return found->second;
    }
    std::mutex& mutex() noexcept { return mutex_; }

  private:
    std::mutex mutex_;
    std::unordered_map<const void*, RemoteOrigin> by_exception_;
};

Origins& origins() {
    static Origins& all = *new Origins;
    return all;
}

// An exception_ptr is one pointer to the object under the Itanium ABI.
const void* object_of(const std::exception_ptr& error) {
    const void* object = nullptr;
    static_assert(sizeof error == sizeof object);
    std::memcpy(&object, static_cast<const void*>(&error), sizeof object);
    return object;
}

void write_text(Writer& writer, const std::string& text) {
    writer.put(text.size());
    writer.write(text.data(), text.size());
}
std::string read_text(Reader& reader) {
    const auto size = reader.take<std::size_t>();
    return {reinterpret_cast<const char*>(reader.view(size)), size};
}

// what(), and the value itself for the plain types that programs throw.
std::string text_of(const std::exception_ptr& error) {
    using asyncio::detail::exception_as;
    if (const void* found = exception_as(error, typeid(asyncio::BaseException))) {
        return as<asyncio::BaseException>(found).what();
    }
    if (const void* found = exception_as(error, typeid(std::exception))) {
        return as<std::exception>(found).what();
    }
    try {
        std::rethrow_exception(error);
    } catch (const std::string& text) {
        return text;
    } catch (const char* text) {
        return text;
    } catch (int number) {
        return std::to_string(number);
    } catch (...) {
        return {};
    }
}

}  // namespace

void lock_error_tables() {
    codecs().mutex().lock();
    origins().mutex().lock();
}
void unlock_error_tables() {
    origins().mutex().unlock();
    codecs().mutex().unlock();
}

bool add_exception_codec(const ExceptionCodec& codec) {
    codecs().add(codec);
    return true;
}

std::exception_ptr make_remote(const std::type_info& type, std::size_t size, void* source,
                               void (*construct)(void* place, void* source), void (*destroy)(void*),
                               const RemoteOrigin& origin) {
    void* exception = abi::__cxa_allocate_exception(size);
    try {
        construct(exception, source);
    } catch (...) {
        abi::__cxa_free_exception(exception);
        throw;
    }
    try {
        origins().add(exception, origin);
    } catch (const std::bad_alloc&) {
        // The exception matters more than where it came from.
    }
    try {
        abi::__cxa_throw(exception, const_cast<std::type_info*>(&type), destroy);
    } catch (...) {
        return std::current_exception();
    }
}

void forget_origin(const void* exception) noexcept {
    origins().remove(exception);
}

void write_exception(Writer& writer, const std::exception_ptr& error,
                     const std::vector<const void*>& running) {
    const std::string name = error.__cxa_exception_type()->name();
    write_text(writer, name);
    write_text(writer, asyncio::exception_type_name(error));
    write_text(writer, text_of(error));
    writer.put(getpid());
    writer.put(running.size());
    for (const void* address : running) {
        const CodePlace place = place_of(address);
        write_text(writer, place.module);
        writer.put(place.offset);
    }

    const auto codec = codecs().find(name);
    MessageWriter state;
    bool has_state = codec.has_value();
    try {
        if (codec) codec->save(object_of(error), state);
    } catch (...) {
        has_state = false;  // its save function threw: the text has to do
    }
    writer.put(has_state);
    const auto bytes = state.payload();
    if (has_state) writer.write(bytes.data(), bytes.size());
}

std::exception_ptr read_exception(Reader& reader) {
    const std::string name = read_text(reader);
    std::string type_name = read_text(reader);
    std::string text = read_text(reader);
    RemoteOrigin origin;
    origin.error = text.empty() ? type_name : type_name + ": " + text;
    origin.pid = reader.take<pid_t>();
    origin.running.resize(reader.take<std::size_t>());
    for (CodePlace& place : origin.running) {
        place.module = read_text(reader);
        place.offset = reader.take<std::uint64_t>();
    }
    const bool has_state = reader.take<bool>();

    if (const auto codec = codecs().find(name)) {
        try {
            if (auto error = codec->load(has_state ? &reader : nullptr, text, origin)) return error;
        } catch (...) {
            // Its load function threw: the text has to do.
        }
    }
    return make_remote(RemoteError(std::move(type_name), std::move(text)), origin);
}

std::string read_description(Reader& reader) {
    read_text(reader);
    std::string type_name = read_text(reader);
    const std::string text = read_text(reader);
    return text.empty() ? type_name : type_name + ": " + text;
}

}  // namespace detail

std::string remote_traceback(const std::exception_ptr& error) {
    const auto origin = detail::origins().find(detail::object_of(error));
    if (!origin) return {};
    std::string text = "\n\"\"\"\nTraceback (most recent call last), worker process " +
                       std::to_string(origin->pid) + ":\n";
    const auto names = detail::name_places(origin->running);
    for (auto name = names.rbegin(); name != names.rend(); ++name) text += "  in " + *name + "\n";
    return text + origin->error + "\n\"\"\"";
}

}  // namespace concurrent::futures
