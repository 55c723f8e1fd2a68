"""Which folders are runs, what becomes of each, and what their settings are called."""

import json
from collections import Counter
from pathlib import Path

import pytest
from helpers.synthetic import write_run, write_study

from cfa_lab.errors import UserError
from cfa_lab.records.history import read_trace
from cfa_lab.report.collect import collect
from cfa_lab.report.command import choose_baseline
from cfa_lab.report.page.gallery import choose_pictures
from cfa_lab.report.settings import flatten, label, usual_values, varying_keys
from cfa_lab.report.tables.write import results_frame


def kinds(study) -> dict[str, tuple[str, str]]:
    return {left.folder.name: (left.kind, left.reason) for left in study.left_out}


def test_runs_are_found_at_any_depth_and_given_twice_count_once(tmp_path: Path):
    write_study(tmp_path / "multirun" / "day", categories=2, seeds=2)
    write_run(tmp_path / "outputs" / "lone", category="category0", seed=7)
    write_run(tmp_path / "outputs" / "lone" / "wandb" / "copy")
    study = collect([tmp_path, tmp_path / "multirun", tmp_path / "outputs" / "lone"])
    assert len(study.runs) == 9
    assert study.left_out == []
    assert study.settings == ["loss.K=1", "loss.K=3"]
    assert study.categories == ["category0", "category1"]
    assert study.cells("test/image_auroc")["loss.K=3"]["category0"][7] == 0.9
    assert ("loss.K=1", "category1", 7) in study.missing()


def test_what_does_not_count_is_named_with_its_reason(tmp_path: Path):
    write_run(tmp_path / "good")
    write_run(tmp_path / "failed", status="failed", seed=1)
    (write_run(tmp_path / "unfinished", seed=2) / "metrics.json").unlink()
    (write_run(tmp_path / "damaged", seed=3) / "metrics.json").write_text('{"schema": 1, ')
    (write_run(tmp_path / "foreign", seed=4) / "metrics.json").write_text('{"loss": 3}')
    (write_run(tmp_path / "list", seed=5) / "metrics.json").write_text("[1, 2]")
    bytes_path = write_run(tmp_path / "bytes", seed=6) / "metrics.json"
    bytes_path.write_bytes(b"\xff\xfe")
    emptied = json.loads((write_run(tmp_path / "emptied", seed=7) / "metrics.json").read_text())
    emptied["config"] = {}
    (tmp_path / "emptied" / "metrics.json").write_text(json.dumps(emptied))
    study = collect([tmp_path])
    assert [run.folder.name for run in study.runs] == ["good"]
    found = kinds(study)
    assert found["failed"] == ("failed", "the disk is full")
    assert found["unfinished"][0] == "unfinished"
    for name in ("damaged", "foreign", "list", "bytes", "emptied"):
        assert found[name][0] == "unreadable", name


def test_repeated_runs_count_once_and_differing_ones_are_told(tmp_path: Path):
    write_run(tmp_path / "a", run_key="k", value=0.9)
    write_run(tmp_path / "b", run_key="k", value=0.9)
    write_run(tmp_path / "c", run_key="k", value=0.8)
    write_run(tmp_path / "d", run_key="other", value=0.7)
    study = collect([tmp_path])
    assert [run.folder.name for run in study.runs] == ["a"]
    found = kinds(study)
    assert found["b"][0] == "repeated" and "other numbers" not in found["b"][1]
    assert "other numbers" in found["c"][1]
    assert "other images, weights or threads" in found["d"][1]


def test_order_does_not_depend_on_where_runs_lie(tmp_path: Path):
    for place, names in (("one", "abcd"), ("two", "dcba")):
        for name, (seed, K) in zip(names, [(0, 10), (1, 10), (0, 2), (1, 2)], strict=True):
            write_run(tmp_path / place / name, seed=seed, config={"loss.K": K})
    studies = [collect([tmp_path / place]) for place in ("one", "two")]
    for study in studies:
        assert study.settings == ["loss.K=2", "loss.K=10"]
        assert [(run.setting, run.seed) for run in study.runs] == [
            ("loss.K=2", 0),
            ("loss.K=2", 1),
            ("loss.K=10", 0),
            ("loss.K=10", 1),
        ]


def test_categories_of_several_data_sets_do_not_mix(tmp_path: Path):
    write_run(tmp_path / "a", category="wood")
    write_run(tmp_path / "b", category="wood", config={"dataset.name": "other"})
    study = collect([tmp_path])
    assert study.categories == ["mvtec/wood", "other/wood"]
    assert study.settings == ["all runs"]


