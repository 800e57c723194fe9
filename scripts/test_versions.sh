#!/usr/bin/env bash
# Runs the tests of the mathematics, the PML classes and the search with the lowest versions that
# pyproject.toml declares and with the newest ones, each in an environment of its own.
#
#   bash scripts/test_versions.sh                 both
#   bash scripts/test_versions.sh lowest          one of them
#
# An environment takes about 7 GB and is built anew in each call. ENVIRONMENTS names the folder that
# holds them (default: the repository, as .venv-lowest and .venv-newest); PYTHON_LOWEST and
# PYTHON_NEWEST name the interpreters (default: python3.10, the oldest supported, and python3).
#
# Last results: all tests of these folders pass with the lowest versions (Python 3.10, torch 2.6.0,
# NumPy 1.25.0, geoopt 0.5.1, PML 2.9.0, faiss-cpu 1.9.0) and with torch 2.14.1, NumPy 2.4.6,
# geoopt 0.5.1, PML 2.9.0 and faiss-cpu 1.15.1 (Python 3.11).
set -euo pipefail
cd "$(dirname "$0")/.."

FOLDERS=(tests/functional tests/distances tests/losses tests/regularizers tests/utils)

# One "name==version" for every lower bound of pyproject.toml.
lowest_versions() {
    "$1" - <<'PROGRAM'
import re

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
declared = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
for requirement in declared:
    bound = re.match(r"([\w.-]+)>=([\d.]+)", requirement)
    if bound:
        print("==".join(bound.groups()))
PROGRAM
}

test_versions() {
    local kind="$1" python="$2" folder="${ENVIRONMENTS:-.}/.venv-$1" constraints
    "$python" -c "" 2>/dev/null || {
        echo "$python cannot be run: set PYTHON_${kind^^} to another interpreter" >&2
        return 2
    }
    rm -rf "$folder"
    "$python" -m venv "$folder"
    constraints="$folder/constraints.txt"
    if [ "$kind" = lowest ]; then
        lowest_versions "$folder/bin/python" >"$constraints"
    else
        : >"$constraints"
    fi
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$constraints" -e ".[benchmark,cpu,test]"
    echo "== $kind: $("$folder/bin/python" -m pip list --format=freeze --disable-pip-version-check |
        grep -iE '^(torch|numpy|scipy|geoopt|pytorch-metric-learning|faiss-cpu)==' | tr '\n' ' ')"
    "$folder/bin/python" -m pytest -p no:cacheprovider "${FOLDERS[@]}"
}

[ $# -gt 0 ] || set -- lowest newest
for kind in "$@"; do
    case "$kind" in
        lowest) test_versions lowest "${PYTHON_LOWEST:-python3.10}" ;;
        newest) test_versions newest "${PYTHON_NEWEST:-python3}" ;;
        *)
            echo "unknown argument $kind: expected lowest or newest" >&2
            exit 2
            ;;
    esac
done
