# cmake -D VENV=<folder> -D ARGUMENTS=<script>|<argument>|... -P in_venv.cmake: runs a script with the packages of
# requirements.txt, in a virtual environment that is made once. Without Python or a package index the test is skipped.
cmake_minimum_required(VERSION 3.23)

set(python ${VENV}/bin/python)
if(NOT EXISTS ${VENV}/ready)
  execute_process(COMMAND python3 -m venv --clear ${VENV} RESULT_VARIABLE code OUTPUT_QUIET ERROR_QUIET)
  if(NOT code EQUAL 0)
    message("skipped: python3 can't make a virtual environment here")
    return()
  endif()
  execute_process(COMMAND ${python} -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 20
    --only-binary :all: -r ${CMAKE_CURRENT_LIST_DIR}/requirements.txt RESULT_VARIABLE code ERROR_VARIABLE reason)
  if(NOT code EQUAL 0)
    message("skipped: the packages of tests/python/requirements.txt can't be had\n${reason}")
    return()
  endif()
  file(TOUCH ${VENV}/ready)
endif()

string(REPLACE "|" ";" arguments "${ARGUMENTS}")
execute_process(COMMAND ${python} ${arguments} COMMAND_ERROR_IS_FATAL ANY)
