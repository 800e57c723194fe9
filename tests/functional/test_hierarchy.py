"""HIER, lowest common ancestors and HypHC against recorded values and slow references."""

import math

import mpmath
import pytest
import torch

from pml_hyperbolic.functional import (
    hierarchical_triplet_loss,
    hyphc_loss,
    lca_depth,
    poincare_cdist,
    poincare_distance,
    reciprocal_neighbor_triplets,
    to_poincare_ball,
)
from pml_hyperbolic.functional.hierarchy import (
    hierarchical_triplet_losses,
    hyphc_loss_of_corners,
    hyphc_loss_of_tangents,
)
from tests.dispatch import Dispatched
from tests.references import hier, hyphc
from tests.references import lca_depth as numeric

SETTINGS = {"margin": 0.1, "temperature": 0.1}


def gumbel(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return -torch.log(-torch.log(torch.rand(*shape, generator=generator, dtype=torch.float64)))


def gap(measured, expected):
    """Norm of the difference relative to the norm of what is expected."""
    return float((measured - expected).norm() / expected.norm())


def case_losses(case, embeddings, proxies):
    """Data and proxy loss of a recorded case by the package."""
    c, r = case["c"], case["clip_radius"]
    x = to_poincare_ball(embeddings, c=c, clip_radius=r, riemannian_gradient=True)
    p = to_poincare_ball(proxies, c=c, clip_radius=r, riemannian_gradient=True)
    return [
        hierarchical_triplet_loss(
            poincare_cdist(points, p, c=c),
            case[f"triplets_{part}"],
            margin=case["margin"],
            temperature=case["temperature"],
            gumbel_noise=tuple(
                case[f"noise_{part}_{which}"].to(points.dtype) for which in ("ij", "ijk")
            ),
        )
        for part, points in (("data", x), ("proxy", p))
    ]


def leaves(case, dtype=torch.float64):
    return [case[name].to(dtype, copy=True).requires_grad_() for name in ("embeddings", "proxies")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hier_gives_the_recorded_losses_and_gradients(golden, dtype):
    embeddings, proxies = leaves(golden, dtype)
    data, proxy = case_losses(golden, embeddings, proxies)
    (data + proxy).backward()
    assert data.item() == pytest.approx(golden["loss_data"], rel=1e-3)
    assert proxy.item() == pytest.approx(golden["loss_proxy"], rel=1e-3)
    for leaf, name in ((embeddings, "grad_embeddings"), (proxies, "grad_proxies")):
        recorded = golden[name]
        assert gap(leaf.grad.double(), recorded) <= 1e-3
        per_row = (leaf.grad.double() - recorded).norm(dim=1)
        assert float(per_row.max()) <= 1e-3 * float(recorded.norm(dim=1).max())


def test_hier_agrees_with_the_loop_reference_on_the_recorded_cases(golden):
    ours, theirs = leaves(golden), leaves(golden)
    losses = case_losses(golden, *ours)
    expected = hier.hier_losses(golden, *theirs)
    for measured, exact in zip(losses, expected, strict=True):
        assert measured.item() == pytest.approx(exact.item(), rel=1e-9)
    sum(losses).backward()
    sum(expected).backward()
    for mine, reference in zip(ours, theirs, strict=True):
        assert gap(mine.grad, reference.grad) <= 1e-9


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("proxies", [1, 2, 7])
def test_triplet_loss_agrees_with_the_loop_reference(seed, proxies):
    generator = torch.Generator().manual_seed(seed)
    d = 4 * torch.rand(9, proxies, generator=generator, dtype=torch.float64)
    triplets = torch.randint(9, (3, 120), generator=generator)  # rows may repeat in a triplet
    noise = gumbel(120, proxies, seed=seed), gumbel(120, proxies, seed=seed + 100)
    ours, theirs = d.clone().requires_grad_(), d.clone().requires_grad_()
    loss = hierarchical_triplet_loss(
        ours, triplets, margin=0.3, temperature=0.5, gumbel_noise=noise
    )
    expected = hier.triplet_loss(theirs, triplets, *noise, margin=0.3, temperature=0.5)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)
    if proxies == 1:  # a = b always
        assert loss.item() == 0
        assert (ours.grad == 0).all()
    else:
        assert float(theirs.grad.norm()) > 1e-3


def test_many_triplets_give_the_mean_of_their_parts():
    # More (triplet, proxy) entries than are worked on at once.
    d = 3 * torch.rand(50, 200, dtype=torch.float64)
    triplets = torch.randint(50, (3, 4000))
    noise = gumbel(2, 4000, 200)

    def run(rows):
        leaf = d.clone().requires_grad_()
        loss = hierarchical_triplet_loss(
            leaf, triplets[:, rows], gumbel_noise=(noise[0, rows], noise[1, rows]), **SETTINGS
        )
        loss.backward()
        return loss.detach(), leaf.grad

    whole = run(slice(None))
    parts = [run(slice(start, start + 500)) for start in range(0, 4000, 500)]
    for index in range(2):
        expected = torch.stack([part[index] for part in parts]).mean(0)
        torch.testing.assert_close(whole[index], expected, rtol=1e-9, atol=1e-12)


def ancestor_probabilities(d, triplet, temperature):
    i, j, k = triplet
    pair = torch.maximum(d[i], d[j])
    everything = torch.maximum(pair, d[k])
    return torch.softmax(-pair / temperature, 0), torch.softmax(-everything / temperature, 0)


def loss_of_ancestors(d, triplet, a, b, margin):
    i, j, k = triplet
    if a == b:
        return 0.0
    hinges = d[i, a] - d[i, b], d[j, a] - d[j, b], d[k, b] - d[k, a]
    return sum(max(float(h) + margin, 0.0) for h in hinges)


SMALL_DISTANCES = torch.tensor(
    [[0.31, 0.55, 0.72, 0.44], [0.48, 0.37, 0.61, 0.59], [0.9, 0.66, 0.35, 0.52]],
    dtype=torch.float64,
)


def test_sampled_ancestors_have_the_gumbel_distribution():
    # With a margin this large every hinge is active, so one triplet's loss tells its (a, b).
    margin, temperature, draws = 10.0, 0.2, 300_000
    d, triplet = SMALL_DISTANCES, (0, 1, 2)
    p, q = ancestor_probabilities(d, triplet, temperature)
    expected = {}
    for a in range(4):
        for b in range(4):
            value = round(loss_of_ancestors(d, triplet, a, b, margin), 9)
            expected[value] = expected.get(value, 0.0) + float(p[a] * q[b])
    assert len(expected) == 13  # twelve ordered pairs and a = b: all told apart
    losses = hierarchical_triplet_losses(
        d,
        torch.tensor([[0], [1], [2]]).expand(3, draws),
        margin=margin,
        temperature=temperature,
        generator=torch.Generator().manual_seed(0),
    )
    values, counts = losses.mul(1e9).round().unique(return_counts=True)
    counts = {round(v / 1e9, 9): n for v, n in zip(values.tolist(), counts.tolist(), strict=True)}
    assert counts.keys() == expected.keys()
    chi_square = sum((counts[v] - draws * p) ** 2 / (draws * p) for v, p in expected.items())
    assert chi_square < 32.9  # 0.999 quantile of chi-square with 12 degrees of freedom


@pytest.mark.parametrize(("margin", "temperature"), [(0.1, 0.1), (0.5, 1.0)])
def test_sampled_gradients_have_the_distribution_of_injected_gumbel_noise(margin, temperature):
    stats = pytest.importorskip("scipy.stats")
    draws, proxies = 100_000, SMALL_DISTANCES.shape[1]
    # Each triplet has rows of its own, so that its gradient can be told from the others'.
    rows = torch.arange(3 * draws).view(draws, 3).T

    def gradients(**options):
        d = SMALL_DISTANCES.repeat(draws, 1).requires_grad_()
        settings = {"margin": margin, "temperature": temperature, **options}
        hierarchical_triplet_losses(d, rows, **settings).sum().backward()
        return d.grad.view(draws, 3, proxies)

    sampled = gradients(generator=torch.Generator().manual_seed(0))
    injected = gradients(gumbel_noise=tuple(gumbel(2, draws, proxies)))
    for row in range(3):
        for proxy in range(proxies):
            ours, theirs = (g[:, row, proxy].numpy() for g in (sampled, injected))
            assert stats.ks_2samp(ours, theirs).pvalue > 1e-4
            spread = math.sqrt((ours.var() + theirs.var()) / draws)
            assert abs(ours.mean() - theirs.mean()) <= 4.5 * spread


@pytest.mark.parametrize(("margin", "temperature"), [(0.1, 0.1), (0.5, 1.0)])
def test_sampled_loss_has_the_exact_mean(margin, temperature):
    d, triplet, draws = SMALL_DISTANCES, (0, 1, 2), 200_000
    p, q = ancestor_probabilities(d, triplet, temperature)
    values = torch.tensor(
        [[loss_of_ancestors(d, triplet, a, b, margin) for b in range(4)] for a in range(4)],
        dtype=torch.float64,
    )
    probability = p.unsqueeze(1) * q
    mean = float((probability * values).sum())
    spread = math.sqrt(float((probability * (values - mean) ** 2).sum()) / draws)
    loss = hierarchical_triplet_loss(
        d,
        torch.tensor(triplet).unsqueeze(1).expand(3, draws),
        margin=margin,
        temperature=temperature,
        generator=torch.Generator().manual_seed(0),
    )
    assert abs(loss.item() - mean) <= 4 * spread


@pytest.mark.parametrize(("margin", "temperature"), [(0.1, 0.1), (0.5, 1.0)])
def test_sampled_gradient_has_the_mean_of_injected_gumbel_noise(margin, temperature):
    # Injected noise equals the loop reference exactly (above), so it may stand for it here.
    triplets = torch.tensor([[0], [1], [2]]).expand(3, 2000)
    settings = {"margin": margin, "temperature": temperature}

    def gradients(**options):
        rows = []
        for seed in range(60):
            d = SMALL_DISTANCES.clone().requires_grad_()
            chosen = {name: make(seed) for name, make in options.items()}
            hierarchical_triplet_loss(d, triplets, **settings, **chosen).backward()
            rows.append(d.grad.flatten())
        return torch.stack(rows)

    sampled = gradients(generator=lambda seed: torch.Generator().manual_seed(seed))
    injected = gradients(gumbel_noise=lambda seed: tuple(gumbel(2, 2000, 4, seed=seed)))
    standard_error = (sampled.var(0) / 60 + injected.var(0) / 60).sqrt()
    z = (sampled.mean(0) - injected.mean(0)) / standard_error
    assert float(standard_error.max()) < 0.02 * float(injected.mean(0).abs().max())
    assert float(z.abs().max()) <= 4
    # The spread agrees as well: a gradient taken at other ancestors than the loss would differ.
    ratio = sampled.var(0) / injected.var(0)
    assert 0.25 < float(ratio.min()) <= float(ratio.max()) < 4


def test_sampling_is_deterministic_for_a_generator_and_moves_it_on():
    d = torch.rand(6, 5, dtype=torch.float64)
    triplets = torch.randint(6, (3, 50))

    def run(generator):
        leaf = d.clone().requires_grad_()
        loss = hierarchical_triplet_loss(leaf, triplets, generator=generator, **SETTINGS)
        loss.backward()
        return loss.item(), leaf.grad

    generator = torch.Generator().manual_seed(3)
    first, second = run(generator), run(generator)
    again = run(torch.Generator().manual_seed(3))
    assert first[0] == again[0]
    assert torch.equal(first[1], again[1])
    assert first[0] != second[0]


def test_sampling_without_a_generator_follows_the_global_seed():
    d, triplets = torch.rand(6, 5), torch.randint(6, (3, 50))

    def run(seed):
        torch.manual_seed(seed)
        return float(hierarchical_triplet_loss(d, triplets, **SETTINGS))

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_no_triplets_give_a_zero_that_backpropagates():
    d = torch.rand(3, 4, requires_grad=True)
    loss = hierarchical_triplet_loss(d, torch.empty(3, 0, dtype=torch.long), **SETTINGS)
    loss.backward()
    assert loss.item() == 0
    assert (d.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("autocast", [False, True])
def test_triplet_loss_is_finite_in_low_precision(dtype, autocast):
    d = (9.2 * torch.rand(8, 6)).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = hierarchical_triplet_loss(d, torch.randint(8, (3, 200)), **SETTINGS)
    loss.backward()
    assert loss.dtype == torch.float32
    assert d.grad.dtype == dtype
    assert torch.isfinite(d.grad).all()
    assert float(d.grad.abs().sum()) > 0


def test_far_proxies_and_a_small_temperature_stay_finite():
    d = (1e4 * torch.rand(8, 6)).requires_grad_()
    loss = hierarchical_triplet_loss(d, torch.randint(8, (3, 200)), margin=0.1, temperature=1e-3)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(d.grad).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"distances": torch.rand(4)}, r"\(4,\)"),
        ({"distances": torch.rand(4, 0)}, r"\(4, 0\)"),
        ({"triplets": torch.zeros(2, 5, dtype=torch.long)}, r"\(2, 5\)"),
        ({"triplets": torch.full((3, 5), 4)}, "4"),
        ({"triplets": torch.full((3, 5), -1)}, "-1"),
        ({"temperature": 0}, "temperature .*0"),
        ({"temperature": math.nan}, "temperature .*nan"),
        ({"gumbel_noise": (torch.zeros(5, 3), torch.zeros(5, 2))}, r"\(5, 2\)"),
    ],
)
def test_bad_input_to_the_triplet_loss_is_refused_with_what_was_given(change, named):
    arguments = {
        "distances": torch.rand(4, 3),
        "triplets": torch.zeros(3, 5, dtype=torch.long),
        **SETTINGS,
        **change,
    }
    distances, triplets = arguments.pop("distances"), arguments.pop("triplets")
    with pytest.raises(ValueError, match=named):
        hierarchical_triplet_loss(distances, triplets, **arguments)


