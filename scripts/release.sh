#!/usr/bin/env bash
# Makes the files of a release: checks that version, CHANGELOG.md and CITATION.cff agree and that
# everything is committed, runs all checks and tests, then builds the wheel and the sdist into dist/
# and checks them. Nothing is uploaded and no tag is made: the last lines say how to do that.
set -euo pipefail
cd "$(dirname "$0")/.."

refuse() {
    echo "release.sh: $1" >&2
    exit 2
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' pml_hyperbolic/__init__.py)
[[ "$version" =~ ^[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?$ ]] ||
    refuse "__version__ is '$version', expected X.Y.Z: set it in pml_hyperbolic/__init__.py"
date=$(sed -n "s/^## ${version//./\\.} - \([0-9]\{4\}-[0-9][0-9]-[0-9][0-9]\)$/\1/p" CHANGELOG.md)
[ -n "$date" ] ||
    refuse "CHANGELOG.md has no entry for this version, expected '## $version - YYYY-MM-DD': add it"
grep -qx "version: $version" CITATION.cff ||
    refuse "CITATION.cff has another version, expected 'version: $version': correct it"
grep -qx "date-released: \"$date\"" CITATION.cff ||
    refuse "CITATION.cff has another date than CHANGELOG.md, expected 'date-released: \"$date\"'"
[ -z "$(git status --porcelain)" ] ||
    refuse "there are changes that are not committed: commit them, or 'git stash' them"
if git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null; then
    refuse "there is a tag v$version already: raise __version__ in pml_hyperbolic/__init__.py"
fi

bash scripts/test.sh

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
.venv/bin/python -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check \
    build twine check-wheel-contents
rm -rf dist
"$tools/bin/python" -m build --outdir dist .
"$tools/bin/python" -m twine check --strict dist/*
# W002: configs of two benchmarks may state the same.
"$tools/bin/check-wheel-contents" --ignore W002 dist/*.whl
[ -z "$(git status --porcelain)" ] || refuse "the tests or the build changed files: see git status"

cat <<END
dist/ holds release $version of commit $(git rev-parse --short HEAD). To publish it:
  git tag -a v$version -m "Release $version" && git push origin v$version
  python -m twine upload dist/*
END
