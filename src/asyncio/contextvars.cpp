#include <asyncio/contextvars.hpp>

#include <algorithm>
#include <atomic>

namespace asyncio {

namespace detail {

namespace {

thread_local ContextSlot thread_context;

auto position(const VarMap& map, std::uint64_t id) noexcept {
    return std::lower_bound(map.values.begin(), map.values.end(), id,
                            [](const auto& entry, std::uint64_t key) { return entry.first < key; });
}

}  // namespace

ContextSlot& current_context() noexcept {
    return this_thread.context != nullptr ? *this_thread.context : thread_context;
}

ContextSlot copy_of(const ContextSlot& slot) {
    if (!slot || !slot->variables) return {};
    ContextSlot copy(new ContextData);
    copy->variables = slot->variables;
    return copy;
}

std::uint64_t new_variable_id() noexcept {
    static std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

const VarValue* find_variable(const ContextSlot& slot, std::uint64_t id) noexcept {
    if (!slot || !slot->variables) return nullptr;
    const auto it = position(*slot->variables, id);
    return it != slot->variables->values.end() && it->first == id ? &it->second : nullptr;
}

void store_variable(ContextSlot& slot, std::uint64_t id, VarValue value) {
    if (!slot) slot = ContextSlot(new ContextData);
    auto changed =
        slot->variables ? std::make_shared<VarMap>(*slot->variables) : std::make_shared<VarMap>();
    const auto at = position(*changed, id) - changed->values.begin();
    const bool there = at < std::ssize(changed->values) && changed->values[at].first == id;
    if (!value) {
        if (there) changed->values.erase(changed->values.begin() + at);
    } else if (there) {
        changed->values[at].second = std::move(value);
    } else {
        changed->values.emplace(changed->values.begin() + at, id, std::move(value));
    }
    slot->variables = std::move(changed);
}

Context share(ContextSlot& slot) {
    if (!slot) slot = ContextSlot(new ContextData);
    return Context(slot);
}

}  // namespace detail

Context::Entry::Entry(Context& context) : slot_(context.data_) {
    if (slot_->entered) {
        throw RuntimeError("cannot enter this context: it is already entered; use copy()");
    }
    slot_->entered = true;
    previous_ = detail::exchange_current_context(&slot_);
}

Context::Entry::~Entry() {
    slot_->entered = false;
    detail::exchange_current_context(previous_);
}

Context copy_context() {
    return Context(detail::copy_current_context());
}

}  // namespace asyncio
