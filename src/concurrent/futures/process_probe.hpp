// A handler that never handles: it looks at the stack while it is still there.
#pragma once

#include <cstddef>
#include <vector>

namespace concurrent::futures::detail {

// `catch (const StackProbe&)` in front of `catch (...)`. To find out who handles an
// exception the unwinder asks each handler, innermost first, before it unwinds
// anything. Asked, this one takes down the stack and declines.
class StackProbe {
  public:
    // Declared here and defined nowhere, so that the compiler emits no type
    // information for this class: process_probe.cpp provides it.
    virtual void never_defined();

  protected:
    ~StackProbe() = default;
};

// Where this thread's probes put what they see; null to see nothing.
extern thread_local std::vector<const void*>* probed_stack;

}  // namespace concurrent::futures::detail
