// concurrent/futures/process_detail.hpp - private: a call as bytes.
//
// A call is the address of a function instantiated for its types, then the
// callable, then the arguments. The worker reads the address, which its copy of
// the program has as well, and that function reads the rest, calls and writes
// the result.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <concurrent/futures/serialize.hpp>

namespace concurrent::futures::detail {

// What runs a call in the worker.
using RemoteFunction = void(Reader& call, Writer& result);

// --- Arguments ------------------------------------------------------------------------------

// An argument at its destination. Most types are themselves there.
template <class T>
struct Carried {
    explicit Carried(InputArchive& archive) { archive(value); }
    static void write(OutputArchive& archive, const T& value) { archive(value); }
    T&& pass() { return std::move(value); }

    T value{};
};

// Capture-free lambdas and function objects without state: the type is all of it.
template <class T>
    requires(std::is_empty_v<T> && std::is_trivially_copyable_v<T>)
struct Carried<T> {
    explicit Carried(InputArchive&) {}
    static void write(OutputArchive&, const T&) {}
    T&& pass() { return std::move(value); }

    T value = std::bit_cast<T>(std::array<std::byte, sizeof(T)>{});
};

// Views arrive with the data they look at, which lives until the call returns.
template <class C, class Traits>
struct Carried<std::basic_string_view<C, Traits>> {
    using View = std::basic_string_view<C, Traits>;
    explicit Carried(InputArchive& archive) { archive(value); }
    static void write(OutputArchive& archive, View view) {
        write_block(archive.writer, view.data(), view.size(), sizeof(C));
    }
    View pass() { return value; }

    std::basic_string<C, Traits> value;
};

template <class C>
struct CarriedText : Carried<std::basic_string_view<C>> {
    using Carried<std::basic_string_view<C>>::Carried;
    C* pass() { return this->value.data(); }
};
template <>
struct Carried<const char*> : CarriedText<char> {
    using CarriedText::CarriedText;
};
template <>
struct Carried<char*> : CarriedText<char> {
    using CarriedText::CarriedText;
};

template <OneBlock T>
    requires(!std::same_as<T, bool>)
struct Carried<std::span<const T>> {
    explicit Carried(InputArchive& archive) { archive(value); }
    static void write(OutputArchive& archive, std::span<const T> view) {
        write_block(archive.writer, view.data(), view.size(), sizeof(T));
    }
    std::span<const T> pass() { return value; }

    std::vector<T> value;
};

template <class T>
inline constexpr bool sendable_view = false;
template <class C, class Traits>
inline constexpr bool sendable_view<std::basic_string_view<C, Traits>> = true;
template <>
inline constexpr bool sendable_view<const char*> = true;
template <>
inline constexpr bool sendable_view<char*> = true;
template <OneBlock T>
inline constexpr bool sendable_view<std::span<const T>> = !std::same_as<T, bool>;

template <class T>
inline constexpr bool sendable_argument = sendable<T> || sendable_view<T>;

template <class T>
using Passed = decltype(std::declval<Carried<T>&>().pass());

// --- Calls ----------------------------------------------------------------------------------

template <class F>
struct CallableCheck {
    static_assert(!std::is_member_pointer_v<F>,
                  "this callable cannot be sent to another process: it is a pointer to a member; "
                  "call it from a plain function or a capture-free lambda");
    static_assert(std::is_member_pointer_v<F> || sendable<F>,
                  "this callable cannot be sent to another process: it captures state; pass the "
                  "data as arguments");
    static constexpr bool value = !std::is_member_pointer_v<F> && sendable<F>;
};

template <class A>
struct ArgumentCheck {
    static_assert(!std::is_pointer_v<A> || sendable_argument<A>,
                  "this argument cannot be sent to another process: a pointer means nothing "
                  "there; pass the value");
    static_assert(std::is_pointer_v<A> || sendable_argument<A>,
                  "this argument cannot be sent to another process: it is no number, string, "
                  "container or plain aggregate of such; give its class a serialize function "
                  "(concurrent/futures/serialize.hpp)");
    static constexpr bool value = sendable_argument<A>;
};

template <class R>
struct ResultCheck {
    static_assert(std::is_void_v<R> || sendable<R>,
                  "the result of this callable cannot be sent back from another process; return a "
                  "value that owns its data (concurrent/futures/serialize.hpp)");
    static constexpr bool value = std::is_void_v<R> || sendable<R>;
};

// Whether `f(args...)` can run in another process. If not, the compiler's first
// error says why.
template <class F, class... Args>
constexpr bool check_call() {
    if constexpr (CallableCheck<F>::value && (true && ... && ArgumentCheck<Args>::value)) {
        constexpr bool invocable = std::is_invocable_v<F&, Passed<Args>...>;
        static_assert(invocable, "this callable cannot be called with copies of these arguments");
        if constexpr (invocable) {
            return ResultCheck<std::decay_t<std::invoke_result_t<F&, Passed<Args>...>>>::value;
        }
    }
    return false;
}

// `F` and `Args` are decayed, the result too: nothing can refer across processes.
template <class F, class... Args>
struct RemoteCall {
    using Result = std::decay_t<std::invoke_result_t<F&, Passed<Args>...>>;

    static void write(Writer& writer, const F& function, const Args&... args) {
        write_code(writer, reinterpret_cast<const void*>(&run));
        OutputArchive archive(writer);
        Carried<F>::write(archive, function);
        (Carried<Args>::write(archive, args), ...);
    }

    static void run(Reader& call, Writer& result) {
        InputArchive archive(call);
        Carried<F> function(archive);
        // In the order they were written; a tuple would construct them in its own.
        std::tuple<std::optional<Carried<Args>>...> arguments;
        std::apply([&](auto&... argument) { (argument.emplace(archive), ...); }, arguments);
        std::apply(
            [&](auto&... argument) {
                if constexpr (std::is_void_v<Result>) {
                    std::invoke(function.value, argument->pass()...);
                } else {
                    OutputArchive answer(result);
                    answer(static_cast<const Result&>(
                        std::invoke(function.value, argument->pass()...)));
                }
            },
            arguments);
    }
};

// --- The pool's side ------------------------------------------------------------------------

// One call as the pool sees it: the future of whoever submitted it.
class RemoteWork {
  public:
    RemoteWork() = default;
    RemoteWork(const RemoteWork&) = delete;
    RemoteWork& operator=(const RemoteWork&) = delete;
    virtual ~RemoteWork() = default;

    // Pending becomes running. False if it was cancelled; then nothing else follows.
    virtual bool start() = 0;
    virtual bool cancel() = 0;
    // Reads the result, without telling anyone yet; then tells.
    virtual void decode(Reader& result) = 0;
    virtual void publish() = 0;
    virtual void fail(std::exception_ptr error) = 0;
};

// Writes one call. Called at most once, before submit() returns.
class CallWriter {
  public:
    virtual void write(Writer& writer) const = 0;

  protected:
    ~CallWriter() = default;
};

}  // namespace concurrent::futures::detail
