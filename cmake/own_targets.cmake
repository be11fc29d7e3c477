# Flags of edgerazor's own tests, benchmarks and examples. Nothing here reaches a consumer.
#
#   edgerazor_own              the compiled form, which nearly everything of ours links: its kernels are built once
#   edgerazor_own_header_only  the other form, for what is about it or is compiled with options that the kernels must share
include_guard(DIRECTORY)
find_package(Threads REQUIRED)

# edgerazor_own_flags(<target> <PRIVATE|INTERFACE>): our warnings and sanitizers.
function(edgerazor_own_flags target visibility)
  if(MSVC)
    target_compile_options(${target} ${visibility} /W4 /permissive- /utf-8 $<$<BOOL:${EDGERAZOR_WARNINGS_AS_ERRORS}>:/WX>)
  else()
    # clang counts int to size_t, as in `for (std::size_t n : {1, 2, 3})`, to -Wconversion, g++ does not: headers are held
    # to it (tests/rules), tests and programs are not.
    target_compile_options(${target} ${visibility}
      -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-sign-conversion
      $<$<BOOL:${EDGERAZOR_WARNINGS_AS_ERRORS}>:-Werror>)
  endif()
  if(EDGERAZOR_SANITIZE)
    list(JOIN EDGERAZOR_SANITIZE "," sanitizers)
    target_compile_options(${target} ${visibility}
      -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
    if(visibility STREQUAL "INTERFACE")
      target_link_options(${target} INTERFACE -fsanitize=${sanitizers})
    endif()
  endif()
endfunction()

add_library(edgerazor_own INTERFACE)
target_link_libraries(edgerazor_own INTERFACE edgerazor::compiled Threads::Threads)
edgerazor_own_flags(edgerazor_own INTERFACE)

add_library(edgerazor_own_header_only INTERFACE)
target_link_libraries(edgerazor_own_header_only INTERFACE edgerazor::edgerazor Threads::Threads)
edgerazor_own_flags(edgerazor_own_header_only INTERFACE)

if(PROJECT_IS_TOP_LEVEL)
  edgerazor_own_flags(edgerazor_compiled PRIVATE)
endif()
