"""Where a page's blocks of code are executed: one folder and one namespace for the whole page.

Python is executed as it stands. In bash, ``pml-hyperbolic`` is called within this process, with
short trainings, and everything else by bash. A block with a title is a file: it is written under
its title, and Python is executed too.
"""

import re
import shutil
import subprocess

from pml_hyperbolic.benchmark.cli import main
from tests.docs.pages import name_of

# What the commands that train are told in addition.
_SHORT = ["protocol.epochs=2", "protocol.steps_per_epoch=1", "protocol.seeds=[0]", "--jobs=1"]
SHORTENED = {"run": ["--no-page", *_SHORT], "search": ["--trials=1", *_SHORT]}
# What every command on the benchmark `photos` is told: its network's weights would be downloaded.
_UNTRAINED = [
    "protocol.backbone.timm.model=test_resnet",
    "protocol.backbone.timm.pretrained=false",
    "protocol.image.size=32",
]


class Workplace:
    """A folder to work in, in which a page's blocks follow each other."""

    def __init__(self, folder):
        self.folder = folder
        self.namespace = {"__name__": "__main__"}
        self._variables = []

    def add_folder(self, folder):
        """Copy a prepared folder, such as one of runs, to where the page expects it."""
        shutil.copytree(folder, self.folder / folder.name)

    def execute(self, block):
        """Execute a block as its language and title ask."""
        if block.title is not None:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code, encoding="utf-8")
        if block.language == "python":
            place = f"{name_of(block.page)}, block after line {block.line}"
            exec(compile(block.code, place, "exec"), self.namespace)
        elif block.language == "bash":
            for command in commands_of(block.code):
                self._command(command)

    def _command(self, command):
        if re.match(r"\w+=", command):
            self._variables.append(command)
            return
        words = self._words(command)
        if words[0] != "pml-hyperbolic":
            self._bash(command)
            return
        arguments = words[1:] + SHORTENED.get(words[1], [])
        if words[1] in ("run", "search", "validate") and "photos" in words[2]:
            arguments += _UNTRAINED
        status = main(arguments)
        assert status == 0, f"{command}: exit status {status}"

    def _words(self, command):
        """The words of a command after bash has put variables and quotes into effect."""
        output = self._bash(f"printf '%s\\0' {command}")
        return output.rstrip("\0").split("\0")

    def _bash(self, command):
        script = "\n".join(["set -euo pipefail", *self._variables, command])
        return subprocess.run(
            ["bash", "-c", script], cwd=self.folder, check=True, text=True, stdout=subprocess.PIPE
        ).stdout


def commands_of(code):
    """The commands of a block of bash, without comments."""
    lines = code.replace("\\\n", " ").splitlines()
    without_comments = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in lines)
    return [line for line in without_comments if line]
