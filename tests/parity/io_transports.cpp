// Transports over sockets, twelve scenarios: the order in which a protocol is told, end of
// file, close(), abort(), write_eof(), pauses of reading, errors in callbacks and of the
// connection, what is allowed after the end.
#include "io_scenario.hpp"

using io::attempted;
using io::connected;
using io::Recorder;

Coroutine<void> order() {
    note("== order");
    EventLoop& loop = asyncio::get_running_loop();
    const auto one = std::make_shared<Recorder>("one");
    auto [transport, peer] = co_await connected(one);
    note("opened", transport == one->transport, transport->is_reading(), transport->is_closing());
    io::send(peer, "first");
    co_await one->receives(5);
    loop.call_soon([] { note("next iteration"); });
    io::send(peer, "second");
    peer.close();
    co_await one->lost;
    note("closing", transport->is_closing(), transport->is_reading());
}

Coroutine<void> end_of_file() {
    note("== end of file");
    for (const bool keep_open : {false, true}) {
        const auto one = std::make_shared<Recorder>(keep_open ? "open" : "closed", keep_open);
        auto [transport, peer] = co_await connected(one);
        peer.shutdown(SHUT_WR);
        co_await one->eof;
        co_await asyncio::sleep(0);
        note("closing", transport->is_closing());
        if (keep_open) {
            transport->write("still here");
            note("peer gets", io::show(co_await io::receive(peer, 10)));
            transport->close();
        }
        co_await one->lost;
        note("peer gets", io::show(co_await io::receive(peer, 1)));
    }
}

const std::string much(3'000'000, 'x');

Coroutine<void> close_flushes() {
    note("== close");
    auto one = std::make_shared<Recorder>("one", false, true);
    {
        auto [transport, peer] = co_await connected(one);
        transport->write(much);
        note("buffered", transport->get_write_buffer_size() > 0);
        transport->close();
        transport->close();
        note("closing", transport->is_closing(), transport->is_reading(), one->lost.done());
        transport->write("too late?");
        const std::string data = co_await io::receive(peer, 4'000'000);
        co_await one->lost;
        note("peer gets", io::show(data));
    }
    one = std::make_shared<Recorder>("idle");
    auto [transport, peer] = co_await connected(one);
    transport->close();
    note("never inside of it");
    co_await one->lost;
    note("peer gets", io::show(io::pending(peer)));
}

Coroutine<void> abort_drops() {
    note("== abort");
    auto one = std::make_shared<Recorder>("one", false, true);
    {
        auto [transport, peer] = co_await connected(one);
        transport->write(much);
        transport->abort();
        note("buffered", transport->get_write_buffer_size(), transport->is_closing(),
             one->lost.done());
        transport->abort();
        co_await one->lost;
        note("peer gets all", (co_await io::receive(peer, 4'000'000)).size() >= 3'000'000);
    }
    one = std::make_shared<Recorder>("closed before", false, true);
    auto [transport, peer] = co_await connected(one);
    transport->write(much);
    transport->close();
    transport->abort();
    co_await one->lost;
}

Coroutine<void> half_close() {
    note("== half close");
    auto one = std::make_shared<Recorder>("one");
    {
        auto [transport, peer] = co_await connected(one);
        note("can", transport->can_write_eof());
        transport->write("all");
        transport->write_eof();
        transport->write_eof();
        for (const char* data : {"more", ""}) {
            try {
                transport->write(data);
            } catch (const asyncio::RuntimeError& error) {
                note(io::said(error));
            }
        }
        note("peer gets", io::show(co_await io::receive(peer, 10)));
        io::send(peer, "answer");
        co_await one->receives(6);
        note("closing", transport->is_closing());
        peer.close();
        co_await one->lost;
    }
    // Behind what is buffered.
    one = std::make_shared<Recorder>("full", false, true);
    auto [transport, peer] = co_await connected(one);
    transport->write(much);
    transport->write_eof();
    const std::string data = co_await io::receive(peer, 4'000'000);
    co_await one->resumed;
    note("peer gets", io::show(data));
    io::send(peer, "answer");
    co_await one->receives(6);
    transport->close();
    co_await one->lost;
}

Coroutine<void> pausing() {
    note("== pausing");
    auto one = std::make_shared<Recorder>("one");
    {
        auto [transport, peer] = co_await connected(one);
        transport->pause_reading();
        transport->pause_reading();
        note("reading", transport->is_reading());
        io::send(peer, "early");
        io::send(peer, "and late");
        co_await asyncio::sleep(20ms);
        transport->resume_reading();
        transport->resume_reading();
        note("reading", transport->is_reading());
        co_await one->receives(13);
        transport->pause_reading();
        peer.close();
        co_await asyncio::sleep(20ms);
        note("nothing so far");
        transport->resume_reading();
        co_await one->lost;
        transport->resume_reading();
        note("reading", transport->is_reading());
    }
    // Closed while paused.
    one = std::make_shared<Recorder>("closed");
    auto [transport, peer] = co_await connected(one);
    transport->pause_reading();
    io::send(peer, "never read");
    transport->close();
    transport->resume_reading();
    note("reading", transport->is_reading());
    co_await one->lost;
}

class Failing : public Recorder {
  public:
    explicit Failing(const std::string& where) : Recorder(where), where_(where) {}

    void connection_made(std::shared_ptr<asyncio::Transport> made_transport) override {
        Recorder::connection_made(std::move(made_transport));
        if (where_ == "made") throw asyncio::ValueError("in connection_made");
    }
    void data_received(std::string_view data) override {
        Recorder::data_received(data);
        if (where_ == "data") throw asyncio::ValueError("in data_received");
    }
    bool eof_received() override {
        Recorder::eof_received();
        if (where_ == "eof") throw asyncio::ValueError("in eof_received");
        return false;
    }

