import pytest
import torch
from helpers.tiny import make_pyramid
from safetensors.torch import save_file

from cfa_lab import fit_pyramid
from cfa_lab.config import load_settings
from cfa_lab.errors import UserError
from cfa_lab.training.checkpoint import restore_state, save_state, state_position
from cfa_lab.training.fit import detector_of, new_fit, train
from cfa_lab.training.state import Fit, Observer
from cfa_lab.training.tensors import CHECKSUM, read_tensors, save_tensors


@pytest.mark.parametrize("preset", ["official", "paper", "anomalib"])
def test_an_interrupted_fit_continues_to_the_same_numbers(tmp_path, preset):
    levels = make_pyramid(6)
    values = load_settings(preset)
    values.trainer.epochs, values.trainer.batch_size, values.optimizer.lr = 5, 2, 1e-2
    whole, history = fit_pyramid(levels, preset=values)

    def stop_after_two(fit: Fit) -> None:
        if fit.next_epoch == 2:
            save_state(tmp_path, fit, fit_key="k")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_pyramid(levels, preset=values, observer=Observer(epoch=stop_after_two))
    assert state_position(tmp_path)["next_epoch"] == "2"

    fit = new_fit(levels, values, pooled=False)
    restore_state(tmp_path, fit, fit_key="k")
    rest = train(fit, Observer())
    assert rest == history[len(history) - len(rest) :]
    assert rest[0]["epoch"] == 2
    assert torch.equal(detector_of(fit).score(levels), whole.score(levels))


def test_a_state_of_another_run_is_refused(tmp_path):
    def keep(fit: Fit) -> None:
        save_state(tmp_path, fit, fit_key="k")

    fit_pyramid(make_pyramid(2), epochs=1, observer=Observer(epoch=keep))
    fit = new_fit(make_pyramid(2), load_settings("official"))
    with pytest.raises(UserError, match="belongs to another run"):
        restore_state(tmp_path, fit, fit_key="other")


def test_a_damaged_state_is_one_clear_line(tmp_path):
    assert state_position(tmp_path) == {}
    (tmp_path / "state.safetensors").write_bytes(b"no state")
    with pytest.raises(UserError, match="damaged"):
        state_position(tmp_path)


@pytest.mark.parametrize("kind", ["mean", "ema", "sample", "coreset", "both"])
@pytest.mark.parametrize("done", [1, 4, 5])
def test_a_solution_continues_from_any_image_to_the_same_numbers(tmp_path, monkeypatch, kind, done):
    monkeypatch.setattr("cfa_lab.training.solve.GROUP", 1)
    levels = make_pyramid(5)
    values = load_settings("lab")
    values.memory_bank.kind = kind
    whole, history = fit_pyramid(levels, preset=values)

    def stop(fit: Fit) -> None:
        if fit.next_image == done:
            save_state(tmp_path, fit, fit_key="k")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_pyramid(levels, preset=values, observer=Observer(image=stop))
    fit = new_fit(levels, values)
    restore_state(tmp_path, fit, fit_key="k")
    assert fit.next_image == done
    assert train(fit, Observer()) == history
    assert torch.equal(detector_of(fit).bank, whole.bank)
    assert torch.equal(detector_of(fit).score(levels), whole.score(levels))
    save_state(tmp_path, fit, fit_key="k")
    solved = new_fit(levels, values)
    restore_state(tmp_path, solved, fit_key="k")
    assert train(solved, Observer()) == []
    assert torch.equal(detector_of(solved).bank, whole.bank)


def saved_fit(folder, *, optimizer: str = "adamw") -> Fit:
    """A fit in its second epoch or after some of its images, with its state in the folder."""
    values = load_settings("lab")
    values.optimizer.name = optimizer
    values.trainer.epochs, values.trainer.batch_size = 3, 2

    def keep(fit: Fit) -> None:
        if fit.next_epoch == 1 or 0 < fit.next_image < 6:
            save_state(folder, fit, fit_key="k")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_pyramid(make_pyramid(6), preset=values, observer=Observer(epoch=keep, image=keep))
    return new_fit(make_pyramid(6), values)


@pytest.mark.parametrize("optimizer", ["adamw", "closed_form"])
def test_a_state_with_any_flipped_bit_is_refused(tmp_path, optimizer):
    fit = saved_fit(tmp_path, optimizer=optimizer)
    path = tmp_path / "state.safetensors"
    good = path.read_bytes()
    weight = fit.descriptor.weight.detach().clone()
    numbers = torch.Generator().manual_seed(0)
    for _ in range(200):
        place = int(torch.randint(len(good), (), generator=numbers))
        content = bytearray(good)
        content[place] ^= 1 << int(torch.randint(8, (), generator=numbers))
        path.write_bytes(content)
        with pytest.raises(UserError, match="start a new run without resume="):
            state_position(tmp_path)
        with pytest.raises(UserError):
            restore_state(tmp_path, fit, fit_key="k")
    assert torch.equal(fit.descriptor.weight, weight), "nothing of it was taken"
    path.write_bytes(good)
    restore_state(tmp_path, fit, fit_key="k")
    assert not torch.equal(fit.descriptor.weight, weight) or optimizer == "closed_form"


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_shortened_state_is_refused(tmp_path, kept):
    saved_fit(tmp_path)
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="damaged"):
        state_position(tmp_path)


@pytest.mark.parametrize(
    ("changed", "position", "said"),
    [
        ({"weight": torch.ones(1, 17)}, {}, "weight is torch.float32"),
        ({"bias": torch.ones(1)}, {}, "bias is"),
        ({"bank": torch.ones(1, 15)}, {}, "bank is"),
        ({"radius": torch.ones(1)}, {}, "radius is"),
        ({"radius": torch.ones((), dtype=torch.float64)}, {}, "radius is torch.float64"),
        ({"radius": torch.tensor(torch.nan)}, {}, "no finite number"),
        ({"optimizer.0.exp_avg": torch.ones(1)}, {}, "exp_avg is"),
        ({"optimizer.0.step": None}, {}, "tells otherwise"),
        ({"optimizer.1.exp_avg_sq": None}, {}, "tells otherwise"),
        ({"optimizer.7.step": torch.ones(())}, {}, "tells otherwise"),
        ({"other": torch.ones(())}, {}, "tells otherwise"),
        ({}, {"next_epoch": "2"}, "do not go together"),
        ({}, {"next_epoch": "9", "next_step": "27"}, "do not go together"),
        ({}, {"next_step": "2"}, "do not go together"),
        ({}, {"next_image": "1"}, "do not go together"),
        ({}, {"next_step": "-3"}, "no state of a run"),
        ({}, {"next_step": "3.0"}, "no state of a run"),
    ],
)
def test_a_state_that_is_whole_but_not_of_this_fit_is_refused(tmp_path, changed, position, said):
    fit = saved_fit(tmp_path)
    path = tmp_path / "state.safetensors"
    tensors, before = read_tensors(path)
    tensors = {name: value for name, value in (tensors | changed).items() if value is not None}
    metadata = {k: v for k, v in (before | position).items() if k != CHECKSUM}
    save_tensors(path, tensors, metadata)
    with pytest.raises(UserError, match=said):
        restore_state(tmp_path, fit, fit_key="k")
    assert fit.next_step == 0


def test_a_state_of_an_earlier_version_is_refused(tmp_path):
    """Those had no checksum, so nobody can tell what became of them."""
    fit = saved_fit(tmp_path)
    path = tmp_path / "state.safetensors"
    tensors, metadata = read_tensors(path)
    del metadata[CHECKSUM]
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match="of an earlier version"):
        restore_state(tmp_path, fit, fit_key="k")
