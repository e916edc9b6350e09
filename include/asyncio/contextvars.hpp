// asyncio/contextvars.hpp - variables that follow a task instead of a thread.
//
//   ContextVar<std::string> request_id("request_id");
//
//   Coroutine<void> handle(std::string id) {
//       request_id.set(std::move(id));   // seen by this task and what it starts
//       co_await work();                 // and by nobody else
//   }
//
// Each task runs in a copy of the context in which it was created. A copy is O(1); a first
// write after it copies the variables, O(n) in those set. Contexts are not thread-safe;
// to_thread() gives the worker its own copy.
//
// Source: Python's contextvars.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asyncio/exceptions.hpp>
#include <asyncio/memory_detail.hpp>
#include <asyncio/thread_state_detail.hpp>

namespace asyncio {

class Context;

namespace detail {

using VarValue = std::shared_ptr<const void>;

// The variables of a context, shared by its copies until one of them writes.
struct VarMap {
    std::vector<std::pair<std::uint64_t, VarValue>> values;  // sorted by variable
};

struct ContextData : Recycled {
    RefCount references;
    bool entered = false;
    std::shared_ptr<const VarMap> variables;

    void add_reference() noexcept { references.add(); }
    void drop_reference() noexcept {
        if (references.drop()) delete this;
    }
};

// Where a task, a handle or a thread keeps its context. Empty until somebody writes to it or
// asks for it, so that programs without context variables pay one null pointer.
using ContextSlot = Ref<ContextData>;

// Makes `slot` current and returns what was; the caller puts that back.
inline ContextSlot* exchange_current_context(ContextSlot* slot) noexcept {
    return std::exchange(this_thread.context, slot);
}
[[nodiscard]] ContextSlot& current_context() noexcept;
[[nodiscard]] ContextSlot copy_of(const ContextSlot& slot);
[[nodiscard]] inline ContextSlot copy_current_context() {
    const ContextSlot* const slot = this_thread.context;
    if (slot != nullptr && (!*slot || !(*slot)->variables)) [[likely]]
        return {};
    return copy_of(current_context());
}
[[nodiscard]] std::uint64_t new_variable_id() noexcept;
[[nodiscard]] const VarValue* find_variable(const ContextSlot& slot, std::uint64_t id) noexcept;
// A null value erases.
void store_variable(ContextSlot& slot, std::uint64_t id, VarValue value);
[[nodiscard]] Context share(ContextSlot& slot);

}  // namespace detail

template <class T>
class Token;
template <class T>
class TokenGuard;

// A variable with one value per context. Make it at namespace scope; it may be destroyed
// before contexts that still hold a value of it.
template <class T>
class ContextVar {
  public:
    explicit ContextVar(std::string name) : name_(std::move(name)) {}
    ContextVar(std::string name, T default_value)
        : name_(std::move(name)), default_(std::move(default_value)) {}
    ContextVar(const ContextVar&) = delete;
    ContextVar& operator=(const ContextVar&) = delete;

    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    // The value in the current context, else the default.
    // Throws: LookupError when there is neither.
    [[nodiscard]] T get() const {
        if (const T* value = find()) return *value;
        if (default_) return *default_;
        throw LookupError("context variable '" + name_ +
                          "' has no value here and no default; call set() first or get(default)");
    }
    [[nodiscard]] T get(T fallback) const {
        const T* value = find();
        return value ? *value : std::move(fallback);
    }

    // Sets it in the current context. The token undoes exactly this change.
    Token<T> set(T value);
    // Sets it for as long as the guard lives, which must end in the context it began in.
    // Source: the Token of Python 3.14 as a context manager.
    [[nodiscard]] TokenGuard<T> scoped(T value);

    // Puts back what `token.var()` held before the set() that returned it.
    // Throws: RuntimeError when used a second time, ValueError for a token of another
    // variable or context.
    void reset(Token<T>& token);

  private:
    friend class asyncio::Context;

    const T* find() const noexcept {
        const detail::VarValue* value = detail::find_variable(detail::current_context(), id_);
        return value ? static_cast<const T*>(value->get()) : nullptr;
    }

    const std::uint64_t id_ = detail::new_variable_id();
    std::string name_;
    std::optional<T> default_;
};

// What ContextVar::set() returns.
template <class T>
class Token {
  public:
    [[nodiscard]] const ContextVar<T>& var() const noexcept { return *variable_; }
    // The value before the set(); nullopt is Python's Token.MISSING.
    [[nodiscard]] std::optional<T> old_value() const {
        if (!old_) return std::nullopt;
        return *static_cast<const T*>(old_.get());
    }

