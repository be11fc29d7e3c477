# cmake -D ROOT=<tree> -D COMPILER=<c++> [-D INCLUDES=<folder>|<folder>...] -P plain_headers.cmake
#
# Views, policies and options are for code that never sees a vector: preprocessed, none of these headers brings xsimd or
# an intrinsic with it; and of the umbrellas none brings the JSON of headers that are for files with JSON in them.
cmake_minimum_required(VERSION 3.23)

set(policies symmetric ternary asymmetric binary levels quantizer mean magnitude granularity groups precision_map recipe
  quantize_options)
list(TRANSFORM policies REPLACE "(.+)" "${ROOT}/include/edgerazor/policy/\\1.hpp")
file(GLOB headers ${ROOT}/include/edgerazor/core/*.hpp ${ROOT}/include/edgerazor/*/*options.hpp)
if(NOT headers)
  message(FATAL_ERROR "no header below ${ROOT}/include")
endif()
foreach(policy IN LISTS policies)
  if(EXISTS ${policy})
    list(APPEND headers ${policy})
  elseif(EXISTS ${ROOT}/LICENSE)  # a fixture has a few of them
    message(FATAL_ERROR "${policy} is not there")
  endif()
endforeach()
list(REMOVE_DUPLICATES headers)

file(GLOB umbrellas ${ROOT}/include/edgerazor/quant.hpp ${ROOT}/include/edgerazor/distill.hpp
  ${ROOT}/include/edgerazor/io.hpp)

string(REPLACE "|" ";" folders "${INCLUDES}")
list(TRANSFORM folders PREPEND "-I")
set(violations "")
foreach(header IN LISTS headers umbrellas)
  set(unwanted "xsimd|intrin|arm_neon|arm_sve")
  if(header IN_LIST umbrellas)
    set(unwanted "nlohmann")
  endif()
  file(RELATIVE_PATH name ${ROOT}/include ${header})
  execute_process(COMMAND ${COMPILER} -std=c++20 -E -x c++ -I${ROOT}/include ${folders} ${header}
    OUTPUT_VARIABLE text ERROR_VARIABLE errors RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${name} can't be preprocessed:\n${errors}")
  endif()
  string(REGEX MATCH "# [0-9]+ \"[^\"\n]*(${unwanted})[^\"\n]*\"" found "${text}")
  if(found)
    list(APPEND violations "${name} brings ${found}")
  endif()
endforeach()
if(violations)
  list(JOIN violations "\n  " violations)
  message(FATAL_ERROR "plain headers:\n  ${violations}")
endif()
