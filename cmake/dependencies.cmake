# What edgerazor needs: an installed package first, else the pinned commit of a release, fetched at configure time.
# The interface target needs xsimd alone; the others serve tests, benchmarks and examples.
include_guard(DIRECTORY)
include(FetchContent)

# edgerazor_fetch(<name> <repository> <commit>) sets <name>_SOURCE_DIR and <name>_BINARY_DIR. It fetches and runs none of
# the project's own CMake: with a SOURCE_SUBDIR that has no CMakeLists.txt, nothing is added to the build.
macro(edgerazor_fetch name repository commit)
  message(STATUS "${name}: no installed package will do, fetching ${repository} at ${commit}")
  FetchContent_Declare(${name} GIT_REPOSITORY ${repository} GIT_TAG ${commit} SOURCE_SUBDIR no-such-folder)
  FetchContent_MakeAvailable(${name})
endmacro()

# The targets become visible outside the directory that asked for them.
function(edgerazor_make_global)
  foreach(target IN LISTS ARGN)
    if(TARGET ${target})
      set_target_properties(${target} PROPERTIES IMPORTED_GLOBAL TRUE)
    endif()
  endforeach()
endfunction()

# edgerazor_require_headers(<package> <minimum version> <target> <include folder> <repository> <commit>)
function(edgerazor_require_headers package version target folder repository commit)
  if(TARGET ${target})
    return()
  endif()
  find_package(${package} ${version} CONFIG QUIET)
  if(TARGET ${target})
    edgerazor_make_global(${target})
  else()
    edgerazor_fetch(${package} ${repository} ${commit})
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${target} SYSTEM INTERFACE ${${package}_SOURCE_DIR}/${folder})
  endif()
endfunction()

