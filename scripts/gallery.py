"""Make the pictures of docs/gallery.md: short trainings on real images, then ``plot``.

    python scripts/gallery.py --data data          # all pictures whose data are there
    python scripts/gallery.py --data data disk     # those whose names hold "disk"

The data folder holds omniglot/ (the official archives), grocery_96px.zip,
cub200_100species_227px.zip (a zip of family/species/*.jpg), hier_cars/ (the embeddings that HIER's
authors published) and weights/tf_efficientnet_lite0.pth. What is absent is left out. Trainings are
far shorter than a benchmark's: the pictures show what figures look like, not which method is best.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from pml_hyperbolic.benchmark.cli import main

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images"
CONFIGS = ROOT / "benchmark_configs"
LARGEST = 150_000  # bytes of a picture
METHODS = "methods=[multi_similarity, hier_multi_similarity]"
SHORT = (METHODS, "protocol.seeds=[0]", "curvature_control=false", "--no-page")


class Training(NamedTuple):
    """A short benchmark: the config it starts from, and what it changes there."""

    config: str
    needs: tuple[str, ...]
    overrides: tuple[str, ...]


class Picture(NamedTuple):
    """A figure: what it is drawn from, and the words of ``pml-hyperbolic plot``.

    ``suffix`` is .jpg for photographs and shades, of which a few colours would make others.
    """

    training: str
    needs: tuple[str, ...]
    words: tuple[str, ...]
    suffix: str = ".png"


TRAININGS = {
    "grocery": Training(
        "grocery.yaml",
        ("grocery_96px.zip",),
        ("protocol.data={{grocery: {{root: {data}/grocery_96px.zip}}}}", "protocol.epochs=3"),
    ),
    "omniglot": Training(
        "omniglot.yaml",
        ("omniglot",),
        (
            "protocol.data={{omniglot: {{root: {data}/omniglot, size: 28}}}}",
            "protocol.epochs=2",
            "protocol.steps_per_epoch=40",
        ),
    ),
    "birds": Training(
        "grocery.yaml",
        ("cub200_100species_227px.zip", "weights/tf_efficientnet_lite0.pth"),
        (
            "protocol.data={{image_folder: {{root: {data}/cub200_100species_227px.zip}}}}",
            "protocol.backbone={{timm: {{model: tf_efficientnet_lite0, pretrained: true, "
            "weights: {data}/weights/tf_efficientnet_lite0.pth}}}}",
            "protocol.image.size=96",
            "protocol.image.resize=112",
            "protocol.schedule.trunk_frozen_epochs=1",
            "protocol.epochs=2",
            "protocol.steps_per_epoch=20",
        ),
    ),
}
PICTURES_BY_NAME = {
    "hier_cars_disk": Picture(
        "",
        ("hier_cars",),
        (
            "disk",
            "{data}/hier_cars/cars_examples_train.pt",
            "--proxies",
            "{data}/hier_cars/cars_examples_lca.pt",
            "--c",
            "0.1",
            "--inputs",
            "ball",
            "--title",
            "Cars-196: embeddings and proxies of HIER's authors",
        ),
    ),
    "birds_retrieval": Picture("birds", (), ("retrieval", "{runs}/gallery_birds"), ".jpg"),
    "birds_affinity": Picture("birds", (), ("affinity", "{runs}/gallery_birds"), ".jpg"),
    "grocery_retrieval": Picture("grocery", (), ("retrieval", "{runs}/gallery_grocery"), ".jpg"),
    "grocery_disk": Picture(
        "grocery", (), ("disk", "{runs}/gallery_grocery/hier_multi_similarity")
    ),
    "grocery_hierarchy": Picture(
        "grocery", (), ("hierarchy", "{runs}/gallery_grocery/hier_multi_similarity"), ".jpg"
    ),
    "omniglot_affinity": Picture("omniglot", (), ("affinity", "{runs}/gallery_omniglot"), ".jpg"),
    "omniglot_curves": Picture("omniglot", (), ("curves", "{runs}/gallery_omniglot")),
}


def make(name: str, picture: Picture, data: Path, runs: Path) -> bool:
    """Train what a picture needs and draw it; return whether its data were there."""
    training = TRAININGS.get(picture.training)
    needs = (*picture.needs, *(training.needs if training else ()))
    absent = [need for need in needs if not (data / need).exists()]
    if absent:
        print(f"{name}: left out, {data / absent[0]} is absent")
        return False
    places = {"data": data, "runs": runs}
    if training is not None:
        overrides = [override.format(**places) for override in training.overrides]
        overrides.append(f"name=gallery_{picture.training}")
        _call("run", str(CONFIGS / training.config), *overrides, *SHORT, "--output", str(runs))
    words = [word.format(**places) for word in picture.words]
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "figure.png"
        _call("plot", *words, "--output", str(drawn))
        image = Image.open(drawn).convert("RGB")
    (PICTURES / f"{name}{picture.suffix}").write_bytes(_small(image, picture.suffix))
    return True


def _call(*words: str) -> None:
    if main(words) != 0:
        sys.exit(f"failed: pml-hyperbolic {' '.join(words)}")


def _small(image: Image.Image, suffix: str) -> bytes:
    """A picture as a file that is small enough, with fewer pixels if need be."""
    for share in (1.0, 0.85, 0.7, 0.6, 0.5):
        size = (round(image.width * share), round(image.height * share))
        stream = io.BytesIO()
        small = image.resize(size, Image.Resampling.LANCZOS)
        if suffix == ".jpg":
            small.save(stream, "JPEG", quality=82, optimize=True)
        else:
            small.quantize(128, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        if stream.tell() < LARGEST:
            break
    return stream.getvalue()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0].replace("``", ""))
    parser.add_argument("names", nargs="*", help="parts of pictures' names (default: all)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the trainings")
    return parser.parse_args()


if __name__ == "__main__":
    options = _arguments()
    PICTURES.mkdir(parents=True, exist_ok=True)
    for picture_name, wanted in PICTURES_BY_NAME.items():
        if not options.names or any(part in picture_name for part in options.names):
            make(picture_name, wanted, options.data, options.runs)
