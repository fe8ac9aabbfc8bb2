# Headers of the system that most sources of a target include are parsed once: for clean builds under sanitizers, beside one
# that goes without, since no source may need this. gcc 12 then takes the inside of std::string for the tree's, and warns
# about it as in GCC PR 105651.
#   tamis_precompile(<target> <header>...)
function(tamis_precompile target)
  if(TAMIS_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE <algorithm> <cmath> <cstdint> <functional> <limits> <memory> <string>
      <utility> <vector> ${ARGN})
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>)
  endif()
endfunction()
