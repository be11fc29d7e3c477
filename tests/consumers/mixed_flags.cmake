# Two translation units of different -m flags make one program that runs on a processor without the newer one's instructions,
# whichever is linked first: SOURCE, WORK, COMPILER, INCLUDES (separated by |) and QEMU, an emulator of x86-64.
cmake_minimum_required(VERSION 3.23)

set(includes -I${SOURCE}/include)
string(REPLACE "|" ";" folders "${INCLUDES}")
list(REMOVE_ITEM folders ${SOURCE}/include)
foreach(folder IN LISTS folders)
  if(NOT folder STREQUAL "/usr/include")
    list(APPEND includes -isystem ${folder})
  endif()
endforeach()
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

set(flags_fast -march=haswell)
foreach(unit IN ITEMS main fast)
  execute_process(COMMAND ${COMPILER} -std=c++20 -O2 ${flags_${unit}} ${includes}
    -c ${CMAKE_CURRENT_LIST_DIR}/mixed_flags/${unit}.cpp -o ${WORK}/${unit}.o COMMAND_ERROR_IS_FATAL ANY)
endforeach()
foreach(order IN ITEMS "main;fast" "fast;main")
  list(TRANSFORM order PREPEND ${WORK}/ OUTPUT_VARIABLE objects)
  list(TRANSFORM objects APPEND .o)
  execute_process(COMMAND ${COMPILER} ${objects} -o ${WORK}/program COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${QEMU} -cpu Nehalem ${WORK}/program RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "linked in the order ${order}, the program ends with ${code} on a processor without AVX")
  endif()
endforeach()
