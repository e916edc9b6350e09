#include <asyncio/exceptions.hpp>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <typeinfo>

namespace asyncio {

// Out of line so that each type has one vtable and one typeinfo, also across
// shared libraries.
BaseException::~BaseException() = default;
CancelledError::~CancelledError() = default;
KeyboardInterrupt::~KeyboardInterrupt() = default;
GeneratorExit::~GeneratorExit() = default;
SystemExit::~SystemExit() = default;
RuntimeError::~RuntimeError() = default;
NotImplementedError::~NotImplementedError() = default;
ValueError::~ValueError() = default;
UnicodeError::~UnicodeError() = default;
UnicodeDecodeError::~UnicodeDecodeError() = default;
UnicodeEncodeError::~UnicodeEncodeError() = default;
TypeError::~TypeError() = default;
LookupError::~LookupError() = default;
InvalidStateError::~InvalidStateError() = default;
OSError::~OSError() = default;
TimeoutError::~TimeoutError() = default;
EOFError::~EOFError() = default;
IncompleteReadError::~IncompleteReadError() = default;
LimitOverrunError::~LimitOverrunError() = default;
BrokenBarrierError::~BrokenBarrierError() = default;
SendfileNotAvailableError::~SendfileNotAvailableError() = default;

OSError::OSError(int number, const std::string& what)
    : std::system_error(number, std::generic_category()),
      text_("[Errno " + std::to_string(number) + "] " +
            std::generic_category().message(number) + (what.empty() ? "" : ": " + what)) {}

OSError::OSError(std::error_code code, const std::string& text)
    : std::system_error(code), text_(text) {}

OSError::OSError(const std::string& text)
    : std::system_error(0, std::generic_category()), text_(text) {}

IncompleteReadError::IncompleteReadError(std::string partial, std::optional<std::size_t> expected)
    : EOFError(std::to_string(partial.size()) + " bytes read on a total of " +
               (expected ? std::to_string(*expected) : std::string("undefined")) +
               " expected bytes"),
      partial_(std::move(partial)),
      expected_(expected) {}

namespace {

std::string unicode_error_text(std::string_view verb, std::string_view encoding,
                               std::string_view object, std::size_t start, std::size_t end,
                               std::string_view reason) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text = "'" + std::string(encoding) + "' codec can't " + std::string(verb);
    if (end - start == 1 && start < object.size()) {
        const auto byte = static_cast<unsigned char>(object[start]);
        text += " byte 0x";
        text += digits[byte >> 4];
        text += digits[byte & 15];
        text += " in position " + std::to_string(start);
    } else {
        text += " bytes in position " + std::to_string(start) + "-" + std::to_string(end - 1);
    }
    return text.append(": ").append(reason);
}

}  // namespace

UnicodeError::UnicodeError(std::string_view verb, std::string_view encoding, std::string object,
                           std::size_t start, std::size_t end, std::string_view reason)
    : ValueError(unicode_error_text(verb, encoding, object, start, end, reason)),
      encoding_(encoding),
      object_(std::move(object)),
      start_(start),
      end_(end),
      reason_(reason) {}

void throw_os_error(int number, const std::string& what) {
    switch (number) {
        case EAGAIN:
        case EALREADY:
        case EINPROGRESS:
            throw BlockingIOError(number, what);
        case ECHILD:
            throw ChildProcessError(number, what);
        case EEXIST:
            throw FileExistsError(number, what);
        case ENOENT:
            throw FileNotFoundError(number, what);
        case EINTR:
            throw InterruptedError(number, what);
        case EISDIR:
            throw IsADirectoryError(number, what);
        case ENOTDIR:
            throw NotADirectoryError(number, what);
        case EACCES:
        case EPERM:
            throw PermissionError(number, what);
        case ESRCH:
            throw ProcessLookupError(number, what);
        case EPIPE:
        case ESHUTDOWN:
            throw BrokenPipeError(number, what);
        case ECONNABORTED:
            throw ConnectionAbortedError(number, what);
        case ECONNREFUSED:
            throw ConnectionRefusedError(number, what);
        case ECONNRESET:
            throw ConnectionResetError(number, what);
        case ETIMEDOUT:
            throw TimeoutError(number, what);
        default:
            throw OSError(number, what);
    }
}

namespace {

std::string demangle(const std::type_info& type) {
    int status = 0;
    char* name = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
    std::string result = status == 0 ? name : type.name();
    std::free(name);
    // What std::throw_with_nested() makes of a type.
    for (const char* nested : {"std::_Nested_exception<", "std::__1::__nested<"}) {
        if (!result.starts_with(nested) || !result.ends_with('>')) continue;
        result = result.substr(std::strlen(nested));
        result.pop_back();
    }
    if (result.starts_with("asyncio::")) result.erase(0, std::strlen("asyncio::"));
    return result;
}

}  // namespace

namespace detail {

const void* exception_as(const std::exception_ptr& error, const std::type_info& caught) noexcept {
    // exception_ptr is one pointer to the thrown object under the Itanium ABI.
    // __do_catch is what the unwinder itself asks to match a handler.
    void* object = nullptr;
    static_assert(sizeof error == sizeof object);
    std::memcpy(&object, static_cast<const void*>(&error), sizeof object);
    if (object == nullptr) return nullptr;
    return caught.__do_catch(error.__cxa_exception_type(), &object, 1) ? object : nullptr;
}

}  // namespace detail

std::string exception_type_name(const std::exception_ptr& error) {
    return error ? demangle(*error.__cxa_exception_type()) : std::string();
}

std::string describe_exception(const std::exception_ptr& error) {
    if (!error) return {};
    std::string text = exception_type_name(error);
    const char* what = nullptr;
    if (const void* base = detail::exception_as(error, typeid(BaseException))) {
        what = static_cast<const BaseException*>(base)->what();
    } else if (const void* standard = detail::exception_as(error, typeid(std::exception))) {
        what = static_cast<const std::exception*>(standard)->what();
    }
    if (what != nullptr && *what != '\0') text.append(": ").append(what);
    return text;
}

}  // namespace asyncio
