"""Single mistakes in the core formulas and safeguards, and the one test that has to notice each.

A mutation replaces a text, which occurs once in its file, by another one. Where a formula is
computed in several places, each is mutated on its own.
"""

from typing import NamedTuple


class Mutation(NamedTuple):
    """One mistake.

    Args:
        name: what is wrong with the mutated code.
        file: below ``pml_hyperbolic/``.
        before: the text that is replaced.
        after: the mistake.
        test: the test that has to fail, as pytest names it, below ``tests/``.
    """

    name: str
    file: str
    before: str
    after: str
    test: str


GEOMETRY = (
    Mutation(
        "exponential map without sqrt(c)",
        "functional/poincare.py",
        "reach = torch.tanh(math.sqrt(c) * length",
        "reach = torch.tanh(length",
        "functional/test_poincare.py::test_ball_map_matches_the_reference",
    ),
    Mutation(
        "exponential map with c for sqrt(c)",
        "functional/poincare.py",
        "* (reach / math.sqrt(c)).to(x.dtype)",
        "* (reach / c).to(x.dtype)",
        "functional/test_poincare.py::test_ball_map_matches_the_reference",
    ),
    Mutation(
        "exponential map with d(0, x) = |v|",
        "functional/poincare.py",
        "reach = torch.tanh(math.sqrt(c) * length",
        "reach = torch.tanh(math.sqrt(c) / 2 * length",
        "functional/test_poincare.py::test_distance_from_the_origin_is_twice_the_tangent_norm",
    ),
    Mutation(
        "hard clip left out",
        "functional/poincare.py",
        "return edge if clip_radius is None else min(clip_radius, edge)",
        "return edge",
        "functional/test_poincare.py::test_clipping_bounds_every_distance_by_four_radii",
    ),
    Mutation(
        "smooth clip by tanh of |v| for |v| / r",
        "functional/poincare.py",
        "return clip_radius * torch.tanh(norm / clip_radius)",
        "return clip_radius * torch.tanh(norm)",
        "functional/test_smooth_clip.py::test_points_match_the_reference",
    ),
    Mutation(
        "smooth clip without its own slope",
        "functional/poincare.py",
        "along = along * torch.cosh(norm / clip_radius).square().reciprocal()",
        "along = along * 1",
        "functional/test_smooth_clip.py::test_scale_slope_and_sinh_match_the_reference",
    ),
    Mutation(
        "row-wise distance halved",
        "functional/poincare.py",
        "return ((2 / sqrt_c) * torch.asinh(",
        "return ((1 / sqrt_c) * torch.asinh(",
        "functional/test_poincare.py::test_row_wise_distance_is_accurate_at_every_distance",
    ),
    Mutation(
        "row-wise distance without sqrt(c) inside asinh",
        "functional/poincare.py",
        "torch.asinh(sqrt_c * gap / conformal)",
        "torch.asinh(gap / conformal)",
        "functional/test_poincare.py::test_distance_agrees_with_geoopt",
    ),
    Mutation(
        "conformal factor with the wrong sign",
        "functional/poincare.py",
        "conformal = (1 - c * x.square().sum(-1))",
        "conformal = (1 + c * x.square().sum(-1))",
        "functional/test_poincare.py::test_distance_agrees_with_geoopt",
    ),
    Mutation(
        "Lorentz lift with half the space-like part",
        "functional/poincare.py",
        "return torch.cat([1 + square, 2 * math.sqrt(c) * x]",
        "return torch.cat([1 + square, math.sqrt(c) * x]",
        "functional/test_poincare.py::test_lift_turns_distance_into_an_inner_product",
    ),
    Mutation(
        "Riemannian gradient without the square",
        "functional/poincare.py",
        "metric = (2 * (1 + sinh_square)).square()",
        "metric = 2 * (1 + sinh_square)",
        "functional/test_poincare.py"
        "::test_riemannian_gradient_is_the_plain_gradient_in_the_inverse_metric",
    ),
    Mutation(
        "all pairs: inner product with half its factor",
        "functional/pairwise.py",
        "[short * (-4 * c * side.gram_scale)",
        "[short * (-2 * c * side.gram_scale)",
        "functional/test_pairwise.py::test_agrees_with_broadcast",
    ),
    Mutation(
        "all pairs: distance without 1 / sqrt(c)",
        "functional/pairwise.py",
        "_log1p_(tile, smallest).mul_(1 / math.sqrt(c))",
        "_log1p_(tile, smallest)",
        "functional/test_pairwise.py::test_agrees_with_broadcast",
    ),
    Mutation(
        "all pairs: gradient of sinh d for 2 sinh d",
        "functional/pairwise.py",
        "double_sinh = z.add_(z / (1 + z))",
        "double_sinh = z.add_(z / (1 + z)).div_(2)",
        "functional/test_pairwise.py::test_agrees_with_broadcast",
    ),
    Mutation(
        "all pairs: diagonal of one tensor not 0",
        "functional/pairwise.py",
        "distance.diagonal().zero_()",
        "pass",
        "functional/test_pairwise.py::test_diagonal_is_exactly_zero_for_the_same_tensor",
    ),
    Mutation(
        "bounded similarity over 2 r in place of 4 r",
        "distances/poincare_similarity.py",
        "alpha=1 / (2 * self.clip_radius)",
        "alpha=1 / self.clip_radius",
        "distances/test_poincare_similarity.py::test_bounded_similarity_is_linear_in_the_distance",
    ),
    Mutation(
        "unbounded similarity with the sign of a distance",
        "distances/poincare_similarity.py",
        "return -distances",
        "return distances",
        "distances/test_poincare_similarity.py::test_unbounded_similarity_is_the_negative_distance",
    ),
    Mutation(
        "points on the ball not checked against the boundary",
        "distances/poincare_distance.py",
        "if self.c * largest >= 1:",
        "if self.c * largest >= 4:",
        "distances/test_poincare_distance.py"
        "::test_ball_inputs_on_or_outside_the_boundary_are_refused",
    ),
    Mutation(
        "geometry of a loaded state ignored",
        "distances/poincare_distance.py",
        "        if here:\n",
        "        if False:\n",
        "distances/test_geometry_state.py::test_another_geometry_is_refused",
    ),
    Mutation(
        "hyperbolicity without the 2 of delta_rel",
        "functional/hyperbolicity.py",
        "return 2 * gromov_delta(distances) / distances.amax()",
        "return gromov_delta(distances) / distances.amax()",
        "functional/test_hyperbolicity.py::test_suggested_curvature_is_khrulkovs_formula",
    ),
    Mutation(
        "Gromov product not halved",
        "functional/hyperbolicity.py",
        "products = (distances[:1] + distances[:, :1] - distances) / 2",
        "products = distances[:1] + distances[:, :1] - distances",
        "functional/test_hyperbolicity.py::test_delta_agrees_with_loops",
    ),
)

