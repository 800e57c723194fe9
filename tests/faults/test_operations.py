"""At any file operation of a command: a kill, a full, a broken and a read-only disk.

The next command ends as if nothing had happened. By default some operations at equal distances are
tried; PML_HYPERBOLIC_FAULTS=all tries every one, which takes hours, and a number as many of each.
"""

import shutil

import pytest

from .conftest import MODES
from .outcomes import chosen, differences, faults_of

pytestmark = pytest.mark.long
FAULTS = [mode for mode in MODES if mode != "nothing"]


def tried(mode, command, numbers, count, wrong):
    """Show how much was tried, and fail with everything that was wrong."""
    print(
        f"\n{command}, {mode}: {len(numbers)} of {count} operations, {len(wrong)} wrong",
        *wrong,
        sep="\n",
    )
    assert wrong == []


@pytest.mark.parametrize("mode", FAULTS)
def test_a_run(place, mode):
    def run(output, **fault):
        words = ("run", place.config, "--output", output, "--no-page", "--jobs", "1")
        return place.server(*words, **fault)

    whole = run(place.root / "whole")
    assert (whole.status, whole.messages) == (0, [])
    assert differences(place.root / "whole" / "tiny", place.finished) == []
    shutil.rmtree(place.root / "whole")
    wrong, numbers = [], chosen(whole.count, 5)
    for number in numbers:
        output = place.root / f"{mode} {number}".replace(" ", "_")
        answer = run(output, mode=mode, number=number)
        found = faults_of(answer, mode, number)
        again = run(output)
        if again.status != 0:
            found.append(f"the next run ends with {again.status}: {again.err[-300:]}")
        else:
            found += differences(output / "tiny", place.finished)
        wrong += [f"operation {number}: {one}" for one in found]
        shutil.rmtree(output)
    tried(mode, "run", numbers, whole.count, wrong)


@pytest.mark.parametrize("mode", FAULTS)
def test_a_second_run(place, mode):
    """Nothing is left to do, but results are read and collected again."""
    output = place.root / "second"

    def run(**fault):
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(place.finished.parent, output)
        return again(**fault)

    def again(**fault):
        words = ("run", place.config, "--output", output, "--no-page", "--jobs", "1")
        return place.server(*words, **fault)

    whole = run()
    assert whole.status == 0
    wrong, numbers = [], chosen(whole.count, 3)
    for number in numbers:
        found = faults_of(run(mode=mode, number=number), mode, number)
        following = again()
        if following.status != 0:
            found.append(f"the next run ends with {following.status}: {following.err[-300:]}")
        else:
            found += differences(output / "tiny", place.finished)
        wrong += [f"operation {number}: {one}" for one in found]
    tried(mode, "second run", numbers, whole.count, wrong)


@pytest.mark.parametrize("mode", FAULTS)
def test_a_report(place, mode):
    runs = place.root / "runs"
    if not runs.exists():
        shutil.copytree(place.finished, runs)

    def report(output, **fault):
        return place.server("report", runs, "--write", output, **fault)

    whole = report(place.root / "whole")
    assert whole.status == 0
    expected = {path.name: path.read_bytes() for path in (place.root / "whole").iterdir()}
    assert expected.keys() == {"report.md", "report.csv", "report.tex", "report.html"}
    wrong, numbers = [], chosen(whole.count, 5)
    for number in numbers:
        output = place.root / "report"
        answer = report(output, mode=mode, number=number)
        found = faults_of(answer, mode, number)
        if answer.status == 0 and answer.out.replace(str(output), "") != whole.out.replace(
            str(place.root / "whole"), ""
        ):
            found.append("another report")
        if report(output).status != 0:
            found.append("the next report fails")
        else:
            written = {path.name: path.read_bytes() for path in output.iterdir()}
            found += [name for name in written if written[name] != expected.get(name)]
        wrong += [f"operation {number}: {one}" for one in found]
        shutil.rmtree(output)
    shutil.rmtree(place.root / "whole")
    tried(mode, "report", numbers, whole.count, wrong)
    assert differences(runs, place.finished) == []


@pytest.mark.parametrize("mode", FAULTS)
def test_a_search(place, mode):
    def search(output, **fault):
        words = ("search", place.config, "--output", output, "--trials", "2")
        return place.server(*words, **fault)

    whole = place.root / "whole"
    answer = search(whole)
    assert (answer.status, answer.messages) == (0, [])
    expected = tuned(whole)
    shutil.rmtree(whole)
    wrong, numbers = [], chosen(answer.count, 3)
    for number in numbers:
        output = place.root / "search"
        found = faults_of(search(output, mode=mode, number=number), mode, number)
        again = search(output)
        if again.status != 0:
            found.append(f"the next search ends with {again.status}: {again.err[-300:]}")
        elif tuned(output) != expected:
            found.append("another tuned config")
        wrong += [f"operation {number}: {one}" for one in found]
        shutil.rmtree(output)
    tried(mode, "search", numbers, answer.count, wrong)


def tuned(output):
    """Return the texts of the configs that a search wrote."""
    files = (output / "tiny-search").rglob("*.yaml")
    return {path.name: path.read_text() for path in files if "trials" not in path.parts}