def test_a_missing_folder_is_a_users_error(tmp_path: Path):
    with pytest.raises(UserError, match="is no folder"):
        collect([tmp_path / "nowhere"])


def test_only_keys_that_can_change_a_method_make_settings():
    configs = [
        flatten(
            {
                "seed": i,
                "category": "ab"[i],
                "device": "cpu",
                "tracker": {"group": str(i)},
                "dataset": {"root": str(i)},
                "trainer": {"num_threads": i, "epochs": 30},
            }
        )
        for i in range(2)
    ]
    assert varying_keys(configs) == []
    assert label(configs[0], []) == "all runs"


def test_a_key_that_follows_another_is_left_out():
    names = ["resnet18", "wide_resnet50", "resnet18", "wide_resnet50"]
    configs = [
        flatten({"backbone": {"model": f"{name}.tv", "name": name}, "loss": {"K": K}})
        for name, K in zip(names, [1, 1, 3, 3.0], strict=True)
    ]
    keys = varying_keys(configs)
    assert keys == ["backbone.name", "loss.K"]
    assert label(configs[3], keys) == "backbone.name=wide_resnet50 loss.K=3"


def test_what_is_the_seed_makes_no_setting():
    configs = [
        {"seed": seed, "dataset.subset_seed": seed, "dataset.limit_train": n}
        for seed in (0, 1)
        for n in (1, 4)
    ]
    assert varying_keys(configs) == ["dataset.limit_train"]
    configs[0]["dataset.subset_seed"] = 7
    assert "dataset.subset_seed" in varying_keys(configs)


def fitted(name: str, *, time: float = 0.5, lr: float = 1e-3, **more) -> dict:
    optimizer = {"name": name, "time": time, "lr": lr}
    radius = {"learnable_radius": name == "adamw"}
    return flatten({"loss": radius, "optimizer": optimizer, "trainer": {"epochs": 30, **more}})


def test_the_optimizer_is_named_and_not_what_follows_it():
    configs = [fitted("adamw"), fitted("closed_form")]
    keys = varying_keys(configs)
    assert keys == ["optimizer.name"]
    assert [label(c, keys) for c in configs] == [
        "optimizer.name=adamw",
        "optimizer.name=closed_form",
    ]


def test_what_has_no_part_under_an_optimizer_names_no_setting_of_it():
    """`optimizer.time` is AdamW's as little as the learning rate is the solution's."""
    configs = [
        *(fitted("adamw", lr=lr, time=time) for lr in (1e-3, 1e-2) for time in (0.5, 1)),
        *(fitted("closed_form", time=time, lr=lr) for time in (0, 0.5, 1) for lr in (1e-3, 1)),
        fitted("closed_form", time=0.5, epochs=2, batch_size=8),
        fitted("closed_form", time=0.5, epochs=0),
    ]
    keys = varying_keys(configs)
    assert keys == ["optimizer.name", "optimizer.time", "optimizer.lr", "trainer.epochs"]
    names = [
        "optimizer.name=adamw optimizer.lr=0.001 trainer.epochs=30",
        "optimizer.name=adamw optimizer.lr=0.01 trainer.epochs=30",
        *(f"optimizer.name=closed_form optimizer.time={time}" for time in ("0", "0.5", "1")),
    ]
    counts = Counter(label(c, keys) for c in configs[:-1])
    assert dict(counts) == dict(zip(names, (2, 2, 2, 3, 2), strict=True))
    unfitted = "optimizer.name=closed_form optimizer.time=0.5 trainer.epochs=0"
    assert label(configs[-1], keys) == unfitted
    usual = usual_values(configs, keys)
    assert usual["optimizer.name"] == "closed_form" and usual["trainer.epochs"] == "30"
    assert len({label(c, keys, usual) for c in configs}) == len(names) + 1
    assert "" not in usual.values()


def test_a_table_leaves_the_place_of_an_idle_setting_empty(tmp_path: Path):
    configs = (fitted("adamw"), fitted("closed_form"), fitted("closed_form", time=2))
    for i, config in enumerate(configs):
        groups: dict = {}
        for key, value in config.items():
            group, _, name = key.partition(".")
            groups.setdefault(group, {})[name] = value
        write_run(tmp_path / str(i), config=groups)
    study = collect([tmp_path])
    frame = results_frame(study).set_index("setting")["optimizer.time"]
    assert frame.isna().tolist() == [name == "optimizer.name=adamw" for name in frame.index]
    assert study.values("optimizer.name=adamw")["optimizer.time"] == "(no part)"