LOSSES = (
    Mutation(
        "HypHC's ancestor on the whole geodesic",
        "functional/hyphc.py",
        "    return (xx * (1 + yy) > xy * (1 + xx)) & (yy * (1 + xx) > xy * (1 + yy))",
        "    return xx * yy > xy * xy",
        "functional/test_hyphc.py"
        "::test_ancestor_depth_of_awkward_pairs_is_the_least_depth_on_their_geodesic",
    ),
    Mutation(
        "HypHC's endpoint farther from the origin",
        "functional/hyphc.py",
        "endpoint = 2 * torch.atanh(torch.minimum(_norm(x), _norm(y)))",
        "endpoint = 2 * torch.atanh(torch.maximum(_norm(x), _norm(y)))",
        "functional/test_hyphc.py::test_ancestor_depth_is_the_least_depth_on_the_geodesic",
    ),
    Mutation(
        "HypHC's chord with the wrong sign",
        "functional/hyphc.py",
        "chord = u * u * yy - 2 * u * v * xy + v * v * xx",
        "chord = u * u * yy + 2 * u * v * xy + v * v * xx",
        "functional/test_hyphc.py::test_hyphc_agrees_with_the_loop_reference",
    ),
    Mutation(
        "HypHC's depth without 1 / sqrt(c)",
        "functional/hyphc.py",
        "depths = (depths / math.sqrt(c)).to(out_dtype)",
        "depths = depths.to(out_dtype)",
        "functional/test_hyphc.py::test_hyphc_agrees_with_the_loop_reference",
    ),
    Mutation(
        "HypHC's temperature multiplied",
        "functional/hyphc.py",
        "torch.softmax(depths / temperature, dim=0)",
        "torch.softmax(depths * temperature, dim=0)",
        "functional/test_hyphc.py::test_hyphc_agrees_with_the_loop_reference",
    ),
    Mutation(
        "HIER's neighbours near one way only",
        "functional/reciprocal_neighbors.py",
        "reciprocal = is_near & is_near.T",
        "reciprocal = is_near",
        "functional/test_reciprocal_neighbors.py"
        "::test_triplets_are_valid_and_anchors_skipped_as_brute_force_says",
    ),
    Mutation(
        "HIER's anchors with a single neighbour",
        "functional/reciprocal_neighbors.py",
        "(neighbors.sum(1) >= 2) & others.any(1)",
        "(neighbors.sum(1) >= 1) & others.any(1)",
        "functional/test_reciprocal_neighbors.py"
        "::test_triplets_are_valid_and_anchors_skipped_as_brute_force_says",
    ),
    Mutation(
        "HIER's own point among its neighbours",
        "functional/reciprocal_neighbors.py",
        "    neighbors.diagonal().fill_(False)\n",
        "",
        "functional/test_reciprocal_neighbors.py"
        "::test_triplets_are_valid_and_anchors_skipped_as_brute_force_says",
    ),
    Mutation(
        "HIER's draws never reach the last candidate",
        "functional/reciprocal_neighbors.py",
        "picks = torch.minimum((uniform * counts).long(), counts - 1)",
        "picks = torch.minimum((uniform * (counts - 1)).long(), counts - 1)",
        "functional/test_reciprocal_neighbors.py::test_draws_are_uniform_over_the_allowed_points",
    ),
    Mutation(
        "HIER's margin subtracted",
        "functional/hier.py",
        "hinges = (gap + margin).relu_() * (a != b)",
        "hinges = (gap - margin).relu_() * (a != b)",
        "functional/test_hier.py::test_triplet_loss_agrees_with_the_loop_reference",
    ),
    Mutation(
        "HIER's third hinge with the sign of the others",
        "functional/hier.py",
        "        gap[2].neg_()\n",
        "",
        "functional/test_hier.py::test_triplet_loss_agrees_with_the_loop_reference",
    ),
    Mutation(
        "HIER's temperature multiplied",
        "functional/hier.py",
        "logits = distances / -temperature",
        "logits = distances * -temperature",
        "functional/test_hier.py::test_triplet_loss_agrees_with_the_loop_reference",
    ),
    Mutation(
        "HIER's soft gradient without the temperature",
        "functional/hier.py",
        "out, weights / ctx.temperature, triplets",
        "out, weights, triplets",
        "functional/test_hier.py::test_triplet_loss_agrees_with_the_loop_reference",
    ),
    Mutation(
        "HIER's relevance without labels",
        "losses/hier_loss.py",
        "            relevance += labels.unsqueeze(1) == labels\n",
        "",
        "losses/test_hier_loss.py::test_labels_make_same_class_pairs_the_closest",
    ),
    Mutation(
        "Hyp's temperature multiplied",
        "losses/hyp_loss.py",
        "(values if self.distance.is_inverted else -values) / self.temperature",
        "(values if self.distance.is_inverted else -values) * self.temperature",
        "losses/test_hyp_loss.py::test_loss_and_gradient_are_those_of_the_loop",
    ),
    Mutation(
        "Hyp's mean over pairs for their sum",
        "losses/hyp_loss.py",
        "loss_term(m * (m - 1) * losses[other], pairs",
        "loss_term(losses[other], pairs",
        "losses/test_hyp_loss.py::test_loss_is_the_loop_at_the_papers_nine_views",
    ),
    Mutation(
        "Hyp's row compared with itself",
        "losses/hyp_loss.py",
        "    masked.diagonal().fill_(torch.finfo(scores.dtype).min)\n",
        "",
        "losses/test_hyp_loss.py::test_loss_and_gradient_are_those_of_the_loop",
    ),
    Mutation(
        "CHEST's SoftTriple with la and gamma exchanged",
        "losses/chest_loss.py",
        "                la=la,\n                gamma=gamma,\n",
        "                la=gamma,\n                gamma=la,\n",
        "losses/test_chest_loss.py::test_loss_and_gradients_agree_with_the_loop_reference",
    ),
    Mutation(
        "CHEST's margin left at PML's default",
        "losses/chest_loss.py",
        "                margin=margin,\n",
        "",
        "losses/test_chest_loss.py"
        "::test_with_the_other_weights_zero_it_is_pmls_soft_triple_to_the_last_bit",
    ),
    Mutation(
        "CHEST's parts exchanged",
        "losses/chest_loss.py",
        "euclidean, hyperbolic = self.split_spaces(embeddings)\n\n        def",
        "hyperbolic, euclidean = self.split_spaces(embeddings)\n\n        def",
        "losses/test_chest_loss.py::test_loss_and_gradients_agree_with_the_loop_reference",
    ),
    Mutation(
        "CHEST's hierarchy without its weight",
        "losses/chest_loss.py",
        "self.hierarchy_weight * self.hierarchy(hyperbolic_proxies)",
        "self.hierarchy(hyperbolic_proxies)",
        "losses/test_chest_loss.py::test_loss_and_gradients_agree_with_the_loop_reference",
    ),
)

