"""Networks of other packages: made alike every time, known by weights and code, refused if odd."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.packages import installed
from helpers.tiny import TINY_RUN, compose
from safetensors.torch import save_file

from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network, normalisation, weights_hash
from cfa_lab.features.own import code_hash, is_own
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.run.prepare import make_extractor, prepare
from cfa_lab.run.run import run

NETS = """
import timm
import torch
from torch import nn


class Small(nn.Module):
    mean = (0.5, 0.25, 0.125)
    std = torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)

    def __init__(self):
        super().__init__()
        self.fine = nn.Conv2d(3, 6, 4, stride=4)
        self.coarse = nn.Conv2d(6, 8, 2, stride=2)
        self.dropout = nn.Dropout()

    def forward(self, x):
        fine = self.dropout(self.fine(x))
        return {"fine": fine, "twice": 2 * fine, "coarse": self.coarse(fine)}


def small(pretrained):
    network = Small()
    if pretrained:
        nn.init.constant_(network.fine.weight, 0.5)
    return network


def plain(pretrained):
    network = small(pretrained)
    network.mean = network.std = None
    del network.mean, network.std
    return network


class Bare(nn.Module):
    returned = None

    def forward(self, x):
        return self.returned


def giving(value):
    bare = Bare()
    bare.returned = value
    return lambda pretrained: bare


def refusing(pretrained):
    raise OSError("weights are on the other machine\\nfar away")


def usual(pretrained):
    return Bare()


def resnet(pretrained):
    return timm.create_model("resnet18")


def listed(pretrained):
    return timm.create_model("test_vit", features_only=True)


class Stem(nn.Module):
    def __init__(self, pretrained):
        super().__init__()
        self.stem = nn.Linear(3, 3)

    def forward(self, x):
        return {"stem": self.stem(x)}


class Odd(Small):
    mean = "grey"

    def __init__(self, pretrained):
        super().__init__()


class Flat(Small):
    std = (1, 0, 1)

    def __init__(self, pretrained):
        super().__init__()


a_tensor = giving(torch.zeros(1, 3, 4, 4))
nothing = giving(None)
empty = giving({})
a_list = giving([torch.zeros(1, 3, 4, 4)])
flat_maps = giving({"a": torch.zeros(1, 3)})
lone_maps = giving({"a": torch.zeros(3, 4, 4)})
no_maps = giving({"a": None})
many_maps = giving({"a": torch.zeros(2, 3, 4, 4)})
CONSTANT = 3
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path) -> Iterator[None]:
    with installed(
        tmp_path / "nets", "own-nets", {"own_nets": NETS, "own_broken": "import nowhere"}
    ):
        yield
    code_hash.cache_clear()


def make(name: str = "small", weights: str = "random") -> Any:
    return make_network(f"own_nets:{name}", weights=weights, trust_code=True)


def backbone(name: str = "small", layers: tuple[str, ...] = ("fine", "coarse")) -> Backbone:
    model = f"own_nets:{name}"
    network = make(name)
    mean, std = normalisation(model, network)
    return Backbone(Architecture(model=model, layers=layers, mean=mean, std=std), network)


def test_its_maps_are_taken_by_name_of_normalised_images_in_evaluation_mode():
    images = torch.randint(0, 256, (2, 3, 40, 48), dtype=torch.uint8)
    made = backbone(layers=("fine+twice", "coarse"))
    assert made.channels == [12, 8]
    first, second = made(images)
    network = make().eval()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.5, 0.25, 0.125), (0.5, 1.0, 2.0)))
    expected = network((images.float() / 255 - mean) / std)
    torch.testing.assert_close(first, torch.cat([expected["fine"], expected["twice"]], dim=1))
    torch.testing.assert_close(second, expected["coarse"])
    assert not any(parameter.requires_grad for parameter in made.parameters())


def test_mean_and_deviation_are_its_own_or_timms_or_those_of_imagenet():
    assert normalisation("own_nets:small", make()) == ((0.5, 0.25, 0.125), (0.5, 1.0, 2.0))
    usual = Architecture(model="", layers=[])
    assert normalisation("own_nets:usual", make("usual")) == (usual.mean, usual.std)
    timms = make("resnet")
    timms.pretrained_cfg = timms.pretrained_cfg | {"mean": (0.1, 0.2, 0.3)}
    assert normalisation("own_nets:resnet", timms) == ((0.1, 0.2, 0.3), usual.std)


