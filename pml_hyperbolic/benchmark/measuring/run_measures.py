"""The measures of a run: computed once when it ends, or by a report where it did not store them."""

import copy
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache

import torch
from pydantic import ValidationError

from ...analysis import geometry_facts
from ...array_files import read_tensors
from ...checked_files import open_checked
from ...errors import InputError, message_of
from ...files import is_storage_failure
from ..assembly.class_splits import class_splits
from ..assembly.objective import build_objective
from ..assembly.pipeline import Pipeline
from ..assembly.registry import from_registry
from ..config import MethodConfig, ProtocolConfig
from ..config.yaml_files import read_mapping
from ..datasets import DATASETS
from ..results.finished_run import FinishedRun
from ..results.row import Row
from ..results.run_files import CHECKPOINT_FILE, CONFIG_FILE, MEASURES_FILE
from ..results.run_measures import (
    ANCESTORS,
    CLASS_MEANS,
    DECODED_PROXIES,
    GeometryMeasures,
    RunMeasures,
    SpaceMeasures,
    read_measures,
)
from .run_contents import distance_of, test_set
from .run_hierarchy import (
    Levels,
    class_mean_tree,
    decoded_proxy_tree,
    learned_ancestor_tree,
    levels_of_classes,
    neighbor_measures,
    test_levels,
    tree_measures,
)
from .run_scores import EmbeddedTestSet
from .saturation_advice import starts_inside

_LOG = logging.getLogger(__name__)
# Terms of an objective whose proxies span a tree.
_PROXIES = {"HIERLoss", "HIERRegularizer", "CHESTLoss"}


def measures_of(run: FinishedRun) -> RunMeasures:
    """Return the measures that a run stored, or compute them for a run that did not.

    Args:
        run: a finished run. Nothing is written into its folder.

    Raises:
        OSError: files of the run cannot be read.
    """
    try:
        return read_measures(run.folder / MEASURES_FILE)
    except FileNotFoundError:
        pass
    except InputError as error:
        _LOG.warning("%s: measured again for now", error)
    return _measure_again(run)


def measure_trained(pipeline: Pipeline, rows: Sequence[Row], tests: EmbeddedTestSet) -> RunMeasures:
    """Measure a run that has just been scored, with its selected parameters loaded.

    Args:
        pipeline: of the run.
        rows: its results, one for each space.
        tests: embeddings of the test images, all spaces side by side.
    """
    train_levels = _training_levels(pipeline.subsets["scored_train"].labels, pipeline.level_names)
    embeddings = tests.embeddings.detach().float().cpu()
    loss = copy.deepcopy(pipeline.loss).cpu()
    head, features = pipeline.method.head, pipeline.trunk_features
    spaces, start = {}, 0
    for row in rows:
        spaces[row.space] = measure_space(
            tests._replace(embeddings=embeddings[:, start : start + row.dimension]),
            row,
            loss,
            train_levels=train_levels,
            head_starts_inside=starts_inside(head, min(features, row.dimension), distance_of(row)),
        )
        start += row.dimension
    return RunMeasures(spaces=spaces)


def measure_space(
    tests: EmbeddedTestSet,
    row: Row,
    loss: torch.nn.Module,
    *,
    train_levels: Levels | InputError,
    head_starts_inside: bool | None,
) -> SpaceMeasures:
    """Measure geometry and hierarchy of one embedding space of a run.

    Args:
        tests: embeddings of this space, of all test images.
        row: of this space.
        loss: of the run, with its selected parameters.
        train_levels: superclasses of the training classes, or why they are not known.
        head_starts_inside: whether the head starts inside the clip radius, None if unknown.

    Returns:
        What could be measured; the rest is among its problems.
    """
    problems: list[str] = []
    geometry, trees, near = None, {}, {}
    try:
        distance = distance_of(row)
        if row.space == "hyperbolic":
            geometry = _geometry(tests.embeddings, distance, head_starts_inside)
    except ValueError as error:
        return SpaceMeasures(problems=[str(error)])
    try:
        levels = test_levels(tests, row.levels)
        trees[CLASS_MEANS] = tree_measures(class_mean_tree(tests, distance), levels)
        ancestors = learned_ancestor_tree(tests, distance, loss)
        if ancestors is not None:
            trees[ANCESTORS] = tree_measures(ancestors, levels)
        near = neighbor_measures(tests, distance, levels)
    except InputError as error:
        problems.append(str(error))
    try:
        decoded = decoded_proxy_tree(loss) if row.space == "hyperbolic" else None
        if decoded is not None:
            if isinstance(train_levels, InputError):
                raise train_levels
            trees[DECODED_PROXIES] = tree_measures(decoded, train_levels)
    except InputError as error:
        problems.append(str(error))
    return SpaceMeasures(
        geometry=geometry,
        trees={name: found for name, found in trees.items() if found},
        neighbors=near,
        problems=list(dict.fromkeys(problems)),
    )