RETRIEVAL = (
    Mutation(
        "certificate without the error of the product",
        "utils/certified_search.py",
        "return _ROUNDING_FACTOR[dtype] * terms * info.eps / 2, terms * info.tiny * 2.0**54",
        "return 0.0, 0.0",
        "utils/test_certified_search.py::test_score_brackets_the_exact_value",
    ),
    Mutation(
        "every answer certified",
        "utils/certified_search.py",
        "return values, candidates, 2 * values[:, -1] < -worst",
        "return values, candidates, 2 * values[:, -1] < 1e300",
        "utils/test_retrieval.py::test_equals_brute_force",
    ),
    Mutation(
        "a query found by itself",
        "utils/certified_search.py",
        "        scores = scores.masked_fill(own, -math.inf)\n",
        "",
        "utils/test_retrieval.py::test_equals_brute_force",
    ),
    Mutation(
        "geodesic distances halved",
        "utils/certified_search.py",
        "self.squared_sinh.sqrt().asinh_().mul_(2 / math.sqrt(c))",
        "self.squared_sinh.sqrt().asinh_().mul_(1 / math.sqrt(c))",
        "utils/test_retrieval.py::test_equals_brute_force",
    ),
    Mutation(
        "ties by the last index",
        "utils/certified_search.py",
        "candidates, order = candidates[:, :width].sort(dim=1)",
        "candidates, order = candidates[:, :width].sort(dim=1, descending=True)",
        "utils/test_retrieval.py"
        "::test_twins_come_lowest_index_first_and_only_the_query_itself_is_left_out",
    ),
    Mutation(
        "recall at K + 1",
        "utils/recall_at_k_mixin.py",
        "found = self.label_comparison_fn(query_labels, knn_labels[:, :K])",
        "found = self.label_comparison_fn(query_labels, knn_labels[:, : K + 1])",
        "utils/test_accuracy_calculator.py::test_equals_loops",
    ),
    Mutation(
        "MAP@R and R-Precision of the list that recall at K widened",
        "utils/recall_at_k_mixin.py",
        "kwargs[name] = kwargs[name][:, : self._own_k]",
        "kwargs[name] = kwargs[name][:, :]",
        "utils/test_accuracy_calculator.py::test_wide_recall_leaves_the_other_metrics_alone",
    ),
    Mutation(
        "labels rounded to float32",
        "utils/recall_at_k_mixin.py",
        "query_labels, reference_labels = self._dense_labels(query_labels, reference_labels)",
        "pass",
        "utils/test_accuracy_calculator.py::test_large_labels_stay_distinct",
    ),
    Mutation(
        "centroid without the time-like part",
        "utils/poincare_kmeans.py",
        "below = time + mass",
        "below = mass",
        "utils/test_poincare_kmeans.py::test_centroid_minimises_squared_lorentzian_distance",
    ),
)

