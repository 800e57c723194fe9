#!/usr/bin/env python
"""Compare the speed and memory of two versions of the package, operation by operation.

    git worktree add ../before v0.1
    python scripts/compare_speed.py ../before             # all measurements of scripts/speed.py
    python scripts/compare_speed.py ../before pairs hier  # some of them

Both versions are imported into one process, get the same inputs and are measured alternately. The
last two columns are this checkout's median time and peak memory relative to the other's.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

HERE = Path(__file__).resolve().parent.parent


def main() -> int:
    """Compare the chosen measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="checkout of the version to compare with")
    parser.add_argument(
        "parts", nargs="*", help="names of measurements (default: all that both versions have)"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--rounds", type=int, default=25, help="rounds of each side (default 25)")
    parser.add_argument("--references", type=int, default=20_000, help="to search (20000)")
    options = parser.parse_args()
    options.compile = False
    if not (options.other / "scripts" / "speed.py").is_file():
        parser.error(f"{options.other} has no scripts/speed.py: give a checkout of this package")
    before, after = import_version(options.other.resolve()), import_version(HERE)
    # What a version does not have it cannot be compared in.
    parts = [part for part in after.PARTS if part in before.PARTS]
    unknown = [part for part in options.parts if part not in parts]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: choose from {', '.join(parts)}")
    torch.set_num_threads(options.threads)

    print("| work | side | before | after | time | memory |\n|---|---|--:|--:|--:|--:|")
    for part in options.parts or parts:
        for title, sides, rounds in both_versions(before, after, part, options):
            rows = after.measure(part, title, next(iter(sides)), sides, rounds, options.device)
            for old, new in zip(rows[::2], rows[1::2], strict=True):
                print(comparison(old, new), flush=True)
    print(f"\n{after.describe(after.machine(options))}")
    return 0


def import_version(checkout: Path) -> ModuleType:
    """Import ``scripts/speed.py`` of a checkout together with that checkout's package."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pml_hyperbolic"]:
        del sys.modules[name]
    sys.path.insert(0, str(checkout))
    spec = importlib.util.spec_from_file_location(
        f"speed_of_{checkout.name}", checkout / "scripts" / "speed.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def both_versions(before: ModuleType, after: ModuleType, part: str, options):
    """Yield each work of a part with its sides in pairs: the version before, this version."""
    works = [[], []]
    for found, module in zip(works, (before, after), strict=True):
        torch.manual_seed(0)
        found.extend(module.PARTS[part](options))
    for (title, _, old_sides, rounds), (_, _, new_sides, _) in zip(*works, strict=True):
        sides = {}
        for name, old in old_sides.items():
            sides[f"{name} (before)"] = old
            sides[name] = new_sides[name]
        yield title, sides, rounds


def comparison(old: dict, new: dict) -> str:
    """Format one operation's figures as a row of the table."""
    memory = new["peak_mebibytes"] / old["peak_mebibytes"] if old["peak_mebibytes"] else 1.0
    return (
        f"| {new['work']} | {new['side']} | {old['milliseconds']:.1f} ms | "
        f"{new['milliseconds']:.1f} ms | {new['milliseconds'] / old['milliseconds']:.2f} | "
        f"{memory:.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
