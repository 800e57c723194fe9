#!/usr/bin/env bash
# Sets up .venv, then builds the documentation into build/site. With the argument serve it shows the
# documentation in the browser instead, and again whenever a page changes.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

set_up_environment benchmark,plots,docs
# A notice of mkdocs-material on its successor is not a warning of the build.
export NO_MKDOCS_2_WARNING=1
if [ "${1:-}" = serve ]; then
    mkdocs serve --open -f docs/mkdocs/mkdocs.yml
else
    mkdocs build --strict -f docs/mkdocs/mkdocs.yml
fi
