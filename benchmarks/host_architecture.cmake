# Losses have no kernels to choose from at run time: they are compiled for whatever the host's own build is, and a trainer
# builds for the machine it runs on. So does their benchmark; nothing that a consumer builds reads this file.
set(EDGERAZOR_BENCHMARK_ARCH native CACHE STRING "-march of benchmarks/losses; empty for the compiler's default")

function(edgerazor_host_architecture target)
  if(EDGERAZOR_BENCHMARK_ARCH AND NOT MSVC)
    target_compile_options(${target} PRIVATE -O3 -march=${EDGERAZOR_BENCHMARK_ARCH}
      # With AVX-512, g++ 12 reports its own headers (GCC bug 105593), which xsimd inlines everywhere.
      $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  endif()
endfunction()
