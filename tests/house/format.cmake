# cmake -D ROOT=<tree> -D CLANG_FORMAT=<program> -P format.cmake: every C++ file is as clang-format would lay it out.
cmake_minimum_required(VERSION 3.23)

set(files "")
foreach(folder IN ITEMS include tests benchmarks examples)
  file(GLOB_RECURSE found ${ROOT}/${folder}/*.hpp ${ROOT}/${folder}/*.cpp)
  list(APPEND files ${found})
endforeach()
list(FILTER files EXCLUDE REGEX "/tests/house/broken/")
execute_process(COMMAND ${CLANG_FORMAT} --dry-run -Werror ${files} RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "these lines are not laid out as .clang-format says; `clang-format -i` on the files mends them")
endif()
