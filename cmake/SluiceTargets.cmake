# One place for what every target of the project shares.

add_library(sluice_options INTERFACE)
target_include_directories(sluice_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(sluice_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Wno-missing-field-initializers  # GCC 12 warns about designated initialisers, too
  # A product and a sum stay two operations: values are then equal on all machines and in all
  # kernels, and encoders and decoders of blocks bit-exact with ggml's.
  -ffp-contract=off
  # GCC 12 sees all of these in its own vector and string at -O3.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds;-Wno-free-nonheap-object;-Wno-restrict>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow;-Wno-stringop-overread>
  -Werror)
if(SLUICE_SANITIZE)
  target_compile_options(sluice_options INTERFACE
    -fsanitize=${SLUICE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # GCC documents false ones under sanitizers; release builds warn
  target_link_options(sluice_options INTERFACE -fsanitize=${SLUICE_SANITIZE})
endif()

# What tools and tests are made of, besides libraries: they read options, print and compare, and there
# are more of them than of all else. Not to optimise templates of CLI11, JSON and GoogleTest makes a
# build with sanitizers three times as fast.
add_library(sluice_cold INTERFACE)
if(SLUICE_SANITIZE)
  target_compile_options(sluice_cold INTERFACE -O0)
else()
  target_compile_options(sluice_cold INTERFACE $<$<CONFIG:Release>:-O1>)
endif()

# What fuzzers tell new inputs by, without a trace of each comparison: that slows down all tests.
set(SLUICE_COVERAGE "")
if(SLUICE_BUILD_FUZZERS)
  set(SLUICE_COVERAGE -fsanitize=fuzzer-no-link -fno-sanitize-coverage=trace-cmp)
endif()

# Half of the time to compile a source is these headers. Each file still includes what it uses:
# CMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without (scripts/tidy.sh does).
if(NOT EXISTS ${CMAKE_BINARY_DIR}/precompiled.cc)  # a new one would be newer than all that uses it
  file(WRITE ${CMAKE_BINARY_DIR}/precompiled.cc "")
endif()
add_library(sluice_precompiled OBJECT ${CMAKE_BINARY_DIR}/precompiled.cc)
target_link_libraries(sluice_precompiled PUBLIC sluice_options)
target_compile_options(sluice_precompiled PRIVATE ${SLUICE_COVERAGE})
target_precompile_headers(sluice_precompiled PRIVATE
  <algorithm> <functional> <map> <memory> <optional> <string> <utility> <vector>
  <absl/container/flat_hash_map.h> <absl/container/inlined_vector.h> <absl/status/statusor.h>
  <absl/strings/str_cat.h> <absl/strings/str_format.h> <absl/strings/str_join.h>
  <absl/types/span.h>)

# Third-party headers are system headers: their warnings are not ours to mend.
function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC sluice_options ${ARG_DEPS})
  target_compile_options(${name} PRIVATE ${SLUICE_COVERAGE})
  target_precompile_headers(${name} REUSE_FROM sluice_precompiled)
endfunction()
