# cmake [-D QUICK=ON] [-D INSTALL=OFF] [-D JOBS=<n>] -P cmake/check.cmake: everything that must pass, from a plain clone.
#
#   gcc       all tests
#   clang     all headers and consumers, the floors whose numbers an optimizer could change
#   sanitize  all floors, examples/llm and the fuzzers under AddressSanitizer and UndefinedBehaviorSanitizer, clang++
#   arm64     the kernels' tests, cross-compiled, on emulated processors with and without dotprod, i8mm, SVE
#   riscv64   the same on a machine whose vectors xsimd has to emulate
#
# Each is a workflow preset (cmake --workflow --preset gcc) in which up to two dozen test files make one unit; this script sets
# up, runs them and counts. The last two are skipped, and counted so, where a cross compiler or qemu is not to be had. QUICK: gcc
# alone, without what needs a package index.
# INSTALL=OFF: names what is missing instead of installing it. JOBS: compilers and tests that run at once. The last line counts
# the tests of all jobs; a job that does not build counts as one that failed.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/setup.cmake)

set(jobs gcc clang sanitize arm64 riscv64)
set(needs_arm64 aarch64-g++ qemu)
set(needs_riscv64 riscv64-g++ qemu)
set(programs g++ clang++ sanitizers ninja git pkg-config)
set(libraries xsimd eigen doctest cli11 nlohmann_json utf8proc yaml_cpp benchmark)
set(optional aarch64-g++ riscv64-g++ qemu ctags venv mpi)
set(folder_quick gcc)
if(QUICK)
  set(jobs quick)
  set(programs g++ ninja git pkg-config)
  set(optional "")
endif()
edgerazor_setup(PROGRAMS ${programs} LIBRARIES ${libraries} OPTIONAL ${optional})
edgerazor_parallel()

set(passed 0)
set(failed 0)
set(skipped 0)
foreach(job IN LISTS jobs)
  edgerazor_missing(missing ${needs_${job}})
  if(missing)
    list(JOIN missing ", " missing)
    edgerazor_print("\n== ${job}: skipped, for want of ${missing}")
    math(EXPR skipped "${skipped} + 1")
    continue()
  endif()
  edgerazor_print("\n== ${job}")
  set(folder ${job})
  if(folder_${job})
    set(folder ${folder_${job}})
  endif()
  set(report ${EDGERAZOR_ROOT}/build/${folder}/tests.xml)
  file(REMOVE ${report})
  string(TIMESTAMP begin %s)
  execute_process(COMMAND ${CMAKE_COMMAND} --workflow --preset ${job} WORKING_DIRECTORY ${EDGERAZOR_ROOT} RESULT_VARIABLE code)
  string(TIMESTAMP end %s)
  math(EXPR seconds "${end} - ${begin}")
  edgerazor_print("== ${job}: ${seconds} s")

  set(counts "")
  if(EXISTS ${report})
    file(READ ${report} counts LIMIT 2000)
  endif()
  if(NOT counts MATCHES "tests=\"([0-9]+)\"[^>]*failures=\"([0-9]+)\"[^>]*disabled=\"([0-9]+)\"[^>]*skipped=\"([0-9]+)\"")
    math(EXPR failed "${failed} + 1")
    message(SEND_ERROR "${job} does not build, or ctest has left no report")
    continue()
  endif()
  math(EXPR passed "${passed} + ${CMAKE_MATCH_1} - ${CMAKE_MATCH_2} - ${CMAKE_MATCH_3} - ${CMAKE_MATCH_4}")
  math(EXPR failed "${failed} + ${CMAKE_MATCH_2}")
  math(EXPR skipped "${skipped} + ${CMAKE_MATCH_3} + ${CMAKE_MATCH_4}")
  if(NOT code EQUAL 0)
    message(SEND_ERROR "${job}: tests fail")
  endif()
endforeach()

if(passed EQUAL 0 AND failed EQUAL 0)
  message(SEND_ERROR "no test ran")
endif()
if(skipped)
  edgerazor_print("\n${passed} passed, ${failed} failed, ${skipped} skipped")
else()
  edgerazor_print("\n${passed} passed, ${failed} failed")
endif()