STATISTICS = (
    Mutation(
        "variance over n in place of n - 1",
        "benchmark/reporting/statistics.py",
        "for value in values) / (len(values) - 1))",
        "for value in values) / len(values))",
        "benchmark/reporting/test_statistics.py::test_standard_deviation",
    ),
    Mutation(
        "normal interval in place of Student's",
        "benchmark/reporting/statistics.py",
        "quantile = float(stats.t.ppf((1 + confidence) / 2, count - 1))",
        "quantile = float(stats.norm.ppf((1 + confidence) / 2))",
        "benchmark/reporting/test_statistics.py::test_against_scipy",
    ),
    Mutation(
        "Holm's correction without the number of tests",
        "benchmark/reporting/statistics.py",
        "min(1.0, (len(made) - rank) * p)",
        "min(1.0, p)",
        "benchmark/reporting/test_statistics.py::test_holm_is_closed_testing",
    ),
    Mutation(
        "bootstrap of S in place of S - 1 seeds",
        "benchmark/reporting/paired_bootstrap.py",
        "draws = max(repetitions - 1, 1)",
        "draws = repetitions",
        "benchmark/reporting/test_paired_bootstrap.py::test_variances_against_closed_forms",
    ),
    Mutation(
        "variance of queries ignored",
        "benchmark/reporting/paired_bootstrap.py",
        "return by_repetitions, variance - by_repetitions",
        "return by_repetitions, 0.0",
        "benchmark/reporting/test_paired_bootstrap.py::test_false_positives_and_coverage",
    ),
    Mutation(
        "one-sided p-values",
        "benchmark/reporting/paired_bootstrap.py",
        "square = by_repetitions * special.stdtrit(self.repetitions - 1, level / 2) ** 2",
        "square = by_repetitions * special.stdtrit(self.repetitions - 1, level) ** 2",
        "benchmark/reporting/test_paired_bootstrap.py"
        "::test_totals_of_seeds_alone_give_the_paired_t_test",
    ),
    Mutation(
        "validation classes not removed from training",
        "benchmark/assembly/class_splits.py",
        "train = np.setdiff1d(rest, validation)",
        "train = rest",
        "benchmark/assembly/test_class_splits.py"
        "::test_every_class_validates_once_and_never_with_the_test_classes",
    ),
)

