// What ThreadSanitizer cannot know.

#if __has_feature(thread_sanitizer)
// The owners of an exception count themselves inside libstdc++.so, which is not instrumented:
// the sanitizer sees the last owner destroy it, but not that the others let go before.
extern "C" const char* __tsan_default_suppressions() {
    return "race:std::__exception_ptr::exception_ptr::_M_release\n";
}
#endif
