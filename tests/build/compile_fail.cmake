# Passes if SOURCE does not compile and its first error says what its first line expects.
file(STRINGS ${SOURCE} first_line LIMIT_COUNT 1)
if(NOT first_line MATCHES "^// expect: (.+)$")
    message(FATAL_ERROR "${SOURCE}: the first line must be `// expect: REGEX`")
endif()
set(expected "${CMAKE_MATCH_1}")

execute_process(
    COMMAND ${COMPILER} -std=c++20 -fsyntax-only -I ${INCLUDE} ${SOURCE}
    RESULT_VARIABLE result
    ERROR_VARIABLE output
)
if(result EQUAL 0)
    message(FATAL_ERROR "${SOURCE}: compiles, but must not")
endif()
string(REGEX MATCH "error: [^\n]*" first_error "${output}")
if(NOT first_error MATCHES "${expected}")
    message(FATAL_ERROR "expected: ${expected}\nfirst error: ${first_error}\n\n${output}")
endif()
