import json
import socket
import sys
from typing import Any

import pytest
from helpers.fake_wandb import API_KEY, FakeWandb

from cfa_lab.errors import UserError
from cfa_lab.records.history import HISTORY_COLUMNS
from cfa_lab.tracking import COLUMNS, dashboard

pytestmark = pytest.mark.usefixtures("pristine_wandb")


def sections(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Name of a section -> its panels, as the server would get them."""
    bank = spec["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in bank}


@pytest.fixture
def spec() -> dict[str, Any]:
    """What would be saved; built without a server, a key or a network."""
    view = dashboard.build_workspace("lab", "cfa-lab", group="study")._to_model()
    return json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))


def test_a_section_for_each_question(spec):
    assert {
        name: [panel["viewType"] for panel in all_of] for name, all_of in sections(spec).items()
    } == {
        "Categories and settings": ["Bar Chart"] * 9,
        "K, J, r and alpha against AUROC": ["Parallel Coordinates Plot"] * 3
        + ["Scatter Plot"] * 4
        + ["Parameter Importance"],
        "Hyperspheres and losses": ["Run History Line Plot"] * 6,
        "Worst cases": ["Weave"] * 2,
    }


def test_metrics_are_compared_by_category_study_and_backbone(spec):
    bars = [panel["config"] for panel in sections(spec)["Categories and settings"]]
    assert {(bar["metrics"][0], bar["groupBy"]) for bar in bars} == {
        (metric, key)
        for metric in ("test/image_auroc", "test/pixel_auroc", "test/aupro_30")
        for key in ("category.value", "group", "backbone.value")
    }


def test_parallel_axes_are_columns_that_runs_have(spec):
    plot, *_ = sections(spec)["K, J, r and alpha against AUROC"]
    *axes, last = [column["accessor"] for column in plot["config"]["columns"]]
    assert axes[:4] == [f"config:{name}.value" for name in ("K", "J", "r", "alpha")]
    assert {axis.removeprefix("config:").removesuffix(".value") for axis in axes} <= set(COLUMNS)
    assert last == "summary:test/image_auroc"


def test_traces_are_columns_of_the_history(spec):
    lines = [panel["config"] for panel in sections(spec)["Hyperspheres and losses"]]
    drawn = {metric for line in lines for metric in line["metrics"]}
    assert {line["xAxis"] for line in lines} == {"step"}
    assert drawn == {name for name in HISTORY_COLUMNS if name.startswith("train/")}


def test_worst_cases_are_the_tables_that_runs_log(spec):
    tables = json.dumps(sections(spec)["Worst cases"])
    assert '"panels"' in tables and '"predictions"' in tables


def test_only_the_runs_of_the_study_are_shown(spec):
    (runs,) = spec["section"]["runSets"]
    text = json.dumps(runs["filters"])
    assert '"study"' in text and '"group"' in text
    (everyone,) = dashboard.build_workspace("lab", "cfa-lab")._to_model().spec.section.run_sets
    assert "study" not in everyone.model_dump_json()


@pytest.mark.parametrize("group", ["it's", 'say "x"', "2026-01-31_10-00-00", "a b"])
def test_a_group_may_be_named_anything_that_the_filter_keeps(group):
    (runs,) = dashboard.build_workspace("lab", "p", group=group)._to_model().spec.section.run_sets
    assert runs.model_dump()["filters"]["filters"][0]["value"] == group
    with pytest.raises(UserError, match="holds =, < or >"):
        dashboard.build_workspace("lab", "p", group=f"{group}=3")


def test_a_refusal_is_one_line(server: FakeWandb, monkeypatch):
    monkeypatch.setattr(server, "answer", lambda path, body: {"errors": [{"message": "no!"}]})
    with pytest.raises(UserError, match="W&B") as refused:
        dashboard.main(["--entity", "lab"])
    assert "\n" not in str(refused.value)


def test_the_view_is_saved_and_its_address_printed(server: FakeWandb, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    dashboard.main(["--entity", "lab", "--project", "cfa-lab", "--name", "mine"])
    (view,) = server.views
    assert (view["entityName"], view["projectName"], view["displayName"]) == (
        "lab",
        "cfa-lab",
        "mine",
    )
    assert "Worst cases" in sections(json.loads(view["spec"]))
    printed = capfd.readouterr()
    assert printed.out.startswith(server.url) and "/lab/cfa-lab?nw=" in printed.out
    assert printed.err == ""


def test_mistakes_are_one_line(monkeypatch):
    arguments = ["--entity", "lab"]
    with pytest.raises(UserError, match="no W&B API key"):
        dashboard.main(arguments)
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(UserError, match="W&B cannot be reached"):
            dashboard.main(arguments)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(UserError, match=r"pip install 'cfa-lab\[dashboard\]'"):
        dashboard.main(arguments)