def test_a_key_that_older_runs_lack_is_a_setting_of_its_own():
    configs = [{"loss.K": 3}, {"loss.K": 3, "loss.new": None}]
    assert varying_keys(configs) == ["loss.new"]
    assert [label(c, ["loss.new"]) for c in configs] == ["loss.new=(absent)", "loss.new=null"]


def test_a_reused_run_gives_way_to_its_original_and_borrows_its_files(tmp_path: Path):
    write_run(tmp_path / "b-original", run_key="k", pictures=True)
    reused = write_run(tmp_path / "a-reused", run_key="k")
    record = json.loads((reused / "metrics.json").read_text())
    (reused / "metrics.json").write_text(json.dumps(record | {"reused_from": "../b-original"}))
    (reused / "history.csv").unlink()
    both = collect([tmp_path])
    assert [run.folder.name for run in both.runs] == ["b-original"]
    (alone,) = collect([reused]).runs
    assert alone.files.resolve() == (tmp_path / "b-original").resolve()
    assert len(list(choose_pictures(collect([reused]), 9))) == 2
    assert read_trace(alone.files)["step"]


def test_numbers_that_are_none_make_a_record_unreadable(tmp_path: Path):
    folder = write_run(tmp_path / "run")
    text = (folder / "metrics.json").read_text()
    (folder / "metrics.json").write_text(text.replace('"test/image_auroc": 0.9', '"test/x": NaN'))
    assert kinds(collect([tmp_path]))["run"][0] == "unreadable"


def cases_study(root: Path) -> Path:
    """Settings that differ in one or two keys from what most have, on two data sets."""
    cases = [{}, {"loss.J": 0}, {"trainer.epochs": 0}, {"trainer.epochs": 0, "loss.K": 1}]
    data = {"cookies": {"dataset.limit_train": 32}, "gear": {"dataset.name": "toy"}}
    for category, given in data.items():
        for i, case in enumerate([*cases, {"preset": "official", "loss.nu": 1.0}]):
            config = {"loss.nu": 0.001, **given, **case}
            write_run(root / f"{category}{i}", category=category, config=config)
    return root


def test_names_leave_out_what_most_settings_have_and_what_goes_with_the_category(tmp_path: Path):
    study = collect([cases_study(tmp_path)])
    assert study.with_category == ["dataset.limit_train"]
    assert study.usual == {"preset": "lab", "loss.K": "3", "loss.J": "3", "trainer.epochs": "30"}
    assert set(study.settings) == {
        *("usual", "loss.J=0", "trainer.epochs=0", "loss.K=1 trainer.epochs=0", "preset=official")
    }
    assert not study.missing()


def test_a_key_of_the_data_that_varies_within_a_category_makes_settings(tmp_path: Path):
    cases_study(tmp_path)
    write_run(tmp_path / "more", category="cookies", config={"dataset.limit_train": 8})
    study = collect([tmp_path])
    assert study.with_category == []
    assert "dataset.limit_train" in study.keys


@pytest.mark.parametrize(
    "text, setting",
    [
        ("usual", "usual"),
        ("trainer.epochs=0", "trainer.epochs=0"),
        ("preset=official backbone=wide_resnet50", "preset=official"),
        ("loss.nu=1", "preset=official"),
        ("loss.K=1", "loss.K=1 trainer.epochs=0"),
    ],
)
def test_a_baseline_is_named_by_any_of_its_values(tmp_path: Path, text: str, setting: str):
    assert choose_baseline(collect([cases_study(tmp_path)]), text) == setting


def test_the_usual_setting_is_the_baseline_where_it_has_as_many_categories_as_any(tmp_path: Path):
    assert choose_baseline(collect([cases_study(tmp_path)]), None) == "usual"
    config = {"dataset.name": "toy", "loss.J": 0, "loss.nu": 0.001}
    write_run(tmp_path / "more", category="weave", config=config)
    assert choose_baseline(collect([tmp_path]), None) == "loss.J=0"


def test_a_baseline_that_several_settings_fit_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"'loss\.K=3' fits 4 settings"):
        choose_baseline(collect([cases_study(tmp_path)]), "loss.K=3")
