# Levels: a kernel is compiled once for each, in a unit that this file writes, with the flags that stand here.
#   tamis_add_kernels(<target> <file> LEVELS <level>... KERNELS <name>...)
# <file>-inl.h defines each kernel in namespace tamis::TAMIS_LEVEL. <file>_units.h, written too, declares them and gives a
# list of units for each, k<name>Units, of the levels that this build has.
set(TAMIS_LEVELS scalar)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND TAMIS_LEVELS avx2 avx2_vnni avx512 avx512_vnni avx512_bf16)
endif()

# Builds whose tests run here, under sanitizers, need not compile what this processor cannot run. Names as Linux has them.
if(TAMIS_LEVELS_HERE AND avx2 IN_LIST TAMIS_LEVELS)
  file(STRINGS /proc/cpuinfo processor REGEX "^flags" LIMIT_COUNT 1)
  set(levels avx2 avx2_vnni avx512 avx512_vnni avx512_bf16)
  set(instructions avx2 avx_vnni avx512f avx512_vnni avx512_bf16)
  foreach(level instruction IN ZIP_LISTS levels instructions)
    if(NOT "${processor} " MATCHES " ${instruction} ")
      list(REMOVE_ITEM TAMIS_LEVELS ${level})
    endif()
  endforeach()
endif()

set(TAMIS_LEVEL_FLAGS_scalar "")
set(TAMIS_LEVEL_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(TAMIS_LEVEL_FLAGS_avx2_vnni ${TAMIS_LEVEL_FLAGS_avx2} -mavxvnni)
# gcc 12 warns about its own AVX-512 headers (GCC PR 105593).
set(TAMIS_LEVEL_FLAGS_avx512 ${TAMIS_LEVEL_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd
  -mprefer-vector-width=512 "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-uninitialized>")
# Else gcc 12 moves some accumulators of products in assembly from register to register, back and forth.
set(TAMIS_LEVEL_FLAGS_avx512_vnni ${TAMIS_LEVEL_FLAGS_avx512} -mavx512vnni
  "$<$<CXX_COMPILER_ID:GNU>:-fira-region=all>")
set(TAMIS_LEVEL_FLAGS_avx512_bf16 ${TAMIS_LEVEL_FLAGS_avx512_vnni} -mavx512bf16)

# "kAvx512Bf16" of "avx512_bf16"
function(tamis_level_enumerator level result)
  set(name k)
  string(REPLACE "_" ";" words ${level})
  foreach(word IN LISTS words)
    string(SUBSTRING ${word} 0 1 first)
    string(SUBSTRING ${word} 1 -1 rest)
    string(TOUPPER ${first} first)
    string(APPEND name ${first}${rest})
  endforeach()
  set(${result} ${name} PARENT_SCOPE)
endfunction()

function(tamis_add_kernels target file)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "LEVELS;KERNELS")
  set(units ${PROJECT_BINARY_DIR}/units)
  set(declarations "")
  foreach(level IN LISTS arg_LEVELS)
    if(NOT level IN_LIST TAMIS_LEVELS)
      continue()
    endif()
    set(unit ${units}/${file}_${level}.cc)
    file(CONFIGURE OUTPUT ${unit} CONTENT "#define TAMIS_LEVEL ${level}\n#include \"${file}-inl.h\"\n")
    set_source_files_properties(${unit} PROPERTIES COMPILE_OPTIONS "${TAMIS_LEVEL_FLAGS_${level}}"
      SKIP_PRECOMPILE_HEADERS ON)
    target_sources(${target} PRIVATE ${unit})
    tamis_level_enumerator(${level} enumerator)
    string(APPEND declarations "namespace tamis::${level} {\n")
    foreach(kernel IN LISTS arg_KERNELS)
      string(APPEND declarations "prim::CpuKernel ${kernel};\n")
      string(APPEND units_of_${kernel} "    {Level::${enumerator}, &${level}::${kernel}},\n")
    endforeach()
    string(APPEND declarations "}\n")
  endforeach()
  set(lists "")
  foreach(kernel IN LISTS arg_KERNELS)
    string(APPEND lists "inline constexpr KernelUnit k${kernel}Units[] = {\n${units_of_${kernel}}};\n")
  endforeach()
  file(CONFIGURE OUTPUT ${units}/${file}_units.h CONTENT "// Written by cmake/levels.cmake.
#pragma once

#include \"prim/call/work.h\"

${declarations}
namespace tamis::prim {
${lists}}
")
  target_include_directories(${target} PRIVATE ${units})
endfunction()