def random_similarity(n, seed, labels=None):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    similarity = torch.exp(-torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist"))
    return similarity if labels is None else similarity + (labels.unsqueeze(1) == labels)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "k"), [(12, 3), (12, 5), (30, 8), (30, 20), (9, 9), (9, 50)])
@pytest.mark.parametrize("with_labels", [False, True])
def test_triplets_are_valid_and_anchors_skipped_as_brute_force_says(seed, n, k, with_labels):
    similarity = random_similarity(n, seed, torch.arange(n) // 3 if with_labels else None)
    allowed = hier.allowed_triplets(similarity, k)
    triplets = reciprocal_neighbor_triplets(
        similarity, k=k, triplets_per_anchor=7, generator=torch.Generator().manual_seed(seed)
    )
    assert triplets.dtype == torch.long
    assert triplets.shape == (3, 7 * len(allowed))
    for anchor, positive, negative in triplets.T.tolist():
        positives, negatives = allowed[anchor]
        assert positive in positives
        assert negative in negatives
    counts = torch.bincount(triplets[0], minlength=n)
    assert counts.tolist() == [7 if anchor in allowed else 0 for anchor in range(n)]


def test_reference_agrees_with_the_recorded_triplets(golden):
    # The authors' sampler may make the anchor its own negative; all else must be allowed.
    c, r = golden["c"], golden["clip_radius"]
    x = hier.to_ball(golden["embeddings"], c, r)
    relevance = hier.relevance(hier.distance_matrix(x, x, c), golden["labels"].tolist())
    allowed = hier.allowed_triplets(relevance, int(golden["topk"]))
    recorded = golden["triplets_data"].T.tolist()
    assert {anchor for anchor, _, _ in recorded} == set(allowed)
    for anchor, positive, negative in recorded:
        positives, negatives = allowed[anchor]
        assert positive in positives
        assert negative in negatives | {anchor}


def test_draws_are_uniform_over_the_allowed_points():
    similarity = random_similarity(14, 2)
    allowed = hier.allowed_triplets(similarity, 7)
    draws = 5000
    triplets = reciprocal_neighbor_triplets(
        similarity, k=7, triplets_per_anchor=draws, generator=torch.Generator().manual_seed(1)
    )
    chi_square, freedom = 0.0, 0
    for anchor, sets in allowed.items():
        rows = triplets[:, triplets[0] == anchor]
        for column, choices in zip(rows[1:], sets, strict=True):
            expected = draws / len(choices)
            counts = torch.bincount(column, minlength=14).double()
            chi_square += sum((float(counts[c]) - expected) ** 2 / expected for c in choices)
            freedom += len(choices) - 1
        # Positive and negative are drawn independently of each other.
        first_positive, first_negative = (min(choices) for choices in sets)
        both = ((rows[1] == first_positive) & (rows[2] == first_negative)).double().mean()
        share = 1 / (len(sets[0]) * len(sets[1]))
        assert abs(float(both) - share) < 5 * math.sqrt(share / draws)
    assert freedom > 50
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)


