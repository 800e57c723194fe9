"""Models of timm as backbones: weights, input statistics and frozen parts."""

import pytest
import timm
import torch
from PIL import Image

from pml_hyperbolic.backbones import BACKBONES, TimmBackbone

RESNET = "test_resnet.r160_in1k"
VIT = "test_vit.r160_in1k"


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    """A weights file as timm publishes it, with a classifier, and the model it came from."""
    torch.manual_seed(11)
    model = timm.create_model(RESNET)
    path = tmp_path_factory.mktemp("weights") / "resnet.pth"
    torch.save(model.state_dict(), path)
    return path, model


def step(model, size=32):
    """Take one step of SGD on random images, and return the state before it."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model.train()
    model(torch.randn(4, 3, size, size)).square().sum().backward()
    optimizer.step()
    return before


def moved(model, before):
    return {
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }


@pytest.mark.parametrize(
    ("model", "kwargs", "features"),
    [(RESNET, {}, 96), (RESNET, {"pooling": "catavgmax"}, 192), (VIT, {"pooling": "avg"}, 64)],
)
def test_shapes(model, kwargs, features):
    backbone = TimmBackbone(3, model, **kwargs)
    assert backbone.out_features == features
    assert backbone(torch.randn(2, 3, 160, 160)).shape == (2, features)
    assert backbone.training
    assert BACKBONES["timm"] is TimmBackbone


def test_pooling_is_timms():
    backbone = TimmBackbone(3, RESNET, pooling="avgmax").eval()
    images = torch.randn(2, 3, 64, 64)
    maps = backbone.model.forward_features(images)
    expected = (maps.mean((2, 3)) + maps.amax((2, 3))) / 2
    assert torch.allclose(backbone(images), expected, atol=1e-6)


def test_input_statistics_are_the_weights_own():
    backbone = TimmBackbone(3, "resnet18.a1_in1k")
    assert backbone.mean == pytest.approx([0.485, 0.456, 0.406])
    assert backbone.std == pytest.approx([0.229, 0.224, 0.225])
    assert TimmBackbone(1, "resnet18.a1_in1k").mean == pytest.approx((0.485 + 0.456 + 0.406) / 3)


def test_weights_from_a_file(resnet_file):
    path, model = resnet_file
    backbone = TimmBackbone(3, RESNET, pretrained=True, weights=str(path)).eval()
    images = torch.randn(2, 3, 64, 64)
    model.eval()
    expected = model.forward_head(model.forward_features(images), pre_logits=True)
    assert torch.equal(backbone(images), expected)


def test_one_channel_of_grey_is_three_of_the_same(resnet_file):
    path, _ = resnet_file
    grey, colour = (
        TimmBackbone(c, RESNET, pretrained=True, weights=str(path)).eval() for c in (1, 3)
    )
    images = torch.randn(2, 1, 64, 64)
    assert torch.allclose(grey(images), colour(images.expand(-1, 3, -1, -1)), atol=1e-5)


def test_weights_of_another_model_are_refused(resnet_file, tmp_path):
    path, model = resnet_file
    with pytest.raises(ValueError, match="does not contain all weights of test_vit") as info:
        TimmBackbone(3, VIT, pretrained=True, weights=str(path))
    assert "\n" not in str(info.value)
    # One matrix is missing: timm would silently keep its random values.
    state = {k: v for k, v in model.state_dict().items() if k != "layer1.0.conv1.weight"}
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"it lacks layer1\.0\.conv1\.weight;"):
        TimmBackbone(3, RESNET, pretrained=True, weights=str(tmp_path / "part.pth"))
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match=rf"photo.jpg does not .* {RESNET} \(it is a JPEG image\)"):
        TimmBackbone(3, RESNET, pretrained=True, weights=str(tmp_path / "photo.jpg"))
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(ValueError, match=f"text.pth does not contain weights of {RESNET}"):
        TimmBackbone(3, RESNET, pretrained=True, weights=str(tmp_path / "text.pth"))


def test_no_network(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("cannot find\nthe hub")

    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", unreachable)
    with pytest.raises(ValueError, match="cannot be downloaded here") as info:
        TimmBackbone(3, VIT, pretrained=True)
    message = str(info.value)
    assert "\n" not in message
    assert "cannot find the hub" in message
    assert "model.safetensors of https://huggingface.co/timm/test_vit.r160_in1k" in message


@pytest.mark.parametrize("statistics", ["frozen", "trained"])
@pytest.mark.parametrize("affine", ["frozen", "trained"])
def test_batch_norm(statistics, affine):
    model = TimmBackbone(3, RESNET, batch_norm={"statistics": statistics, "affine": affine})
    before = step(model)
    changed = moved(model, before)
    norms = {
        f"model.{name}"
        for name, module in model.model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    }
    assert len(norms) > 5
    expected = set()
    if statistics == "trained":
        expected |= {f"{n}.{k}" for n in norms for k in ("running_mean", "running_var")}
        expected |= {f"{n}.num_batches_tracked" for n in norms}
    of_norms = {name for name in changed if name.rpartition(".")[0] in norms}
    assert {n for n in of_norms if not n.endswith(("weight", "bias"))} == expected
    assert bool({n for n in of_norms if n.endswith("weight")}) == (affine == "trained")
    assert bool({n for n in of_norms if n.endswith("bias")}) == (affine == "trained")
    assert changed - of_norms


def test_frozen_statistics_normalise_in_training_too():
    model = TimmBackbone(3, RESNET, batch_norm={"statistics": "frozen"})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.train()(images), model.eval()(images))
        plain = TimmBackbone(3, RESNET)
        assert not torch.equal(plain.train()(images), plain.eval()(images))


def test_the_patch_embedding_can_stay():
    model = TimmBackbone(3, VIT, freeze_patch_embedding=True)
    changed = moved(model, step(model, size=160))
    assert changed
    assert not [name for name in changed if "patch_embed" in name]
    free = TimmBackbone(3, VIT)
    assert [name for name in moved(free, step(free, size=160)) if "patch_embed" in name]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"model": "resnet51"}, "timm has no model 'resnet51': did you mean"),
        ({"model": "resnet18.a1_in2k"}, "resnet18 has no weights 'a1_in2k': did you mean"),
        (
            {"model": "vit_small_patch16_224", "pretrained": True},
            r"write vit_small_patch16_224.TAG with a TAG of .*augreg_in21k",
        ),
        ({"model": RESNET, "weights": "x.pth"}, "pretrained: true"),
        (
            {"model": RESNET, "pretrained": True, "weights": "absent.pth"},
            "there is no weights file absent.pth: download model.safetensors of https",
        ),
        ({"model": RESNET, "batch_norm": {"statistic": "frozen"}}, "did you mean 'statistics'"),
        ({"model": RESNET, "batch_norm": {"affine": "free"}}, "must be frozen or trained"),
        ({"model": VIT, "batch_norm": {"affine": "frozen"}}, "has no batch norm"),
        ({"model": RESNET, "freeze_patch_embedding": True}, "has no patch embedding"),
        ({"model": RESNET, "class_token_only": "always"}, "leave class_token_only out"),
        (
            {"model": VIT, "pooling": "avg", "class_token_only": "training"},
            "does not pool by a class token here: leave class_token_only or pooling out",
        ),
        ({"model": VIT, "class_token_only": True}, '"always" or "training", got True'),
    ],
)
def test_what_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TimmBackbone(3, **kwargs)


DEIT = "deit_tiny_distilled_patch16_224.fb_in1k"


@pytest.mark.parametrize(
    ("use", "in_training", "in_evaluation"),
    [(None, "both", "both"), ("training", "class", "both"), ("always", "class", "class")],
)
def test_the_class_token_of_a_distilled_model(use, in_training, in_evaluation):
    backbone = TimmBackbone(3, DEIT, class_token_only=use)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        tokens = backbone.model.forward_features(images)
        expected = {"class": tokens[:, 0], "both": (tokens[:, 0] + tokens[:, 1]) / 2}
        assert not torch.allclose(*expected.values(), atol=1e-2)
        for mode, of in ((True, in_training), (False, in_evaluation)):
            backbone.train(mode)
            assert torch.allclose(backbone(images), expected[of], atol=1e-6)


@pytest.mark.parametrize("use", ["always", "training"])
def test_without_a_distillation_token_the_class_token_is_all_there_is(use):
    backbone = TimmBackbone(3, VIT, class_token_only=use)
    images = torch.randn(2, 3, 160, 160)
    for mode in (True, False):
        backbone.train(mode)
        assert torch.equal(backbone(images), backbone.model(images))
