"""A regularizer in another hyperbolic space than its loss is refused, where both can be seen."""

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import (
    ContrastiveLoss,
    MultipleLosses,
    ProxyAnchorLoss,
    SoftTripleLoss,
)

from pml_hyperbolic.distances import (
    PoincareDistance,
    PoincareSimilarity,
    RiemannianCosineSimilarity,
    check_shared_geometry,
)
from pml_hyperbolic.losses import CHESTLoss, HIERLoss, HypLoss
from pml_hyperbolic.regularizers import HIERRegularizer, HypHCRegularizer

SIZE = 5
OTHERS = [{"c": 0.2}, {"clip_radius": 1.5}, {"clip_radius": None}, {"clip": "smooth"}]


def hier(**geometry):
    return HIERRegularizer(SIZE, 4, distance=PoincareDistance(**geometry))


@pytest.mark.parametrize("geometry", OTHERS)
@pytest.mark.parametrize(
    "build",
    [
        HypLoss,
        lambda **given: HIERLoss(SIZE, 4, **given),
        lambda **given: CHESTLoss(3, 2, 3, **given),
    ],
)
def test_our_losses_refuse_it_when_they_are_made(build, geometry):
    build(embedding_regularizer=hier())
    name, value = next(iter(geometry.items()))
    with pytest.raises(ValueError, match=rf"HIERRegularizer.*{name}={value!r}.*Loss.*one distance"):
        build(embedding_regularizer=hier(**geometry))


def test_the_message_is_one_line_that_names_both():
    loss = ContrastiveLoss(distance=PoincareDistance(), embedding_regularizer=hier(c=0.2))
    with pytest.raises(ValueError, match="HIERRegularizer") as raised:
        check_shared_geometry(MultipleLosses([loss]))
    assert str(raised.value) == (
        "HIERRegularizer measures with c=0.2, clip_radius=2.3, clip='hard', inputs='tangent', but "
        "ContrastiveLoss, whose embedding_regularizer it is, with c=0.1, clip_radius=2.3, "
        "clip='hard', inputs='tangent': give both one distance object"
    )


def test_weights_and_scaled_cosines_have_a_geometry_too():
    proxies = HypHCRegularizer(distance=PoincareDistance(c=0.3))
    on_weights = SoftTripleLoss(3, SIZE, distance=PoincareSimilarity(), weight_regularizer=proxies)
    scaled = PoincareDistance(riemannian_gradient=True)
    on_cosine = ProxyAnchorLoss(
        3,
        SIZE,
        distance=RiemannianCosineSimilarity(scaled),
        embedding_regularizer=hier(c=0.3),
    )
    for loss in (on_weights, on_cosine):
        with pytest.raises(ValueError, match=r"c=0\.3.*c=0\.1"):
            check_shared_geometry(loss)


def test_what_shares_a_geometry_or_has_none_passes():
    one = PoincareDistance(c=0.4, clip="smooth")
    flat = HIERRegularizer(SIZE, 4, distance=LpDistance(power=2))
    for loss in (
        HypLoss(distance=one, embedding_regularizer=HIERRegularizer(SIZE, 4, distance=one)),
        HypLoss(distance=one, embedding_regularizer=hier(c=0.4, clip="smooth")),
        HypLoss(distance=one, embedding_regularizer=flat),
        ProxyAnchorLoss(3, SIZE, embedding_regularizer=hier(c=0.7)),
        torch.nn.Linear(2, 2),
    ):
        check_shared_geometry(loss)