def test_triplets_are_deterministic_for_a_generator_seed():
    similarity = random_similarity(20, 0)

    def draw(seed):
        return reciprocal_neighbor_triplets(
            similarity,
            k=6,
            triplets_per_anchor=5,
            generator=torch.Generator().manual_seed(seed),
        )

    assert torch.equal(draw(4), draw(4))
    assert not torch.equal(draw(4), draw(5))


@pytest.mark.parametrize(
    ("n", "k", "why"),
    [
        (0, 3, "no points"),
        (1, 3, "one point"),
        (2, 3, "at most one neighbour"),
        (10, 1, "the point itself is its only neighbour"),
        (10, 2, "at most one neighbour"),
        (10, 10, "everything is a neighbour: no negative"),
        (10, 99, "k is capped at N: no negative"),
    ],
)
def test_no_usable_anchor_gives_no_triplets(n, k, why):
    triplets = reciprocal_neighbor_triplets(random_similarity(n, 0), k=k, triplets_per_anchor=5)
    assert triplets.shape == (3, 0), why
    assert triplets.dtype == torch.long


def test_triplets_carry_no_gradient_and_leave_the_similarity_alone():
    similarity = random_similarity(12, 0).requires_grad_()
    before = similarity.detach().clone()
    triplets = reciprocal_neighbor_triplets(similarity, k=5, triplets_per_anchor=5)
    assert not triplets.requires_grad
    assert torch.equal(similarity, before)


