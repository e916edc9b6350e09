// asyncio/exceptions.hpp - every error this library throws, under Python's names.
//
// Two roots, as in Python. What a program may want to handle is a
// std::exception; what must pass through ordinary handlers is a BaseException:
//
//   BaseException            CancelledError, KeyboardInterrupt, SystemExit
//   std::exception           everything else
//
// So `catch (const std::exception&)` never swallows a cancellation:
//
//   try {
//       co_await work();
//   } catch (const std::exception& error) {   // errors, not cancellation
//       log(error.what());
//   }
//
// Source: Python's asyncio.exceptions and the built-in exceptions it uses.
#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace asyncio {

// The root of what `catch (const std::exception&)` must not see.
class BaseException {
  public:
    BaseException() = default;
    explicit BaseException(std::string message) : message_(std::move(message)) {}
    BaseException(const BaseException&) = default;
    BaseException& operator=(const BaseException&) = default;
    virtual ~BaseException();

    // The message, empty when there is none.
    [[nodiscard]] const char* what() const noexcept { return message_.c_str(); }
    [[nodiscard]] const std::string& message() const noexcept { return message_; }

  private:
    std::string message_;
};

// Thrown at the await that Task::cancel() interrupted. Rethrow it unless you
// mean to go on: a task that swallows it was not cancelled.
class CancelledError : public BaseException {
  public:
    using BaseException::BaseException;
    ~CancelledError() override;
};

// Ctrl-C, thrown out of asyncio::run() once the main task has wound down.
class KeyboardInterrupt : public BaseException {
  public:
    using BaseException::BaseException;
    ~KeyboardInterrupt() override;
};

// Thrown into a generator that is being closed, at the co_yield it stands at.
class GeneratorExit : public BaseException {
  public:
    using BaseException::BaseException;
    ~GeneratorExit() override;
};

// Thrown by code that wants the program to end with `code`. Passes through the
// loop and out of asyncio::run(); main() decides what to do with it.
class SystemExit : public BaseException {
  public:
    explicit SystemExit(int code = 0) : BaseException(std::to_string(code)), code_(code) {}
    ~SystemExit() override;
    [[nodiscard]] int code() const noexcept { return code_; }

  private:
    int code_;
};

// Misuse of an object: a loop run twice, a coroutine awaited twice, ...
class RuntimeError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~RuntimeError() override;
};

// What this build, platform or object cannot do at all.
class NotImplementedError : public RuntimeError {
  public:
    using RuntimeError::RuntimeError;
    ~NotImplementedError() override;
};

// An argument of the right type with a value that makes no sense.
class ValueError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
    ~ValueError() override;
};

// Text that is not in the encoding it should be in. Python's UnicodeError.
class UnicodeError : public ValueError {
  public:
    ~UnicodeError() override;
    // "utf-8", what was to be converted, which bytes of it are wrong, and why.
    [[nodiscard]] const std::string& encoding() const noexcept { return encoding_; }
    [[nodiscard]] const std::string& object() const noexcept { return object_; }
    [[nodiscard]] std::size_t start() const noexcept { return start_; }
    [[nodiscard]] std::size_t end() const noexcept { return end_; }
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

  protected:
    UnicodeError(std::string_view verb, std::string_view encoding, std::string object,
                 std::size_t start, std::size_t end, std::string_view reason);

  private:
    std::string encoding_;
    std::string object_;
    std::size_t start_;
    std::size_t end_;
    std::string reason_;
};
class UnicodeDecodeError : public UnicodeError {
  public:
    UnicodeDecodeError(std::string_view encoding, std::string object, std::size_t start,
                       std::size_t end, std::string_view reason)
        : UnicodeError("decode", encoding, std::move(object), start, end, reason) {}
    ~UnicodeDecodeError() override;
};
class UnicodeEncodeError : public UnicodeError {
  public:
    UnicodeEncodeError(std::string_view encoding, std::string object, std::size_t start,
                       std::size_t end, std::string_view reason)
        : UnicodeError("encode", encoding, std::move(object), start, end, reason) {}
    ~UnicodeEncodeError() override;
};

// An argument of the wrong type, where the compiler could not see it.
class TypeError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
    ~TypeError() override;
};

// A name or key that is not there.
class LookupError : public std::out_of_range {
  public:
    using std::out_of_range::out_of_range;
    ~LookupError() override;
};

// A future asked for what its state does not allow.
class InvalidStateError : public std::logic_error {
  public:
    using std::logic_error::logic_error;
    ~InvalidStateError() override;
};

