# What `pip install` builds depends on where it runs: the library always; the command line where its two header libraries
# are; PyTorch's operators where TAMIS_TORCH_ROOT or the environment that is installed into has torch. What was left out
# says so, in one line, when it is asked for (python/tamis/_library.py).
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  message(FATAL_ERROR "the Python package of Tamis is built on Linux only, this is ${CMAKE_SYSTEM_NAME}")
endif()

find_package(CLI11 QUIET)
find_package(nlohmann_json QUIET)
if(NOT CLI11_FOUND OR NOT nlohmann_json_FOUND)
  message(WARNING "without the command line `tamis`: CLI11 and nlohmann-json (libcli11-dev, nlohmann-json3-dev) are not here")
  set(TAMIS_BUILD_TOOLS OFF)
endif()

# pip builds in isolation, where torch cannot be imported; its files lie where the interpreter keeps packages all the same.
if(NOT TAMIS_TORCH_ROOT AND Python_EXECUTABLE)
  execute_process(COMMAND ${Python_EXECUTABLE} -c "import sysconfig; print(sysconfig.get_path('platlib'))"
    OUTPUT_VARIABLE packages OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  if(EXISTS ${packages}/torch/version.py)
    file(STRINGS ${packages}/torch/version.py version REGEX "^__version__")
    string(REGEX MATCH "[0-9]+\\.[0-9]+" version "${version}")
    if(version VERSION_GREATER_EQUAL 2.10)
      set(TAMIS_TORCH_ROOT ${packages}/torch)
    endif()
  endif()
endif()
if(NOT TAMIS_TORCH_ROOT)
  message(WARNING "without PyTorch's operators: no torch 2.10 or later is here, and TAMIS_TORCH_ROOT names none")
endif()