@pytest.mark.parametrize(
    ("similarity", "options", "named"),
    [
        (torch.rand(4, 5), {}, r"\(4, 5\)"),
        (torch.rand(4), {}, r"\(4,\)"),
        (torch.rand(4, 4), {"k": 0}, "0"),
        (torch.rand(4, 4), {"triplets_per_anchor": 0}, "0"),
    ],
)
def test_bad_input_to_the_sampler_is_refused(similarity, options, named):
    with pytest.raises(ValueError, match=named):
        reciprocal_neighbor_triplets(similarity, **{"k": 3, "triplets_per_anchor": 5, **options})


def random_ball_pair(seed, dim, c, radius=0.95):
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(2, dim, generator=generator, dtype=torch.float64)
    lengths = radius * torch.rand(2, 1, generator=generator, dtype=torch.float64) / math.sqrt(c)
    return v / v.norm(dim=1, keepdim=True) * lengths


AWKWARD_PAIRS = {
    "same direction, the foot outside": ([0.3, 0.0], [0.7, 0.0]),
    "nearly the same direction": ([0.3, 1e-7], [0.7, -1e-7]),
    "foot just outside": ([0.3, 0.3], [0.7, 0.71]),
    "opposite sides": ([0.3, 0.0], [-0.6, 0.0]),
    "nearly opposite": ([0.3, 1e-6], [-0.6, 1e-6]),
    "right angle": ([0.5, 0.0], [0.0, 0.5]),
    "close together near the boundary": ([0.9899, 0.0], [0.9899, 1e-3]),
    "the same point": ([0.4, 0.2], [0.4, 0.2]),
    "the origin": ([0.0, 0.0], [0.4, 0.2]),
    "one far, one near": ([0.98, 0.0], [0.0, 0.001]),
}


