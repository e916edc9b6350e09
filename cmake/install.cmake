# The installed package: find_package(asyncio_cpp), then link asyncio_cpp::asyncio.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/asyncio_cpp)

install(TARGETS ${targets} EXPORT asyncio_cpp FILE_SET HEADERS)
install(EXPORT asyncio_cpp
    NAMESPACE asyncio_cpp::
    FILE asyncio_cppTargets.cmake
    DESTINATION ${package_dir}
)
configure_package_config_file(
    cmake/config.cmake.in ${PROJECT_BINARY_DIR}/asyncio_cppConfig.cmake
    INSTALL_DESTINATION ${package_dir}
)
# Before 1.0 each minor version may change the interface.
write_basic_package_version_file(
    ${PROJECT_BINARY_DIR}/asyncio_cppConfigVersion.cmake COMPATIBILITY SameMinorVersion
)
install(
    FILES
        ${PROJECT_BINARY_DIR}/asyncio_cppConfig.cmake
        ${PROJECT_BINARY_DIR}/asyncio_cppConfigVersion.cmake
    DESTINATION ${package_dir}
)