@pytest.mark.parametrize(
    "name, message",
    [
        ("Odd", "attribute mean of backbone.model=own_nets:Odd is 'grey'; it must be three"),
        ("Flat", r"attribute std of backbone.model=own_nets:Flat is \(1.0, 0.0, 1.0\); must be ab"),
    ],
)
def test_no_mean_or_deviation_is_refused(name: str, message: str):
    with pytest.raises(UserError, match=message):
        normalisation(f"own_nets:{name}", make(name))


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = make()
    assert torch.equal(torch.rand(1), expected)
    assert weights_hash(first) == weights_hash(make())
    pretrained = make(weights="pretrained")
    assert bool((pretrained.fine.weight == 0.5).all())
    assert weights_hash(pretrained) == weights_hash(make(weights="pretrained"))
    assert weights_hash(pretrained) != weights_hash(first)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_local_file_gives_its_weights(tmp_path: Path, suffix: str):
    source = make(weights="pretrained")
    path = tmp_path / f"weights.{suffix}"
    state = source.state_dict()
    save_file(state, path) if suffix == "safetensors" else torch.save({"state_dict": state}, path)
    assert weights_hash(make(weights=str(path))) == weights_hash(source)


def test_a_file_that_does_not_fit_or_is_not_there_is_one_line(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"do not fit own_nets:small \(missing keys: .*fine") as got:
        make(weights=str(path))
    assert "\n" not in str(got.value)
    with pytest.raises(UserError, match="pretrained, random, or the path"):
        make(weights="nowhere.pth")


def test_networks_of_timms_that_it_makes_are_walked_as_timms():
    layers = ("layer1", "layer2", "layer3")
    own = Backbone(Architecture(model="own_nets:resnet", layers=layers), make("resnet"))
    timms = make_network("resnet18", weights="random")
    usual = Backbone(Architecture(model="resnet18", layers=layers), timms)
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    for a, b in zip(own(images), usual(images), strict=True):
        assert torch.equal(a, b)
    Backbone(Architecture(model="own_nets:listed", layers=("blocks.3",)), make("listed"))


@pytest.mark.parametrize(
    "path, message",
    [
        (
            "nowhere.at.all:net",
            r"module nowhere.at.all cannot be imported \(ModuleNotFoundError: No",
        ),
        (
            "own_broken:net",
            r"own_broken cannot be imported \(ModuleNotFoundError.*install its pack",
        ),
        ("own_nets:missing", "module own_nets has no 'missing'"),
        ("own_nets:CONSTANT", "is a int; it must be a function, or a class, that takes pretrained"),
        ("own_nets:Small", r"fails when called with pretrained=False \(TypeError: .*pretrained"),
        ("own_nets:refusing", r"fails .* \(OSError: weights are on the other machine\)$"),
        ("own_nets:giving", r"fails when called with pretrained=False"),
        ("builtins:dict", r"builtins:dict returns a dict; it must return a torch.nn.Module"),
    ],
)
def test_what_cannot_be_had_is_one_line(path: str, message: str):
    with pytest.raises(UserError, match=message) as caught:
        make_network(path, weights="random", trust_code=True)
    assert "\n" not in str(caught.value) and f"backbone.model={path}" in str(caught.value)


@pytest.mark.parametrize(
    "name, message",
    [
        ("a_tensor", r"Bare gives a tensor \(1, 3, 4, 4\); it must give maps by name, a dict of"),
        ("nothing", "gives nothing; it must give maps"),
        ("empty", "gives nothing; it must give maps"),
        ("a_list", "gives a list; it must give maps"),
        (
            "flat_maps",
            r"gives a tensor \(1, 3\) for its map 'a' of 1 images; it must give a tensor",
        ),
        ("lone_maps", r"gives a tensor \(3, 4, 4\) for its map 'a'"),
        ("no_maps", "gives nothing for its map 'a'"),
        ("many_maps", r"gives a tensor \(2, 3, 4, 4\) for its map 'a' of 1 images"),
        ("Stem", r"own_nets:Stem fails on an image of 64 x 64 pixels \(RuntimeError: "),
        ("small", "own_nets:small has no a; it has fine, twice, coarse"),
    ],
)
def test_wrong_outputs_are_one_line(name: str, message: str):
    with pytest.raises(UserError, match=message) as caught:
        Backbone(Architecture(model=f"own_nets:{name}", layers=["a"]), make(name))
    assert "\n" not in str(caught.value)


