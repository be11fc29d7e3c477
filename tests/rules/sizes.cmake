# What a unit that includes the library costs its compiler, in figures that do not waver as seconds do (benchmarks/compile_time.py
# takes those): preprocessed lines, as a ratio to a unit that includes <xsimd/xsimd.hpp> alone, and bytes of the object at -O2.
#
# cmake -D RULE=<sizes|plain> -D ROOT=<tree> -D WORK=<folder> -D COMPILER=<program> -D COMPILER_ID=<GNU|Clang>
#       -D INCLUDES=<folder>|... [-D PERCENT=<part of each ceiling>] -P sizes.cmake
#
#   sizes  no unit of benchmarks/compile_time passes its ceiling
#   plain  in the compiled form, what hosts include brings neither xsimd nor intrinsics
cmake_minimum_required(VERSION 3.23)

string(REPLACE "|" ";-I" includes "-I${ROOT}/include|${INCLUDES}")
if(NOT PERCENT)
  set(PERCENT 100)
endif()
file(MAKE_DIRECTORY ${WORK})
set(violations "")

# lines_of(<unit> <form> <result>)
set(define_compiled -DEDGERAZOR_COMPILED)
function(lines_of unit form result)
  execute_process(COMMAND ${COMPILER} -std=c++20 -O2 ${define_${form}} ${includes} -E -P ${ROOT}/benchmarks/compile_time/${unit}.cpp
    COMMAND wc -l OUTPUT_VARIABLE lines OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(${result} ${lines} PARENT_SCOPE)
endfunction()

# ceiling(<unit> <form> <lines, percent of xsimd's> <kilobytes of object>). Recorded for g++ 12 and clang 14, five to ten percent
# above what they were; whoever raises one says why.
function(ceiling unit form lines_percent kilobytes)
  lines_of(${unit} ${form} lines)
  math(EXPR measured "(${lines} * 100 + ${xsimd_lines} - 1) / ${xsimd_lines}")
  math(EXPR most "${lines_percent} * ${PERCENT} / 100")
  message(STATUS "${unit} ${form}: ${lines} preprocessed lines, ${measured} % of xsimd's; at most ${most} %")
  if(measured GREATER most)
    list(APPEND violations "${unit} ${form}: ${measured} % of xsimd's preprocessed lines, above ${most} %")
    set(violations "${violations}" PARENT_SCOPE)
    return()
  endif()

  set(object ${WORK}/${unit}_${form}.o)
  execute_process(COMMAND ${COMPILER} -std=c++20 -O2 ${define_${form}} ${includes} -c ${ROOT}/benchmarks/compile_time/${unit}.cpp
    -o ${object} COMMAND_ERROR_IS_FATAL ANY)
  file(SIZE ${object} bytes)
  math(EXPR measured "(${bytes} + 999) / 1000")
  math(EXPR most "${kilobytes} * ${PERCENT} / 100")
  message(STATUS "${unit} ${form}: an object of ${measured} kB; at most ${most} kB")
  if(measured GREATER most)
    list(APPEND violations "${unit} ${form}: an object of ${measured} kB, above ${most} kB")
  endif()
  set(violations "${violations}" PARENT_SCOPE)
endfunction()

if(RULE STREQUAL "sizes")
  lines_of(xsimd header_only xsimd_lines)
  if(COMPILER_ID STREQUAL "GNU")
    ceiling(quant header_only 215 3)
    # 40 kB of it are ternary3 and the instruction set ssse3, 30 the inputs of low-rank and rotated parts and activation policies, 40 table2's products in seven instruction sets.
    ceiling(gemv header_only 214 680)
    # Losses chosen at run time need the compiler's intrinsics where nobody compiled them before: 130 was without.
    ceiling(distill header_only 213 3)
  else()
    ceiling(quant header_only 177 3)
    ceiling(gemv header_only 175 700)
    ceiling(distill header_only 172 3)
  endif()
  ceiling(quant compiled 84 3)
  ceiling(gemv compiled 82 3)
  ceiling(distill compiled 74 3)
elseif(RULE STREQUAL "plain")
  foreach(header IN ITEMS edgerazor.hpp quant.hpp distill.hpp io.hpp product/options.hpp)
    if(NOT EXISTS ${ROOT}/include/edgerazor/${header} AND NOT EXISTS ${ROOT}/LICENSE)
      continue()  # a fixture has one of them
    endif()
    execute_process(COMMAND ${COMPILER} -std=c++20 ${define_compiled} ${includes} -M -x c++ ${ROOT}/include/edgerazor/${header}
      OUTPUT_VARIABLE included COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCH "[^ ]*/(xsimd/xsimd|[a-z]*intrin|arm_neon)[.]hp*" foreign "${included}")
    if(foreign)
      list(APPEND violations "${header} in the compiled form includes ${foreign}")
    endif()
  endforeach()
else()
  message(FATAL_ERROR "no rule ${RULE}")
endif()

if(violations)
  list(JOIN violations "\n  " violations)
  message(FATAL_ERROR "${RULE}:\n  ${violations}")
endif()
