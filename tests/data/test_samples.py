"""The sample table: order, subsets, and the paths it refuses."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfa_lab.data import Sample, SampleTable
from cfa_lab.errors import UserError


def normal(path: str) -> Sample:
    return Sample(path=path, split="train", label=0, defect="good")


def flawed(path: str, *masks: str) -> Sample:
    return Sample(path=path, split="test", label=1, defect="scratch", masks=masks)


def table(*samples: Sample) -> SampleTable:
    return SampleTable(Path("root"), "screw", samples)


def test_samples_are_sorted_by_path_and_split():
    mixed = table(flawed("t/1"), normal("a/2"), flawed("t/0"), normal("a/1"))
    assert [s.path for s in mixed.samples] == ["a/1", "a/2", "t/0", "t/1"]
    assert [s.path for s in mixed.train] == ["a/1", "a/2"]
    assert [s.path for s in mixed.test] == ["t/0", "t/1"]
    assert mixed.absolute("a/1") == Path("root/a/1")


@given(n=st.integers(1, 30), fewer=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_limits_are_seeded_nested_and_keep_order_and_test_images(n: int, fewer: int, seed: int):
    whole = table(*(normal(f"a/{i:02d}") for i in range(20)), flawed("t/0"))
    limited = whole.limit_train(n, seed)
    assert len(limited.train) == min(n, 20)
    assert limited.test == whole.test
    assert list(limited.train) == [s for s in whole.train if s in limited.train]
    assert limited == whole.limit_train(n, seed)
    assert {*whole.limit_train(min(n, fewer), seed).train} <= {*limited.train}


def test_another_seed_draws_another_subset():
    whole = table(*(normal(f"a/{i:02d}") for i in range(20)))
    assert whole.limit_train(5, seed=0) != whole.limit_train(5, seed=1)


def test_no_limit_is_the_table_itself():
    whole = table(normal("a/0"))
    assert whole.limit_train(None, seed=0) is whole


@pytest.mark.parametrize("n", [0, -3])
def test_a_limit_below_one_is_refused(n: int):
    with pytest.raises(UserError, match=f"limit_train={n} .*1 or more"):
        table(normal("a/0")).limit_train(n, seed=0)


@pytest.mark.parametrize("path", ["../a.png", "a/../../b.png", "/etc/a.png", "a/.."])
def test_a_path_out_of_the_root_is_refused(path: str):
    with pytest.raises(UserError, match="leaves the data set's root root"):
        table(normal(path))
    with pytest.raises(UserError, match="leaves the data set's root root"):
        table(flawed("t/0.png", path))


def test_two_dots_inside_a_name_are_no_escape():
    assert table(normal("a/..b..png")).samples[0].path == "a/..b..png"


def test_an_image_listed_twice_is_refused():
    with pytest.raises(UserError, match="'a/0' is listed twice"):
        table(normal("a/0"), flawed("a/0"))


@pytest.mark.parametrize("other", ["./a/0", "a/./0", "a//0", ".//a/0"])
def test_another_way_to_write_a_path_is_the_same_image(other: str):
    assert table(normal(other)).samples[0].path == other
    with pytest.raises(UserError, match=r"is listed twice under root, also as '.*'; list it once"):
        table(normal("a/0"), flawed(other))


def test_a_name_that_is_no_text_is_refused_and_a_foreign_one_is_not():
    assert table(normal("a/Schraube_größe_ねじ.png")).samples
    with pytest.raises(UserError, match="not valid UTF-8"):
        table(normal("a/caf\udce9.png"))


def test_a_table_of_150000_images_is_built_in_seconds():
    samples = [normal(f"c/train/good/{i}.png") for i in range(100_000)]
    samples += [flawed(f"c/test/x/{i}.png", f"c/ground_truth/x/{i}.png") for i in range(50_000)]
    start = time.process_time()
    limited = table(*samples).limit_train(1000, seed=0)
    assert time.process_time() - start < 5
    assert len(limited.train) == 1000 and len(limited.test) == 50_000


def test_the_data_room_imports_no_torch():
    code = "import sys, cfa_lab.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def validated(made: SampleTable) -> set[str]:
    return {sample.path for sample in made.validation}


@pytest.mark.parametrize("seed", range(8))
def test_twins_are_held_out_together_with_their_groups(seed: int):
    """0 = 5, 5 in one group with 6, 6 = 9: these four are one."""
    samples = [normal(f"{i}") for i in range(12)]
    samples[5], samples[6] = replace(samples[5], group="item"), replace(samples[6], group="item")
    content = {f"{i}": f"{i}" for i in range(12)} | {"5": "0", "9": "6"}
    held = table(*samples).hold_out(0.3, seed, content)
    assert held.twins == (("0", "5"), ("6", "9"))
    together = {"0", "5", "6", "9"}
    assert validated(held) & together in (set(), together)
    assert len(validated(held)) >= 4


def test_without_twins_content_changes_no_draw():
    samples = [normal(f"a/{i:02}") for i in range(40)]
    content = {sample.path: f"hash of {sample.path}" for sample in samples}
    for seed in range(5):
        plain = table(*samples).hold_out(0.25, seed)
        assert table(*samples).hold_out(0.25, seed, content) == plain and not plain.twins
