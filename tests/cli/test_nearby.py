import pytest
from hydra.errors import MissingConfigException

from cfa_lab.cli.arguments import refuse_emptied_groups
from cfa_lab.cli.command import compose
from cfa_lab.cli.messages import describe, no_such_option, several_values, unreadable
from cfa_lab.cli.nearby import OTHER_GROUPS, OTHER_WORDS, meant, unknown_key
from cfa_lab.cli.schema import dotted_keys
from cfa_lab.errors import UserError

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


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("seed=1e3", "seed is '1000.0'; must be a whole number; allowed: 0 to 4294967295"),
        ("seed=", "seed is ''; must be a whole number"),
        ("seed=null", "seed may not be null; it holds a whole number; allowed: 0 to 4294967295"),
        ("loss.alpha=abc", "loss.alpha is 'abc'; must be a number; allowed: at least 0"),
        ("image.bits=12.0", "image.bits is '12.0'; must be a whole number, or null; allowed: 8"),
        ("features.cache=ja", "features.cache is 'ja'; must be true or false"),
        ("dataset.normal=ok", "dataset.normal is a list of texts, or null; put its values in"),
        ("tracker.tags=a", "tracker.tags is a list of texts; put its values in brackets"),
    ],
)
def test_a_value_of_another_kind_is_told_with_what_is_allowed(typed: str, told: str):
    with pytest.raises(Exception) as caught:
        compose([typed])
    line = describe(caught.value)
    assert line.startswith(told) and "\n" not in line
    assert line.endswith(f"python -m cfa_lab explain {typed.partition('=')[0]} tells more")


def test_a_list_with_commas_is_told_to_have_brackets_and_a_number_no_quotes():
    assert several_values("image.range=0,1").endswith(
        "put its values in brackets: 'image.range=[0,1]'"
    )
    assert several_values("dataset.validation_fraction=0,1").endswith("for a run of each")
    assert several_values("category=a,b").endswith("""'category="a,b"'""")


@pytest.mark.parametrize("typed", ["~loss", "~tracker", "~loss.K", "~seed=0"])
def test_what_every_run_needs_cannot_be_taken_away(typed: str):
    with pytest.raises(UserError, match=r"which every run needs; set it instead"):
        refuse_emptied_groups([typed])
    refuse_emptied_groups(["~experiment", "~hydra.run.dir"])
