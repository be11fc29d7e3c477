# Flags of edgerazor's own tests, benchmarks and examples. Never linked by the library: nothing here reaches a consumer.
include_guard(DIRECTORY)
find_package(Threads REQUIRED)

add_library(edgerazor_own INTERFACE)
target_link_libraries(edgerazor_own INTERFACE edgerazor::edgerazor Threads::Threads)
if(MSVC)
  target_compile_options(edgerazor_own INTERFACE /W4 /permissive- /utf-8 $<$<BOOL:${EDGERAZOR_WARNINGS_AS_ERRORS}>:/WX>)
else()
  # clang counts int to size_t, as in `for (std::size_t n : {1, 2, 3})`, to -Wconversion, g++ does not: headers are held to
  # it (tests/house), tests and programs are not.
  target_compile_options(edgerazor_own INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-sign-conversion
    $<$<BOOL:${EDGERAZOR_WARNINGS_AS_ERRORS}>:-Werror>)
endif()

if(EDGERAZOR_SANITIZE)
  list(JOIN EDGERAZOR_SANITIZE "," sanitizers)
  target_compile_options(edgerazor_own INTERFACE
    -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(edgerazor_own INTERFACE -fsanitize=${sanitizers})
endif()
