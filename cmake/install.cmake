# What leaves the library, and what `cmake --install` puts where. Relocatable: no absolute path is written.
include(CMakePackageConfigHelpers)

if(BUILD_SHARED_LIBS AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_link_options(tamis PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/tamis.map")
  set_property(TARGET tamis APPEND PROPERTY LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/tamis.map)
endif()

set(TAMIS_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tamis)
install(TARGETS tamis EXPORT tamis-targets
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
configure_file(${CMAKE_CURRENT_LIST_DIR}/tamis.pc.in ${PROJECT_BINARY_DIR}/tamis.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tamis.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
