// Readers that wait by reports of edges, and last got less than they asked for: so nothing more
// is there, unless the read stopped at urgent data, with more behind it. No report tells: the
// kernel calls all that comes to a TCP socket urgent where it wakes a ring. Who has not read
// since for a while is to be read from once more.
//
// A clock hand: one step for each wait(), a whole turn after a pause in which nobody read. So who
// reads all the time is never asked, and who has stopped is asked once.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "proactor.hpp"

namespace asyncio::detail {

class ShortReads {
  public:
    [[nodiscard]] bool empty() const noexcept { return readers_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return readers_.size(); }

    void add(Operation& reader) {
        const bool is_new = (reader.known & waits) == 0;
        reader.known |= waits | has_read;
        quiet_ = false;
        if (is_new) readers_.push_back(&reader);
    }
    void remove(Operation& reader) noexcept {
        if ((reader.known & waits) == 0) return;
        const auto place = std::ranges::find(readers_, &reader);
        assert(place != readers_.end());
        take_out(static_cast<std::size_t>(place - readers_.begin()));
    }

    void begin_pause() noexcept { quiet_ = true; }
    // Whether nobody has read since begin_pause().
    [[nodiscard]] bool quiet() const noexcept { return quiet_; }

    // One step. The reader is to be read from, and is none of these any more; null for nobody.
    [[nodiscard]] Operation* next() {
        if (readers_.empty()) return nullptr;
        if (hand_ >= readers_.size()) hand_ = 0;
        Operation& reader = *readers_[hand_];
        if ((reader.known & has_read) != 0) {
            reader.known &= static_cast<std::uint8_t>(~has_read);
            ++hand_;
            return nullptr;
        }
        take_out(hand_);
        return &reader;
    }

  private:
    // Operation::known.
    static constexpr std::uint8_t waits = 0x40;     // is in readers_
    static constexpr std::uint8_t has_read = 0x80;  // since the hand came by

    // The last one takes its place.
    void take_out(std::size_t place) noexcept {
        readers_[place]->known &= static_cast<std::uint8_t>(~(waits | has_read));
        readers_[place] = readers_.back();
        readers_.pop_back();
    }

    std::vector<Operation*> readers_;
    std::size_t hand_ = 0;
    bool quiet_ = false;
};

}  // namespace asyncio::detail