// A failed system call. `code()` carries errno; the class tells the common
// cases apart, as Python does.
class OSError : public std::system_error {
  public:
    // `number` is an errno value, `what` names the call and its object.
    OSError(int number, const std::string& what);
    ~OSError() override;
    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
    // Python's OSError.errno; zero when no system call was involved.
    [[nodiscard]] int number() const noexcept { return code().value(); }

  protected:
    explicit OSError(const std::string& text);  // without an errno
    OSError(std::error_code code, const std::string& text);

  private:
    std::string text_;
};

// A deadline passed. One type for asyncio and concurrent::futures.
class TimeoutError : public OSError {
  public:
    TimeoutError() : TimeoutError(std::string()) {}
    explicit TimeoutError(const std::string& text) : OSError(text) {}
    TimeoutError(int number, const std::string& what) : OSError(number, what) {}
    ~TimeoutError() override;
};

class BlockingIOError : public OSError {
  public:
    using OSError::OSError;
};
class ChildProcessError : public OSError {
  public:
    using OSError::OSError;
};
class FileExistsError : public OSError {
  public:
    using OSError::OSError;
};
class FileNotFoundError : public OSError {
  public:
    using OSError::OSError;
};
class InterruptedError : public OSError {
  public:
    using OSError::OSError;
};
class IsADirectoryError : public OSError {
  public:
    using OSError::OSError;
};
class NotADirectoryError : public OSError {
  public:
    using OSError::OSError;
};
class PermissionError : public OSError {
  public:
    using OSError::OSError;
};
class ProcessLookupError : public OSError {
  public:
    using OSError::OSError;
};
class ConnectionError : public OSError {
  public:
    using OSError::OSError;
};
class BrokenPipeError : public ConnectionError {
  public:
    using ConnectionError::ConnectionError;
};
class ConnectionAbortedError : public ConnectionError {
  public:
    using ConnectionError::ConnectionError;
};
class ConnectionRefusedError : public ConnectionError {
  public:
    using ConnectionError::ConnectionError;
};
class ConnectionResetError : public ConnectionError {
  public:
    using ConnectionError::ConnectionError;
};

// Throws the subclass of OSError that Python uses for `number`.
[[noreturn]] void throw_os_error(int number, const std::string& what);

// The stream ended before what was asked for had arrived.
class EOFError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~EOFError() override;
};

class IncompleteReadError : public EOFError {
  public:
    // `partial` is what did arrive; `expected` is empty when no count was asked for.
    IncompleteReadError(std::string partial, std::optional<std::size_t> expected);
    ~IncompleteReadError() override;
    [[nodiscard]] const std::string& partial() const noexcept { return partial_; }
    [[nodiscard]] std::optional<std::size_t> expected() const noexcept { return expected_; }

  private:
    std::string partial_;
    std::optional<std::size_t> expected_;
};

// A separator was not found within the reader's limit.
class LimitOverrunError : public std::runtime_error {
  public:
    LimitOverrunError(const std::string& message, std::size_t consumed)
        : std::runtime_error(message), consumed_(consumed) {}
    ~LimitOverrunError() override;
    // How many bytes of the buffer may be discarded.
    [[nodiscard]] std::size_t consumed() const noexcept { return consumed_; }

  private:
    std::size_t consumed_;
};

// A barrier was reset or aborted while tasks waited at it.
class BrokenBarrierError : public RuntimeError {
  public:
    using RuntimeError::RuntimeError;
    ~BrokenBarrierError() override;
};

// The operating system cannot send this file over this transport.
class SendfileNotAvailableError : public RuntimeError {
  public:
    using RuntimeError::RuntimeError;
    ~SendfileNotAvailableError() override;
};

// "TypeName: message" of a stored exception, for logs. Empty for a null one.
[[nodiscard]] std::string describe_exception(const std::exception_ptr& error);

// The demangled type of a stored exception, "CancelledError" for
// "asyncio::CancelledError"; names outside this library stay qualified.
[[nodiscard]] std::string exception_type_name(const std::exception_ptr& error);

// Whether a stored exception is an E (or derived from it). Costs no rethrow.
template <class E>
[[nodiscard]] bool holds_exception(const std::exception_ptr& error) noexcept;

namespace detail {
// The exception as `caught`'s type, null if it is another.
[[nodiscard]] const void* exception_as(const std::exception_ptr& error,
                                       const std::type_info& caught) noexcept;
}  // namespace detail

template <class E>
bool holds_exception(const std::exception_ptr& error) noexcept {
    return error && detail::exception_as(error, typeid(E)) != nullptr;
}

}  // namespace asyncio
