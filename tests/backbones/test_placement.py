"""The memory format of a backbone on its device."""

import torch

from pml_hyperbolic.backbones import SmallConv, TimmBackbone, to_trunk_device


def test_convolutions_are_channels_last_and_patch_embeddings_are_not():
    for model, channels_last in ((SmallConv(3), True), (TimmBackbone(3, "test_vit"), False)):
        trunk = to_trunk_device(model, torch.device("cpu"))
        convolutions = [m for m in trunk.modules() if isinstance(m, torch.nn.Conv2d)]
        formats = {
            m.weight.is_contiguous(memory_format=torch.channels_last)
            and not m.weight.is_contiguous()
            for m in convolutions
        }
        assert formats == {channels_last}
