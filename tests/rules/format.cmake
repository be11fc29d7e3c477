# cmake -D ROOT=<tree> -D CLANG_FORMAT=<program> -P format.cmake: every C++ file is as clang-format would lay it out.
cmake_minimum_required(VERSION 3.23)

set(files "")
foreach(folder IN ITEMS include tests benchmarks examples)
  file(GLOB_RECURSE found ${ROOT}/${folder}/*.hpp ${ROOT}/${folder}/*.cpp)
  list(APPEND files ${found})
endforeach()
list(FILTER files EXCLUDE REGEX "/tests/(rules/broken|consumers/verbatim)/")

# Texts are compared: the --dry-run of version 14 complains of every `namespace a::inline b` that it would leave as it is.
set(violations "")
foreach(file IN LISTS files)
  file(READ ${file} text)
  execute_process(COMMAND ${CLANG_FORMAT} ${file} OUTPUT_VARIABLE formatted)
  if(NOT formatted STREQUAL text)
    list(APPEND violations ${file})
  endif()
endforeach()
if(violations)
  list(JOIN violations "\n  " violations)
  message(FATAL_ERROR "`clang-format -i` would change\n  ${violations}")
endif()
