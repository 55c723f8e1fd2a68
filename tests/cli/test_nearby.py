import pytest
from hydra.errors import MissingConfigException

from cfa_lab.cli.messages import describe, no_such_option, several_values, unreadable
from cfa_lab.cli.nearby import OTHER_GROUPS, OTHER_WORDS, meant, unknown_key
from cfa_lab.cli.schema import dotted_keys

KNOWN = dotted_keys()


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("dataset.path", "dataset.root"),
        ("data_dir", "dataset.root"),
        ("learning_rate", "optimizer.lr"),
        ("trainer.learning_rate", "optimizer.lr"),
        ("lr", "optimizer.lr"),
        ("epochs", "trainer.epochs"),
        ("batch_size", "trainer.batch_size"),
        ("batchSize", "trainer.batch_size"),
        ("features.batchsize", "features.batch_size"),
        ("loss.k", "loss.K"),
        ("k", "loss.K"),
        ("loss.radius", "loss.r"),
        ("gpu", "device"),
        ("trainer.epoch", "trainer.epochs"),
        ("optimzer.lr", "optimizer.lr"),
        ("out", "hydra.run.dir"),
        ("model", "backbone.name"),
        ("resolution", "image.height"),
        ("img_size", "image.height"),
        ("dataset.type", "dataset.layout"),
        ("wandb", "tracker.name"),
        ("wandb.project", "tracker.project"),
        ("wandb.offline", "tracker.mode"),
        ("model.name", "backbone.name"),
        ("data.root", "dataset.root"),
        ("training.epochs", "trainer.epochs"),
        ("mask_dir", "dataset.masks"),
        ("ground_truth", "dataset.masks"),
        ("cache_dir", "features.folder"),
        ("tags", "tracker.tags"),
        ("tile_size", "image.resize"),
        ("bit_depth", "image.bits"),
        ("blur", "scoring.sigma"),
        ("val_split", "dataset.validation_fraction"),
        ("kfold", "evaluation.folds"),
        ("n_epochs", "trainer.epochs"),
        ("train_batch_size", "trainer.batch_size"),
        ("base_lr", "optimizer.lr"),
        ("n_jobs", "trainer.num_threads"),
        ("num_gpus", "device"),
        ("fp16", "trainer.precision"),
        ("coreset_ratio", "memory_bank.gamma_c"),
        ("hard_negatives", "loss.J"),
        ("pixel_threshold", "evaluation.quantile"),
        ("save_dir", "hydra.run.dir"),
        ("fold", "evaluation.folds"),
        ("optim", "optimizer"),
    ],
)
def test_the_key_that_is_meant_is_found(typed: str, key: str):
    assert meant(typed, KNOWN) == key
    assert f"(did you mean {key!r}?)" in unknown_key(typed, KNOWN)


@pytest.mark.parametrize(
    "typed", ["zzzz", "augment", "scheduler", "patience", "verbose", "temperature", "momentum"]
)
def test_nothing_is_offered_for_what_resembles_nothing(typed: str):
    assert (
        unknown_key(typed, KNOWN)
        == f"unknown key {typed!r}; python -m cfa_lab explain tells the keys"
    )


def test_other_words_lead_to_keys_that_there_are():
    last = {key.rpartition(".")[2] for key in KNOWN} | {*KNOWN, "hydra.run.dir", "experiment"}
    assert {word for word in OTHER_WORDS.values() if word not in last} == set()
    assert {*OTHER_GROUPS.values()} <= {*KNOWN}


def test_a_backbone_that_is_no_option_may_be_one_of_timm():
    error = MissingConfigException("", "backbone/resnet50", ["resnet18", "timm", "wide_resnet50"])
    text = describe(error)
    assert text.startswith("backbone has no option 'resnet50'")
    assert "backbone=timm backbone.name=resnet50 'backbone.layers=[layer1,layer2,layer3]'" in text
    assert "timm" not in no_such_option("preset/offical", ["official", "paper"])


def test_an_argument_that_cannot_be_read_is_printed_as_it_has_to_be_typed():
    assert unreadable("category=a (b") == (
        "cannot read 'category=a (b'; put a value with special characters in quotes that reach "
        "the program: 'category=\"a (b\"'"
    )
    assert "settings are key=value" in unreadable("a b")
    assert "put -m before it" in several_values("seed=0,1")
