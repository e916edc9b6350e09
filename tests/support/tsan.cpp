// What ThreadSanitizer cannot know, and what it does behind our back.
#if __has_feature(thread_sanitizer)
#include <gtest/gtest.h>
#include <sanitizer/common_interface_defs.h>

// The owners of an exception count themselves inside libstdc++.so, which is not instrumented:
// the sanitizer sees the last owner destroy it, but not that the others let go before.
extern "C" const char* __tsan_default_suppressions() {
    return "race:std::__exception_ptr::exception_ptr::_M_release\n";
}

namespace {

// Its symbolizer is a child process with pipes, begun when it is first needed. Begun now, it
// is nothing that a test could have left behind.
class Symbolizer : public ::testing::Environment {
    void SetUp() override {
        char text[64];
        __sanitizer_symbolize_pc(__builtin_return_address(0), "%f", text, sizeof text);
    }
};
[[maybe_unused]] const auto* const symbolizer =
    ::testing::AddGlobalTestEnvironment(new Symbolizer);

}  // namespace
#endif
