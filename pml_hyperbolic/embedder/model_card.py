"""The README.md of a saved model: what it is, how it was trained and scored, what it cannot do."""

import json
from typing import TYPE_CHECKING

from ..escaping import markdown, markdown_code, markdown_paragraph
from .benchmark_scores import PRIMARY

if TYPE_CHECKING:
    from .model_description import ModelDescription

# Names of metrics in the results -> in tables.
_TITLES = {"precision_at_1": "R@1", "r_precision": "R-Precision", PRIMARY: "MAP@R"}
_FRONT_MATTER = """---
library_name: pml_hyperbolic
pipeline_tag: image-feature-extraction
tags:
- metric-learning
- hyperbolic
- image-retrieval
---
"""
_USE = """```python
from pml_hyperbolic.embedder import Embedder

embedder = Embedder.from_pretrained("FOLDER_OR_HUB_NAME")
embeddings = embedder.embed({images}, space="{space}")  # (N, {dimension})
distances, indices = embedder.knn("{space}")(embeddings, 2, embeddings, ref_includes_query=True)
```
"""


def model_card(description: "ModelDescription") -> str:
    """Write the card in Markdown, with the front matter that the Hugging Face hub reads."""
    run = description.run
    sections = [
        f"# {markdown(str(run['method']['name']))} on {markdown(str(run['benchmark']))}\n",
        _summary(description),
        "## Use\n",
        _USE.format(
            images='"features.npz"' if description.takes_features else '"folder/of/images"',
            space=description.layout.primary,
            dimension=description.layout.sizes[description.layout.primary],
        ),
        "## Data\n",
        _data(run),
        "## Protocol\n",
        _protocol(description),
        "## Scores\n",
        _table(description),
        "## Verdict\n",
        f"{_verdict(description)}\n{_saturation(description)}",
        "## Limits\n",
        _limits(description),
    ]
    return _FRONT_MATTER + "\n" + "\n".join(sections)


def _summary(description):
    spaces = " and ".join(f"{size} {name}" for name, size in description.layout.sizes.items())
    geometry = ""
    if description.layout.geometry is not None:
        geometry = f"\nHyperbolic columns are measured by {_spec(description.layout.geometry)}.\n"
    origin = markdown_paragraph(f"{description.origin[0].upper()}{description.origin[1:]}")
    return f"{origin}; {spaces} dimensions.\n{geometry}"


def _data(run):
    levels = ", ".join(map(markdown, run.get("label_levels") or [])) or "not recorded"
    return (
        f"- data set: {_spec(run['protocol']['data'])} (fingerprint "
        f"{markdown_code(str(run.get('data_fingerprint')))})\n"
        f"- levels of its labels: {levels}\n"
        f"- split of the classes: {_spec(run['protocol'].get('splits'))}, fold {run['fold']}\n"
    )


def _protocol(description):
    run = description.run
    protocol = run["protocol"]
    lines = [
        f"- protocol {markdown_code(str(run['protocol_hash']))}, seed {run['seed']}, epoch "
        f"{run['epoch']} of {protocol.get('epochs')} selected on the validation classes",
        f"- backbone: {_spec(description.backbone)}",
        f"- images: {_images(description)}",
    ]
    for name in ("sampler", "augmentation", "optimizer", "schedule", "precision"):
        lines.append(f"- {name}: {_spec(protocol.get(name))}")
    shown = ("loss", "regularizer", "miner", "loss_lr")
    lines += [f"- {name}: {_spec(run['method'].get(name))}" for name in shown]
    return "\n".join(lines) + "\n\nAll of it, with versions, is in `config.json`.\n"


def _images(description):
    if description.takes_features:
        return f"none; features of {description.preprocessing.channels} dimensions go in"
    part = description.preprocessing
    size = "used at their own size"
    if part.size is not None:
        size = (
            f"short side to {part.short_side} ({part.interpolation}, antialiased), centre crop of "
            f"{part.size}"
        )
    elif part.stored_size is not None:
        size = f"resized to {part.stored_size} x {part.stored_size}"
    return f"{part.channels} channels, {size}, less {part.mean}, divided by {part.std}"


def _table(description):
    lines = description.scores.get("benchmark") or []
    metrics = [name for name in _TITLES if lines and all(name in line["test"] for line in lines)]
    if not metrics:
        return "No scores were recorded.\n"
    own = description.run["method"]["name"]
    table = [
        "| method | space | dim | seeds | " + " | ".join(_TITLES[m] for m in metrics) + " |",
        "|---|---|--:|--:|" + "--:|" * len(metrics),
    ]
    for line in lines:
        name = markdown(str(line["method"]))
        name = f"**{name}**" if line["method"] == own else name
        cells = [name, markdown(str(line["space"])), line["dimension"], line["seeds"]]
        cells += [_cell(line["test"][metric]) for metric in metrics]
        table.append("| " + " | ".join(map(str, cells)) + " |")
    run = {
        space: ", ".join(
            f"{_TITLES[m]} {100 * splits['test'][m]:.1f}" for m in metrics if m in splits["test"]
        )
        for space, splits in description.scores["run"].items()
    }
    these = "; ".join(f"{scores} ({space})" for space, scores in run.items())
    return (
        "\n".join(table)
        + "\n\nIn percent, on test classes that no training or selection has seen; mean ± 95% "
        "t-interval over seeds. The saved model is one of these runs (fold "
        f"{description.run['fold']}, seed {description.run['seed']}): {these}.\n"
    )


def _cell(score):
    if score["interval_95"] is None:
        return f"{100 * score['mean']:.1f}"
    low, high = score["interval_95"]
    return f"{100 * score['mean']:.1f} ± {50 * (high - low):.1f}"


def _verdict(description):
    return markdown_paragraph(description.scores.get("verdict", "Nothing has been compared."))


def _saturation(description):
    saturation = (description.run.get("saturation") or {}).get("validation_saturation")
    if saturation is None:
        return ""
    smooth = description.layout.distance("hyperbolic").clip == "smooth"
    where = "within 1 % of the clip radius" if smooth else "at the clip radius"
    if saturation < 1:
        return f"\n{100 * saturation:.0f}% of the validation embeddings lie {where}.\n"
    ranking = "close to the cosine ranking" if smooth else "the cosine ranking"
    return (
        f"\nAll validation embeddings lie {where}: the hyperbolic ranking of such embeddings is "
        f"{ranking}.\n"
    )


def _limits(description):
    limits = [
        "The scores are of other classes of the same data set; they say nothing about images of "
        "another kind.",
        "An interval over seeds covers the randomness of training, not the choice of the data.",
    ]
    if description.preprocessing.size is None and not description.takes_features:
        limits.append(
            "Images are not resized to one size: give images of the size that the model was "
            "trained on."
        )
    if "timm" in description.backbone:
        limits.append("The licence of the backbone's published weights applies to this model too.")
    return "\n".join(f"- {limit}" for limit in limits) + "\n"


def _spec(content):
    """Plain data in one line of code."""
    return markdown_code(json.dumps(content))
