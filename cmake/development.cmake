# How we build this project ourselves: warnings, sanitizers, ccache, lld.
# Warnings become errors in the presets only, so that a newer compiler's new warning
# never stops somebody who just wants to install a release.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

add_compile_options(-Wall -Wextra -Wpedantic)

find_program(CCACHE ccache)
mark_as_advanced(CCACHE)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # Else it does not keep what was compiled with precompiled headers.
    set(CMAKE_CXX_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE}
    )
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    include(CheckLinkerFlag)
    check_linker_flag(CXX -fuse-ld=lld ASYNCIO_CPP_HAVE_LLD)
    if(ASYNCIO_CPP_HAVE_LLD)
        add_link_options(-fuse-ld=lld)
    endif()
endif()

if(ASYNCIO_CPP_SANITIZE)
    list(JOIN ASYNCIO_CPP_SANITIZE "," sanitizers)
    add_compile_options(
        -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer
    )
    add_link_options(-fsanitize=${sanitizers})
endif()
