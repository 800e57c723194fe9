"""Applies mutations to a copy of the repository, one after the other, and runs the test of each.

``python -m tests.mutations.worker COPY`` reads one JSON object a line, ``{"file", "before",
"after", "test"}``, and answers each with ``{"status", "output"}``, pytest's exit status (1: a test
failed) and the end of what it printed. The libraries that tests need are imported once: every test
runs in a fork of this process, which has not imported the package itself.
"""

import importlib
import importlib.util
import io
import json
import os
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

_LIBRARIES = (
    "torch",
    "pytorch_metric_learning.losses",
    "pytorch_metric_learning.utils.inference",
    "geoopt",
    "mpmath",
    "optuna",
    "PIL.Image",
    "pydantic",
    "pytest",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.cluster",
    "torch._dynamo",
    "torchvision",
    "yaml",
)


def main():
    root = Path(sys.argv[1])
    os.chdir(root)
    # Modules of this repository that the start imported would hide those of the copy.
    sys.path[:] = [str(root), *(path for path in sys.path if path not in ("", os.environ["ROOT"]))]
    os.environ["PYTHONPATH"] = str(root)
    # Plugins of other packages take longer to start than most tests.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LIBRARIES:
            importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(answer(root, json.loads(line))), flush=True)


def answer(root, mutation):
    """The exit status of the test under a mutation, and the end of its output."""
    file = root / "pml_hyperbolic" / mutation["file"]
    text = file.read_text(encoding="utf-8")
    assert text.count(mutation["before"]) == 1
    # What was compiled may be of the same second and the same length as what is to be compiled.
    compiled = Path(importlib.util.cache_from_source(str(file)))
    compiled.unlink(missing_ok=True)
    try:
        file.write_text(text.replace(mutation["before"], mutation["after"]), encoding="utf-8")
        return tested(mutation["test"])
    finally:
        file.write_text(text, encoding="utf-8")
        compiled.unlink(missing_ok=True)


def tested(test):
    """Run a test in a fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            with os.fdopen(writing, "w") as pipe:
                pipe.write(json.dumps(run_pytest(test)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answered = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answered) if answered else {"status": -1, "output": "the test was killed"}


def run_pytest(test):
    import pytest

    output = io.StringIO()
    options = ["-q", "-x", "-p", "no:cacheprovider", "--tb=line", "--no-header"]
    with redirect_stdout(output), redirect_stderr(output):
        status = pytest.main([*options, f"tests/{test}"])
    return {"status": int(status), "output": output.getvalue()[-2000:]}


if __name__ == "__main__":
    main()
