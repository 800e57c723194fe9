"""check_benchmark: everything that can be checked of a benchmark before anything runs."""

from typing import NamedTuple

from ..assembly.pipeline import Pipeline
from ..assembly.protocol_data import ProtocolData
from ..config import BenchmarkConfig
from ..config.curvature_control import with_flat_twins
from .data_notes import data_notes
from .fairness import check_fairness, method_facts


class Checked(NamedTuple):
    """What the check of a benchmark found.

    Attributes:
        notes: sentences to show: what was passed over or is odd in the data, declared differences
            between methods, and doubts.
        data: fingerprint of the data.
    """

    notes: list[str]
    data: str


def check_benchmark(config: BenchmarkConfig, data: ProtocolData | None = None) -> Checked:
    """Build every method of a benchmark as a run would, and try its loss on random embeddings.

    Args:
        config: the benchmark.
        data: of its protocol, where it is shared with later runs. Default: it is read.

    Raises:
        InputError: a method cannot be built or the comparison is unfair; the message names the
            method, the key and how to fix it.
    """
    config = with_flat_twins(config)
    protocol, facts = config.protocol, {}
    data = ProtocolData(protocol) if data is None else data
    first, *others = protocol.folds
    for name, method in config.methods.items():
        pipeline = Pipeline(data, method, name, protocol.seeds[0], first)
        pipeline.try_loss()
        facts[name] = method_facts(pipeline)
    # Between folds, methods differ in their number of classes only.
    name, method = next(iter(config.methods.items()))
    for fold in others:
        Pipeline(data, method, name, protocol.seeds[0], fold)
    notes = [*data_notes(data.dataset), *check_fairness(config, facts)]
    return Checked(notes, data.fingerprint)