def _training_levels(labels, level_names):
    """Superclasses of the training classes, or the InputError that says why there are none."""
    try:
        return levels_of_classes(labels, level_names, "training")
    except InputError as error:
        return error


def _geometry(embeddings, distance, head_starts_inside):
    if distance is None:
        raise InputError("the results do not say which distance ranks the hyperbolic space")
    facts = asdict(geometry_facts(embeddings, distance))
    return GeometryMeasures(**facts, starts_inside=head_starts_inside)


def _measure_again(run):
    """Measure a finished run from what its folder and its data set hold."""
    loss, train_levels, head = torch.nn.Module(), InputError(""), None
    problems = []
    try:
        config = read_mapping(run.folder / CONFIG_FILE)
        method = MethodConfig.model_validate(
            {key: value for key, value in config["method"].items() if key != "name"}
        )
        head = method.head
        # Without superclasses there is no hierarchy that proxies could be compared with.
        if len(run.first.levels) > 1 and _PROXIES & _names(method):
            loss, train_levels = _loss_and_levels(run, config, method)
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        reason = message_of(error, 200)
        problems.append(f"{run.folder / CONFIG_FILE} is not read by this version ({reason})")
    except InputError as error:
        problems.append(f"the learned proxies cannot be measured: {error}")
    spaces = {}
    for row in run.rows:
        size = min(row.dimension, _trunk_features(row))
        try:
            inside = None if head is None else starts_inside(head, size, distance_of(row))
            measures = measure_space(
                test_set(run, row.space),
                row,
                loss,
                train_levels=train_levels,
                head_starts_inside=inside,
            )
        # The geometry of a later version may be none that this one knows.
        except ValueError as error:
            measures = SpaceMeasures(problems=[str(error)])
        spaces[row.space] = measures.model_copy(
            update={"problems": [*measures.problems, *problems]}
        )
    return RunMeasures(spaces=spaces)


def _trunk_features(row):
    """Features that the head of a run takes, as its number of parameters says."""
    if row.parameters is None:
        return row.dimension
    # A head is one linear layer with a bias for each space.
    return max(row.parameters.head // row.total_dimension - 1, 1)


def _names(method):
    """Names of the terms of a method's objective."""
    return {*method.loss, *(method.regularizer.use if method.regularizer else {})}


def _loss_and_levels(run, config, method):
    """Return the loss with its selected parameters, and the training classes' superclasses."""
    protocol = ProtocolConfig.model_validate(config["protocol"])
    dataset = _dataset(json.dumps(protocol.data))
    classes = class_splits(protocol.splits, dataset, run.key[0]).train
    sizes = {row.space: row.dimension for row in run.rows}
    # Classes are numbered in the order of the split, as ClassSubset numbers them.
    labels = dataset.labels[dataset.indices_of(classes)].copy()
    position = {label: number for number, label in enumerate(classes)}
    labels[:, 0] = [position[label] for label in labels[:, 0]]
    loss = build_objective(
        method, where=run.method, num_classes=len(classes), sizes=sizes, labels=labels
    ).loss
    file = run.folder / CHECKPOINT_FILE
    try:
        with open_checked(file) as stream:
            state = read_tensors(stream)
        loss.load_state_dict(state["loss_funcs"]["metric_loss"])
    except FileNotFoundError as error:
        raise InputError(f"{file} is missing") from error
    # zipfile, pickle and torch raise what they like for damaged files.
    except Exception as error:
        if is_storage_failure(error):
            raise
        reason = message_of(error, 200)
        raise InputError(f"{file} cannot be read ({reason})") from error
    return loss, _training_levels(labels, list(dataset.level_names))


@lru_cache(maxsize=1)
def _dataset(spec):
    """The data set of the runs of a report, which is read once for all of them."""
    return from_registry(DATASETS, "data set", json.loads(spec), "protocol.data")
