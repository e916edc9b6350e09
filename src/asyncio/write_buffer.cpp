#include "write_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace asyncio::detail {

WriteBuffer::WriteBuffer(int fd, bool socket, void* owner,
                         void (*complete)(Operation& self, int result, bool more)) noexcept {
    operation_.kind = socket ? Operation::Kind::sendmsg : Operation::Kind::write;
    operation_.owned = true;
    operation_.fd = fd;
    operation_.owner = owner;
    operation_.complete = complete;
}

WriteBuffer::~WriteBuffer() {
    while (first_ != nullptr) pop_block();
}

void WriteBuffer::append(std::string_view data) {
    // Fill up what is there; the rest goes into one new block.
    if (last_ != nullptr && last_->end < last_->capacity) {
        const std::size_t fits = std::min(data.size(), last_->capacity - last_->end);
        std::memcpy(last_->bytes() + last_->end, data.data(), fits);
        last_->end += fits;
        size_ += fits;
        data.remove_prefix(fits);
    }
    if (data.empty()) return;
    Block& block = room_for(data.size());
    std::memcpy(block.bytes(), data.data(), data.size());
    block.end = data.size();
    size_ += data.size();
}

WriteBuffer::Block& WriteBuffer::room_for(std::size_t size) {
    const std::size_t capacity = std::max(size, usual_block);
    void* const memory = ::operator new(sizeof(Block) + capacity);
    auto* const block = new (memory) Block{.next = nullptr, .capacity = capacity, .end = 0};
    (last_ != nullptr ? last_->next : first_) = block;
    last_ = block;
    return *block;
}

void WriteBuffer::pop_block() noexcept {
    Block* const block = first_;
    first_ = block->next;
    if (first_ == nullptr) last_ = nullptr;
    start_ = 0;
    ::operator delete(block);
}

void WriteBuffer::submit(Proactor& proactor) {
    std::size_t count = 0;
    for (Block* block = first_; block != nullptr && count < parts_.size(); block = block->next) {
        const std::size_t begin = block == first_ ? start_ : 0;
        parts_[count++] = {block->bytes() + begin, block->end - begin};
    }
    if (operation_.kind == Operation::Kind::sendmsg) {
        message_.msg_iov = parts_.data();
        message_.msg_iovlen = count;
        operation_.buffer = &message_;
    } else {
        operation_.buffer = parts_[0].iov_base;
        operation_.size = parts_[0].iov_len;
    }
    proactor.submit(operation_);
}

void WriteBuffer::consume(std::size_t count) noexcept {
    size_ -= std::min(count, size_);
    while (count > 0 && first_ != nullptr) {
        const std::size_t here = first_->end - start_;
        if (count < here) {
            start_ += count;
            return;
        }
        count -= here;
        pop_block();
    }
}

}  // namespace asyncio::detail
