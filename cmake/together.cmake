# Several files as one translation unit. Where everything is compiled at once, as cmake/check.cmake does, what they include is
# parsed, and what they instantiate alike is compiled, once. At a desk, where one file changes, each is a unit of its own.
include_guard(DIRECTORY)
set(EDGERAZOR_FILES_A_UNIT 1 CACHE STRING "So many test files, or examples, are compiled as one unit, at most")

# What several files of one translation unit include, first: inside their namespaces those lines then bring nothing more.
# edgerazor_first_includes(<file> <source>...)
function(edgerazor_first_includes file)
  set(lines "")
  foreach(source IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH source OUTPUT_VARIABLE path)
    cmake_path(GET path PARENT_PATH folder)
    file(STRINGS ${path} includes REGEX "^#include [<\"]")
    foreach(include IN LISTS includes)
      string(REGEX REPLACE "^#include (.[^>\"]*.).*" "\\1" name "${include}")
      string(REGEX REPLACE "^\"(.*)\"$" "\\1" local "${name}")
      if(EXISTS ${folder}/${local})
        set(name "\"${folder}/${local}\"")
      endif()
      list(APPEND lines "#if __has_include(${name})\n#include ${name}\n#endif\n")
    endforeach()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  endforeach()
  list(REMOVE_DUPLICATES lines)
  list(JOIN lines "" text)
  file(CONFIGURE OUTPUT ${file} CONTENT "#pragma once\n${text}" @ONLY)
endfunction()

# edgerazor_unit_size(<count of files> <result>): how many files a unit takes, where units are of one size.
function(edgerazor_unit_size files result)
  math(EXPR units "(${files} + ${EDGERAZOR_FILES_A_UNIT} - 1) / ${EDGERAZOR_FILES_A_UNIT}")
  math(EXPR size "(${files} + ${units} - 1) / ${units}")
  set(${result} ${size} PARENT_SCOPE)
endfunction()

# edgerazor_files_together(<target> <source>...): of the target's sources these, units of one size. Files stand in namespaces
# of their own, so that names of one are none of another's. g++ then takes them for headers, whose types should have no members
# from unnamed namespaces. clang++ parses what they include once for all units; g++ 12 would forget in which of it warnings are
# off.
function(edgerazor_files_together target)
  list(LENGTH ARGN files)
  edgerazor_unit_size(${files} size)
  set(first ${CMAKE_CURRENT_BINARY_DIR}/${target}_includes.hpp)
  edgerazor_first_includes(${first} ${ARGN})
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${size}
    UNITY_BUILD_UNIQUE_ID EDGERAZOR_FILE
    UNITY_BUILD_CODE_BEFORE_INCLUDE "#include \"${first}\"\nnamespace EDGERAZOR_FILE {"
    UNITY_BUILD_CODE_AFTER_INCLUDE "}")
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND files GREATER size)
    target_precompile_headers(${target} PRIVATE ${first})
  endif()
endfunction()

# edgerazor_sources_together(<target> <source>...): the same of sources whose names are unique in the target, as those of a
# program are: they stand in no namespaces of their own, so that a unit's functions are there for the others.
function(edgerazor_sources_together target)
  if(EDGERAZOR_FILES_A_UNIT EQUAL 1)
    return()
  endif()
  list(FILTER ARGN INCLUDE REGEX "\\.cpp$")
  list(LENGTH ARGN files)
  edgerazor_unit_size(${files} size)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${size})
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()

# edgerazor_programs(<name> <source>...): a program a file, the target <name>_<stem>; or, where several files make a unit,
# programs <name>_1 ... that are told by their first argument whose main to run. <name>_targets are then all of them, and
# <name>_command_<stem> is how one is started.
function(edgerazor_programs name)
  set(targets "")
  if(EDGERAZOR_FILES_A_UNIT EQUAL 1)
    foreach(source IN LISTS ARGN)
      cmake_path(GET source STEM stem)
      add_executable(${name}_${stem} ${source})
      set_target_properties(${name}_${stem} PROPERTIES OUTPUT_NAME ${stem})
      list(APPEND targets ${name}_${stem})
      set(${name}_command_${stem} ${name}_${stem} PARENT_SCOPE)
    endforeach()
    set(${name}_targets ${targets} PARENT_SCOPE)
    return()
  endif()

  list(LENGTH ARGN files)
  edgerazor_unit_size(${files} size)
  set(sources ${ARGN})
  while(sources)
    list(SUBLIST sources 0 ${size} unit)
    list(REMOVE_ITEM sources ${unit})
    list(LENGTH targets number)
    math(EXPR number "${number} + 1")
    set(target ${name}_${number})
    set(first ${CMAKE_CURRENT_BINARY_DIR}/${target}_includes.hpp)
    edgerazor_first_includes(${first} ${unit})
    set(text "#include <string_view>\n#include \"${first}\"\n")
    set(choice "")
    foreach(source IN LISTS unit)
      cmake_path(ABSOLUTE_PATH source OUTPUT_VARIABLE path)
      cmake_path(GET source STEM stem)
      string(APPEND text "namespace program_${stem} {\n#include \"${path}\"\n}\n")
      string(APPEND choice "  if (name == \"${stem}\") return program_${stem}::main(argc - 1, argv + 1);\n")
      set(${name}_command_${stem} ${target} ${stem} PARENT_SCOPE)
    endforeach()
    string(APPEND text "int main(int argc, char** argv) {\n"
      "  const std::string_view name = argc > 1 ? argv[1] : \"\";\n${choice}  return 2;  // no program of that name\n}\n")
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp CONTENT "${text}" @ONLY)
    add_executable(${target} ${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp)
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
    list(APPEND targets ${target})
  endwhile()
  set(${name}_targets ${targets} PARENT_SCOPE)
endfunction()
