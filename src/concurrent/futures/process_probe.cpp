#include "process_probe.hpp"

#include <unwind.h>

#include <typeinfo>

namespace concurrent::futures::detail {

thread_local std::vector<const void*>* probed_stack = nullptr;

namespace {

constexpr std::size_t most_frames = 64;

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* to) {
    auto& stack = *static_cast<std::vector<const void*>*>(to);
    stack.push_back(reinterpret_cast<const void*>(_Unwind_GetIP(context)));
    return stack.size() < most_frames ? _URC_NO_REASON : _URC_END_OF_STACK;
}

}  // namespace

// Not in the unnamed namespace: then the object below would have no linkage.
class ProbeType : public std::type_info {
  public:
    ProbeType() : std::type_info("concurrent::futures::detail::StackProbe") {}

    bool __do_catch(const std::type_info*, void**, unsigned) const override {
        if (probed_stack != nullptr) {
            try {
                probed_stack->clear();
                _Unwind_Backtrace(note_frame, probed_stack);
            } catch (...) {
                // No memory: an exception without a traceback.
            }
        }
        return false;
    }
};

// The Itanium name of StackProbe's type information, which is what the handler's
// table entry refers to.
extern const ProbeType stack_probe_type asm("_ZTIN10concurrent7futures6detail10StackProbeE");
const ProbeType stack_probe_type;

}  // namespace concurrent::futures::detail
