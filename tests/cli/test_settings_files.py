"""What stands in `.hydra/` is what Hydra would write there."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from cfa_lab.cli.composer import task_part
from cfa_lab.cli.schema import VERSION_BASE
from cfa_lab.cli.settings_files import has_settings, save_settings, to_yaml
from cfa_lab.config import Config, conf_dir

TEXTS = [
    *("", " ", "a", "no", "No", "y", "True", "~", "null", "1", "1.0", "1e3", "0x10", "1_000"),
    *("nan", "-", "- a", "a: b", "#", "a #b", "'", '"', "a'b", "\n", "a\nb", "a\tb", "\\", "ä"),
    *("✓", "\x07", "[a]", "{a}", "*a", "&a", "!a", "%a", "@a", "${a}", "2024-01-15", "12:30"),
    *("=", "<<", "?", "|", "word " * 40, "/a/path/with spaces/" * 9, "x" * 200),
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_written_as_hydra_writes_it(text: str):
    values = {"key": text, "list": [text, 1, None, True, 0.1]}
    written = to_yaml(values)
    assert written == OmegaConf.to_yaml(OmegaConf.create(values))
    assert OmegaConf.create(written) == values


@pytest.mark.parametrize("experiment", ["", "toy_ablation", "paper_table2", "presets"])
def test_settings_are_those_that_hydra_writes(tmp_path: Path, experiment: str):
    ConfigStore.instance().store(name="schema", node=Config)
    asked = ["resume=auto", "category='no'", "tracker.tags=[1e3,b]"]
    asked += [f"experiment={experiment}"] if experiment else []
    with initialize_config_dir(**VERSION_BASE, config_dir=str(conf_dir())):
        whole = compose("config", overrides=asked, return_hydra_config=True)
    save_settings(tmp_path, task_part(whole), whole)
    expected = {
        "config": task_part(whole),
        "hydra": OmegaConf.masked_copy(whole, ["hydra"]),
        "overrides": OmegaConf.create([word for word in asked if word != "resume=auto"]),
    }
    for name, content in expected.items():
        written = (tmp_path / ".hydra" / f"{name}.yaml").read_text(encoding="utf-8")
        read = OmegaConf.to_container(OmegaConf.create(written))
        assert read == OmegaConf.to_container(content, enum_to_str=True), name
        if name != "hydra":  # whose long texts of help libyaml folds elsewhere
            assert written == OmegaConf.to_yaml(content), name
    (tmp_path / "other").mkdir()
    save_settings(tmp_path / "other", whole, whole, durable=False)
    for name in expected:
        own, other = (at / ".hydra" / f"{name}.yaml" for at in (tmp_path, tmp_path / "other"))
        assert own.read_bytes() == other.read_bytes()


def test_a_run_that_goes_on_keeps_its_settings(tmp_path: Path):
    whole = OmegaConf.create({"a": 1, "hydra": {"overrides": {"task": ["a=1"]}}})
    save_settings(tmp_path, whole, whole)
    assert not has_settings(tmp_path)  # there is nothing yet that they are the settings of
    (tmp_path / "metrics.json").write_text("{}")
    assert has_settings(tmp_path)
    save_settings(tmp_path, OmegaConf.create({"a": 2}), whole)
    assert (tmp_path / ".hydra" / "config.yaml").read_text() == "a: 1\n"