function(edgerazor_require_eigen)
  edgerazor_require_headers(Eigen3 3.4 Eigen3::Eigen .
    https://gitlab.com/libeigen/eigen.git 3147391d946bb4b6c68edd901f2add6ac1f31f8c)  # 3.4.0
endfunction()

function(edgerazor_require_doctest)
  edgerazor_require_headers(doctest 2.4.9 doctest::doctest .
    https://github.com/doctest/doctest.git 1da23a3e8119ec5cce4f9388e91b065e20bf06f5)  # 2.4.12
endfunction()

function(edgerazor_require_cli11)
  edgerazor_require_headers(CLI11 2.1 CLI11::CLI11 include
    https://github.com/CLIUtils/CLI11.git 37bb6edc5317e99af72ef48405e65d9ca5218861)  # 2.6.2
endfunction()

function(edgerazor_require_nlohmann_json)
  edgerazor_require_headers(nlohmann_json 3.11 nlohmann_json::nlohmann_json include
    https://github.com/nlohmann/json.git 9cca280a4d0ccf0c08f47a99aa71d1b0e52f8d03)  # 3.11.3
endfunction()

function(edgerazor_require_xsimd)
  if(TARGET xsimd)
    return()
  endif()
  include(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/find_xsimd.cmake)
  if(xsimd_FOUND)
    edgerazor_make_global(xsimd xtl)  # Debian's xsimd links to xtl
    return()
  endif()
  edgerazor_fetch(xsimd https://github.com/xtensor-stack/xsimd.git 1f8dd9c8e162968d9b4ff0251c56d431b8777f36)  # 13.2.0
  if(TARGET xsimd)  # the embedding project has fetched it its own way
    return()
  endif()
  # xsimd's options have no prefix: variables of this function keep an embedding project's BUILD_TESTS away from it.
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
  set(BUILD_TESTS OFF)
  set(BUILD_BENCHMARK OFF)
  set(BUILD_EXAMPLES OFF)
  set(ENABLE_XTL_COMPLEX OFF)
  if(EDGERAZOR_INSTALL)  # our package needs it, so it is installed beside us
    set(XSIMD_SKIP_INSTALL OFF)
  else()
    set(XSIMD_SKIP_INSTALL ON)
  endif()
  add_subdirectory(${xsimd_SOURCE_DIR} ${xsimd_BINARY_DIR})
  target_include_directories(xsimd SYSTEM INTERFACE $<BUILD_INTERFACE:${xsimd_SOURCE_DIR}/include>)
endfunction()

function(edgerazor_require_benchmark)
  if(TARGET benchmark::benchmark)
    return()
  endif()
  find_package(benchmark 1.7 CONFIG QUIET)
  if(TARGET benchmark::benchmark)
    edgerazor_make_global(benchmark::benchmark)
    return()
  endif()
  edgerazor_fetch(benchmark https://github.com/google/benchmark.git 192ef10025eb2c4cdd392bc502f0c852196baa48)  # 1.9.5
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
  foreach(part IN ITEMS ENABLE_TESTING ENABLE_WERROR ENABLE_INSTALL INSTALL_DOCS INSTALL_TOOLS)
    set(BENCHMARK_${part} OFF)
  endforeach()
  add_subdirectory(${benchmark_SOURCE_DIR} ${benchmark_BINARY_DIR} EXCLUDE_FROM_ALL)
endfunction()

# Unicode's categories and its composed form. Debian's package has no CMake files.
function(edgerazor_require_utf8proc)
  if(TARGET utf8proc::utf8proc)
    return()
  endif()
  find_package(utf8proc 2.6 CONFIG QUIET)
  if(TARGET utf8proc::utf8proc)
    edgerazor_make_global(utf8proc::utf8proc)
    return()
  endif()
  find_path(EDGERAZOR_UTF8PROC_INCLUDE utf8proc.h)
  find_library(EDGERAZOR_UTF8PROC_LIBRARY NAMES libutf8proc.a utf8proc)  # static first: what is unpacked needs no path later
  mark_as_advanced(EDGERAZOR_UTF8PROC_INCLUDE EDGERAZOR_UTF8PROC_LIBRARY)
  if(EDGERAZOR_UTF8PROC_INCLUDE AND EDGERAZOR_UTF8PROC_LIBRARY)
    add_library(utf8proc::utf8proc UNKNOWN IMPORTED GLOBAL)
    set_target_properties(utf8proc::utf8proc PROPERTIES IMPORTED_LOCATION ${EDGERAZOR_UTF8PROC_LIBRARY})
    target_include_directories(utf8proc::utf8proc SYSTEM INTERFACE ${EDGERAZOR_UTF8PROC_INCLUDE})
    return()
  endif()
  edgerazor_fetch(utf8proc https://github.com/JuliaStrings/utf8proc.git e5e799221b45bbb90f5fdc5c69b6b8dfbf017e78)  # 2.11.3
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
  set(UTF8PROC_INSTALL OFF)
  set(BUILD_SHARED_LIBS OFF)
  add_subdirectory(${utf8proc_SOURCE_DIR} ${utf8proc_BINARY_DIR} EXCLUDE_FROM_ALL)
  if(NOT TARGET utf8proc::utf8proc)
    add_library(utf8proc::utf8proc ALIAS utf8proc)
  endif()
endfunction()

# Releases before 0.8 call the target yaml-cpp.
function(edgerazor_require_yaml_cpp)
  if(TARGET yaml-cpp::yaml-cpp)
    return()
  endif()
  find_package(yaml-cpp 0.7 CONFIG QUIET)
  if(TARGET yaml-cpp::yaml-cpp)
    edgerazor_make_global(yaml-cpp::yaml-cpp)
    return()
  endif()
  if(NOT TARGET yaml-cpp)
    edgerazor_fetch(yaml_cpp https://github.com/jbeder/yaml-cpp.git f7320141120f720aecc4c32be25586e7da9eb978)  # 0.8.0
    set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
    foreach(part IN ITEMS BUILD_CONTRIB BUILD_TOOLS BUILD_TESTS INSTALL FORMAT_SOURCE)
      set(YAML_CPP_${part} OFF)
    endforeach()
    set(YAML_BUILD_SHARED_LIBS OFF)
    add_subdirectory(${yaml_cpp_SOURCE_DIR} ${yaml_cpp_BINARY_DIR} EXCLUDE_FROM_ALL)
    target_include_directories(yaml-cpp SYSTEM INTERFACE $<BUILD_INTERFACE:${yaml_cpp_SOURCE_DIR}/include>)
  else()
    edgerazor_make_global(yaml-cpp)
  endif()
  if(NOT TARGET yaml-cpp::yaml-cpp)
    add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
  endif()
endfunction()

# edgerazor_require(<name>...): xsimd, eigen, doctest, cli11, nlohmann_json, utf8proc, yaml_cpp, benchmark
function(edgerazor_require)
  foreach(name IN LISTS ARGN)
    cmake_language(CALL edgerazor_require_${name})
  endforeach()
endfunction()
