# Sourced by demo.sh, docs.sh, test.sh and .ci/run.

# Creates .venv in the root of the repository once, and installs the package with the given extras
# and one FAISS. The environment's programs then come first on PATH.
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

# Installs Chromium, in which a test opens the report page. Where that cannot be done, the test skips.
set_up_browser() {
    local program
    for program in chromium chromium-browser google-chrome-stable google-chrome; do
        command -v "$program" >/dev/null 2>&1 && return 0
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq >/dev/null 2>&1 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null 2>&1 && return 0
    fi
    echo "there is no Chromium and it cannot be installed: its test will be skipped" >&2
}

# Installs PostgreSQL, of which a test of the search starts a server of its own; likewise.
set_up_postgresql() {
    compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null && return 0
    command -v initdb >/dev/null 2>&1 && return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq >/dev/null 2>&1 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null 2>&1 && return 0
    fi
    echo "there is no PostgreSQL and it cannot be installed: its tests will be skipped" >&2
}
