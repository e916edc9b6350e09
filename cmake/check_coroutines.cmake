# Some compilers accept ordinary coroutine code and miscompile it (g++ 12 does). Say so
# here, by trying, rather than let a program hang or free an object twice.

if(CMAKE_CROSSCOMPILING)
    return()
endif()

if(NOT DEFINED ASYNCIO_CPP_COROUTINES_RUN)
    message(CHECK_START "Checking that the compiler gets coroutines right")
    try_run(
        ASYNCIO_CPP_COROUTINES_RUN ASYNCIO_CPP_COROUTINES_COMPILE
        SOURCES ${CMAKE_CURRENT_LIST_DIR}/check_coroutines.cpp
        CXX_STANDARD 20
        CXX_STANDARD_REQUIRED ON
        RUN_OUTPUT_VARIABLE run_output
        COMPILE_OUTPUT_VARIABLE compile_output
    )
    if(NOT ASYNCIO_CPP_COROUTINES_COMPILE)
        message(CHECK_FAIL "it does not compile them")
        message(DEBUG "${compile_output}")
        set(fault "does not compile a simple coroutine")
    elseif(ASYNCIO_CPP_COROUTINES_RUN STREQUAL "0")
        message(CHECK_PASS "yes")
        set(fault "")
    else()
        message(CHECK_FAIL "no")
        string(STRIP "${run_output}" fault)
        if(NOT fault)
            set(fault "miscompiles a simple coroutine, which then crashed")
        endif()
    endif()
    set(ASYNCIO_CPP_COROUTINES_FAULT "${fault}" CACHE INTERNAL "What this compiler gets wrong")
endif()

if(ASYNCIO_CPP_COROUTINES_FAULT)
    message(WARNING
        "${CMAKE_CXX_COMPILER} (${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}) "
        "${ASYNCIO_CPP_COROUTINES_FAULT}.\n"
        "Programs built with it may hang or crash. Configure anew with "
        "-DCMAKE_CXX_COMPILER=clang++-19, or keep to the forms in docs/compilers.md."
    )
endif()