SAFEGUARDS = (
    Mutation(
        "checksum of binary files ignored",
        "checked_files.py",
        "    if _checksum(file, start).encode() != found.group(1):\n",
        "    if False:\n",
        "test_checked_files.py::test_every_flipped_bit_is_noticed_or_harmless",
    ),
    Mutation(
        "checksum of texts ignored",
        "checked_files.py",
        "    if hashlib.sha256(text).hexdigest().encode() != found.group(1):\n",
        "    if False:\n",
        "test_checked_files.py::test_every_flipped_bit_is_noticed_or_harmless",
    ),
    Mutation(
        "checksum of JSON ignored",
        "checked_files.py",
        "    if checksum != _KIND + content_checksum(content):\n",
        "    if False:\n",
        "test_checked_files.py::test_every_flipped_bit_is_noticed_or_harmless",
    ),
    Mutation(
        "damaged checksum taken for none",
        "checked_files.py",
        "        if _resembles(tail[1:]) or _cut(tail):\n",
        "        if False:\n",
        "test_checked_files.py::test_every_flipped_bit_is_noticed_or_harmless",
    ),
    Mutation(
        "links followed: O_NOFOLLOW and O_EXCL dropped",
        "files.py",
        'flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)',
        "flags = os.O_RDWR | os.O_CREAT",
        "test_files.py::test_a_part_that_another_process_makes_meanwhile_is_not_written",
    ),
    Mutation(
        "the log follows a link",
        "benchmark/running/run_log.py",
        'flags | getattr(os, "O_NOFOLLOW", 0)',
        "flags",
        "benchmark/running/test_run_log.py::test_a_link_is_not_followed",
    ),
    Mutation(
        "files not flushed to the disk",
        "files.py",
        "                os.fsync(file.fileno())\n",
        "                pass\n",
        "test_files.py::test_a_file_waits_for_the_disk_if_it_is_to_survive_a_power_cut",
    ),
    Mutation(
        "lock ignored",
        "benchmark/running/folder_lock.py",
        "            self._lock.acquire(timeout=self.wait)\n",
        "            pass\n",
        "benchmark/running/test_folder_lock.py::test_the_holder_is_named",
    ),
    Mutation(
        "heartbeat ignored",
        "benchmark/tuning/heartbeat.py",
        "        return now - self._since[sign] > GRACE_SECONDS\n",
        "        return False\n",
        "benchmark/tuning/test_proposals.py"
        "::test_a_heartbeat_of_another_machine_is_watched_as_its_clock_may_be_wrong",
    ),
    Mutation(
        "no heartbeat sent",
        "benchmark/tuning/heartbeat.py",
        "        self._thread.start()\n        return self\n",
        "        return self\n",
        "benchmark/tuning/test_proposals.py::test_the_heartbeat_goes_on_until_the_trial_ends",
    ),
    Mutation(
        "of two claims the later counts",
        "benchmark/tuning/proposals.py",
        "if _alive(self._by_number()[number])[:1] != [trial.number]:",
        "if _alive(self._by_number()[number])[-1:] != [trial.number]:",
        "benchmark/tuning/test_proposals.py::test_the_earlier_of_two_claims_counts",
    ),
    Mutation(
        "a user's notes removed with the files of a run",
        "benchmark/results/run_files.py",
        "return names.fullmatch(path.name) is not None and (path.is_symlink() or path.is_file())",
        "return path.is_symlink() or path.is_file()",
        "benchmark/results/test_run_files.py::test_what_the_runner_made_is_removed_and_all_else_stays",
    ),
    Mutation(
        "members of a tar outside its folder",
        "images/image_archive.py",
        "if not file.resolve().is_relative_to(folder.resolve()) or not (",
        "if not (",
        "images/test_image_archive.py::test_members_that_escape_are_refused",
    ),
    Mutation(
        "pixel limit ignored",
        "images/limits.py",
        "    if width * height > limit:\n",
        "    if False:\n",
        "images/test_limits.py::test_images_and_files",
    ),
    Mutation(
        "control characters shown",
        "escaping.py",
        "    return _NOT_PRINTABLE.sub(_as_escape, text)\n",
        "    return text\n",
        "test_escaping.py::test_printable",
    ),
    Mutation(
        "formulas in CSV",
        "escaping.py",
        """return f"'{value}" if value.startswith(_FORMULA_STARTS) else value""",
        "return value",
        "test_escaping.py::test_csv_cells",
    ),
)

MUTATIONS = {
    "Geometry": GEOMETRY,
    "Losses": LOSSES,
    "Retrieval": RETRIEVAL,
    "Statistics and splits": STATISTICS,
    "Safeguards": SAFEGUARDS,
}
