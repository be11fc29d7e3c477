# A stranger's CMake project: PROJECT (a folder beside this file), SOURCE, WORK, COMPILER, GENERATOR; PREFIX, where we are
# installed; PREFIX_PATH and FETCHED_XSIMD, where xsimd is. It is built with the stranger's own strict warnings and run.
cmake_minimum_required(VERSION 3.23)

string(REPLACE "|" ";" prefix_path "${PREFIX_PATH}")
set(strict "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror")

set(commit "")
if(PROJECT STREQUAL "fetch_content")
  execute_process(COMMAND git -C ${SOURCE} rev-parse HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
endif()

set(fetched "")
if(FETCHED_XSIMD)
  set(fetched -DFETCHCONTENT_SOURCE_DIR_XSIMD=${FETCHED_XSIMD})
endif()

file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${PROJECT} -B ${WORK} -G ${GENERATOR}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS=${strict}"
  -DCMAKE_EXPORT_COMPILE_COMMANDS=ON "-DCMAKE_PREFIX_PATH=${prefix_path}"
  -DPROGRAM=${CMAKE_CURRENT_LIST_DIR}/program -DEDGERAZOR_SOURCE=${SOURCE} -DEDGERAZOR_REPOSITORY=${SOURCE}
  -DEDGERAZOR_COMMIT=${commit} -Dedgerazor_ROOT=${PREFIX} -Dxsimd_ROOT=${PREFIX}
  ${fetched}
  COMMAND_ERROR_IS_FATAL ANY)

# The stranger's two files are all that is compiled, and no flag comes from us but the include folders and the standard.
file(READ ${WORK}/compile_commands.json commands)
string(JSON count LENGTH "${commands}")
if(NOT count EQUAL 2)
  message(FATAL_ERROR "${count} files are compiled where the stranger has 2:\n${commands}")
endif()
string(JSON command GET "${commands}" 0 command)
string(REPLACE "${strict}" "" command "${command}")
string(REGEX MATCH " -[Wmf][^ ]*" foreign "${command}")
if(foreign)
  message(FATAL_ERROR "the stranger is compiled with our${foreign}:\n${command}")
endif()

execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK} -j 1 COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/stranger COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/stranger misuse COMMAND_ERROR_IS_FATAL ANY)
