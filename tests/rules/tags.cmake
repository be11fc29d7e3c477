# cmake -D ROOT=<tree> -D CTAGS=<program> -P tags.cmake: Universal Ctags, and so every editor that reads tags, finds the names of
# our headers. It reads nothing behind `namespace edgerazor::inline v0`.
cmake_minimum_required(VERSION 3.23)

if(CTAGS)
  execute_process(COMMAND ${CTAGS} --version OUTPUT_VARIABLE version ERROR_QUIET)
endif()
if(NOT version MATCHES "Universal Ctags")
  message("skipped: no Universal Ctags on this machine")
  return()
endif()

set(violations "")

# expect(<header> <name>...): tags of one header, where the tree has it.
function(expect header)
  set(file ${ROOT}/include/edgerazor/${header})
  if(EXISTS ${file})
    execute_process(COMMAND ${CTAGS} -x --language-force=C++ "--kinds-C++=+p" -I "EDGERAZOR_FUNCTION,EDGERAZOR_INLINE" ${file}
      OUTPUT_VARIABLE tags COMMAND_ERROR_IS_FATAL ANY)
    foreach(name IN LISTS ARGN)
      if(NOT tags MATCHES "(^|\n)${name} ")
        list(APPEND violations "${header}: ctags does not find ${name}")
      endif()
    endforeach()
  else()
    list(APPEND violations "${header} is not there")
  endif()
  set(violations "${violations}" PARENT_SCOPE)
endfunction()

expect(product/gemv.hpp gemv)
expect(product/gemm.hpp gemm)
expect(matrix/packed_matrix.hpp packed_view packed_matrix)
expect(policy/ternary.hpp ternary)
expect(distill/kl.hpp entropy_aware_kl)

if(violations)
  list(JOIN violations "\n  " violations)
  message(FATAL_ERROR "tags:\n  ${violations}")
endif()
