"""Samples and hierarchical proxies in the Poincare disk, with their true radii below."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from ..errors import InputError
from .disk_layout import DiskFrame
from .style import (
    COLORS,
    FAINT,
    INK,
    SMALL,
    WIDTH,
    color,
    marker,
    shown,
    spread,
    styled,
    text_width,
)

_LEGEND_GROUPS = 21  # more groups than this are named at the rim
_ARC_POINTS = 24
_NAME_RADIUS = 1.07
_LARGEST_DISK = 5.2  # inches
_LONGEST_RIM_NAME = 24
_BINS = 60


@styled
def disk(
    frames: Sequence[DiskFrame],
    groups: np.ndarray,
    *,
    group_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """HIER's Figures 3 and 4: an embedding in the Poincare disk, one epoch or several.

    Samples are coloured by group; hierarchical proxies are black crosses; geodesic arcs lead from
    pairs of samples to the proxy that is their lowest common ancestor in the embedding (solid),
    and from neighbouring ancestors to theirs (dashed). Under each disk stands the histogram of the
    true radii. A sentence says which coordinate is whose.

    Args:
        frames: from :func:`~.disk_layout.disk_frames`, one an epoch.
        groups: (N,) integers from 0: classes or superclasses of the samples.
        group_names: by number. Default the numbers.
        title: of the figure.

    Returns:
        The figure. Up to 21 groups are named in a legend; of more, as many as fit are named at
        the rim of a single disk, largest first.

    Raises:
        InputError: no frames, or groups that do not fit the samples.
    """
    groups, names = _checked(frames, groups, group_names)
    return _drawn(frames, groups, names, title)


@styled
def write_disk_animation(
    path: str | Path,
    frames: Sequence[DiskFrame],
    groups: np.ndarray,
    *,
    group_names: Sequence[str] | None = None,
    title: str = "",
    steps: int = 8,
    frames_per_second: int = 8,
) -> None:
    """Write the disk over the epochs as an animated GIF.

    Between two epochs points move along straight lines of the disk, which says nothing about the
    training between them; arcs and radii are shown at the epochs only.

    Args:
        path: a file ending in .gif.
        frames, groups, group_names, title: as :func:`disk`, at least two frames.
        steps: pictures from one epoch to the next, >= 1.
        frames_per_second: of the moving pictures, >= 1; each epoch stays for a second.

    Raises:
        InputError: as :func:`disk`; fewer than two frames, or another kind of file.
    """
    path = Path(path)
    if path.suffix != ".gif":
        raise InputError(f"an animation is written as .gif, got {path}")
    groups, names = _checked(frames, groups, group_names)
    if len(frames) < 2:
        raise InputError(f"an animation needs at least two epochs, got {len(frames)}")
    if steps < 1 or frames_per_second < 1:
        raise InputError(
            f"steps and frames_per_second must be at least 1, got {steps} and {frames_per_second}"
        )
    figure = _drawn(frames[:1], groups, names, title, told=frames)
    canvas = FigureCanvasAgg(figure)
    axes, strip = figure.axes[:2]
    moving = [
        (points, "samples", groups == group)
        for points, group in zip(_with_gid(axes, "samples"), np.unique(groups), strict=True)
    ]
    moving += [(points, "proxies", slice(None)) for points in _with_gid(axes, "proxies")]
    arcs = [*_with_gid(axes, "pair arcs"), *_with_gid(axes, "proxy arcs")]
    for artist in (*axes.texts, *axes.lines):
        artist.set_visible(False)  # groups move away from the names at the rim
    pictures, durations = [], []
    for number in range((len(frames) - 1) * steps + 1):
        epoch, step = divmod(number, steps)
        now, after = frames[epoch], frames[min(epoch + 1, len(frames) - 1)]
        share = step / steps
        for points, kind, rows in moving:
            start, end = getattr(now, kind)[rows], getattr(after, kind)[rows]
            points.set_offsets((1 - share) * start + share * end)
        for collection, segments in zip(arcs, _arcs(now), strict=True):
            collection.set_segments(segments if step == 0 else [])
        axes.set_title(f"{now.title} → {after.title}" if step else now.title)
        if step == 0:
            strip.clear()
            _draw_radii(strip, now, _radius_end(frames))
        canvas.draw()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
        # Each epoch stays for a second.
        durations.append(1000 if step == 0 else 1000 // frames_per_second)
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False
    )


def geodesic_arc(start: np.ndarray, end: np.ndarray, points: int = _ARC_POINTS) -> np.ndarray:
    """(points, 2) along the geodesic of the unit disk from ``start`` to ``end``, each (2,)."""
    z, w = complex(*start), complex(*end)
    # Moved to the origin by a Moebius transformation, the geodesic is a straight line.
    moved = (w - z) / (1 - z.conjugate() * w)
    length = np.arctanh(min(abs(moved), 1 - 1e-12))
    line = np.tanh(np.linspace(0, 1, points) * length) * (moved / abs(moved) if moved else 0)
    arc = (line + z) / (1 + z.conjugate() * line)
    return np.stack([arc.real, arc.imag], axis=1)


def _checked(frames, groups, group_names):
    if not frames:
        raise InputError("a disk needs at least one frame")
    groups = np.asarray(groups)
    count = len(frames[0].samples)
    if groups.shape != (count,) or groups.dtype.kind not in "iu" or groups.min() < 0:
        raise InputError(
            f"groups must be {count} integers from 0, one a sample, "
            f"got {groups.dtype} of shape {groups.shape}"
        )
    largest = int(groups.max())
    if group_names is not None and len(group_names) <= largest:
        raise InputError(f"got {len(group_names)} group names for groups up to {largest}")
    return groups, list(range(largest + 1)) if group_names is None else list(group_names)


def _with_gid(axes, gid):
    return [artist for artist in axes.collections if artist.get_gid() == gid]


def _drawn(frames, groups, names, title, told=None):
    """The figure of these frames; its sentences are about ``told``, by default the same."""
    present = np.unique(groups)
    single = len(frames) == 1
    in_legend = len(present) <= _LEGEND_GROUPS
    at_rim = single and not in_legend
    columns = 1 if single else min(len(frames), 4 if len(frames) != 5 else 3)
    rows = -(-len(frames) // columns)
    names = [shown(name, _LONGEST_RIM_NAME if at_rim else 40) for name in names]
    # Sizes in inches, from the top: title, disks with strips, legend, sentence.
    margin = 0.06
    if at_rim:
        margin = max(text_width(names[group]) for group in present) + 0.1
        margin += (_NAME_RADIUS - 1) * _LARGEST_DISK / 2
    side = WIDTH - 2 * margin if single else (WIDTH - 0.15 * (columns + 1)) / columns
    side = min(side, _LARGEST_DISK)
    strip_height, strip_gap = (0.75, 0.12) if single else (0.45, 0.08)
    label_height = 0.45
    cell = side + 2 * (margin if at_rim else 0) + strip_height + strip_gap + label_height
    cell += 0.25 if frames[0].title else 0  # a title above each disk
    chosen = np.arange(len(present))
    if at_rim:  # the largest groups, where not all names fit
        sizes = np.array([(groups == group).sum() for group in present])
        room = int(2 * np.pi * _NAME_RADIUS / _rim_line(side))
        chosen = np.sort(np.argsort(-sizes, kind="stable")[:room])
    sentence = _sentence(told or frames, len(present), len(chosen), in_legend or at_rim)
    lines = textwrap.wrap(sentence, int((WIDTH - 0.3) * 72 / (0.56 * SMALL)))
    note_height = len(lines) * SMALL * 1.35 / 72 + 0.12
    entries = len(present) + bool(len(frames[0].proxies))
    legend_columns = _legend_columns(names[g] for g in present)
    legend_height = (-(-entries // legend_columns) * 0.165 + 0.12) if in_legend else 0.0
    title_height = 0.35 if title else 0.08
    height = title_height + rows * cell + legend_height + note_height
    figure = Figure(figsize=(WIDTH, height))

    def place(left, top, width, size):
        return figure.add_axes(
            (left / WIDTH, 1 - (top + size) / height, width / WIDTH, size / height)
        )

    if title:
        figure.text(0.5, 1 - 0.1 / height, title, ha="center", va="top", fontsize=10.5)
    axes = None
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        left = (WIDTH - side) / 2 if single else 0.15 + column * (side + 0.15)
        top = title_height + row * cell + (margin if at_rim else 0) + (0.25 if frame.title else 0)
        axes = place(left, top, side, side)
        _draw_disk(axes, frame, groups, present, single)
        if frame.title:
            # Above the names at the rim where there are any.
            axes.set_title(frame.title, y=1 + (margin if at_rim else 0) / side, pad=3)
        if at_rim:
            _name_at_rim(axes, frame, groups, present, chosen, names, side)
        top += side + (margin if at_rim else 0) + strip_gap
        inset = 0.55 if single else 0.12
        strip = place(left + inset, top, side - 2 * inset, strip_height)
        _draw_radii(strip, frame, _radius_end(frames), short=not single)
    if in_legend:
        handles = _legend_handles(axes, present, names, bool(len(frames[0].proxies)))
        figure.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, (legend_height + note_height) / height),
            ncols=legend_columns,
            borderaxespad=0,
            handletextpad=0.3,
            columnspacing=1.0,
        )
    figure.text(
        0.15 / WIDTH,
        (note_height - 0.06) / height,
        "\n".join(lines),
        fontsize=SMALL,
        va="top",
        linespacing=1.25,
        gid="sentence",
    )
    return figure


def _draw_disk(axes: Axes, frame: DiskFrame, groups, present, single) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(-1.01, 1.01)
    axes.set_ylim(-1.01, 1.01)
    axes.set_axis_off()
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=INK, linewidth=0.8, clip_on=False))
    size = float(np.clip(9000 / len(groups), 3, 16)) * (1 if single else 0.45)
    for order, group in enumerate(present):
        rows = np.flatnonzero(groups == group)
        axes.scatter(
            frame.samples[rows, 0],
            frame.samples[rows, 1],
            s=size,
            c=color(order),
            marker=marker(order),
            linewidths=0,
            alpha=0.8,
            zorder=2,
            gid="samples",
        )
    for segments, style, gid in zip(
        _arcs(frame), ("solid", (0, (3, 2))), ("pair arcs", "proxy arcs"), strict=True
    ):
        axes.add_collection(
            LineCollection(
                segments,
                colors="#555555" if gid == "pair arcs" else INK,
                linewidths=0.5 if single else 0.35,
                linestyles=[style],
                alpha=0.75,
                zorder=3,
                gid=gid,
            )
        )
    if len(frame.proxies):
        axes.scatter(
            frame.proxies[:, 0],
            frame.proxies[:, 1],
            s=16 if single else 7,
            c="black",
            marker="x",
            linewidths=0.7,
            zorder=4,
            gid="proxies",
        )


def _arcs(frame):
    """The two sets of geodesic arcs: from pairs to ancestors, from ancestors to theirs."""
    solid = [
        geodesic_arc(frame.samples[sample], frame.proxies[ancestor])
        for pair, ancestor in zip(frame.pairs, frame.ancestors, strict=True)
        for sample in pair
    ]
    dashed = [
        geodesic_arc(frame.proxies[proxy], frame.proxies[ancestor])
        for pair, ancestor in zip(frame.proxy_pairs, frame.proxy_ancestors, strict=True)
        for proxy in pair
    ]
    return solid, dashed


def _draw_radii(axes: Axes, frame: DiskFrame, end: float, short: bool = False) -> None:
    """The histogram of the true radii up to ``end``, samples filled and proxies in outline."""
    edges = np.linspace(0, end, _BINS + 1)
    for radii, name in ((frame.radii, "samples"), (frame.proxy_radii, "proxies")):
        if not len(radii):
            continue
        heights = np.histogram(radii, edges)[0] / len(radii)
        filled = name == "samples"
        axes.stairs(
            heights,
            edges,
            fill=filled,
            color=COLORS[4] if filled else "black",
            linewidth=0.9,
            label=name,
            zorder=1 if filled else 2,
        )
    if frame.limit is not None:
        axes.axvline(frame.limit, color=COLORS[1], linewidth=1, linestyle="--", label="clip radius")
    axes.set_xlim(0, end)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("true radius" if short else "true distance to the origin", labelpad=2)
    if not short:
        axes.set_ylabel("share", rotation=90)
        axes.legend(loc="upper left", borderaxespad=0, handlelength=1.2)


def _radius_end(frames):
    """The end of the strips' axis, the same for all epochs."""
    farthest = [*(frame.radii.max() for frame in frames), frames[0].limit or 0.0]
    farthest += [frame.proxy_radii.max() for frame in frames if len(frame.proxy_radii)]
    return 1.04 * float(max(farthest)) or 1.0


