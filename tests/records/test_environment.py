"""What a record says of the machine."""

import json
from importlib.metadata import version

from cfa_lab.bench.report import machine
from cfa_lab.records import environment as module
from cfa_lab.records.environment import environment


def test_an_environment_is_plain_json_of_what_is_installed():
    found = environment("cpu", 3)
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["torch"] == version("torch")
    assert (found["device"], found["num_threads"]) == ("cpu", 3)


def test_records_and_benchmarks_name_the_processor_alike():
    assert machine()["processor"] == environment("cpu", 1)["processor"] != ""


def test_a_package_that_is_missing_has_no_version(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("torch", "no-such-package"))
    assert environment("cpu", 1)["packages"] == {
        "torch": version("torch"),
        "no-such-package": None,
    }


def test_every_package_that_decides_numbers_or_settings_is_named():
    packages = environment("cpu", 1)["packages"]
    for name in ("numba", "omegaconf", "wandb", "pandas", "torchmetrics", "hydra-core", "torch"):
        assert packages[name], name
