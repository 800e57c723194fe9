"""The script, and a checkout into which it has exported, whose package can be imported."""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.upstream.skeleton import git, write_skeleton

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export_upstream.py"
# Set it to a checkout of pytorch-metric-learning 2.9 to run these tests with the real one.
CHECKOUT = "PML_CHECKOUT"


@pytest.fixture(scope="session")
def script():
    """scripts/export_upstream.py as a module."""
    spec = importlib.util.spec_from_file_location("export_upstream", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_the_user():
    """git neither reads the user's settings nor takes dates from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
            patch.setenv(name, os.devnull)
        for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE", "GIT_DIR", "GIT_INDEX_FILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def skeleton(tmp_path):
    """A checkout before the export."""
    return write_skeleton(tmp_path / "checkout")


@pytest.fixture(scope="session", params=["skeleton", "checkout"])
def exported(request, script, tmp_path_factory):
    """A checkout after the export: always the skeleton, and PML's own if it is given."""
    folder = tmp_path_factory.mktemp("upstream") / "checkout"
    if request.param == "skeleton":
        write_skeleton(folder)
    elif CHECKOUT not in os.environ:
        pytest.skip(f"{CHECKOUT} names no checkout of pytorch-metric-learning 2.9")
    else:
        subprocess.run(["git", "clone", "--quiet", os.environ[CHECKOUT], str(folder)], check=True)
        git(folder, "config", "user.name", "Tester")
        git(folder, "config", "user.email", "tester@example.org")
    git(folder, "tag", "before-export")
    script.export(folder)
    return folder


@pytest.fixture(scope="session")
def upstream(exported):
    """Imports modules of the exported package, beside the installed one and under another name."""
    names = exported / "names"
    names.mkdir()
    name = f"exported_pml_{abs(hash(exported))}"
    (names / name).symlink_to(exported / "src" / "pytorch_metric_learning")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(names)
        yield lambda module: importlib.import_module(f"{name}.{module}")
