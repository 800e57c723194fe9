"""FoundImages: the nearest images of some queries, as a table or as a page with pictures."""

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..escaping import printable
from ..files import write_text
from ..images.image_archive import TAR_SUFFIXES, ImageArchive
from ..images.image_decoding import decode_image
from .embedder import Embedder
from .image_index import ImageIndex

_THUMBNAIL = 160  # pixels of the longer side

_STYLE = """
:root { color-scheme: light dark; --line: #ccc; --quiet: #666; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --quiet: #aaa; } }
body { font: 1rem/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 75rem; padding: 0 1rem; }
section { border-top: 1px solid var(--line); padding: 1rem 0; break-inside: avoid; }
ol { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; margin: 0; padding: 0; }
figure { margin: 0; width: 10rem; }
figure img, .none { width: 10rem; height: 10rem; object-fit: contain; }
.none { display: grid; place-items: center; border: 1px dashed var(--line); color: var(--quiet); }
figure.query { display: flex; gap: 1rem; align-items: center; width: auto; margin-bottom: 1.5rem; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); }
"""
# A line may break after the zero-width space behind a slash.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'sha256-{{ style_hash }}'">
<title>Nearest images</title>
<style>{{ style }}</style>
</head>
<body>
<h1>Nearest images</h1>
<p class="quiet">{{ count }} indexed images, {{ measure }}, exact; nearest first. Model:
{{ model }}</p>
{% macro picture(image) %}
{% if image.thumbnail %}<img src="{{ image.thumbnail }}" alt="{{ image.name }}">
{% else %}<div class="none">no picture</div>{% endif %}
{% endmacro %}
{% for query, neighbours in results %}
<section>
<figure class="query">{{ picture(query) }}
<figcaption>Query<br><strong>{{ query.name }}</strong></figcaption></figure>
<ol>
{% for image in neighbours %}
<li><figure title="{{ image.name }}">{{ picture(image) }}
<figcaption>{{ loop.index }}. {{ image.distance }}<br>
{% if image.label %}<strong>{{ image.label | replace("/", "/\u200b") }}</strong><br>{% endif %}
<span class="quiet">{{ image.file }}</span></figcaption></figure></li>
{% endfor %}
</ol>
</section>
{% endfor %}
</body>
</html>
"""


@dataclass(frozen=True)
class FoundImages:
    """What a search has found.

    Args:
        index: that was searched.
        space: that was searched.
        names: of the Q queries.
        places: of the queries' files, None for others.
        distances: (Q, k), nearest first.
        indices: (Q, k) of images in the index.
    """

    index: ImageIndex
    space: str
    names: list[str]
    places: list[tuple[str, str] | None]
    distances: np.ndarray
    indices: np.ndarray

    @classmethod
    def find(
        cls,
        index: ImageIndex,
        embedder: Embedder,
        images: Any,
        k: int = 10,
        *,
        space: str | None = None,
        note: Callable[[str], object] | None = None,
        **options: Any,
    ) -> "FoundImages":
        """Embed images and find the nearest ones in an index.

        Args:
            index: to search.
            embedder: the model that made it.
            images: as :meth:`Embedder.embed`.
            k: how many, >= 1; fewer where the index has fewer.
            space: to search. Default: the hyperbolic one where there is one.
            note: as :meth:`Embedder.samples`.
            options: as :meth:`Embedder.embed`.

        Raises:
            InputError: as :meth:`Embedder.embed`, or the index is of another model.
        """
        index.check_model(embedder)
        samples = embedder.samples(images, note=note)
        queries = embedder.embed_samples(samples, **options)
        distances, indices = index.search(queries, min(k, len(index)), space=space)
        return cls(
            index,
            index.layout.named(space or index.layout.primary),
            [sample.name for sample in samples],
            [sample.place for sample in samples],
            distances.numpy(),
            indices.numpy(),
        )

    def table(self) -> str:
        """Show the results as text: each query, and its neighbours with distance and class."""
        lines = []
        labelled = any(label is not None for label in self.index.labels)
        for name, distances, indices in zip(self.names, self.distances, self.indices, strict=True):
            lines.append(printable(name))
            for rank, (distance, i) in enumerate(zip(distances, indices, strict=True), start=1):
                label = f"  {self.index.labels[i] or '-'}" if labelled else ""
                lines.append(
                    printable(f"  {rank:>3}  {distance:.4f}{label}  {self.index.names[i]}")
                )
        return "\n".join(lines)

    def write_page(self, path: str | Path) -> None:
        """Write the results as one HTML file that needs nothing else: pictures are inside.

        Raises:
            InputError: it cannot be written.
        """
        import jinja2

        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown
        )
        pictures = _Pictures()
        results = [
            (
                {"name": name, "thumbnail": pictures.thumbnail(place)},
                [
                    {
                        "name": self.index.names[i],
                        "file": Path(self.index.names[i]).name,
                        "label": self.index.labels[i],
                        "distance": f"{distance:.4f}",
                        "thumbnail": pictures.thumbnail(self.index.places[i]),
                    }
                    for distance, i in zip(distances, indices, strict=True)
                ],
            )
            for name, place, distances, indices in zip(
                self.names, self.places, self.distances, self.indices, strict=True
            )
        ]
        measure = "geodesic distance" if self.space == "hyperbolic" else "cosine distance"
        page = environment.from_string(_PAGE).render(
            style_hash=base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode(),
            # Our own text, not the user's: escaping would change its hash.
            style=_markup(_STYLE),
            count=len(self.index),
            measure=measure,
            model=self.index.model or "not recorded",
            results=results,
        )
        path = Path(path).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, page)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from error


class _Pictures:
    """Thumbnails as data URIs, each made once; None where there is no picture any more."""

    def __init__(self):
        self.archives, self.made = {}, {}

    def thumbnail(self, place):
        if place is not None and place not in self.made:
            try:
                self.made[place] = self._make(*place)
            except InputError:
                self.made[place] = None
        return None if place is None else self.made[place]

    def _make(self, root, name):
        from PIL import Image

        # An index names folders and zips. To read a tar, which another may name, would unpack it.
        if root.lower().endswith(TAR_SUFFIXES) and not Path(root).is_dir():
            raise InputError(f"{root} is neither a folder nor a zip: make the index again")
        if root not in self.archives:
            self.archives[root] = ImageArchive(root)
        pixels = decode_image(self.archives[root].read(name), name)
        image = Image.fromarray(pixels.transpose(1, 2, 0))
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _shown(value):
    """Write control characters as escapes; what is markup already is our own."""
    return printable(value) if type(value) is str else value


def _markup(text):
    from markupsafe import Markup

    return Markup(text)
