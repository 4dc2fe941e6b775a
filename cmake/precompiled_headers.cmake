# Headers that most files include, parsed once per target: more than half of a cold build was that.
# Files still include what they use; builds through a compiler cache go without, which keeps it so
# and keeps the cache's keys simple.
set(default ON)
if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(default OFF)
endif()
option(PYANE_PRECOMPILED_HEADERS "Parse common headers once per target" ${default})

# pyane_precompile(target <header>...). Sources with compile options of their own (instruction sets,
# floating-point rules) are left out: a precompiled header is only valid for the options it was made
# with. Call it after all target_sources().
function(pyane_precompile target)
  if(NOT PYANE_PRECOMPILED_HEADERS)
    return()
  endif()
  set(headers)
  foreach(header ${ARGN})
    list(APPEND headers "$<$<COMPILE_LANGUAGE:CXX>:<${header}$<ANGLE-R>>")
  endforeach()
  target_precompile_headers(${target} PRIVATE ${headers})
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    foreach(property COMPILE_OPTIONS COMPILE_DEFINITIONS)
      get_source_file_property(own ${source} TARGET_DIRECTORY ${target} ${property})
      if(own)
        set_source_files_properties(${source} TARGET_DIRECTORY ${target}
                                    PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
      endif()
    endforeach()
  endforeach()
endfunction()
