"""Options of the command ``plot``, each a function that adds some to the parser of a kind."""

import argparse
import math
from pathlib import Path

from ...argument_types import count


def title_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("--title", metavar="TEXT", help="title of the figure")


def space_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--space", help="space of the embeddings (default: the hyperbolic one where there is one)"
    )


def every_space_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("--space", help="show this space alone (default: all)")


def seed_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--seed", type=_whole, metavar="N", help="seed of the run to show (default: the lowest)"
    )


def level_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--level",
        metavar="NAME",
        help="level of the labels that colours the figure, such as family",
    )


def split_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--split",
        choices=("train", "test"),
        help="show the images of this split that the run kept snapshots of",
    )


def baseline_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--baseline",
        metavar="NAME",
        help="method, or method/space, to compare with (default: as in a report)",
    )


def random_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--random-seed",
        type=_whole,
        default=0,
        metavar="N",
        help="of everything that is drawn at random (default: 0)",
    )


def geometry_options(kind: argparse.ArgumentParser) -> None:
    group = kind.add_argument_group("for a file of embeddings, where it does not say so itself")
    group.add_argument("--proxies", type=Path, metavar="FILE", help="a second file with proxies")
    group.add_argument(
        "--c", type=float, metavar="C", help="curvature (default: compare by cosine)"
    )
    group.add_argument(
        "--clip-radius", type=_radius, metavar="R", help="clip radius, or none (default: 2.3)"
    )
    group.add_argument(
        "--clip", choices=("hard", "smooth"), help="how norms are clipped (default: hard)"
    )
    group.add_argument("--inputs", choices=("tangent", "ball"), help="what the vectors are")


def disk_options(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--epochs",
        nargs="*",
        type=count,
        metavar="N",
        help="epochs side by side, of those that the run kept (alone: all of them)",
    )
    kind.add_argument(
        "--points",
        type=count,
        default=2500,
        metavar="N",
        help="points to draw at most (default: 2500)",
    )


def neighbor_options(kind: argparse.ArgumentParser) -> None:
    for name, default, text in (
        ("-k", 4, "images of each proxy (default: 4)"),
        ("--rows", 5, "proxies on each side (default: 5)"),
    ):
        kind.add_argument(name, type=count, default=default, metavar="N", help=text)


def retrieval_options(kind: argparse.ArgumentParser) -> None:
    for name, default, text in (
        ("-k", 6, "images to show of each query (default: 6)"),
        ("--rows", 1, "rows of images for each query (default: 1)"),
    ):
        kind.add_argument(name, type=count, default=default, metavar="N", help=text)
    for name in ("wins", "losses", "random"):
        what = {"wins": "largest wins", "losses": "largest losses"}.get(name, "random queries")
        kind.add_argument(
            f"--{name}", type=_whole, default=2, metavar="N", help=f"number of {what} (default: 2)"
        )


def batch_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--batch", type=count, default=512, metavar="N", help="number of images (default: 512)"
    )


def images_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--images", type=_whole, default=3, metavar="N", help="images at a leaf (default: 3)"
    )


def map_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("--metric", default="MAP@R", help="MAP@R or R@1 (default: MAP@R)")


def recall_option(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("--metric", default="R@1", help="such as MAP@R (default: R@1)")


def _whole(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _radius(text):
    try:
        return math.inf if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or none, got {text!r}") from None
