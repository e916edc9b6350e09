// Any sequence of data and of reads of every kind: what comes out is what went in, in order, and
// each read gives what it promises.
#include <asyncio.hpp>
#include <asyncio/testing.hpp>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace asyncio;

void require(bool condition) {
    if (!condition) std::abort();
}

class Bytes {
  public:
    Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
    [[nodiscard]] bool empty() const { return size_ == 0; }
    std::uint8_t next() {
        if (size_ == 0) return 0;
        --size_;
        return *data_++;
    }

  private:
    const std::uint8_t* data_;
    std::size_t size_;
};

// Few letters, so that separators are met.
std::string data_of(std::uint8_t kind, std::uint8_t size) {
    std::string data;
    for (std::uint8_t i = 0; i < size % 40; ++i) {
        data += "ab\nab\r"[static_cast<std::size_t>((kind + i * (kind % 5 + 1)) % 6)];
    }
    return data;
}

class Play {
  public:
    explicit Play(Bytes bytes) : bytes_(bytes) {}

    Coroutine<void> run() {
        bool ended = false;
        while (!bytes_.empty()) {
            if (pending_ && pending_.done()) co_await collect();
            require(view_ == viewed_);  // whatever came meanwhile
            const std::uint8_t what = bytes_.next();
            if (what < 110 && !ended) {
                const std::string data = data_of(what, bytes_.next());
                reader_.feed_data(data);
                fed_ += data;
            } else if (what < 130) {
                co_await sleep(0);
            } else if (what < 140 && pending_) {
                pending_.cancel();
            } else if (what < 143 && !ended) {
                ended = true;
                reader_.feed_eof();
            } else if (!pending_) {
                view_ = {};
                viewed_.clear();
                pending_ = create_task(read(what, bytes_.next()));
            }
        }
        if (!ended) reader_.feed_eof();
        if (pending_) co_await collect();
        got_ += co_await reader_.read();
        require(got_ == fed_);
        require(reader_.at_eof());
    }

  private:
    Coroutine<std::string> read(std::uint8_t kind, std::uint8_t size) {
        switch (kind % 6) {
            case 0: {
                std::string data = co_await reader_.read(size % 50);
                require(data.size() <= size % 50U);
                co_return data;
            }
            case 1: {
                std::string data(size % 50, '\0');
                data.resize(co_await reader_.read_into(std::span(data)));
                co_return data;
            }
            case 2: {
                std::string line = co_await reader_.readline();
                require(line.find('\n') == line.npos || line.find('\n') == line.size() - 1);
                co_return line;
            }
            case 3: {
                std::string data = co_await reader_.readexactly(size % 60);
                require(data.size() == size % 60U);
                co_return data;
            }
            case 4: {
                view_ = co_await reader_.read_view(size % 50);
                viewed_ = view_;
                co_return viewed_;
            }
            default: {
                std::string data = co_await reader_.readuntil({"ab", "\r"});
                require(data.ends_with("ab") || data.ends_with('\r'));
                require(data.find("ab") >= data.size() - 2);
                co_return data;
            }
        }
    }

    Coroutine<void> collect() {
        const auto outcome = co_await try_(pending_);
        pending_ = {};
        if (outcome) {
            got_ += *outcome;
        } else if (!outcome.cancelled()) {
            try {
                std::rethrow_exception(outcome.exception());
            } catch (const IncompleteReadError& error) {
                got_ += error.partial();
            } catch (const LimitOverrunError&) {  // the data stays
            }
        }
    }

    Bytes bytes_;
    StreamReader reader_{100'000};
    std::string fed_, got_;
    std::string_view view_;  // as long as nobody reads
    std::string viewed_;     // what it showed
    Task<std::string> pending_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    testing::SimLoop sim;
    sim.run_until_complete(sim.create_task([&]() -> Coroutine<void> {
        Play play(Bytes(data, size));
        co_await play.run();
    }));
    require(sim.reports().empty());
    return 0;
}
