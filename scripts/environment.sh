# Sourced by demo.sh and test.sh: creates .venv in the root of the repository once, and installs the
# package with the given extras and one FAISS. The environment's programs then come first on PATH.

set_up_environment() {
    local extras="$1" faiss=cpu stamp
    # faiss-gpu and faiss-cpu both provide the module faiss: install exactly one of them.
    command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1 && faiss=gpu
    if [ ! -x .venv/bin/python ]; then
        "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
            echo "Python 3.10 or newer is needed: set PYTHON to one, e.g. PYTHON=python3.12" >&2
            return 2
        }
        "${PYTHON:-python3}" -m venv .venv
    fi
    stamp=".venv/installed-$(printf '%s' "$extras,$faiss" | tr ',' '-')"
    if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check torch torchvision
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extras,$faiss]"
        touch "$stamp"
    fi
    PATH="$PWD/.venv/bin:$PATH"
}