@pytest.mark.parametrize("pair", AWKWARD_PAIRS.values(), ids=AWKWARD_PAIRS)
@pytest.mark.parametrize("c", [0.1, 1.0])
def test_ancestor_depth_of_awkward_pairs_is_the_least_depth_on_their_geodesic(pair, c):
    x, y = (torch.tensor(p, dtype=torch.float64) / math.sqrt(c) for p in pair)
    exact = float(numeric.lca_depth(x, y, c))
    assert float(lca_depth(x, y, c=c)) == pytest.approx(exact, rel=1e-9, abs=1e-15)
    assert float(lca_depth(y, x, c=c)) == pytest.approx(exact, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("c", [1e-4, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("dim", [2, 5])
def test_ancestor_depth_is_the_least_depth_on_the_geodesic(c, dim):
    for seed in range(6):
        x, y = random_ball_pair(seed, dim, c)
        exact = float(numeric.lca_depth(x, y, c))
        assert float(lca_depth(x, y, c=c)) == pytest.approx(exact, rel=1e-9)
        assert float(hyphc.lca_depth(x, y, c)) == pytest.approx(exact, rel=1e-8)


def test_ancestor_depth_gradient_is_that_of_the_numeric_depth():
    c, step = 0.5, mpmath.mpf(10) ** -7
    for seed in range(3):
        points = random_ball_pair(seed, 2, c, radius=0.8).requires_grad_()
        lca_depth(points[0], points[1], c=c).backward()
        for which in range(2):
            for axis in range(2):
                moved = []
                for sign in (1, -1):
                    pair = [[mpmath.mpf(v) for v in row] for row in points.tolist()]
                    pair[which][axis] += sign * step
                    moved.append(numeric.lca_depth(*pair, c))
                slope = float((moved[0] - moved[1]) / (2 * step))
                assert float(points.grad[which, axis]) == pytest.approx(slope, rel=1e-8, abs=1e-9)


def test_ancestor_depth_broadcasts_and_is_at_most_either_points_depth():
    x = to_poincare_ball(torch.randn(7, 1, 4, dtype=torch.float64), c=0.3)
    y = to_poincare_ball(torch.randn(5, 4, dtype=torch.float64), c=0.3)
    depth = lca_depth(x, y, c=0.3)
    assert depth.shape == (7, 5)
    origin = torch.zeros(4, dtype=torch.float64)
    of_x, of_y = poincare_distance(x, origin, c=0.3), poincare_distance(y, origin, c=0.3)
    assert (depth >= 0).all()
    assert (depth <= torch.minimum(of_x, of_y) * (1 + 1e-12)).all()


def test_ancestor_depth_passes_gradcheck_twice():
    x = to_poincare_ball(torch.randn(8, 3, dtype=torch.float64), c=0.5).requires_grad_()
    y = to_poincare_ball(torch.randn(8, 3, dtype=torch.float64), c=0.5).requires_grad_()

    def depth(x, y):
        return lca_depth(x, y, c=0.5)

    assert torch.autograd.gradcheck(depth, (x, y))
    assert torch.autograd.gradgradcheck(depth, (x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("pair", AWKWARD_PAIRS.values(), ids=AWKWARD_PAIRS)
def test_ancestor_depth_has_finite_gradients_at_awkward_pairs(pair, dtype):
    x, y = (torch.tensor([p]).to(dtype).requires_grad_() for p in pair)
    depth = lca_depth(x, y, c=0.9)
    depth.sum().backward()
    assert depth.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.isfinite(depth).all()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(y.grad).all()


def test_ancestor_depth_refuses_a_bad_curvature():
    with pytest.raises(ValueError, match="-1"):
        lca_depth(torch.zeros(2), torch.zeros(2), c=-1)


def hyphc_case(seed, c=0.3, n=10, triplets=40):
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    points = to_poincare_ball(v, c=c, clip_radius=2.0)
    similarity = torch.rand(n, n, generator=generator, dtype=torch.float64)
    similarity = (similarity + similarity.T) / 2
    drawn = torch.stack([torch.randperm(n, generator=generator)[:3] for _ in range(triplets)], 1)
    return points, similarity, drawn


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_hyphc_agrees_with_the_loop_reference(seed, temperature):
    points, similarity, triplets = hyphc_case(seed)
    ours, theirs = points.clone().requires_grad_(), points.clone().requires_grad_()
    settings = {"c": 0.3, "temperature": temperature}
    loss = hyphc_loss(ours, lambda i, j: similarity[i, j], triplets, **settings)
    expected = hyphc.hyphc_loss(theirs, similarity, triplets, **settings)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    loss.backward()
    expected.backward()
    assert gap(ours.grad, theirs.grad) <= 1e-9


def test_hyphc_agrees_with_numerically_found_ancestors():
    points, similarity, triplets = hyphc_case(0, triplets=4)

    def depth(x, y, c):
        return torch.tensor(float(numeric.lca_depth(x, y, c)), dtype=torch.float64)

    settings = {"c": 0.3, "temperature": 0.05}
    loss = hyphc_loss(points, lambda i, j: similarity[i, j], triplets, **settings)
    expected = hyphc.hyphc_loss(points, similarity, triplets, **settings, depth=depth)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_hyphc_prefers_a_deep_ancestor_for_the_similar_pair():
    # Two clusters on opposite sides: similarities that agree with them cost less.
    points = torch.tensor([[0.8, 0.1], [0.8, -0.1], [-0.8, 0.0]], dtype=torch.float64)
    triplets = torch.tensor([[0], [1], [2]])
    agree = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.float64)
    differ = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=torch.float64)
    costs = [
        float(hyphc_loss(points, lambda i, j, w=w: w[i, j], triplets, c=1.0, temperature=0.05))
        for w in (agree, differ)
    ]
    assert costs[0] < 1e-6
    assert costs[1] > 0.99


def test_hyphc_without_triplets_is_a_zero_that_backpropagates():
    points = torch.rand(2, 3, requires_grad=True)
    none = torch.empty(3, 0, dtype=torch.long)
    loss = hyphc_loss(points, lambda i, j: i * 1.0, none, c=0.1, temperature=0.05)
    loss.backward()
    assert loss.item() == 0
    assert (points.grad == 0).all()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_hyphc_is_finite_in_low_precision(dtype, autocast):
    points, similarity, triplets = hyphc_case(0)
    points = points.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = hyphc_loss(
            points, lambda i, j: similarity[i, j].float(), triplets, c=0.3, temperature=0.05
        )
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(points.grad).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"points": torch.rand(4)}, r"\(4,\)"),
        ({"triplets": torch.zeros(2, 5, dtype=torch.long)}, r"\(2, 5\)"),
        ({"c": 0}, "c must be .*0"),
        ({"temperature": -1.0}, "temperature .*-1.0"),
    ],
)
def test_bad_input_to_hyphc_is_refused_with_what_was_given(change, named):
    arguments = {
        "points": torch.rand(4, 2),
        "similarity": lambda i, j: torch.ones(len(i)),
        "triplets": torch.zeros(3, 5, dtype=torch.long),
        "c": 0.1,
        "temperature": 0.05,
        **change,
    }
    positional = [arguments.pop(name) for name in ("points", "similarity", "triplets")]
    with pytest.raises(ValueError, match=named):
        hyphc_loss(*positional, **arguments)


