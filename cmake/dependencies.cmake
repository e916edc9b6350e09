# What the library links to. The installed package finds the same with cmake/config.cmake.in.

find_package(Threads REQUIRED)
find_package(cereal REQUIRED)
find_package(Boost 1.75 REQUIRED)  # 1.75 is the first with Boost.PFR

set(ASYNCIO_CPP_HAVE_LIBURING OFF)
if(ASYNCIO_CPP_IO_URING)
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(LIBURING QUIET IMPORTED_TARGET GLOBAL liburing>=2.3)
        set(ASYNCIO_CPP_HAVE_LIBURING ${LIBURING_FOUND})
    endif()
    if(NOT ASYNCIO_CPP_HAVE_LIBURING)
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
