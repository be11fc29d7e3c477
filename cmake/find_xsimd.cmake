# Finds an installed xsimd of version 13.2 or newer: sets xsimd_FOUND and imports the target xsimd.
# Serves both the build (dependencies.cmake) and the installed package.
#
# xsimd's package answers only to its own major version, so `find_package(xsimd 13.2)` passes over a 14: the versions that
# the search saw are asked for one by one. A package that is too old is never loaded: its target would stay behind.
set(edgerazor_xsimd_minimum 13.2)
if(TARGET xsimd)
  set(xsimd_FOUND TRUE)
else()
  find_package(xsimd ${edgerazor_xsimd_minimum} CONFIG QUIET)
  if(NOT xsimd_FOUND)
    foreach(edgerazor_xsimd_version IN LISTS xsimd_CONSIDERED_VERSIONS)
      if(NOT xsimd_FOUND AND edgerazor_xsimd_version VERSION_GREATER edgerazor_xsimd_minimum)
        find_package(xsimd ${edgerazor_xsimd_version} EXACT CONFIG QUIET)
      endif()
    endforeach()
  endif()
endif()
