// Readers that wait by reports of edges, and last got less than they asked for: so nothing more
// is there, unless the read stopped at urgent data, with more behind it. No report tells: the
// kernel calls all that comes to a TCP socket urgent where it wakes a ring. Who has not read
// since for a while is to be read from once more.
//
// A clock hand: one step for each wait(), a whole turn after a pause. So who reads all the time
// is never asked, and who has stopped is asked once.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "proactor.hpp"

namespace asyncio::detail {

class ShortReads {
  public:
    [[nodiscard]] bool empty() const noexcept { return readers_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return readers_.size(); }

    void add(Operation& reader) {
        const bool is_new = (reader.known & waits) == 0;
        reader.known |= waits | has_read;
        if (is_new) readers_.push_back(&reader);
    }
    void remove(Operation& reader) noexcept {
        if ((reader.known & waits) == 0) return;
        reader.known &= static_cast<std::uint8_t>(~(waits | has_read));
        const auto place = std::ranges::find(readers_, &reader);
        assert(place != readers_.end());
        readers_.erase(place);
    }

    // One step. The reader is to be read from, and is none of these any more; null for nobody.
    [[nodiscard]] Operation* next() {
        if (readers_.empty()) return nullptr;
        Operation* const reader = readers_.front();
        readers_.pop_front();
        if ((reader->known & has_read) != 0) {
            reader->known &= static_cast<std::uint8_t>(~has_read);
            readers_.push_back(reader);
            return nullptr;
        }
        reader->known &= static_cast<std::uint8_t>(~waits);
        return reader;
    }

  private:
    // Operation::known.
    static constexpr std::uint8_t waits = 0x40;     // is in readers_
    static constexpr std::uint8_t has_read = 0x80;  // since the hand came by
    std::deque<Operation*> readers_;
};

}  // namespace asyncio::detail
