#!/usr/bin/env bash
# Sets up .venv with everything that the tests need, then runs the linter, the type checker
# and the tests. Arguments are passed to pytest, for example:
# bash scripts/test.sh tests/losses -k hier
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

set_up_environment benchmark,plots,postgresql,docs,test
ruff check .
ruff format --check .
mypy
python -m pytest "$@"
