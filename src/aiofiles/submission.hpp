// One operation of the proactor. It owns itself until the proactor is through with it, with
// the memory it reads into and the file it belongs to; the caller may be long gone by then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <asyncio.hpp>
#include <asyncio/loop_state.hpp>

#include "core.hpp"

namespace aiofiles::detail {

class Submission {
  public:
    using Operation = asyncio::detail::Operation;

    // With a file it is a step of that; what it reads goes into the file's buffer.
    Submission(std::shared_ptr<Core> core, int fd)
        : core_(std::move(core)), done_(asyncio::get_running_loop()) {
        operation.fd = fd;
        operation.owner = this;
        operation.complete = [](Operation& self, int result, bool) {
            static_cast<Submission*>(self.owner)->complete(result);
        };
    }
    Submission(const Submission&) = delete;
    Submission& operator=(const Submission&) = delete;

    void read(std::size_t size, std::int64_t offset) {
        memory = std::make_unique_for_overwrite<char[]>(size);
        operation.kind = Operation::Kind::read;
        operation.buffer = memory.get();
        operation.size = size;
        operation.offset = offset;
    }

    // Gives the operation's result.
    // Cancellation: asks the kernel and frees the caller at once.
    static Coroutine<int> run(std::shared_ptr<Submission> self);

    Operation operation;
    std::unique_ptr<char[]> memory;

  private:
    void complete(int result);

    std::shared_ptr<Core> core_;
    asyncio::Future<void> done_;
    int result_ = 0;
    std::shared_ptr<Submission> keep_;
};

}  // namespace aiofiles::detail
