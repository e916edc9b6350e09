// asyncio/waiting_detail.hpp - private: futures made of other futures.
//
// A Relay stands in another future's list of waiters. When that one is done, the relay takes
// a turn in the ready queue, as CPython's done callbacks do, and completes the future that
// owns it in that turn. So waiters of a gather resume exactly when CPython's do.
#pragma once

#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/futures.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/tasks.hpp>

namespace asyncio::detail {

// The turn in the ready queue in which a composed future is completed.
class Delivery : public ReadyNode {
  public:
    explicit Delivery(FutureBase& owner) noexcept : owner_(&owner) { take = &take_turn; }
    Delivery(const Delivery&) = delete;
    Delivery& operator=(const Delivery&) = delete;

    // Queues it, once. Keeps the owner alive until then.
    void schedule() noexcept;
    [[nodiscard]] bool scheduled() const noexcept { return scheduled_; }
    // Whether a place in the ready queue is one of these.
    [[nodiscard]] static bool owns(const ReadyNode* node) noexcept {
        return node->take == &take_turn;
    }

  protected:
    ~Delivery() = default;
    virtual void deliver() = 0;
    FutureBase& owner() const noexcept { return *owner_; }

  private:
    friend struct Inspection;
    static void take_turn(ReadyNode* node, Turn turn);
    FutureBase* owner_;
    bool scheduled_ = false;
};

// ---- gather -----------------------------------------------------------------------------

class Gather;

// One future gathered.
class GatherChild final : public DoneNode {
  public:
    GatherChild() = default;
    ~GatherChild();
    void fire(FutureBase&) noexcept override;
    [[nodiscard]] FutureBase* waiter() const noexcept override;

    Gather* gather = nullptr;
    Ref<FutureBase> future;  // null once its result was taken out of it
    bool owned = false;      // made by gather(): its result may be moved out
    bool came_done = false;  // it had ended before it was gathered
};

// What does not depend on the results' types.
class Gather : public Delivery {
  public:
    Gather(FutureBase& owner, std::size_t count, bool return_exceptions);

    // Throws: ValueError when it belongs to another loop.
    void set_child(std::size_t index, Ref<FutureBase> future, bool owned) {
        if (&future->loop() != &owner().loop()) [[unlikely]]
            throw_other_loop();
        GatherChild& child = children_[index];
        child.gather = this;
        child.owned = owned;
        if (future->done()) {
            child.came_done = any_came_done_ = true;
        } else {
            future->add_waiter(&child);
        }
        child.future = std::move(future);
    }
    // Once all children are set.
    void start();
    bool cancel_children(const CancelMessage& message);
    [[nodiscard]] GatherChild& child(std::size_t index) noexcept { return children_[index]; }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] FutureBase& outer() const noexcept { return owner(); }
    // True when the gather ends with it.
    bool child_done(GatherChild& child) noexcept;

  protected:
    ~Gather();
    // Moves the results into the owner and completes it.
    virtual void collect() = 0;
    // Takes the result out of a child of ours at once, where that can be done, so that the
    // child need not be kept, nor looked at a second time when it has gone out of the caches.
    virtual bool take_early(std::size_t index) noexcept = 0;

  private:
    void deliver() override;
    [[noreturn]] static void throw_other_loop();

    std::unique_ptr<GatherChild[]> children_;
    std::size_t count_;
    std::size_t finished_ = 0;
    bool return_exceptions_;
    bool cancel_requested_ = false;
    GatherChild* last_ = nullptr;  // whose end completes the gather
    bool failed_ = false;          // by its error
    bool any_came_done_ = false;
};

// A gathered element: void becomes None, a reference a pointer-like wrapper.
template <class T>
struct Element {
    using type = T;
};
template <>
struct Element<void> {
    using type = None;
};
template <class T>
struct Element<T&> {
    using type = std::reference_wrapper<T>;
};
template <class T>
using element_t = typename Element<T>::type;

// Where results of children that are gone wait for those of the others.
template <class T>
class EarlyResults {
  public:
    explicit EarlyResults(std::size_t count) : slots_(new Slot<T>[count]) {}
    [[nodiscard]] Slot<T>& operator[](std::size_t index) noexcept { return slots_[index]; }

  private:
    std::unique_ptr<Slot<T>[]> slots_;
};
template <>
class EarlyResults<void> {
  public:
    explicit EarlyResults(std::size_t) noexcept {}
};
// Of a gather that keeps its children to the end.
struct NoEarlyResults {
    explicit NoEarlyResults(std::size_t) noexcept {}
};

template <class T>
element_t<T> take_element(GatherChild& child) {
    Slot<T>& slot = slot_of<T>(*child.future);
    if constexpr (std::is_void_v<T>) {
        return None{};
    } else if constexpr (std::is_reference_v<T>) {
        return slot.get();
    } else if constexpr (std::is_copy_constructible_v<T>) {
        if (!child.owned) return slot.get();
        return slot.take();
    } else {
        return slot.take();
    }
}

template <class T>
Outcome<T> take_outcome(GatherChild& child) {
    if (std::exception_ptr error = child.future->take_error()) return Outcome<T>(std::move(error));
    return success_of(slot_of<T>(*child.future), child.owned ? Take::move : Take::copy);
}

// The outer future. Collector: how Result is made of the children.
template <class Result, class Collector>
class GatherState final : public FutureStateOf<Result>, public Gather {
  public:
    GatherState(EventLoop& loop, std::size_t count, bool return_exceptions,
                std::source_location where)
        : FutureStateOf<Result>(loop, where),
          Gather(*this, count, return_exceptions),
          early_(count) {}

