#include "scenario.hpp"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <typeinfo>

namespace {

constexpr int quiet_iterations = 20;

// Counts iterations with a callback that schedules itself again. Callbacks alone own it, so
// that it goes with its loop.
struct Act : std::enable_shared_from_this<Act> {
    EventLoop* loop = nullptr;
    int iteration = 0;
    int quiet = 0;

    void schedule() {
        loop->call_soon([self = shared_from_this()] { self->tick(); });
    }
    void tick() {
        ++iteration;
        if (++quiet <= quiet_iterations) schedule();
    }
};

std::weak_ptr<Act> current_act;
bool any_act = false;

std::string iteration() {
    EventLoop* loop = asyncio::get_running_loop_or_null();
    if (loop == nullptr) return "-";
    std::shared_ptr<Act> act = current_act.lock();
    if (!act || act->loop != loop) {
        if (any_act) std::puts("--");
        any_act = true;
        act = std::make_shared<Act>();
        act->loop = loop;
        act->schedule();
        current_act = act;
    }
    act->quiet = 0;
    return std::to_string(act->iteration);
}

std::string type_name(const std::type_info& type) {
    char* demangled = abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr);
    std::string name = demangled != nullptr ? demangled : type.name();
    std::free(demangled);
    return name.substr(name.rfind(':') + 1);
}

// Errors whose wording is the scenario's own; that of others belongs to each library.
template <class E>
std::string text_of(const E& error) {
    if (const auto* group = dynamic_cast<const asyncio::ExceptionGroup*>(&error)) {
        return name(error) + scenario::show(group->exceptions());
    }
    if (const auto* group = dynamic_cast<const asyncio::BaseExceptionGroup*>(&error)) {
        return name(error) + scenario::show(group->exceptions());
    }
    const bool own = dynamic_cast<const asyncio::ValueError*>(&error) != nullptr ||
                     dynamic_cast<const asyncio::BaseException*>(&error) != nullptr;
    return own && *error.what() != '\0' ? name(error) + ": " + error.what() : name(error);
}

}  // namespace

std::string name(const std::exception& error) {
    return type_name(typeid(error));
}
std::string name(const asyncio::BaseException& error) {
    return type_name(typeid(error));
}
std::string text(const std::exception& error) {
    return text_of(error);
}
std::string text(const asyncio::BaseException& error) {
    return text_of(error);
}

std::string name(const std::exception_ptr& error) {
    return asyncio::exception_type_name(error);
}
std::string text(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        return text(e);
    } catch (const asyncio::BaseException& e) {
        return text(e);
    }
}

void scenario::print_line(bool numbered, const std::vector<std::string>& parts) {
    std::string line = numbered ? iteration() : std::string();
    line.insert(0, line.size() < 3 ? 3 - line.size() : 0, ' ');
    for (const std::string& part : parts) line += " " + part;
    std::puts(line.c_str());
    std::fflush(stdout);
}

void scenario::pass_on_exit(const std::exception_ptr& error) {
    if (asyncio::holds_exception<asyncio::KeyboardInterrupt>(error) ||
        asyncio::holds_exception<asyncio::SystemExit>(error)) {
        std::rethrow_exception(error);
    }
}

void listen(EventLoop& loop) {
    loop.set_exception_handler([](EventLoop&, const asyncio::ExceptionContext& context) {
        // Without the object's description, which is each library's own.
        std::string message = context.message;
        if (const auto at = message.find("in callback"); at != message.npos) {
            message.resize(at + std::string_view("in callback").size());
        }
        // Names are spelled as the language does.
        if (const auto at = message.find("asyncio::"); at != message.npos) {
            message.replace(at, std::string_view("asyncio::").size(), "asyncio.");
        }
        if (context.exception) {
            trace("handler:", message, "|", context.exception);
        } else {
            trace("handler:", message);
        }
    });
}

void block(std::chrono::nanoseconds duration) {
    std::this_thread::sleep_for(duration);
}

std::string describe(const asyncio::AnyFuture& future) {
    if (!future.done()) return "pending";
    if (future.cancelled()) return "cancelled";
    if (future.exception()) return "failed";
    return "finished";
}
