# Headers, the CMake package and the pkg-config file: all of it below share/ and include/, for any machine. The compiled form,
# where it is built, is a component of the package and goes to the library folder.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/edgerazor)
install(TARGETS edgerazor EXPORT edgerazor_targets FILE_SET HEADERS)
install(EXPORT edgerazor_targets NAMESPACE edgerazor:: FILE edgerazor_targets.cmake DESTINATION ${package_dir})

set(compiled_dir ${CMAKE_INSTALL_LIBDIR}/cmake/edgerazor)
if(EDGERAZOR_BUILD_COMPILED)
  install(TARGETS edgerazor_compiled EXPORT edgerazor_compiled_targets)
  install(EXPORT edgerazor_compiled_targets NAMESPACE edgerazor:: FILE edgerazor_compiled_targets.cmake
    DESTINATION ${compiled_dir})
endif()

configure_package_config_file(cmake/edgerazor-config.cmake.in edgerazor-config.cmake
  INSTALL_DESTINATION ${package_dir} PATH_VARS compiled_dir NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(edgerazor-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/edgerazor-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/edgerazor-config-version.cmake
  ${CMAKE_CURRENT_SOURCE_DIR}/cmake/find_xsimd.cmake
  DESTINATION ${package_dir})

# The prefix is told relative to the file's own place, so that an installed tree can be moved.
file(RELATIVE_PATH relative_prefix /prefix/${CMAKE_INSTALL_DATADIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" relative_prefix "${relative_prefix}")
configure_file(cmake/edgerazor.pc.in edgerazor.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/edgerazor.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
