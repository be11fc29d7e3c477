# A program built by one line a file and run: PROGRAM (a folder beside this file), FLAGS and INCLUDES (separated by |),
# COMPILER, WORK; TOGETHER, its files as one unit; in the compiled form LIBRARY, a built library, or LIBRARY_SOURCES, the folder
# of what it is built from; with PKG_CONFIG, the flags of the package installed to PREFIX instead of INCLUDES. PREFIX_PATH: where
# else xsimd's package may lie.
cmake_minimum_required(VERSION 3.23)

string(REPLACE "|" ";" flags "${FLAGS}")
if(PKG_CONFIG)
  file(GLOB folders ${PREFIX}/share/pkgconfig ${PREFIX}/lib*/pkgconfig ${PREFIX}/lib/*/pkgconfig)
  string(REPLACE "|" ";" roots "${PREFIX_PATH}")
  foreach(root IN LISTS roots)
    file(GLOB found ${root}/share/pkgconfig ${root}/lib/pkgconfig ${root}/lib/*/pkgconfig)
    list(APPEND folders ${found})
  endforeach()
  list(JOIN folders ":" path)
  set(ENV{PKG_CONFIG_PATH} "${path}:$ENV{PKG_CONFIG_PATH}")
  execute_process(COMMAND ${PKG_CONFIG} --cflags edgerazor OUTPUT_VARIABLE includes OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(includes UNIX_COMMAND "${includes}")
else()
  # Our folder with -I, so that a warning in our headers is an error here; xsimd's is the system's.
  set(includes -I${SOURCE}/include)
  string(REPLACE "|" ";" folders "${INCLUDES}")
  list(REMOVE_ITEM folders ${SOURCE}/include)
  foreach(folder IN LISTS folders)
    if(NOT folder STREQUAL "/usr/include")  # gcc's own headers do not survive an -isystem /usr/include
      list(APPEND includes -isystem ${folder})
    endif()
  endforeach()
endif()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
file(GLOB sources ${CMAKE_CURRENT_LIST_DIR}/${PROGRAM}/*.cpp)
if(TOGETHER)  # each would compile the whole library
  list(TRANSFORM sources REPLACE "(.+)" "#include \"\\1\"\n")
  list(JOIN sources "" text)
  set(sources ${WORK}/together.cpp)
  file(WRITE ${sources} "${text}")
endif()
set(library "")
if(LIBRARY)
  list(APPEND flags -DEDGERAZOR_COMPILED)
  set(library ${LIBRARY})
elseif(LIBRARY_SOURCES)
  list(APPEND flags -DEDGERAZOR_COMPILED)
  file(GLOB library ${LIBRARY_SOURCES}/*.cpp)
endif()
execute_process(COMMAND ${COMPILER} ${flags} ${includes} ${sources} ${library} -o ${WORK}/stranger COMMAND_ECHO STDOUT
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/stranger COMMAND_ERROR_IS_FATAL ANY)
if(PROGRAM STREQUAL "program")
  execute_process(COMMAND ${WORK}/stranger misuse COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${WORK}/stranger exhaust COMMAND_ERROR_IS_FATAL ANY)
endif()