  private:
    friend class ContextVar<T>;
    friend class TokenGuard<T>;
    ContextVar<T>* variable_ = nullptr;
    detail::Ref<detail::ContextData> context_;
    detail::VarValue old_;
    bool used_ = false;
};

// What ContextVar::scoped() returns.
template <class T>
class TokenGuard {
  public:
    TokenGuard(ContextVar<T>& variable, T value)
        : variable_(variable), token_(variable.set(std::move(value))) {}
    TokenGuard(const TokenGuard&) = delete;
    TokenGuard& operator=(const TokenGuard&) = delete;
    // Where it was carried into another context there is nothing to put back.
    ~TokenGuard() {
        if (token_.context_ == detail::current_context()) variable_.reset(token_);
    }

  private:
    ContextVar<T>& variable_;
    Token<T> token_;
};

template <class T>
TokenGuard<T> ContextVar<T>::scoped(T value) {
    return TokenGuard<T>(*this, std::move(value));
}

// A set of variables with their values. Copying the handle shares it, copy() does not.
class Context {
  public:
    // An empty one.
    Context() : data_(new detail::ContextData) {}

    // Runs `f(args...)` with this as the current context; its set() calls write here.
    // Throws: RuntimeError when this context is already entered.
    template <class F, class... Args>
    decltype(auto) run(F&& f, Args&&... args) {
        const Entry entry(*this);
        return std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
    }

    // O(1).
    [[nodiscard]] Context copy() const { return Context(detail::copy_of(data_)); }

    template <class T>
    [[nodiscard]] std::optional<T> get(const ContextVar<T>& variable) const {
        const detail::VarValue* value = detail::find_variable(data_, variable.id_);
        if (!value) return std::nullopt;
        return *static_cast<const T*>(value->get());
    }
    template <class T>
    [[nodiscard]] T at(const ContextVar<T>& variable) const {
        if (std::optional<T> value = get(variable)) return std::move(*value);
        throw LookupError("context variable '" + variable.name() + "' is not set in this context");
    }
    template <class T>
    [[nodiscard]] bool contains(const ContextVar<T>& variable) const noexcept {
        return detail::find_variable(data_, variable.id_) != nullptr;
    }
    // How many variables are set.
    [[nodiscard]] std::size_t size() const noexcept {
        return data_->variables ? data_->variables->values.size() : 0;
    }

    // Whether both handles name the same context.
    [[nodiscard]] bool is(const Context& other) const noexcept { return data_ == other.data_; }

  private:
    friend Context copy_context();
    friend Context detail::share(detail::ContextSlot& slot);
    friend struct ContextAccess;

    explicit Context(detail::ContextSlot data) : data_(std::move(data)) {
        if (!data_) data_ = detail::ContextSlot(new detail::ContextData);
    }

    class Entry {
      public:
        explicit Entry(Context& context);
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;
        ~Entry();

      private:
        detail::ContextSlot slot_;
        detail::ContextSlot* previous_;
    };

    detail::ContextSlot data_;
};

// Private: how the loop reads the slot behind a handle.
struct ContextAccess {
    [[nodiscard]] static const detail::ContextSlot& slot(const Context& context) noexcept {
        return context.data_;
    }
};

// A copy of the current context, O(1).
[[nodiscard]] Context copy_context();

template <class T>
Token<T> ContextVar<T>::set(T value) {
    detail::ContextSlot& slot = detail::current_context();
    Token<T> token;
    token.variable_ = this;
    if (const detail::VarValue* old = detail::find_variable(slot, id_)) token.old_ = *old;
    detail::store_variable(slot, id_, std::make_shared<const T>(std::move(value)));
    token.context_ = slot;
    return token;
}

template <class T>
void ContextVar<T>::reset(Token<T>& token) {
    if (token.used_) throw RuntimeError("a token of '" + name_ + "' was already used once");
    if (token.variable_ != this) {
        throw ValueError("the token was made by another context variable than '" + name_ + "'");
    }
    detail::ContextSlot& slot = detail::current_context();
    if (!(token.context_ == slot)) {
        throw ValueError("the token of '" + name_ + "' was made in another context");
    }
    detail::store_variable(slot, id_, token.old_);
    token.used_ = true;
}

}  // namespace asyncio
