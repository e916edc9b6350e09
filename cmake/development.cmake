# How we build this project ourselves: warnings, sanitizers, ccache, lld, profiles.
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
        # Hot functions side by side, as GNU ld has them of itself.
        add_link_options(-fuse-ld=lld LINKER:-z,keep-text-section-prefix)
    endif()
endif()

if(ASYNCIO_CPP_SANITIZE)
    list(JOIN ASYNCIO_CPP_SANITIZE "," sanitizers)
    add_compile_options(
        -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer
    )
    add_link_options(-fsanitize=${sanitizers})
    # No sanitizer sees an iterator that is past the end within its own container.
    add_compile_definitions(_GLIBCXX_ASSERTIONS)
endif()

if(ASYNCIO_CPP_PROFILE STREQUAL "generate")
    set(profile_flags -fprofile-generate=${PROJECT_BINARY_DIR}/profile -fprofile-update=atomic)
    add_compile_options(${profile_flags})
    add_link_options(${profile_flags})
elseif(ASYNCIO_CPP_PROFILE)
    cmake_path(ABSOLUTE_PATH ASYNCIO_CPP_PROFILE
        BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE profile
    )
    if(NOT EXISTS ${profile})
        message(FATAL_ERROR
            "There is no profile ${profile}.\n"
            "benchmarks/train makes the one of the preset pgo. Or name another with "
            "-DASYNCIO_CPP_PROFILE=FILE; see docs/howto/optimised_builds.md."
        )
    endif()
    # The compiler gets a copy with a name of its own for each content, so that everything is
    # compiled anew when the profile has changed.
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${profile})
    file(SHA256 ${profile} hash)
    string(SUBSTRING ${hash} 0 12 hash)
    configure_file(${profile} ${PROJECT_BINARY_DIR}/${hash}.profdata COPYONLY)
    # Code that has changed since, and programs that were not trained, are worth knowing about.
    add_compile_options(
        -fprofile-use=${PROJECT_BINARY_DIR}/${hash}.profdata -Wno-error=backend-plugin
        -Wno-error=profile-instr-out-of-date -Wno-error=profile-instr-unprofiled
    )
endif()
