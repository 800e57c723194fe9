"""HIER's loss against recorded values, slow references and the distribution of Gumbel noise."""

import math

import pytest
import torch

from pml_hyperbolic.functional import (
    hier_loss,
    hierarchical_triplet_loss,
    poincare_cdist,
    reciprocal_neighbor_triplets,
    to_poincare_ball,
)
from pml_hyperbolic.functional.hier import hierarchical_triplet_losses
from tests.dispatch import Dispatched
from tests.references import hier
from tests.waiting import Waits, fake_gpu

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


@pytest.mark.usefixtures("algorithm")
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


@pytest.mark.usefixtures("algorithm")
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


@pytest.mark.usefixtures("algorithm")
def test_each_triplet_has_its_own_loss_weight_and_gradient():
    # Triplets are worked on in another order, in which some have i and j exchanged.
    d, triplets = 4 * torch.rand(9, 7, dtype=torch.float64), torch.randint(9, (3, 40))
    noise, weights = gumbel(2, 40, 7), torch.randn(40, dtype=torch.float64)

    def losses_and_gradient(rows):
        leaf = d.clone().requires_grad_()
        losses = hierarchical_triplet_losses(
            leaf, triplets[:, rows], gumbel_noise=tuple(noise[:, rows]), margin=0.3, temperature=0.5
        )
        (losses @ weights[rows]).backward()
        return losses.detach(), leaf.grad

    losses, gradient = losses_and_gradient(slice(None))
    alone = [losses_and_gradient(slice(row, row + 1)) for row in range(40)]
    torch.testing.assert_close(losses, torch.cat([one for one, _ in alone]), rtol=1e-12, atol=0)
    total = torch.stack([one for _, one in alone]).sum(0)
    torch.testing.assert_close(gradient, total, rtol=1e-9, atol=1e-12)
    assert int(losses.count_nonzero()) >= 10


@pytest.mark.usefixtures("algorithm")
def test_many_triplets_give_the_mean_of_their_parts():
    # There are more (triplet, proxy) entries than are worked on at once.
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


@pytest.mark.usefixtures("algorithm")
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
    assert len(expected) == 13  # twelve ordered pairs and a = b: all can be told apart
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


@pytest.mark.usefixtures("algorithm")
@pytest.mark.parametrize(("margin", "temperature"), [(0.1, 0.1), (0.5, 1.0)])
def test_sampled_gradients_have_the_distribution_of_injected_gumbel_noise(margin, temperature):
    stats = pytest.importorskip("scipy.stats")
    draws, proxies = 100_000, SMALL_DISTANCES.shape[1]
    # Each triplet has rows of its own, so that its gradient can be told apart from the others'.
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


@pytest.mark.usefixtures("algorithm")
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


@pytest.mark.usefixtures("algorithm")
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


@pytest.mark.usefixtures("algorithm")
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


@pytest.mark.usefixtures("algorithm")
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


@pytest.mark.usefixtures("algorithm")
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


@pytest.mark.usefixtures("algorithm")
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


def test_no_tensor_of_all_triplets_times_proxies():
    count, proxies = 20_000, 400
    distances = torch.rand(90, proxies, requires_grad=True)
    triplets = torch.randint(90, (3, count))
    with Dispatched() as done:
        hierarchical_triplet_loss(distances, triplets, margin=0.1, temperature=0.1).backward()
    assert done.largest <= 6 * 2**17 < count * proxies / 8


@pytest.mark.usefixtures("algorithm")
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


def relevance_and_distances(n=20, proxies=9, device="cpu"):
    x = torch.randn(n, 3, device=device)
    p = torch.randn(proxies, 3, device=device)
    return torch.exp(-torch.cdist(x, x)), torch.cdist(x, p).requires_grad_()


SAMPLING = {"k": 7, "triplets_per_anchor": 5}


