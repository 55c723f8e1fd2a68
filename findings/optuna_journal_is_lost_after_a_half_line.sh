#!/usr/bin/env bash
# A half last line in Optuna's journal is read without a word, and the next thing written makes the journal unreadable for ever.
#
# Seen with Optuna 5.0.0 (4.9.0 too). A writer that was killed, or a full disk, leaves the beginning of a line. Readers pass over it, so a search seems to
# go on; but the next process appends to it, and from then on every process ends in JSONDecodeError: all trials are out of reach.
#
# What we do about it: the lock on our journal cuts a half line before anything is written (cfa_lab/study/storage.py), held by
# tests/study/test_trials.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0
"$folder/venv/bin/python" - "$folder/search.journal" <<'PY'
import sys
from json import JSONDecodeError
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
journal = Path(sys.argv[1])
SPACE = {"K": optuna.distributions.IntDistribution(1, 9)}


def open_study():
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.create_study(storage=storage, study_name="search", load_if_exists=True)


study = open_study()
for value in (0.5, 0.6):
    study.tell(study.ask(SPACE), value)
journal.write_bytes(journal.read_bytes()[:-20])
study = open_study()
print("after the cut:", [trial.state.name for trial in study.get_trials()])
for who in ("the next trial", "a later process"):
    try:
        study = open_study()
        study.ask(SPACE)
        said = "goes on"
    except JSONDecodeError as error:
        said = type(error).__name__
    print(f"{who}: {said}")
assert said == "JSONDecodeError", "the journal can be read now"
PY
# Output:
#   after the cut: ['COMPLETE', 'RUNNING']
#   the next trial: JSONDecodeError
#   a later process: JSONDecodeError