def _sentence(frames, count, at_rim, named):
    frame = frames[0]
    drawn = "samples filled"
    drawn += ", proxies in outline" if len(frame.proxies) else ""
    drawn += ", the clip radius dashed" if frame.limit is not None else ""
    sentences = [
        f"Positions in the disk, radii included, are UMAP's (neighbours by {frame.geometry}); "
        f"true radii are in the strip{'s' if len(frames) > 1 else ''} below "
        f"({drawn})."
    ]
    if frame.limit is not None:
        clipped = np.mean([f.radii > f.near * f.limit for f in frames], axis=1)
        shares = " → ".join(f"{share:.0%}" for share in dict.fromkeys(clipped))
        sentences.append(f"Samples at the clip radius: {shares}.")
    if len(frame.ancestors):
        sentences.append(
            f"Lines come from the {frame.dimension}-dimensional embedding, not from the picture: "
            f"they join {len(frame.pairs)} random samples and their nearest neighbours to the "
            f"proxy p with the smallest max(D_ip, D_jp) (solid), and neighbouring ancestors to "
            f"theirs (dashed). Proxies are crosses."
        )
    if not named:
        sentences.append(f"{count} groups: colours and markers repeat.")
    if at_rim < count:
        sentences.append(f"Names at the rim: the {at_rim} largest of {count} groups.")
    return " ".join(sentences)