def test_maps_from_coarse_to_fine_are_refused():
    with pytest.raises(UserError, match="must run from fine to coarse"):
        backbone(layers=("coarse", "fine"))


def test_a_path_that_nobody_trusts_is_not_imported():
    with pytest.raises(UserError, match="own_untouched:net, code of another package"):
        make_network("own_untouched:net", weights="random")


def test_names_of_timms_are_no_paths():
    for name in ("resnet18", "resnet18.a1_in1k", "hf-hub:timm/resnet18.a1_in1k", "local-dir:/a/b"):
        assert not is_own(name) and code_hash(name) is None
    with pytest.raises(UserError, match=r"a network of your own: package\.module:function"):
        make_network("my.package.function", weights="random")


def test_a_package_is_known_by_all_its_code(tmp_path: Path):
    def hashes() -> tuple[str | None, ...]:
        code_hash.cache_clear()
        return tuple(code_hash(model) for model in ("own_nets:small", "own_pack.nets:make"))

    folder = tmp_path / "nets" / "own_pack"
    (folder / "parts").mkdir(parents=True)
    for file in ("__init__.py", "nets.py", "parts/deep.py"):
        (folder / file).write_text("")
    first = hashes()
    assert len({*first, None}) == 3 and hashes() == first
    (folder / "parts" / "deep.py").write_text("x = 1\n")
    second = hashes()
    assert second[0] == first[0] and second[1] != first[1]
    (folder / "parts" / "deep.py").rename(folder / "deep.py")
    assert hashes()[1] not in (first[1], second[1])
    (tmp_path / "nets" / "own_nets.py").write_text(NETS + "\n")
    assert hashes()[0] != first[0]


def custom(root: Path, *more: str):
    usual = [a for a in TINY_RUN if not a.startswith("backbone")]
    own = ["backbone=custom", "backbone.name=mine", "backbone.model=own_nets:small"]
    layers = ["backbone.layers=[fine,coarse]", f"dataset.root={root}"]
    return compose(*usual, *own, *layers, *more)


def test_a_run_and_its_keys(tiny_root: Path, tmp_path: Path):
    run(custom(tiny_root), tmp_path / "run")
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert record["status"] == "complete" and record["metrics"]["test/image_auroc"] is not None
    model = json.loads((tmp_path / "run" / "model.json").read_text())
    assert model["channels"] == [6, 8]
    assert model["backbone"]["model"] == "own_nets:small"
    assert model["backbone"]["mean"] == [0.5, 0.25, 0.125]

    own = prepare(custom(tiny_root))
    assert record["run_key"] == own.run_key
    random = prepare(custom(tiny_root, "backbone.weights=random"))
    assert random.fit_key != own.fit_key and random.backbone_hash != own.backbone_hash
    device = torch.device("cpu")
    identity = make_extractor(custom(tiny_root), device)[0].identity()
    assert identity["code"] == code_hash("own_nets:small")
    (tmp_path / "nets" / "own_nets.py").write_text(NETS.replace("2 * fine", "3 * fine"))
    code_hash.cache_clear()
    assert prepare(custom(tiny_root)).fit_key != own.fit_key
    assert make_extractor(custom(tiny_root), device)[0].identity() != identity


def test_networks_of_timms_have_the_keys_they_had(tiny_root: Path):
    geometry = Geometry(resize="stretch", height=32, width=32)
    architecture = Architecture(model="resnet18", layers=["layer1"])
    made = Backbone(architecture, make_network("resnet18", weights="random"))
    values: Any = {"dtype": "half", "precision": "exact", "batch_size": 1, "workers": 1}
    extractor = Extractor(backbone=made, geometry=geometry, device=torch.device("cpu"), **values)
    assert "code" not in extractor.identity()
