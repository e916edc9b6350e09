// What the async iterators' adapters need beside their templates.
#include <asyncio/async_itertools.hpp>
#include <asyncio/async_merge.hpp>

#include <asyncio/exceptions.hpp>
#include <asyncio/waiting.hpp>

namespace asyncio::detail {

void throw_negative_count(std::ptrdiff_t count) {
    throw ValueError("atake(): the count is negative: " + std::to_string(count));
}

std::ptrdiff_t checked_buffer(std::ptrdiff_t buffer) {
    if (buffer >= 1) return buffer;
    throw ValueError("amerge(): the buffer must hold at least 1 item, not " +
                     std::to_string(buffer));
}

void require_not_begun(bool begun) {
    if (begun) throw RuntimeError("a merged stream takes no more sources after its first step");
}

MergeState::~MergeState() = default;

void MergeState::start(std::vector<Coroutine<void>> sources) {
    running_ = sources.size();
    if (running_ == 0) no_more_items(false);
    sources_.reserve(sources.size());
    for (Coroutine<void>& source : sources) {
        sources_.push_back({create_task(std::move(source))});
    }
}

void MergeState::stop() {
    cancel_sources();
    no_more_items(true);
}

void MergeState::cancel_sources() {
    if (std::exchange(stopping_, true)) return;
    for (const Source& source : sources_) {
        if (source.cancellable) source.task.cancel();
    }
}

Coroutine<void> MergeState::ended() {
    if (!sources_.empty()) {
        std::vector<Task<void>> tasks;
        for (const Source& source : sources_) tasks.push_back(source.task);
        co_await wait(std::move(tasks));
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void MergeState::abandon() noexcept {
    abandoned_ = true;
    try {
        if (running_ > 0) stop();
        // An error that nobody asked for is reported as that of any other future.
        if (error_ && !holds_exception<CancelledError>(error_)) {
            sources_.front().task.get_loop().create_future<void>().set_exception(error_);
        }
    } catch (...) {
        // Their loop is closed: nothing can run them any more.
        return;
    }
}

bool MergeState::source_begins(std::size_t index) {
    sources_[index].cancellable = true;
    return !stopping_;
}

void MergeState::source_ends(std::exception_ptr error) {
    --running_;
    const bool cancelled = error && holds_exception<CancelledError>(error);
    const bool by_stopping =
        stopping_ && (cancelled || (error && holds_exception<QueueShutDown>(error)));
    const bool failed = error && !by_stopping;
    if (failed && !abandoned_ && !error_) error_ = error;
    if (failed) cancel_sources();
    if (stopping_ || running_ == 0) no_more_items(false);
    // A task that was cancelled says so; an error that nobody will ask for is reported.
    if (cancelled || (failed && abandoned_)) std::rethrow_exception(error);
}

}  // namespace asyncio::detail
