#include "traceback_state.hpp"

#include <algorithm>
#include <asyncio/coroutines_detail.hpp>
#include <asyncio/exception_group.hpp>
#include <asyncio/traceback.hpp>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "describe.hpp"

namespace asyncio {

namespace detail {

namespace {

// What is shown of the inner and of the outer end.
constexpr std::size_t end = 100;

// Its identity: copies of an exception_ptr name one object.
const void* object_of(const std::exception_ptr& error) noexcept {
    const void* object = nullptr;
    std::memcpy(&object, static_cast<const void*>(&error), sizeof object);
    return object;
}

// An exception that is on its way. It is held, so that no other one can be taken for it.
struct Travelling {
    std::exception_ptr error;
    std::shared_ptr<Traceback> traceback;
};

// Of this thread: the last one in the step that runs, and the last one outside of tasks, which
// stays while a loop is run to clean up after it.
struct Travellers {
    Travelling inside;
    Travelling outside;
};

constinit thread_local Travellers* travellers = nullptr;
constinit thread_local bool thread_ends = false;

struct TravellersOwner {
    ~TravellersOwner() {
        thread_ends = true;
        delete std::exchange(travellers, nullptr);
    }
    bool armed = false;
};
thread_local TravellersOwner travellers_owner;

// The place for the next one; null while the thread ends.
Travelling* travelling_here() {
    if (thread_ends) return nullptr;
    if (travellers == nullptr) {
        travellers_owner.armed = true;  // constructs it
        travellers = new Travellers;
    }
    if (this_thread.task == nullptr) return &travellers->outside;
    this_thread.has_traceback = true;
    return &travellers->inside;
}

const Travelling* find_travelling(const std::exception_ptr& error) noexcept {
    if (travellers == nullptr) return nullptr;
    if (travellers->inside.error == error) return &travellers->inside;
    if (travellers->outside.error == error) return &travellers->outside;
    return nullptr;
}

// What futures hold, by future and by exception.
struct Kept {
    std::mutex mutex;
    std::unordered_map<const FutureBase*, std::pair<const void*, SharedTraceback>> by_future;
    std::unordered_multimap<const void*, const FutureBase*> by_error;
};

// Never destroyed: futures may go while the process exits.
Kept& kept() {
    static Kept& instance = *new Kept;
    return instance;
}

}  // namespace

void Traceback::add(std::source_location where) {
    if (places_.size() < 2 * end) {
        places_.push_back(where);
    } else {
        places_[end + (total_ - end) % end] = where;  // a ring, behind the inner end
    }
    ++total_;
}

std::size_t Traceback::left_out() const noexcept {
    return total_ - places_.size();
}

std::vector<std::source_location> Traceback::places() const {
    std::vector<std::source_location> places = places_;
    if (total_ > places.size()) {
        const auto ring = places.begin() + end;
        std::rotate(ring, ring + static_cast<std::ptrdiff_t>((total_ - end) % end), places.end());
    }
    return places;
}

namespace {

// What std::throw_with_nested() wrapped.
std::exception_ptr cause_of(const std::exception_ptr& error) {
    const void* nested = exception_as(error, typeid(std::nested_exception));
    if (nested == nullptr) return nullptr;
    return static_cast<const std::nested_exception*>(nested)->nested_ptr();
}

void begin(Travelling& travelling, const std::exception_ptr& error, std::source_location where) {
    auto traceback = std::make_shared<Traceback>();
    if (travelling.traceback != nullptr && cause_of(error) == travelling.error) {
        auto cause = std::make_shared<Traceback>(*travelling.traceback);
        cause->add(where);  // where it was caught
        traceback->cause = std::move(cause);
    }
    travelling.traceback = std::move(traceback);
    travelling.error = error;
}

}  // namespace

std::exception_ptr PromiseBase::exception_left() const noexcept {
    std::exception_ptr error = std::current_exception();
    try {
        if (Travelling* const here = travelling_here()) {
            if (here->error != error || here->traceback == nullptr) {
                begin(*here, error, where_);
            } else if (here->traceback.use_count() > 1) {
                // A future keeps what came so far.
                here->traceback = std::make_shared<Traceback>(*here->traceback);
            }
            here->traceback->add(where_);
        }
    } catch (...) {
        // No memory for the traceback; the exception itself is more important.
    }
    return error;
}

SharedTraceback find_traceback(const std::exception_ptr& error) noexcept {
    if (!error) return nullptr;
    if (const Travelling* found = find_travelling(error)) return found->traceback;
    Kept& all = kept();
    const std::lock_guard lock(all.mutex);
    const auto found = all.by_error.find(object_of(error));
    return found == all.by_error.end() ? nullptr : all.by_future.at(found->second).second;
}

bool keep_traceback(const FutureBase& future, const std::exception_ptr& error) noexcept {
    const Travelling* const travelling = find_travelling(error);
    if (travelling == nullptr || travelling->traceback == nullptr) return false;
    try {
        Kept& all = kept();
        const std::lock_guard lock(all.mutex);
        const void* object = object_of(error);
        const auto entry = all.by_error.emplace(object, &future);
        try {
            all.by_future.insert_or_assign(&future, std::pair(object, travelling->traceback));
        } catch (...) {
            all.by_error.erase(entry);
            throw;
        }
        return true;
    } catch (...) {
        return false;
    }
}

void resume_traceback(const FutureBase& future, const std::exception_ptr& error) noexcept {
    try {
        Travelling* const here = travelling_here();
        if (here == nullptr) return;
        SharedTraceback mine;
        {
            Kept& all = kept();
            const std::lock_guard lock(all.mutex);
            mine = all.by_future.at(&future).second;
        }
        auto copy = std::make_shared<Traceback>(*mine);
        here->error = error;
        here->traceback = std::move(copy);
    } catch (...) {
    }
}

void forget_traceback(const FutureBase& future) noexcept {
    Kept& all = kept();
    const std::lock_guard lock(all.mutex);
    const auto found = all.by_future.find(&future);
    if (found == all.by_future.end()) return;
    auto [entry, last] = all.by_error.equal_range(found->second.first);
    for (; entry != last; ++entry) {
        if (entry->second != &future) continue;
        all.by_error.erase(entry);
        break;
    }
    all.by_future.erase(found);
}

void drop_traceback() noexcept {
    this_thread.has_traceback = false;
    if (travellers == nullptr) return;
    // Its destructor may throw and catch exceptions of its own, and so come back to here.
    const Travelling last = std::exchange(travellers->inside, {});
}

}  // namespace detail

namespace {

constexpr const char* cause_text =
    "\n\nThe above exception was the direct cause of the following exception:\n\n";
// Chains that were built by hand could be endless, and groups as deep as their makers like.
constexpr int deepest_chain = 100;

bool is_library_frame(const std::string& function) {
    return function.starts_with("asyncio::detail::");
}

std::vector<StackFrame> frames_of(const detail::Traceback& traceback) {
    std::vector<StackFrame> frames;
    const std::vector<std::source_location> places = traceback.places();
    for (auto place = places.rbegin(); place != places.rend(); ++place) {
        std::string function = detail::function_text(place->function_name());
        if (is_library_frame(function)) continue;
        frames.push_back({std::move(function), place->file_name(), place->line()});
    }
    return frames;
}

std::string frames_text(const detail::SharedTraceback& traceback) {
    if (!traceback) return {};
    const std::vector<StackFrame> frames = frames_of(*traceback);
    if (frames.empty()) return {};
    std::string text = "Traceback (most recent call last):\n";
    for (const StackFrame& frame : frames) {
        text += "  File \"" + frame.file + "\", line " + std::to_string(frame.line) + ", in " +
                frame.function + "\n";
    }
    if (traceback->left_out() > 0) {
        text += "  [" + std::to_string(traceback->left_out()) + " more frames in between]\n";
    }
    return text;
}

const detail::GroupBody* group_of(const std::exception_ptr& error) {
    if (const void* group = detail::exception_as(error, typeid(ExceptionGroup))) {
        return &static_cast<const ExceptionGroup*>(group)->body();
    }
    if (const void* group = detail::exception_as(error, typeid(BaseExceptionGroup))) {
        return &static_cast<const BaseExceptionGroup*>(group)->body();
    }
    return nullptr;
}

std::string indented(const std::string& text) {
    std::string result = "  | ";
    for (const char c : text) {
        result += c;
        if (c == '\n') result += "  | ";
    }
    return result;
}

std::string format(const std::exception_ptr& error, const detail::SharedTraceback& known,
                   int depth) {
    if (!error) return {};
    std::string text;
    const detail::SharedTraceback traceback = known ? known : detail::find_traceback(error);
    if (depth < deepest_chain) {
        if (const std::exception_ptr cause = detail::cause_of(error)) {
            text = format(cause, traceback ? traceback->cause : nullptr, depth + 1) + cause_text;
        }
    }
    text += frames_text(traceback) + describe_exception(error);
    const detail::GroupBody* group = group_of(error);
    if (group == nullptr || depth >= deepest_chain) return text;
    for (std::size_t i = 0; i < group->exceptions.size(); ++i) {
        text += "\n  +---------------- " + std::to_string(i + 1) + " ----------------\n";
        text += indented(format(group->exceptions[i], group->tracebacks[i], depth + 1));
    }
    return text + "\n  +------------------------------------";
}

}  // namespace

std::vector<StackFrame> extract_tb(const std::exception_ptr& error) {
    const detail::SharedTraceback traceback = detail::find_traceback(error);
    return traceback ? frames_of(*traceback) : std::vector<StackFrame>();
}

std::string format_exception(const std::exception_ptr& error) {
    return format(error, nullptr, 0);
}

void print_exception(const std::exception_ptr& error, std::FILE* file) {
    const std::string text = format_exception(error) + "\n";
    std::fwrite(text.data(), 1, text.size(), file);
}

}  // namespace asyncio
