// SPDX-License-Identifier: Apache-2.0
// Compiles although a host's other headers (of Windows, X11, <complex.h>, <sys/sysmacros.h>,
// <math.h> of old) define names that ours may be tempted to use. What ours include comes first,
// because it can't cope with all of them either.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <cmath>
#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <numeric>
#include <optional>
#include <random>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
#include <version>

#include <sys/sysmacros.h>
#include <xsimd/xsimd.hpp>
#undef major
#undef minor
#undef makedev
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#undef I
#define I a macro of a system header
#undef complex
#define complex a macro of a system header
#undef imaginary
#define imaginary a macro of a system header
#undef unix
#define unix a macro of a system header
#undef linux
#define linux a macro of a system header
#undef i386
#define i386 a macro of a system header
#undef small
#define small a macro of a system header
#undef near
#define near a macro of a system header
#undef far
#define far a macro of a system header
#undef ERROR
#define ERROR a macro of a system header
#undef DELETE
#define DELETE a macro of a system header
#undef IN
#define IN a macro of a system header
#undef OUT
#define OUT a macro of a system header
#undef OPTIONAL
#define OPTIONAL a macro of a system header
#undef CONST
#define CONST a macro of a system header
#undef VOID
#define VOID a macro of a system header
#undef TRUE
#define TRUE a macro of a system header
#undef FALSE
#define FALSE a macro of a system header
#undef interface
#define interface a macro of a system header
#undef NEAR
#define NEAR a macro of a system header
#undef FAR
#define FAR a macro of a system header
#undef minor
#define minor a macro of a system header
#undef major
#define major a macro of a system header
#undef makedev
#define makedev a macro of a system header
#undef cdecl
#define cdecl a macro of a system header
#undef pascal
#define pascal a macro of a system header
#undef hyper
#define hyper a macro of a system header
#undef verify
#define verify a macro of a system header
#undef require
#define require a macro of a system header
#undef B0
#define B0 a macro of a system header
#undef B1
#define B1 a macro of a system header
#undef B110
#define B110 a macro of a system header
#undef _N
#define _N a macro of a system header
#undef _B
#define _B a macro of a system header
#undef _C
#define _C a macro of a system header
#undef _L
#define _L a macro of a system header
#undef _P
#define _P a macro of a system header
#undef _S
#define _S a macro of a system header
#undef _U
#define _U a macro of a system header
#undef _X
#define _X a macro of a system header
#undef DOMAIN
#define DOMAIN a macro of a system header
#undef OVERFLOW
#define OVERFLOW a macro of a system header
#undef UNDERFLOW
#define UNDERFLOW a macro of a system header
#undef SING
#define SING a macro of a system header
#undef PLOSS
#define PLOSS a macro of a system header
#undef TLOSS
#define TLOSS a macro of a system header
#undef Yield
#define Yield a macro of a system header
#undef GetObject
#define GetObject a macro of a system header
#undef GetMessage
#define GetMessage a macro of a system header
#undef CreateFile
#define CreateFile a macro of a system header
#undef SendMessage
#define SendMessage a macro of a system header
#undef ABSOLUTE
#define ABSOLUTE a macro of a system header
#undef RELATIVE
#define RELATIVE a macro of a system header
#undef ALTERNATE
#define ALTERNATE a macro of a system header
#undef Success
#define Success a macro of a system header
#undef None
#define None a macro of a system header
#undef Always
#define Always a macro of a system header
#undef Bool
#define Bool a macro of a system header
#undef Status
#define Status a macro of a system header
#undef True
#define True a macro of a system header
#undef False
#define False a macro of a system header
#undef Complex
#define Complex a macro of a system header
#undef Unsorted
#define Unsorted a macro of a system header
#undef rindex
#define rindex a macro of a system header
#undef bcopy
#define bcopy a macro of a system header
#undef bzero
#define bzero a macro of a system header
#undef debug
#define debug a macro of a system header
#undef DEBUG
#define DEBUG a macro of a system header
#undef TRACE
#define TRACE a macro of a system header
#undef INFO
#define INFO a macro of a system header
#undef CHECK
#define CHECK a macro of a system header
#undef ASSERT
#define ASSERT a macro of a system header
#undef likely
#define likely a macro of a system header
#undef unlikely
#define unlikely a macro of a system header
#undef MIN
#define MIN a macro of a system header
#undef MAX
#define MAX a macro of a system header
#undef ABS
#define ABS a macro of a system header
#undef sun
#define sun a macro of a system header
#undef vax
#define vax a macro of a system header
#undef hpux
#define hpux a macro of a system header
#undef mips
#define mips a macro of a system header
#undef sgi
#define sgi a macro of a system header
#undef arm
#define arm a macro of a system header
#undef PAGE_SIZE
#define PAGE_SIZE a macro of a system header
#undef BLOCK_SIZE
#define BLOCK_SIZE a macro of a system header
#undef DIFFERENCE
#define DIFFERENCE a macro of a system header
#undef STRICT
#define STRICT a macro of a system header
#undef st_atime
#define st_atime a macro of a system header
#undef sa_handler
#define sa_handler a macro of a system header
#undef s_addr
#define s_addr a macro of a system header
#undef h_addr
#define h_addr a macro of a system header

#include <edgerazor/edgerazor.hpp>