def test_no_loop_over_anchors():
    operations = set()
    for n in (20, 60, 180):
        similarity = torch.rand(n, n, generator=torch.Generator().manual_seed(n))
        similarity = similarity + similarity.T
        with Dispatched() as done:
            triplets = reciprocal_neighbor_triplets(similarity, k=8, triplets_per_anchor=5)
        assert triplets.shape[1] >= n
        operations.add(done.operations)
    assert len(operations) == 1


def test_no_tensor_of_all_triplets_times_proxies():
    count, proxies = 6000, 400
    distances = torch.rand(90, proxies, requires_grad=True)
    triplets = torch.randint(90, (3, count))
    with Dispatched() as done:
        hierarchical_triplet_loss(distances, triplets, margin=0.1, temperature=0.1).backward()
    assert done.largest <= 2**18 < count * proxies / 8


def test_hyphc_never_asks_for_all_pairs():
    points = (0.1 * torch.randn(3000, 4)).requires_grad_()
    triplets = torch.randint(3000, (3, 500))

    def similarity(i, j):
        assert i.shape == j.shape == (500,)
        return torch.ones(500)

    with Dispatched() as done:
        hyphc_loss(points, similarity, triplets, c=0.1, temperature=0.05).backward()
    assert done.largest <= points.numel()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("c", "clip_radius"), [(1.0, 2.3), (0.1, None)])
