// The transports over one end of a pipe, or of what is read or written like one: a socket or a
// terminal used in one direction.
//
// As SocketTransport: memory of the proactor's to read, what can be written at once is, and it
// holds itself from when it is made until connection_lost() was called and the kernel is done
// with its operations, or until its loop closes.
#pragma once

#include <asyncio/futures.hpp>
#include <asyncio/transports.hpp>
#include <memory>
#include <string>

#include "flow_control.hpp"
#include "loop_state.hpp"
#include "proactors/descriptor.hpp"
#include "protocol_slot.hpp"
#include "write_buffer.hpp"

namespace asyncio::detail {

class PipeTransport : public Transport, public LoopResource {
  public:
    ~PipeTransport() override;

    [[nodiscard]] bool is_closing() const noexcept override { return closing_; }
    [[nodiscard]] std::any extra_info(std::string_view name) const override;
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const override {
        return protocol_.get();
    }
    [[nodiscard]] std::string repr() const override;
    void loop_closed() noexcept override;

  protected:
    // Throws: ValueError for a descriptor of another kind, TypeError for such a protocol,
    // OSError for a bad descriptor.
    PipeTransport(EventLoop& loop, Descriptor pipe, std::shared_ptr<BaseProtocol> protocol,
                  bool to_read);

    [[nodiscard]] Proactor& proactor() const noexcept {
        return *EventLoop::Internals::state(*loop_).proactor;
    }
    [[nodiscard]] int fd() const noexcept { return pipe_.get(); }
    template <class Self>
    [[nodiscard]] static std::shared_ptr<Self> share(Self& self) noexcept {
        return {self.weak_from_this().lock(), &self};
    }
    // connection_made(), start() and the completion of `waiter` are three callbacks, in that
    // order, of the next iteration.
    void begin(Future<void> waiter);
    // Calls connection_lost(), next iteration or now, and gives everything back.
    void schedule_lost(std::exception_ptr error);
    void lose(const std::exception_ptr& error);
    void let_go_if_over() noexcept;

    virtual void start() = 0;
    // No operation is in flight.
    [[nodiscard]] virtual bool idle() const noexcept = 0;
    // The loop closed: what is buffered is of no use any more.
    virtual void drop_buffers() noexcept = 0;

    LoopReference loop_;
    bool closing_ = false;
    ProtocolSlot protocol_;

  private:
    void give_back() noexcept;

    Descriptor pipe_;
    bool to_read_;
    bool ending_ = false;                   // connection_lost() is due
    bool lost_ = false;                     // and was called
    std::shared_ptr<PipeTransport> alive_;  // itself
};

class ReadPipeTransport final : public PipeTransport {
  public:
    // Takes the descriptor over and makes it non-blocking.
    static std::shared_ptr<ReadPipeTransport> make(EventLoop& loop, Descriptor pipe,
                                                   std::shared_ptr<BaseProtocol> protocol,
                                                   Future<void> waiter = Future<void>(nullptr));
    ReadPipeTransport(EventLoop& loop, Descriptor pipe, std::shared_ptr<BaseProtocol> protocol);

    void close() override;
    void abort() override { close(); }
    [[nodiscard]] bool is_reading() const noexcept override { return !closing_ && !paused_; }
    void pause_reading() override;
    void resume_reading() override;

    void write(std::string_view data) override;
    void write_eof() override;
    [[nodiscard]] bool can_write_eof() const noexcept override { return false; }
    void set_write_buffer_limits(WriteBufferLimits limits) override;
    [[nodiscard]] std::pair<std::size_t, std::size_t> get_write_buffer_limits() const override;
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override { return 0; }

  private:
    void start() override;
    [[nodiscard]] bool idle() const noexcept override {
        return receive_.state == Operation::State::idle;
    }
    void drop_buffers() noexcept override { held_.reset(); }

    void receive();
    static void received(Operation& operation, int result, bool more);
    void take_input(std::string_view data);
    void deliver(std::string_view data);
    void deliver_held();
    void end_of_input(int result);
    void stop(std::exception_ptr error);

    bool paused_ = false;
    bool started_ = false;
    bool stop_asked_ = false;    // reading is to go on once the operation has ended
    bool delivery_due_ = false;  // deliver_held() is scheduled
    std::optional<int> end_;     // the result that ended the input, while that is not told
    Operation receive_;
    std::unique_ptr<std::string> held_;  // came while paused
};

class WritePipeTransport final : public PipeTransport {
  public:
    // Takes the descriptor over and makes it non-blocking. From the first one on, the process
    // ignores SIGPIPE, unless it has a handler for it.
    static std::shared_ptr<WritePipeTransport> make(EventLoop& loop, Descriptor pipe,
                                                    std::shared_ptr<BaseProtocol> protocol,
                                                    Future<void> waiter = Future<void>(nullptr));
    WritePipeTransport(EventLoop& loop, Descriptor pipe, std::shared_ptr<BaseProtocol> protocol);

    // As write_eof(): the buffer is written first.
    void close() override { write_eof(); }
    void abort() override { end_now(nullptr); }
    [[nodiscard]] bool is_reading() const noexcept override { return false; }
    void pause_reading() override;
    void resume_reading() override;

    void write(std::string_view data) override;
    void write_eof() override;
    [[nodiscard]] bool can_write_eof() const noexcept override { return true; }
    void set_write_buffer_limits(WriteBufferLimits limits) override;
    [[nodiscard]] std::pair<std::size_t, std::size_t> get_write_buffer_limits() const override {
        return flow_.limits();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override {
        return unsent_ != nullptr ? unsent_->size() : 0;
    }

  private:
    void start() override;
    [[nodiscard]] bool idle() const noexcept override {
        return watch_.state == Operation::State::idle && (unsent_ == nullptr || !unsent_->busy());
    }
    void drop_buffers() noexcept override { unsent_.reset(); }

    [[nodiscard]] std::ptrdiff_t write_now(std::string_view data);
    static void written(Operation& operation, int result, bool more);
    void buffer_written(int result);
    static void reader_gone(Operation& operation, int result, bool more);
    void fatal_error(int number);
    void end_now(std::exception_ptr error);

    bool aborted_ = false;         // nothing more of the buffer is to be written
    bool watches_reader_ = false;  // its kind tells when the other end is closed
    std::uint32_t lost_writes_ = 0;
    FlowControl flow_;
    Operation watch_;
    std::unique_ptr<WriteBuffer> unsent_;
};

}  // namespace asyncio::detail