    // Cancels every child that is not done; the outer future ends when they do.
    bool cancel(CancelMessage message) override {
        return !this->done() && cancel_children(message);
    }
    [[nodiscard]] std::string repr() const override {
        return "<_GatheringFuture" + FutureBase::repr().substr(7);
    }

  private:
    void collect() override {
        if constexpr (std::is_void_v<Result>) {
            this->set_result();
        } else {
            this->set_result(Collector::collect(*this, early_));
        }
    }
    bool take_early(std::size_t index) noexcept override {
        return Collector::take_early(*this, early_, index);
    }

    [[no_unique_address]] typename Collector::Early early_;
};

// Of a fixed number of children: few, as a rule.
struct CollectAtTheEnd {
    using Early = NoEarlyResults;
    static bool take_early(Gather&, Early&, std::size_t) noexcept { return false; }
};

template <class... T>
struct CollectTuple : CollectAtTheEnd {
    static std::tuple<element_t<T>...> collect(Gather& gather, Early&) {
        return collect(gather, std::index_sequence_for<T...>());
    }
    template <std::size_t... I>
    static std::tuple<element_t<T>...> collect(Gather& gather, std::index_sequence<I...>) {
        return std::tuple<element_t<T>...>(take_element<T>(gather.child(I))...);
    }
};
template <class... T>
struct CollectOutcomes : CollectAtTheEnd {
    static std::tuple<Outcome<T>...> collect(Gather& gather, Early&) {
        return collect(gather, std::index_sequence_for<T...>());
    }
    template <std::size_t... I>
    static std::tuple<Outcome<T>...> collect(Gather& gather, std::index_sequence<I...>) {
        return std::tuple<Outcome<T>...>(take_outcome<T>(gather.child(I))...);
    }
};
template <class T>
struct CollectEarly {
    using Early = EarlyResults<T>;
    static bool take_early(Gather& gather, Early& early, std::size_t index) noexcept {
        if constexpr (std::is_void_v<T>) {
            return true;
        } else if constexpr (std::is_reference_v<T> || std::is_nothrow_move_constructible_v<T>) {
            early[index].emplace(slot_of<T>(*gather.child(index).future).take());
            return true;
        } else {
            return false;
        }
    }
};
template <class T>
struct CollectVector : CollectEarly<T> {
    static std::vector<element_t<T>> collect(Gather& gather, EarlyResults<T>& early) {
        std::vector<element_t<T>> all;
        all.reserve(gather.count());
        for (std::size_t i = 0; i < gather.count(); ++i) {
            GatherChild& child = gather.child(i);
            if (child.future) {
                all.push_back(take_element<T>(child));
            } else if constexpr (!std::is_void_v<T>) {
                all.push_back(early[i].take());
            }
        }
        return all;
    }
};
template <class T>
struct CollectOutcomeVector : CollectEarly<T> {
    static std::vector<Outcome<T>> collect(Gather& gather, EarlyResults<T>& early) {
        std::vector<Outcome<T>> all;
        all.reserve(gather.count());
        for (std::size_t i = 0; i < gather.count(); ++i) {
            GatherChild& child = gather.child(i);
            if (child.future) {
                all.push_back(take_outcome<T>(child));
            } else if constexpr (std::is_void_v<T>) {
                Slot<void> none;
                all.push_back(success_of(none, Take::move));
            } else {
                all.push_back(success_of(early[i], Take::move));
            }
        }
        return all;
    }
};

// The loop of a future, null for anything else.
template <class A>
[[nodiscard]] EventLoop* loop_of(const A& item) {
    if constexpr (isfuture_v<A>) {
        return &item.get_loop();
    } else {
        return nullptr;
    }
}

// ---- shield -----------------------------------------------------------------------------

class Shield : public Delivery, public DoneNode {
  public:
    Shield(FutureBase& owner, Ref<FutureBase> inner, bool owned) noexcept
        : Delivery(owner), inner_(std::move(inner)), owned_(owned) {
        inner_->add_waiter(this);
    }
    void fire(FutureBase&) noexcept override { schedule(); }
    [[nodiscard]] FutureBase* waiter() const noexcept override { return &owner(); }
    // The waiter left: from now on an error of the inner future is reported, once.
    void leave() noexcept;

  protected:
    ~Shield() {
        if (linked()) inner_->remove_waiter(this);
    }
    void deliver() override;
    virtual void copy_result() = 0;
    [[nodiscard]] FutureBase& inner() const noexcept { return *inner_; }
    [[nodiscard]] bool owned() const noexcept { return owned_; }

  private:
    Ref<FutureBase> inner_;
    bool owned_;
};

template <class T>
class ShieldState final : public FutureStateOf<T>, public Shield {
  public:
    ShieldState(Ref<FutureBase> inner, bool owned, std::source_location where)
        : FutureStateOf<T>(inner->loop(), where), Shield(*this, inner, owned) {}
    bool cancel(CancelMessage message) override {
        if (!FutureBase::cancel(std::move(message))) return false;
        leave();
        return true;
    }

  private:
    void copy_result() override {
        Slot<T>& slot = slot_of<T>(inner());
        if constexpr (std::is_void_v<T>) {
            this->set_result();
        } else if constexpr (std::is_copy_constructible_v<T> || std::is_reference_v<T>) {
            if (owned()) {
                this->set_result(slot.take());
            } else {
                this->set_result(slot.get());
            }
        } else {
            this->set_result(slot.take());
        }
    }
};

}  // namespace asyncio::detail
