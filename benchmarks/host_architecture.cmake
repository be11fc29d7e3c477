# Losses have no kernels to choose from at run time: they are compiled for whatever the host's own build is, and a trainer
# builds for the machine it runs on. So does their benchmark, with engines of its own; nothing that a consumer builds reads this
# file.
set(EDGERAZOR_BENCHMARK_ARCH native CACHE STRING "-march of benchmarks/losses; empty for the compiler's default")

function(edgerazor_host_architecture target)
  if(EDGERAZOR_BENCHMARK_ARCH AND NOT MSVC)
    # With AVX-512, g++ 12 reports its own headers (GCC bug 105593), which xsimd inlines everywhere.
    set(options -O3 -march=${EDGERAZOR_BENCHMARK_ARCH}
      $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_compile_options(${target} PRIVATE ${options})
    edgerazor_own_engines(${target}_engines ${options})
    target_link_libraries(${target} PRIVATE ${target}_engines)
  endif()
endfunction()
