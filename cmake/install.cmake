# What leaves the library, and what `cmake --install` puts where. Relocatable: no absolute path is written.
include(CMakePackageConfigHelpers)

if(BUILD_SHARED_LIBS AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_link_options(tamis PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/tamis.map")
  set_property(TARGET tamis APPEND PROPERTY LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/tamis.map)
endif()

# The device's C calls (docs/acl.md), for those who ask for them: headers alone, with an include root of their own.
add_library(tamis_ascend INTERFACE)
add_library(tamis::ascend ALIAS tamis_ascend)
set_target_properties(tamis_ascend PROPERTIES EXPORT_NAME ascend)
target_include_directories(tamis_ascend INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include/tamis/compat/ascend>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/tamis/compat/ascend>)
target_link_libraries(tamis_ascend INTERFACE tamis)

set(TAMIS_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tamis)
install(TARGETS tamis tamis_ascend EXPORT tamis-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/tamis DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT tamis-targets NAMESPACE tamis:: DESTINATION ${TAMIS_CMAKE_DIR})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/tamis-config.cmake.in
  ${PROJECT_BINARY_DIR}/tamis-config.cmake INSTALL_DESTINATION ${TAMIS_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tamis-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tamis-config.cmake ${PROJECT_BINARY_DIR}/tamis-config-version.cmake
  DESTINATION ${TAMIS_CMAKE_DIR})

file(RELATIVE_PATH TAMIS_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" TAMIS_PC_PREFIX "${TAMIS_PC_PREFIX}")
foreach(package tamis tamis-ascend)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${package}.pc.in ${PROJECT_BINARY_DIR}/${package}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
