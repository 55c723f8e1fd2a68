"""The configuration tree: it composes, presets and command line win in their order, checks hold."""

from pathlib import Path

import pytest
from helpers.tiny import compose, make_pyramid
from hydra.errors import HydraException
from omegaconf import OmegaConf

from cfa_lab import fit_pyramid
from cfa_lab.config import Settings, conf_dir, load_settings
from cfa_lab.config.presets import presets
from cfa_lab.errors import UserError

CONF = conf_dir()
GROUPS = sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "hydra")
OPTIONS = [(group, p.stem) for group in GROUPS for p in sorted((CONF / group).glob("*.yaml"))]


@pytest.mark.parametrize("group, option", OPTIONS)
def test_every_file_composes_and_passes_its_checks(group: str, option: str):
    named = ["backbone.name=resnet34", "backbone.layers=[layer1,layer2]"]
    more = {"timm": named, "custom": [*named, "backbone.model=nets:make"]}.get(option, [])
    compose(f"{group}={option}", *more)


@pytest.mark.parametrize("preset", presets())
def test_hydra_and_library_read_the_same_preset(preset: str):
    composed, settings = compose(f"preset={preset}"), load_settings(preset)
    assert composed.preset == preset
    for name in Settings.__dataclass_fields__:
        assert getattr(composed, name) == getattr(settings, name)


@pytest.mark.parametrize("wrong", ["neerest", "", "LAB", "lab.yaml", "../preset/lab"])
def test_the_library_refuses_another_preset_and_takes_all_there_are(wrong: str):
    allowed = ", ".join(presets())
    for take in (load_settings, lambda name: fit_pyramid(make_pyramid(2), preset=name, epochs=0)):
        with pytest.raises(UserError) as caught:
            take(wrong)
        assert str(caught.value) == f"preset is {wrong!r}; allowed: {allowed}"
        for preset in presets():
            take(preset)


def test_the_documented_table_of_switches_has_every_preset():
    text = (Path(__file__).parents[2] / "docs" / "method.md").read_text(encoding="utf-8")
    (header,) = [line for line in text.splitlines() if line.startswith("| key | ")]
    assert sorted(header.replace("`", "").strip("| ").split(" | ")[1:]) == list(presets())


def test_presets_set_the_table_of_switches():
    official, paper = compose("preset=official"), compose("preset=paper")
    anomalib, lab = compose("preset=anomalib"), compose("preset=lab")
    assert (official.backbone.activation, paper.backbone.activation) == ("leaky", "relu")
    assert (official.image.size, official.image.crop) == (256, 224)
    assert (anomalib.image.resize, anomalib.image.height, anomalib.image.crop) == (
        "stretch",
        256,
        None,
    )
    assert anomalib.backbone.tags[anomalib.backbone.release] == "tv2_in1k"
    assert official.backbone.tags[official.backbone.release] == "tv_in1k"
    assert (paper.descriptor.init, paper.memory_bank.kind, paper.loss.nu) == ("he", "ema", 1.0)
    assert (anomalib.loss.learnable_radius, anomalib.scoring.border) == (False, "mirror")
    assert [c.trainer.drop_last for c in (official, paper, anomalib, lab)] == [True] + [False] * 3
    assert [c.loss.negatives for c in (official, paper, anomalib, lab)] == [
        "from_j",
        "after_k",
        "from_j",
        "after_k",
    ]
    assert [c.scoring.weighting for c in (official, paper, anomalib, lab)] == [
        *("softmin", "softmin", "softmin"),
        "nearest",
    ]
    assert [c.descriptor.init for c in (official, paper, anomalib, lab)] == [
        *("default", "he", "default"),
        "identity",
    ]
    assert (lab.trainer.precision, lab.features.dtype) == ("fast", "half")
    assert (official.trainer.precision, official.features.dtype) == ("exact", "float32")


def test_order_is_defaults_preset_experiment_command_line():
    """quickstart chooses a category; the preset drops the last batch; the command line wins."""
    assert compose().category == "bottle"
    assert compose("experiment=quickstart").category == "weave"
    assert compose("experiment=quickstart", "category=gear").category == "gear"
    assert compose("preset=paper").memory_bank.kind == "ema"
    assert compose("preset=paper", "memory_bank.kind=mean").memory_bank.kind == "mean"
    assert compose("preset=paper", "image.crop=128").image.crop == 128


def test_an_experiment_wins_over_the_preset(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nmemory_bank: {kind: mean}\nloss: {nu: 0.5}\n"
    )
    mine = compose(
        "experiment=mine", "preset=paper", "loss.K=5", f"hydra.searchpath=[file://{tmp_path}]"
    )
    assert (mine.memory_bank.kind, mine.loss.nu, mine.loss.K) == ("mean", 0.5, 5)
    assert mine.descriptor.init == "he"


def test_the_data_folder_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("CFA_LAB_DATA", "/somewhere")
    assert compose().dataset.root == "/somewhere/mvtec"


@pytest.mark.parametrize(
    "override, message",
    [
        ("+typo=1", "unknown key 'typo'"),
        ("+loss.kk=1", "unknown key 'loss.kk'"),
        ("+catgory=screw", "did you mean 'category'"),
        ("loss.K=0", "loss.K is 0"),
        ("loss.J=-1", "loss.J is -1"),
        ("loss.nu=0", "loss.nu is 0"),
        ("loss.negatives=hard", "after_k, from_j"),
        ("memory_bank.beta=1.5", "memory_bank.beta"),
        ("optimizer.lr=-1", "optimizer.lr"),
        ("dataset.validation_fraction=1", "validation_fraction"),
        ("scoring.top_fraction=0", "top_fraction"),
        ("evaluation.aupro_limits=[0]", "aupro_limits"),
        ("evaluation.aupro_limits=[0.3,0.05,0.30]", "aupro_limits holds 0.3 twice"),
        ("trainer.precision=half", "exact, fast"),
        ("device=gpu", "auto, cpu, cuda"),
        ("tracker.project=a/b", "tracker.project"),
        ("backbone.layers=[]", "backbone.layers is empty"),
        ("image.crop=0", "image.crop"),
    ],
)
def test_impossible_values_and_unknown_keys_are_one_line(override: str, message: str):
    with pytest.raises(UserError, match=message) as caught:
        compose(override)
    assert "\n" not in str(caught.value)


def test_a_typo_without_plus_is_hydras_error():
    with pytest.raises(HydraException):
        compose("typo=1")


def test_every_field_of_the_schema_has_a_value_in_the_tree():
    node = OmegaConf.structured(compose())
    assert OmegaConf.missing_keys(node) == set()