def test_hyphc_of_half_tangents_is_that_of_their_float32_values(dtype, c, clip_radius):
    corners = torch.randn(30, 3, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    settings = {"c": c, "clip_radius": clip_radius, "temperature": 0.05}
    half = hyphc_loss_of_tangents(corners, None, **settings)
    assert torch.equal(half, hyphc_loss_of_tangents(corners.float(), None, **settings))


@pytest.mark.parametrize("clip_radius", [None, 1.0])
def test_hyphc_of_tangents_is_that_of_their_points(clip_radius):
    generator = torch.Generator().manual_seed(0)
    corners = torch.randn(50, 3, 5, generator=generator, dtype=torch.float64)
    tangents, weights = corners.clone().requires_grad_(), torch.rand(3, 50, generator=generator)
    settings = {"c": 0.5, "temperature": 0.05}
    one = hyphc_loss_of_tangents(tangents, weights, clip_radius=clip_radius, **settings)
    mapped = corners.clone().requires_grad_()
    points = to_poincare_ball(mapped, c=0.5, clip_radius=clip_radius)
    two = hyphc_loss_of_corners(points, weights, **settings)
    torch.testing.assert_close(one, two)
    one.backward()
    two.backward()
    torch.testing.assert_close(tangents.grad, mapped.grad)


def test_a_backward_pass_inside_autocast_changes_nothing():
    distances = torch.rand(30, 50, generator=torch.Generator().manual_seed(0))
    triplets = torch.randint(30, (3, 200), generator=torch.Generator().manual_seed(1))

    def gradient(enabled):
        leaf = distances.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            hierarchical_triplet_loss(
                leaf, triplets, generator=torch.Generator().manual_seed(2), **SETTINGS
            ).backward()
        return leaf.grad

    assert torch.equal(gradient(True), gradient(False))
