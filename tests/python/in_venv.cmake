# cmake -D VENV=<folder> -D ARGUMENTS=<script>|<argument>|... -P in_venv.cmake: runs a script with the packages of
# requirements.txt, in a virtual environment that is made once. Without Python or a package index the test is skipped.
#   -D REQUIREMENTS=<file>  other packages
#   -D PYTHON=<program>     another interpreter than the first python3 of PATH
#   -D VENV_OPTIONS=...     for `python3 -m venv`;  -D PIP_OPTIONS=... for `pip install`
cmake_minimum_required(VERSION 3.23)

if(NOT REQUIREMENTS)
  set(REQUIREMENTS requirements.txt)
endif()
if(NOT PYTHON)
  set(PYTHON python3)
endif()
set(python ${VENV}/bin/python)
if(NOT EXISTS ${VENV}/ready)
  execute_process(COMMAND ${PYTHON} -m venv --clear ${VENV_OPTIONS} ${VENV}
    RESULT_VARIABLE code OUTPUT_QUIET ERROR_QUIET)
  if(NOT code EQUAL 0)
    message("skipped: python3 can't make a virtual environment here")
    return()
  endif()
  execute_process(COMMAND ${python} -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 20
    --only-binary :all: ${PIP_OPTIONS} -r ${CMAKE_CURRENT_LIST_DIR}/${REQUIREMENTS}
    RESULT_VARIABLE code ERROR_VARIABLE reason)
  if(NOT code EQUAL 0)
    message("skipped: the packages of tests/python/${REQUIREMENTS} can't be had\n${reason}")
    return()
  endif()
  file(TOUCH ${VENV}/ready)
endif()

string(REPLACE "|" ";" arguments "${ARGUMENTS}")
execute_process(COMMAND ${python} ${arguments} COMMAND_ERROR_IS_FATAL ANY)
