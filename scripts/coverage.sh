#!/usr/bin/env bash
# Sets up .venv and measures which lines of the package the tests run, subprocesses included.
# Arguments are passed to pytest; by default the tests that take a minute or more are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

set_up_environment benchmark,plots,postgresql,docs,test
[ $# -gt 0 ] || set -- -m "not long" -n auto --dist loadfile
coverage erase
OMP_NUM_THREADS=1 coverage run -m pytest "$@"
coverage combine --quiet
coverage report --sort=cover
