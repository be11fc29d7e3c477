# A stranger's CMake project: PROJECT (a folder beside this file), FORM (header_only or compiled), SOURCE, WORK, COMPILER,
# GENERATOR; PREFIX, where we are installed; PREFIX_PATH and FETCHED_XSIMD, where xsimd is. It is built with the stranger's own
# strict warnings and run.
cmake_minimum_required(VERSION 3.23)

string(REPLACE "|" ";" prefix_path "${PREFIX_PATH}")
set(strict "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror")

set(target edgerazor::edgerazor)
if(FORM STREQUAL "compiled")
  set(target edgerazor::compiled)
endif()

set(commit "")
if(PROJECT STREQUAL "fetch_content")
  execute_process(COMMAND git -C ${SOURCE} rev-parse HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
endif()

# Two files as one unit where each would compile the whole library: that units share it, two_translation_units shows.
set(files 2)
set(together OFF)
if(FORM STREQUAL "header_only")
  set(files 1)
  set(together ON)
endif()

set(fetched "")
if(FETCHED_XSIMD)
  set(fetched -DFETCHCONTENT_SOURCE_DIR_XSIMD=${FETCHED_XSIMD})
endif()

file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${PROJECT} -B ${WORK} -G ${GENERATOR}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS=${strict}"
  -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DCMAKE_UNITY_BUILD=${together} "-DCMAKE_PREFIX_PATH=${prefix_path}"
  -DEDGERAZOR_TARGET=${target} -DPROGRAM=${CMAKE_CURRENT_LIST_DIR}/program -DEDGERAZOR_SOURCE=${SOURCE} -DEDGERAZOR_REPOSITORY=${SOURCE}
  -DEDGERAZOR_COMMIT=${commit} -Dedgerazor_ROOT=${PREFIX} -Dxsimd_ROOT=${PREFIX}
  ${fetched}
  COMMAND_ERROR_IS_FATAL ANY)

# No flag comes to the stranger's two files from us but the include folders, the standard and the name of the form.
file(READ ${WORK}/compile_commands.json commands)
string(JSON count LENGTH "${commands}")
math(EXPR last "${count} - 1")
set(own 0)
foreach(index RANGE ${last})
  string(JSON file GET "${commands}" ${index} file)
  if(file MATCHES "/consumers/program/|/stranger[.]dir/Unity/")
    math(EXPR own "${own} + 1")
    string(JSON command GET "${commands}" ${index} command)
    string(REPLACE "${strict}" "" command "${command}")
    string(REGEX REPLACE " -fvisibility[^ ]*" "" command "${command}")  # the stranger's own
    string(REGEX MATCH " -[Wmf][^ ]*" foreign "${command}")
    if(foreign)
      message(FATAL_ERROR "the stranger is compiled with our${foreign}:\n${command}")
    endif()
  endif()
endforeach()
if(NOT own EQUAL files)
  message(FATAL_ERROR "${own} units of the stranger's ${files} are compiled:\n${commands}")
endif()

execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK} -j 1 COMMAND_ERROR_IS_FATAL ANY)

# Beside them the library's own sources, in the form that has some.
file(GLOB_RECURSE objects ${WORK}/*.o ${WORK}/*.obj)
list(FILTER objects EXCLUDE REGEX "/stranger[.]dir/|CompilerId")
if(objects AND NOT FORM STREQUAL "compiled")
  message(FATAL_ERROR "more is compiled than the stranger's 2 files: ${objects}")
endif()

execute_process(COMMAND ${WORK}/stranger COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/stranger misuse COMMAND_ERROR_IS_FATAL ANY)
