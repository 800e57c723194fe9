# %% [markdown]
# # Analysing a hierarchy
#
# A random tree, whose hierarchy is known: 32 classes under 8 inner nodes under the 4 children of
# the root. A linear head is trained on the classes of its first half alone. What has it found of
# the levels above, of which it was told nothing?

# %%
import numpy as np
import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.samplers import MPerClassSampler
from torch.utils.data import DataLoader, TensorDataset

from pml_hyperbolic.analysis import (
    agglomerative_tree,
    ancestor_tree,
    class_distances,
    class_means,
    measure_neighbors,
    measure_tree,
    nearest_neighbors,
)
from pml_hyperbolic.benchmark.datasets import RandomTree
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.functional import poincare_cdist, to_poincare_ball
from pml_hyperbolic.heads import HyperbolicEmbedder
from pml_hyperbolic.losses import HIERLoss
from pml_hyperbolic.visualize import hierarchy

steps = 300
torch.manual_seed(0)
tree = RandomTree(branching=(4, 2, 4), points_per_leaf=16)
print(tree.level_names, len(tree), "points", tree.features.shape[1], "features")

# %% [markdown]
# ## Train
#
# MultiSimilarity and HIER in one ball, on the classes that do not test.

# %%
features, labels = torch.from_numpy(tree.features), torch.from_numpy(tree.labels[:, 0])
is_test = torch.isin(labels, torch.from_numpy(tree.test_classes))
distance = PoincareDistance(c=0.1, clip_radius=2.3)
head = HyperbolicEmbedder(features.shape[1], 16, initial_radius=0.575)
metric, hier = losses.MultiSimilarityLoss(distance=distance), HIERLoss(16, 32, distance=distance)
optimizer = torch.optim.AdamW(
    [{"params": head.parameters()}, {"params": hier.parameters(), "lr": 1e-2}], lr=3e-3
)
seen = TensorDataset(features[~is_test], labels[~is_test])
sampler = MPerClassSampler(seen.tensors[1], m=4, length_before_new_iter=48 * steps)
for batch, batch_labels in DataLoader(seen, batch_size=48, sampler=sampler):
    optimizer.zero_grad()
    embeddings = head(batch)
    (metric(embeddings, batch_labels) + 0.5 * hier(embeddings, batch_labels)).backward()
    optimizer.step()
with torch.inference_mode():
    embeddings, proxies = head(features[is_test]), hier.proxies.detach()

# %% [markdown]
# ## The neighbours
#
# The share of neighbours from the query's superclass, beside the same for random trees. Neighbours
# of the query's own class say nothing about the hierarchy; the lines on other classes leave them
# out.

# %%
classes, test_labels = np.unique(labels[is_test].numpy(), return_inverse=True)
first = [np.flatnonzero(tree.labels[:, 0] == one)[0] for one in classes]
levels = {name: tree.labels[first, 1 + i] for i, name in enumerate(tree.level_names[1:])}
_, neighbors = nearest_neighbors(embeddings, 20, distance)
for name, measured in measure_neighbors(neighbors, test_labels, levels).items():
    print(f"{name}: {measured.value:.2f}, random {measured.random_mean:.2f}")

# %% [markdown]
# ## The tree of the class means
#
# Clustered in their own geometry. Dendrogram purity is 1 where every superclass is a subtree.

# %%
_, between = class_distances(embeddings, test_labels, distance)
for name, measured in measure_tree(agglomerative_tree(between), levels).items():
    low, high = measured.random_low, measured.random_high
    print(f"{name}: {measured.value:.2f}, random {low:.2f} to {high:.2f}")

# %% [markdown]
# ## The tree of HIER's ancestors
#
# Each set of classes meets at the proxy whose farthest member is nearest.

# %%
_, means = class_means(embeddings, test_labels, distance)
ball = to_poincare_ball(proxies.double(), c=distance.c, clip_radius=distance.clip_radius)
ancestors = ancestor_tree(poincare_cdist(means, ball, c=distance.c).numpy())
for name, measured in measure_tree(ancestors, levels).items():
    print(f"{name}: {measured.value:.2f}, random {measured.random_mean:.2f}")

# %% [markdown]
# ## Its picture
#
# A subtree of one superclass has its colour: a hierarchy that was found shows large coloured
# subtrees.

# %%
top = np.unique(levels[tree.level_names[-1]], return_inverse=True)[1]
figure = hierarchy(ancestors, names=[str(one) for one in classes], superclasses=top)
figure.savefig("ancestors.svg")
