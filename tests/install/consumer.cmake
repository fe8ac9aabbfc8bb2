# Builds and runs one consumer of the library in WORK_DIR: installs the library there first, moves the installation (it
# must not know where it was installed), then builds tests/install/CONSUMER against it.
cmake_minimum_required(VERSION 3.22)

function(step)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed: ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK_DIR}/installed ${WORK_DIR}/moved)
set(source ${SOURCE_DIR}/tests/install/${CONSUMER})
if(CONSUMER STREQUAL "add_subdirectory")
  # Builds the library itself: the flags of this build (of a sanitizer, say) would only make it slower.
  set(CFLAGS "")
  set(CXXFLAGS "")
else()
  step(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/installed)
  file(RENAME ${WORK_DIR}/installed ${WORK_DIR}/moved)
endif()

if(CONSUMER STREQUAL "pkg_config")
  set(ENV{PKG_CONFIG_PATH} ${WORK_DIR}/moved/${LIBDIR}/pkgconfig)
  step(${PKG_CONFIG} tamis)
  separate_arguments(flags UNIX_COMMAND "${CFLAGS} ${output}")
  step(${CC} -std=c99 ${SOURCE_DIR}/tests/install/c99/main.c -o ${WORK_DIR}/consumer ${flags} -Wl,-rpath,${WORK_DIR}/moved/${LIBDIR})
  set(program ${WORK_DIR}/consumer)
else()
  step(${CMAKE_COMMAND} -S ${source} -B ${WORK_DIR}/build -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${WORK_DIR}/moved -DTAMIS_SOURCE_DIR=${SOURCE_DIR}
    -DCMAKE_C_COMPILER=${CC} -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_C_FLAGS=${CFLAGS} -DCMAKE_CXX_FLAGS=${CXXFLAGS})
  step(${CMAKE_COMMAND} --build ${WORK_DIR}/build --parallel 2)
  set(program ${WORK_DIR}/build/consumer)
endif()

step(${program})
if(NOT output MATCHES "consumer: tamis [0-9]+\\.[0-9]+\\.[0-9]+, compress_stride: expected at least 1, got 0")
  message(FATAL_ERROR "${program}: expected the version and an error line, got: ${output}")
endif()
message("${CONSUMER}: ${output}")
