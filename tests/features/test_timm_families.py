"""timm's families: maps read the right way round at any size, or one line that says why not."""

from typing import Any

import pytest
import timm
import torch

from cfa_lab.errors import UserError
from cfa_lab.features.networks import make_network, usual_layers
from cfa_lab.features.weights_hashes import WantedNetwork
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.run import prepare

FAMILIES = (
    *("bat_resnext26ts", "beit_base_patch16_224", "botnet26t_256", "cait_xxs24_224"),
    *("coat_lite_tiny", "coatnet_pico_rw_224", "convit_tiny", "convmixer_768_32"),
    *("convnext_atto", "crossvit_tiny_240", "cspresnet50", "darknet53", "davit_tiny"),
    *("deit_tiny_patch16_224", "densenet121", "dla34", "dpn48b", "edgenext_xx_small"),
    *("efficientformer_l1", "efficientvit_b0", "eva02_tiny_patch14_224", "fastvit_t8"),
    *("fbnetv3_b", "focalnet_tiny_srf", "gcvit_xxtiny", "ghostnet_050", "gmixer_12_224"),
    *("hardcorenas_a", "hiera_tiny_224", "hrnet_w18_small", "inception_v3", "inception_v4"),
    *(
        "levit_128s",
        "mambaout_femto",
        "maxvit_pico_rw_256",
        "mixer_s32_224",
        "mobilenetv3_small_050",
    ),
    *("mobilevit_xxs", "mvitv2_tiny", "nextvit_small", "nfnet_l0", "pit_ti_224", "poolformer_s12"),
    *("pvt_v2_b0", "regnetx_002", "repvgg_a0", "res2net50_14w_8s", "resmlp_12_224"),
    *("resnest14d", "resnet18", "rexnet_100", "selecsls42", "seresnext26d_32x4d", "skresnet18"),
    *("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "tf_efficientnet_lite0"),
    *("tiny_vit_5m_224", "tresnet_m", "twins_svt_small", "vgg11_bn", "visformer_tiny"),
    *("vit_small_patch14_dinov2", "vit_tiny_patch16_224", "vovnet39a", "xception41"),
    "xcit_nano_12_p16_224",
)
SIZES = ((128, 128), (224, 224), (128, 192))


def read(model: str, size: tuple[int, int], **values: Any) -> Backbone:
    network = make_network(model, weights="random", size=size, norm=True)
    layers = values.pop("layers", None) or usual_layers(model, network)
    return Backbone(Architecture(model=model, layers=layers, **values), network, size=size)


def expected_channels(model: str, layers: list[str]) -> list[int]:
    """What timm tells of the maps, from the network as anybody would make it."""
    info: Any = timm.create_model(model, features_only=True).feature_info
    told = dict(
        zip((n.replace("_", ".") for n in info.module_name()), info.channels(), strict=True)
    )
    return [told[name] for name in layers]


@pytest.mark.slow
@pytest.mark.parametrize("model", FAMILIES)
def test_every_family_is_read_or_refused_in_one_line(model: str) -> None:
    """Levels from fine to coarse, of a fraction of the image's sides, channels first."""
    for height, width in SIZES:
        try:
            net = read(model, (height, width))
        except UserError as error:
            assert "\n" not in str(error) and model in str(error)
            continue
        levels = net(torch.zeros(2, 3, height, width, dtype=torch.uint8))
        assert [level.shape[:2] for level in levels] == [(2, c) for c in net.channels]
        for level in levels:
            assert level.isfinite().all()
            assert 2 <= height / level.shape[2] <= 65 and 2 <= width / level.shape[3] <= 65
            ratio = (height / level.shape[2]) / (width / level.shape[3])
            assert 0.6 < ratio < 1.6  # one stride for both sides, but for what is rounded
        network: Any = net.network
        if hasattr(getattr(network, "feature_info", None), "module_name"):
            told = dict(
                zip(
                    (n.replace("_", ".") for n in network.feature_info.module_name()),
                    network.feature_info.channels(),
                    strict=True,
                )
            )
            assert net.channels == [told[name] for name in net.architecture.layers]


@pytest.mark.parametrize(
    ("model", "size", "layers"),
    [
        ("mambaout_femto", (128, 96), ["stages.0", "stages.1", "stages.2"]),
        ("swinv2_cr_tiny_ns_224", (224, 224), None),
        ("swin_tiny_patch4_window7_224", (256, 256), ["layers.0", "layers.1", "layers.2"]),
    ],
)
def test_channels_last_are_turned(
    model: str, size: tuple[int, int], layers: list[str] | None
) -> None:
    net = read(model, size, layers=layers)
    assert net.channels == expected_channels(model, list(net.architecture.layers))
    levels = net(torch.zeros(1, 3, *size, dtype=torch.uint8))
    for level, stride in zip(levels, (4, 8, 16), strict=True):
        assert level.shape[2:] == (size[0] // stride, size[1] // stride)


def test_a_fixed_size_that_a_network_cannot_have_is_one_line() -> None:
    with pytest.raises(
        UserError, match=r"fails on an image of 100 x 180 pixels .* such as"
    ) as caught:
        read("hrnet_w18_small", (100, 180), layers=["stage2", "stage3", "stage4"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        ("vit_tiny_patch16_224", ["blocks.5", "blocks.6", "blocks.7"]),
        ("resnet26", ["layer1", "layer2", "layer3"]),
        ("tf_efficientnet_lite0", ["blocks.1", "blocks.2", "blocks.4"]),
        ("mobilenetv3_small_050", ["blocks.0.0", "blocks.1", "blocks.3"]),
        ("vgg11_bn", None),
        ("levit_128s", ["stages.0", "stages.1", "stages.2"]),
    ],
)
def test_layers_have_a_default_by_family(model: str, layers: list[str] | None) -> None:
    network = make_network(model, weights="random", size=(224, 224))
    found = usual_layers(model, network)
    assert layers is None or len(found) == len(layers)
    if model in ("vit_tiny_patch16_224", "resnet26", "tf_efficientnet_lite0", "levit_128s"):
        assert found == layers
    net = Backbone(Architecture(model=model, layers=found), network, size=(224, 224))
    sides = [level.shape[-1] for level in net(torch.zeros(1, 3, 224, 224, dtype=torch.uint8))]
    if model == "vgg11_bn":
        assert sides == [56, 28, 14]


def test_transformers_have_maps_before_and_after_their_norm() -> None:
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    maps = {}
    for norm in (False, True):
        network = make_network("vit_tiny_patch16_224", weights="random", norm=norm)
        architecture = Architecture(model="vit_tiny_patch16_224", layers=["blocks.5"], norm=norm)
        (maps[norm],) = Backbone(architecture, network)(images)
    expected = torch.nn.functional.layer_norm(maps[False].movedim(1, -1), (192,), eps=1e-6)
    torch.testing.assert_close(maps[True].movedim(1, -1), expected, rtol=1e-4, atol=1e-4)


def test_a_name_nearly_right_offers_those_there_are() -> None:
    for name, near in (("wide_resnet50", "wide_resnet50_2"), ("swin_tiny_patch4_window7", "swin_")):
        with pytest.raises(UserError, match="close names") as caught:
            make_network(name, weights="pretrained")
        assert near in str(caught.value) and "\n" not in str(caught.value)
        offered = str(caught.value).partition("close names: ")[2].split(", ")
        assert set(offered) <= set(timm.list_models())


@pytest.mark.parametrize("model", ["res2net50_14w_8s", "skresnet18"])
def test_an_activation_that_is_not_there_is_known(model: str) -> None:
    leaky, relu = read(model, (64, 64), activation="leaky"), read(model, (64, 64))
    assert leaky.lacks_activation and not relu.lacks_activation
    assert not read("resnet18", (64, 64), activation="leaky").lacks_activation
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    for a, b in zip(leaky(images), relu(images), strict=True):
        assert torch.equal(a, b)


def test_a_run_tells_of_it(caplog: pytest.LogCaptureFixture) -> None:
    wanted = WantedNetwork(
        model="skresnet18",
        weights="random",
        tag=None,
        layers=None,
        activation="leaky",
        divide_by_channels=False,
        padding="dynamic",
        norm=True,
        size=(64, 64),
    )
    backbone, _ = prepare._backbone(wanted, None)  # pyright: ignore[reportPrivateUsage]
    assert "finds no activation to replace in skresnet18" in caplog.text
    assert backbone.architecture.layers == ["layer1", "layer2", "layer3"]