def _legend_columns(names):
    longest = max(map(len, names)) + 3
    return int(np.clip((WIDTH - 0.4) * 72 / (longest * 7.5 * 0.6 + 10), 1, 7))


def _legend_handles(axes, present, names, with_proxies):
    from matplotlib.lines import Line2D

    def handle(name, **style):
        return Line2D([], [], linestyle="none", label=name, markersize=4.5, **style)

    handles = [
        handle(names[group], color=color(order), marker=marker(order), markeredgewidth=0)
        for order, group in enumerate(present)
    ]
    if with_proxies:
        handles.append(handle("hierarchical proxies", color="black", marker="x"))
    return handles


def _rim_line(side):
    """The height of a line of text in units of a disk that is ``side`` inches wide."""
    return 1.3 * SMALL / 72 / (side / 2.02)


def _name_at_rim(axes, frame, groups, present, chosen, names, side):
    """Write the names of the chosen groups around the disk."""
    centers = np.array([np.median(frame.samples[groups == present[i]], axis=0) for i in chosen])
    angles = np.mod(np.arctan2(centers[:, 1], centers[:, 0]), 2 * np.pi)
    order = np.argsort(angles, kind="stable")
    gaps = np.diff(np.append(angles[order], angles[order[0]] + 2 * np.pi))
    cut = angles[order][(gaps.argmax() + 1) % len(order)]  # the circle is opened at the widest gap
    step = _rim_line(side) / _NAME_RADIUS
    turned = spread(np.mod(angles - cut, 2 * np.pi), step, 0, 2 * np.pi - step) + cut
    for index, center, angle in zip(chosen, centers, turned, strict=True):
        direction = np.array([np.cos(angle), np.sin(angle)])
        axes.plot(
            *np.stack([center, direction * 1.01, direction * (_NAME_RADIUS - 0.01)]).T,
            color=FAINT,
            linewidth=0.4,
            clip_on=False,
            zorder=1,
            gid="leader",
        )
        degrees = np.degrees(angle) % 360
        flipped = 90 < degrees < 270
        axes.text(
            *(direction * _NAME_RADIUS),
            names[present[index]],
            fontsize=SMALL,
            color=color(index),
            rotation=degrees - 180 if flipped else degrees,
            rotation_mode="anchor",
            ha="right" if flipped else "left",
            va="center",
            gid="group name",
        )
