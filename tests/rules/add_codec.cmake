# cmake -D PYTHON=<python> -D COMPILER=<c++> -D ROOT=<tree> -D WORK=<folder> -D INCLUDES=<a|b> [-D RUN=OFF] -P add_codec.cmake:
# docs/kernels.md, "Add a codec", applied to a copy of the headers, and a program that uses the result.
cmake_minimum_required(VERSION 3.23)
string(REPLACE "|" ";" folders "${INCLUDES}")
list(FILTER folders EXCLUDE REGEX "^${ROOT}/include$|^$")
list(TRANSFORM folders PREPEND "-I")

execute_process(COMMAND ${PYTHON} ${CMAKE_CURRENT_LIST_DIR}/add_codec.py ${ROOT}/docs/kernels.md ${ROOT} ${WORK}
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${COMPILER} -std=c++20 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-sign-conversion -Werror
  -I${WORK}/include ${folders} ${CMAKE_CURRENT_LIST_DIR}/add_codec/main.cpp -o ${WORK}/add_codec COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${EMULATOR} ${WORK}/add_codec COMMAND_ERROR_IS_FATAL ANY)
