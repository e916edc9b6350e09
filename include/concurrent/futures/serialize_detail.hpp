// concurrent/futures/serialize_detail.hpp - the bytes of one message, without cereal.
//
// A Writer is filled front to back and a Reader is emptied the same way. Both
// ends run the same program, so values travel in the machine's own layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <asyncio/exceptions.hpp>

namespace concurrent::futures {

// A value could not be turned into bytes, or the bytes not into a value.
class SerializationError : public asyncio::RuntimeError {
  public:
    using asyncio::RuntimeError::RuntimeError;
    ~SerializationError() override;
};

namespace detail {

// Where bytes go: a buffer of some kind that grows when it is full.
class Writer {
  public:
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    void write(const void* data, std::size_t size) {
        if (size == 0) return;
        std::memcpy(claim(size), data, size);
    }
    template <class T>
    void put(const T& value) {
        write(&value, sizeof value);
    }
    // `size` bytes to be filled by the caller at once, before the next call.
    std::byte* claim(std::size_t size) {
        if (size > static_cast<std::size_t>(end_ - position_)) grow(size);
        std::byte* place = position_;
        position_ += size;
        return place;
    }
    // Bytes written so far.
    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(position_ - begin_);
    }

  protected:
    Writer() = default;
    ~Writer() = default;
    // Makes room for `size` more bytes, keeping what is there.
    virtual void grow(std::size_t size) = 0;

    std::byte* begin_ = nullptr;
    std::byte* position_ = nullptr;
    std::byte* end_ = nullptr;
};

// Where bytes come from. Throws SerializationError rather than read past the end.
class Reader {
  public:
    Reader(const std::byte* data, std::size_t size) noexcept : position_(data), left_(size) {}

    // The next `size` bytes, valid as long as the message is.
    const std::byte* view(std::size_t size) {
        if (size > left_) throw_truncated(size, left_);
        const std::byte* place = position_;
        position_ += size;
        left_ -= size;
        return place;
    }
    void read(void* data, std::size_t size) {
        if (size != 0) std::memcpy(data, view(size), size);
    }
    template <class T>
    T take() {
        T value;
        read(&value, sizeof value);
        return value;
    }
    [[nodiscard]] std::size_t left() const noexcept { return left_; }

  private:
    [[noreturn]] static void throw_truncated(std::size_t wanted, std::size_t left);

    const std::byte* position_;
    std::size_t left_;
};

// A function of this program or of a shared library it uses, written as its
// module and offset: the worker maps the same module somewhere else. Null stays
// null. Throws SerializationError for an address no module holds, or for a
// module that is not the same build on the other side.
void write_code(Writer& writer, const void* address);
[[nodiscard]] const void* read_code(Reader& reader);

}  // namespace detail
}  // namespace concurrent::futures
