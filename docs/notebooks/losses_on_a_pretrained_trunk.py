# %% [markdown]
# # The losses on a pretrained trunk
#
# A pretrained network computes features of photos once; heads and losses are then trained on the
# features, which takes seconds on a CPU. Photos lie in one folder for each class. Classes of the
# first half are trained on, those of the other half are searched.

# %%
import timm
import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.samplers import MPerClassSampler
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import ImageFolder

from pml_hyperbolic.analysis import geometry_facts
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.heads import HyperbolicEmbedder, TwoSpaceEmbedder
from pml_hyperbolic.losses import CHESTLoss, HIERLoss
from pml_hyperbolic.utils import CosineAccuracyCalculator, HyperbolicAccuracyCalculator, PoincareKNN

photos = "photos"
trunk_name = "tf_efficientnet_lite0.in1k"
pretrained = True
epochs = 10
torch.manual_seed(0)

# %% [markdown]
# ## Features
#
# The trunk stays frozen and sees every photo once, prepared as in its own training.

# %%
trunk = timm.create_model(trunk_name, pretrained=pretrained, num_classes=0).eval()
prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(trunk))
folder = ImageFolder(photos, prepare)
with torch.inference_mode():
    features = torch.cat([trunk(images) for images, _ in DataLoader(folder, batch_size=64)])
labels = torch.tensor(folder.targets)
is_seen = labels < len(folder.classes) // 2
seen = TensorDataset(features[is_seen].clone(), labels[is_seen])
unseen, unseen_labels = features[~is_seen].clone(), labels[~is_seen]
sampler = MPerClassSampler(seen.tensors[1], m=4, length_before_new_iter=len(seen))
print(f"{len(folder)} photos of {len(folder.classes)} classes, {features.shape[1]} features")

# %% [markdown]
# ## What the features can do by themselves
#
# No head has to be trained for this line, and no head is of use that falls below it.

# %%
scores = CosineAccuracyCalculator().get_accuracy(unseen, unseen_labels)
print(f"features: R@1 {scores['precision_at_1']:.3f}")

# %% [markdown]
# ## HIER on MultiSimilarity
#
# One distance owns the curvature; both losses, the scores and the search take it. The head starts
# at a quarter of the clip radius.

# %%
distance = PoincareDistance(c=0.1, clip_radius=2.3)


def train(head, loss):
    """Train a head and a loss's own parameters on the seen classes."""
    optimizer = torch.optim.AdamW(
        [{"params": head.parameters()}, {"params": loss.parameters(), "lr": 1e-2}], lr=1e-3
    )
    for _ in range(epochs):
        for batch, batch_labels in DataLoader(seen, batch_size=16, sampler=sampler):
            optimizer.zero_grad()
            loss(head(batch), batch_labels).backward()
            optimizer.step()
    with torch.inference_mode():
        return head(unseen)


metric = losses.MultiSimilarityLoss(distance=distance)
hier = HIERLoss(32, num_proxies=64, distance=distance)
loss = losses.MultipleLosses({"metric": metric, "hier": hier}, weights={"metric": 1, "hier": 0.5})
head = HyperbolicEmbedder(features.shape[1], 32, initial_radius=0.575)
embeddings = train(head, loss)
scores = HyperbolicAccuracyCalculator(distance).get_accuracy(embeddings, unseen_labels)
print(f"HIER: R@1 {scores['precision_at_1']:.3f}")

# %% [markdown]
# ## Is it hyperbolic?
#
# The share of clipped points, and the share of the ten nearest neighbours that cosine finds too. If
# the latter is 1, the radius takes no part in the ranking.

# %%
print(geometry_facts(embeddings, distance))

# %% [markdown]
# ## CHEST
#
# A Euclidean and a hyperbolic embedding side by side, each scored in its own geometry.

# %%
head = TwoSpaceEmbedder(features.shape[1], 16, 16, initial_radius=0.575)
loss = CHESTLoss(num_classes=len(folder.classes) // 2, euclidean_size=16, hyperbolic_size=16)
embeddings = train(head, loss)
euclidean, hyperbolic = embeddings[:, :16], embeddings[:, 16:]
for name, part, calculator in (
    ("Euclidean", euclidean, CosineAccuracyCalculator()),
    ("hyperbolic", hyperbolic, HyperbolicAccuracyCalculator(loss.distance)),
):
    scores = calculator.get_accuracy(part, unseen_labels)
    print(f"CHEST, {name}: R@1 {scores['precision_at_1']:.3f}")

# %% [markdown]
# ## Nearest neighbours
#
# By geodesic distance, exact.

# %%
distances, indices = PoincareKNN(loss.distance)(hyperbolic[:3], 4, hyperbolic)
for row, near in zip(indices, distances, strict=True):
    found = [folder.classes[unseen_labels[index]] for index in row]
    print(found, near.tolist())
