# cmake -D SOURCE=<file> -D COMPILER=<program> -D INCLUDES=<folder>|<folder> -P must_fail.cmake
cmake_minimum_required(VERSION 3.23)

file(STRINGS ${SOURCE} first LIMIT_COUNT 1)
if(NOT first MATCHES "^// expect: (.+)$")
  message(FATAL_ERROR "${SOURCE} has no first line `// expect: <regex>`")
endif()
set(expected "${CMAKE_MATCH_1}")
string(REPLACE "|" ";-I" includes "-I${INCLUDES}")

# In the compiled form, which refuses the same calls and has less to read.
execute_process(COMMAND ${COMPILER} -std=c++20 -fsyntax-only -DEDGERAZOR_COMPILED ${includes} ${SOURCE}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(result EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiles")
elseif(NOT output MATCHES "${expected}")
  message(FATAL_ERROR "${SOURCE} is refused, but not with ${expected}:\n${output}")
endif()