def test_hier_loss_is_the_loss_of_the_triplets_that_it_draws():
    relevance, distances = relevance_and_distances()
    loss = hier_loss(
        relevance, distances, generator=torch.Generator().manual_seed(1), **SAMPLING, **SETTINGS
    )
    generator = torch.Generator().manual_seed(1)
    triplets = reciprocal_neighbor_triplets(relevance, generator=generator, **SAMPLING)
    assert torch.equal(
        loss, hierarchical_triplet_loss(distances, triplets, generator=generator, **SETTINGS)
    )


def test_hier_loss_has_one_distribution_on_the_cpu_and_on_accelerators(request):
    # Some anchors are usable and some are not: the mean must be over the same triplets.
    relevance, distances = relevance_and_distances(30)
    usable = len(set(reciprocal_neighbor_triplets(relevance, **SAMPLING)[0].tolist()))
    assert 0 < usable < 30

    def runs():
        losses, gradients = [], []
        for _ in range(300):
            loss = hier_loss(relevance, distances, **SAMPLING, margin=0.2, temperature=0.3)
            losses.append(loss.detach().double())
            gradients.append(torch.autograd.grad(loss, distances)[0].double())
        return torch.stack(losses).unsqueeze(1), torch.stack(gradients).flatten(1)

    on_cpu = runs()
    request.getfixturevalue("as_on_accelerators")
    for ours, theirs in zip(on_cpu, runs(), strict=True):
        standard_error = ((ours.var(0) + theirs.var(0)) / 300).sqrt().clamp(min=1e-12)
        assert float(((ours.mean(0) - theirs.mean(0)) / standard_error).abs().max()) < 4.5


@pytest.mark.usefixtures("algorithm")
@pytest.mark.parametrize("n", [0, 1, 2, 6])
def test_hier_loss_without_a_usable_anchor_is_a_zero_that_backpropagates(n):
    relevance, distances = relevance_and_distances(n)
    loss = hier_loss(relevance, distances, k=9, triplets_per_anchor=5, **SETTINGS)
    loss.backward()
    assert loss.item() == 0
    assert (distances.grad == 0).all()


def losses_by_given_and_drawn_noise(device="cpu"):
    relevance, distances = relevance_and_distances(device=device)
    triplets = torch.zeros(3, 12, dtype=torch.long, device=device)
    noise = tuple(torch.rand(12, 9, device=device) for _ in range(2))
    return [
        hier_loss(relevance, distances, **SAMPLING, **SETTINGS),
        hierarchical_triplet_loss(distances, triplets, gumbel_noise=noise, **SETTINGS),
    ]


def test_a_forward_pass_does_not_wait_for_a_gpu():
    # Fake tensors have a device and a shape but no values: to need one raises.
    with fake_gpu(), Waits() as waits:
        losses = losses_by_given_and_drawn_noise("cuda")
    assert {loss.device.type for loss in losses} == {"cuda"}
    assert waits.found == []


@pytest.mark.usefixtures("as_on_accelerators")
def test_neither_pass_reads_values_on_an_accelerator():
    with Waits() as waits:
        for loss in losses_by_given_and_drawn_noise():
            loss.backward()
    assert waits.found == []


def test_waiting_is_noticed():
    with Waits() as waits:
        for loss in losses_by_given_and_drawn_noise():
            loss.backward()
    assert {"aten::nonzero", "aten::_local_scalar_dense"} <= set(waits.found)


def test_no_matrix_product_is_taken_that_a_setting_could_round():
    relevance, distances = relevance_and_distances()
    with Dispatched() as done:
        hier_loss(relevance, distances, **SAMPLING, **SETTINGS).backward()
    assert not {name for name in done.names if "mm" in name or "matmul" in name}


@pytest.mark.usefixtures("algorithm")
def test_torch_func_gives_the_gradient_of_autograd():
    relevance, distances = relevance_and_distances()

    def loss(distances):
        torch.manual_seed(0)
        return hier_loss(relevance, distances, **SAMPLING, **SETTINGS)

    (expected,) = torch.autograd.grad(loss(distances), distances)
    assert torch.equal(torch.func.grad(loss)(distances.detach()), expected)
    assert float(expected.abs().sum()) > 0
