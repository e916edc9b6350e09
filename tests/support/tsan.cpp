// What ThreadSanitizer cannot know, and what it does behind our back.
#if __has_feature(thread_sanitizer)
#include <sanitizer/common_interface_defs.h>

// Neither libstdc++.so nor OpenSSL is instrumented. The owners of an exception count themselves
// in the former: the sanitizer sees the last owner destroy it, but not that the others let go
// before. What the latter fills in at first use it publishes with atomics of its own.
extern "C" const char* __tsan_default_suppressions() {
    return "race:std::__exception_ptr::exception_ptr::_M_release\n"
           "race:libcrypto.so\n"
           "race:libssl.so\n";
}

namespace {

// Its symbolizer is a child process with pipes, begun when it is first needed. Begun now, before
// any test counts its descriptors, it is nothing that one could have left behind.
[[gnu::constructor(101)]] void begin_symbolizer() {
    char text[64];
    __sanitizer_symbolize_pc(__builtin_return_address(0), "%f", text, sizeof text);
}

}  // namespace
#endif