  private:
    std::string where_;
};

Coroutine<void> failures() {
    note("== failures");
    for (const std::string where : {"made", "data", "eof"}) {
        const auto one = std::make_shared<Failing>(where);
        auto [transport, peer] = co_await connected(one);
        io::send(peer, "data");
        if (where != "eof") co_await one->got;
        peer.close();
        co_await one->lost;
        co_await asyncio::sleep(10ms);
    }
}

Coroutine<void> after_the_end() {
    note("== after the end");
    const auto one = std::make_shared<Recorder>("one");
    const auto [transport, peer] = co_await connected(one);
    transport->close();
    co_await one->lost;
    co_await asyncio::sleep(0);
    const auto& t = *transport;
    attempted("write", [&transport] { transport->write("x"); });
    attempted("write_eof", [&transport] { transport->write_eof(); });
    attempted("pause_reading", [&transport] { transport->pause_reading(); });
    attempted("resume_reading", [&transport] { transport->resume_reading(); });
    attempted("close", [&transport] { transport->close(); });
    attempted("abort", [&transport] { transport->abort(); });
    note(t.is_closing(), t.is_reading(), t.get_write_buffer_size());
    note("protocol", t.get_protocol() == nullptr);
    note("peer gets", io::show(io::pending(peer)));
}

Coroutine<void> other_protocol() {
    note("== other protocol");
    const auto one = std::make_shared<Recorder>("one");
    auto [transport, peer] = co_await connected(one);
    io::send(peer, "for one");
    co_await one->receives(7);
    const auto two = std::make_shared<Recorder>("two");
    transport->set_protocol(two);
    note(transport->get_protocol() == two);
    io::send(peer, "for two");
    co_await two->receives(7);
    peer.close();
    co_await two->lost;
    note("one knows", one->lost.done());
}

class Buffered : public asyncio::BufferedProtocol {
  public:
    explicit Buffered(std::size_t size) : memory_(size) {}

    void connection_made(std::shared_ptr<asyncio::Transport>) override { note("connection_made"); }
    std::span<std::byte> get_buffer(std::size_t) override { return memory_; }
    void buffer_updated(std::size_t count) override {
        note("buffer_updated", count,
             io::show(std::string_view(reinterpret_cast<const char*>(memory_.data()), count)));
    }
    bool eof_received() override {
        note("eof_received");
        return false;
    }
    void connection_lost(std::exception_ptr error) override {
        note("connection_lost", io::kind(error));
        lost.set_result();
    }

    Future<void> lost;

  private:
    std::vector<std::byte> memory_;
};

Coroutine<void> buffered() {
    note("== buffered");
    auto one = std::make_shared<Buffered>(4);
    {
        auto [transport, peer] = co_await connected(one);
        io::send(peer, "0123456789");
        peer.close();
        co_await one->lost;
    }
    EventLoop& loop = asyncio::get_running_loop();
    loop.set_exception_handler([](EventLoop&, const asyncio::ExceptionContext& context) {
        note("handler", context.exception);
    });
    one = std::make_shared<Buffered>(0);
    auto [transport, peer] = co_await connected(one);
    io::send(peer, "no room");
    co_await one->lost;
    io::listen(loop);
}

Coroutine<void> lost_connections() {
    note("== lost connections");
    // The peer closes with unread data.
    auto one = std::make_shared<Recorder>("reset");
    {
        auto [transport, peer] = co_await connected(one);
        transport->write("unread");
        peer.close();
        co_await one->lost;
    }
    // It is gone when we write.
    one = std::make_shared<Recorder>("broken");
    {
        auto [transport, peer] = co_await connected(one);
        transport->pause_reading();
        peer.close();
        transport->write("nobody");
        note("closing", transport->is_closing(), one->lost.done());
        co_await one->lost;
    }
    // It goes while we have data for it.
    one = std::make_shared<Recorder>("buffered", false, true);
    auto [transport, peer] = co_await connected(one);
    transport->pause_reading();
    transport->write(much);
    io::pending(peer);
    peer.close();
    co_await one->lost;
    note("buffered", transport->get_write_buffer_size());
}

Coroutine<void> pieces() {
    note("== pieces");
    const auto one = std::make_shared<Recorder>("one", false, true);
    auto [transport, peer] = co_await connected(one);
    transport->writelines(std::vector<std::string>{"one ", "", "two ", "three"});
    note("peer gets", io::show(io::pending(peer)));
    transport->writelines(std::vector<std::string>{});
    transport->write("");
    note("peer gets", io::show(io::pending(peer)));
    transport->set_write_buffer_limits({.high = 10'000'000});
    transport->writelines(std::vector<std::string>(300, std::string(10'000, 'x')));
    transport->writelines(std::vector<std::string>{"the", " end"});
    const std::string data = co_await io::receive(peer, 3'000'007);
    note("peer gets", io::show(data), io::show(std::string_view(data).substr(data.size() - 8)));
    note("nothing", transport->get_extra_info<int>("nonsense"),
         transport->get_extra_info("nonsense", 7));
    transport->close();
    co_await one->lost;
}

Coroutine<void> program() {
    io::listen(asyncio::get_running_loop());
    co_await order();
    co_await end_of_file();
    co_await close_flushes();
    co_await abort_drops();
    co_await half_close();
    co_await pausing();
    co_await failures();
    co_await after_the_end();
    co_await other_protocol();
    co_await buffered();
    co_await lost_connections();
    co_await pieces();
}

int main() {
    asyncio::run(program());
}
