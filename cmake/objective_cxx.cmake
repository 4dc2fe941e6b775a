# Defines pyane_objc: how to compile and link the Objective-C++ of cpp/pyane. Manual retain/release
# everywhere, so that Linux runs the ownership code that ships on macOS.
#
#   auto     Apple's frameworks on macOS; elsewhere no Objective-C at all
#   gnustep  Linux, for tests: clang, GNUstep's Foundation, gcc's Objective-C runtime, and the
#            stand-ins of cpp/tests/fake_ane for IOSurface and AppleNeuralEngine
set(PYANE_ANE auto CACHE STRING "How the Neural Engine is reached: auto or gnustep")
set_property(CACHE PYANE_ANE PROPERTY STRINGS auto gnustep)

if(NOT PYANE_ANE MATCHES "^(auto|gnustep)$")
  message(FATAL_ERROR "PYANE_ANE must be auto or gnustep, got '${PYANE_ANE}'")
endif()
set(PYANE_HAS_OBJC OFF)
if(APPLE)
  if(PYANE_ANE STREQUAL gnustep)
    message(FATAL_ERROR "PYANE_ANE=gnustep is for Linux; macOS has the real frameworks")
  endif()
  set(PYANE_HAS_OBJC ON)
  enable_language(OBJCXX)
  add_library(pyane_objc INTERFACE)
  target_compile_options(pyane_objc INTERFACE $<$<COMPILE_LANGUAGE:OBJCXX>:-fno-objc-arc>)
  target_link_libraries(pyane_objc INTERFACE "-framework Foundation" "-framework CoreFoundation"
                                             "-framework IOSurface")
elseif(PYANE_ANE STREQUAL gnustep)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    message(FATAL_ERROR "PYANE_ANE=gnustep needs clang (CXX=clang++-19), got ${CMAKE_CXX_COMPILER}")
  endif()
  set(PYANE_HAS_OBJC ON)
  set(CMAKE_OBJCXX_COMPILER ${CMAKE_CXX_COMPILER})
  if(CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_OBJCXX_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  endif()
  enable_language(OBJCXX)

  find_path(PYANE_GNUSTEP_INCLUDE Foundation/Foundation.h PATHS /usr/include/GNUstep
            DOC "GNUstep headers (Debian: libgnustep-base-dev)")
  find_library(PYANE_GNUSTEP_BASE gnustep-base DOC "GNUstep's Foundation")
  find_program(PYANE_GCC gcc REQUIRED)
  execute_process(COMMAND ${PYANE_GCC} -print-file-name=include OUTPUT_VARIABLE gcc_include
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  execute_process(COMMAND ${PYANE_GCC} -print-file-name=libobjc.so OUTPUT_VARIABLE gcc_libobjc
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT PYANE_GNUSTEP_INCLUDE OR NOT PYANE_GNUSTEP_BASE OR NOT EXISTS ${gcc_include}/objc/objc.h)
    message(FATAL_ERROR "PYANE_ANE=gnustep needs GNUstep and gcc's Objective-C runtime "
                        "(Debian: apt-get install clang-19 libgnustep-base-dev gobjc++)")
  endif()
  # Only gcc's objc/ headers: the rest of its folder breaks clang's stdatomic.h.
  set(objc_include ${CMAKE_BINARY_DIR}/objc_include)
  file(MAKE_DIRECTORY ${objc_include})
  file(CREATE_LINK ${gcc_include}/objc ${objc_include}/objc SYMBOLIC)

  set(fake_ane ${PROJECT_SOURCE_DIR}/cpp/tests/fake_ane)
  add_library(pyane_gnustep INTERFACE)
  target_compile_options(
    pyane_gnustep
    INTERFACE
      "$<$<COMPILE_LANGUAGE:OBJCXX>:-fobjc-runtime=gcc;-fconstant-string-class=NSConstantString;\
-fobjc-exceptions;-fexceptions;-include;${fake_ane}/include/gnustep_compat.h>")
  foreach(folder ${PYANE_GNUSTEP_INCLUDE} ${objc_include} ${fake_ane}/include)
    target_include_directories(pyane_gnustep SYSTEM
                               INTERFACE $<$<COMPILE_LANGUAGE:OBJCXX>:${folder}>)
  endforeach()
  target_compile_definitions(
    pyane_gnustep
    INTERFACE $<$<COMPILE_LANGUAGE:OBJCXX>:GNUSTEP> $<$<COMPILE_LANGUAGE:OBJCXX>:GNU_RUNTIME=1>
              $<$<COMPILE_LANGUAGE:OBJCXX>:GNUSTEP_BASE_LIBRARY=1>
              $<$<COMPILE_LANGUAGE:OBJCXX>:_NATIVE_OBJC_EXCEPTIONS=1>)
  target_link_libraries(pyane_gnustep INTERFACE ${PYANE_GNUSTEP_BASE} ${gcc_libobjc})

  set(PYANE_FAKE_ANE_FOLDER ${CMAKE_BINARY_DIR}/fake_ane)
  add_library(pyane_objc INTERFACE)
  target_link_libraries(pyane_objc INTERFACE pyane_gnustep fake_iosurface)
endif()

if(PYANE_HAS_OBJC)
  set(CMAKE_OBJCXX_STANDARD 20)
  set(CMAKE_OBJCXX_STANDARD_REQUIRED ON)
  set(CMAKE_OBJCXX_EXTENSIONS OFF)
  set(CMAKE_OBJCXX_VISIBILITY_PRESET hidden)
endif()
