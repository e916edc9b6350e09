// The transports over one end of a pipe, or over a terminal or socket used in one direction.
//
// Each holds itself until connection_lost() was called and the kernel is done with it.
#pragma once

#include <asyncio/futures.hpp>
#include <asyncio/transports.hpp>
#include <memory>
#include <string>

#include "flow_control.hpp"
#include "loop_state.hpp"
#include "proactors/descriptor.hpp"
#include "protocol_slot.hpp"
#include "receiving.hpp"
#include "write_buffer.hpp"

namespace asyncio::detail {

// What both ends share. What the other end could do throws NotImplementedError.
class PipeTransport : public Transport, public LoopResource {
  public:
    [[nodiscard]] bool is_closing() const noexcept override { return closing_; }
    [[nodiscard]] std::any extra_info(std::string_view name) const override;
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override {
        protocol_.exchange(std::move(protocol), *loop_);
    }
    [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const override {
        return protocol_.get();
    }

    [[nodiscard]] bool is_reading() const noexcept override { return false; }
    void pause_reading() override { throw_write_only(); }
    void resume_reading() override { throw_write_only(); }
    void write(std::string_view) override { throw_read_only(); }
    void write_eof() override { throw_read_only(); }
    [[nodiscard]] bool can_write_eof() const noexcept override { return false; }
    void abort() override { close(); }
    void set_write_buffer_limits(WriteBufferLimits) override { throw_read_only(); }
    [[nodiscard]] std::pair<std::size_t, std::size_t> get_write_buffer_limits() const override {
        throw_read_only();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override { return 0; }

    void loop_closed() noexcept override;

  protected:
    // Throws: TypeError for a protocol of another kind, ValueError for another kind of file,
    // OSError; the descriptor is then not touched.
    PipeTransport(EventLoop& loop, int fd, std::shared_ptr<BaseProtocol> protocol);
    ~PipeTransport() = default;

    // Owns the descriptor from now on.
    void begin(Descriptor pipe, Future<void> waiter);
    [[nodiscard]] Proactor& proactor() const noexcept {
        return *EventLoop::Internals::state(*loop_).proactor;
    }
    // Once connection_made() was called.
    virtual void begin_operations() = 0;
    // Whether the kernel still has one.
    [[nodiscard]] virtual bool busy() const noexcept = 0;
    // What is not needed any more after the loop has closed.
    virtual void drop_operations() noexcept = 0;

    // Ends it because of `error`; tells the exception handler, unless that is a usual end.
    void fatal_error(std::exception_ptr error, const char* message);
    [[nodiscard]] virtual bool is_expected(const std::exception_ptr& error) const noexcept = 0;
    virtual void force_close(std::exception_ptr error) = 0;
    void schedule_lost(std::exception_ptr error);
    void lose(const std::exception_ptr& error);
    void let_go_if_over() noexcept;
    [[nodiscard]] std::string describe(const char* type, const char* more) const;

    LoopReference loop_;
    const int fd_;
    Descriptor pipe_;
    bool closing_ = false;
    bool lost_ = false;
    ProtocolSlot protocol_;
    std::shared_ptr<PipeTransport> alive_;  // itself

  private:
    [[noreturn]] static void throw_read_only();
    [[noreturn]] static void throw_write_only();
    void give_back() noexcept;
};

class ReadPipeTransport final : public PipeTransport, private ReceivingTransport {
  public:
    ReadPipeTransport(EventLoop& loop, int fd, std::shared_ptr<BaseProtocol> protocol);
    // Takes the descriptor over, but not if it throws: see PipeTransport. The callbacks are
    // scheduled as SocketTransport's.
    static std::shared_ptr<ReadPipeTransport> make(EventLoop& loop, Descriptor&& pipe,
                                                   std::shared_ptr<BaseProtocol> protocol,
                                                   Future<void> waiter = Future<void>(nullptr));

    void close() override { force_close(nullptr); }
    [[nodiscard]] std::string repr() const override;
    [[nodiscard]] bool is_reading() const noexcept override { return input_.active(); }
    void pause_reading() override { input_.pause(); }
    void resume_reading() override { input_.resume(); }

  private:
    friend class ReceivingFor<ReadPipeTransport>;
    void begin_operations() override { input_.start(); }
    [[nodiscard]] bool busy() const noexcept override { return input_.busy(); }
    void drop_operations() noexcept override { input_.stop(); }
    void force_close(std::exception_ptr error) override;
    [[nodiscard]] bool is_expected(const std::exception_ptr& error) const noexcept override;
    std::string_view take_input(std::string_view data) override;
    [[nodiscard]] std::span<std::byte> lend_memory() noexcept override {
        return protocol_.lend_memory();
    }
    void take_end(int result) override;
    void receiving_over() noexcept override { let_go_if_over(); }
    [[nodiscard]] std::shared_ptr<void> keep_alive() noexcept override { return share(); }
    [[nodiscard]] EventLoop& loop() const noexcept override { return *loop_; }

    ReceivingFor<ReadPipeTransport> input_;
};

class WritePipeTransport final : public PipeTransport {
  public:
    WritePipeTransport(EventLoop& loop, int fd, std::shared_ptr<BaseProtocol> protocol);
    static std::shared_ptr<WritePipeTransport> make(EventLoop& loop, Descriptor&& pipe,
                                                    std::shared_ptr<BaseProtocol> protocol,
                                                    Future<void> waiter = Future<void>(nullptr));

    void close() override { write_eof(); }
    [[nodiscard]] std::string repr() const override;
    void write(std::string_view data) override;
    void write_eof() override;
    [[nodiscard]] bool can_write_eof() const noexcept override { return true; }
    void abort() override { force_close(nullptr); }
    void set_write_buffer_limits(WriteBufferLimits limits) override;
    [[nodiscard]] std::pair<std::size_t, std::size_t> get_write_buffer_limits() const override {
        return flow_.limits();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override {
        return unsent_ != nullptr ? unsent_->size() : 0;
    }

  private:
    void begin_operations() override;
    [[nodiscard]] bool busy() const noexcept override;
    void drop_operations() noexcept override { unsent_.reset(); }
    void force_close(std::exception_ptr error) override;
    [[nodiscard]] bool is_expected(const std::exception_ptr& error) const noexcept override {
        return holds_exception<OSError>(error);
    }
    static void written(Operation& operation, int result, bool more);
    static void reader_went(Operation& operation, int result, bool more);
    void buffer_written(int result);

    FlowControl flow_;
    Operation watch_;  // for the reader going away
    std::unique_ptr<WriteBuffer> unsent_;
    bool dropped_ = false;          // what is unsent stays so
    std::uint32_t lost_count_ = 0;  // counts writes that come too late
};

}  // namespace asyncio::detail
