# What the library links to. The installed package finds the same with cmake/config.cmake.in.

find_package(Threads REQUIRED)
find_package(cereal REQUIRED)
find_package(Boost 1.75 REQUIRED)  # 1.75 is the first with Boost.PFR

find_package(PkgConfig QUIET)
set(ASYNCIO_CPP_PKG_MODULES "")  # what was found by pkg-config

set(ASYNCIO_CPP_HAVE_LIBURING OFF)
if(ASYNCIO_CPP_IO_URING)
    if(PkgConfig_FOUND)
        pkg_check_modules(LIBURING QUIET IMPORTED_TARGET GLOBAL liburing>=2.3)
        set(ASYNCIO_CPP_HAVE_LIBURING ${LIBURING_FOUND})
    endif()
    if(ASYNCIO_CPP_HAVE_LIBURING)
        list(APPEND ASYNCIO_CPP_PKG_MODULES liburing)
    else()
        message(STATUS "liburing 2.3 or newer not found: building with epoll only")
    endif()
endif()

set(ASYNCIO_CPP_HAVE_TLS OFF)
if(ASYNCIO_CPP_TLS)
    find_package(OpenSSL 3.0 QUIET COMPONENTS SSL)
    set(ASYNCIO_CPP_HAVE_TLS ${OpenSSL_FOUND})
    if(NOT ASYNCIO_CPP_HAVE_TLS)
        message(STATUS "OpenSSL 3 or newer not found: building without TLS")
    endif()
endif()

set(ASYNCIO_CPP_HAVE_CARES OFF)
if(ASYNCIO_CPP_CARES)
    if(PkgConfig_FOUND)
        pkg_check_modules(LIBCARES QUIET IMPORTED_TARGET GLOBAL libcares>=1.17)
        set(ASYNCIO_CPP_HAVE_CARES ${LIBCARES_FOUND})
    endif()
    if(ASYNCIO_CPP_HAVE_CARES)
        list(APPEND ASYNCIO_CPP_PKG_MODULES libcares)
    else()
        message(STATUS "c-ares 1.17 or newer not found: names are looked up in threads")
    endif()
endif()
