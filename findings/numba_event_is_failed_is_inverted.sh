#!/usr/bin/env bash
# numba's Event.is_failed is the wrong way round: true where compiling succeeded, false where it raised.
#
# Seen with numba 0.68.1. Whoever listens to "numba:compile" (to show what is being compiled, or to count failures) would take every success for a
# failure. It is true of START events too, of which its docstring says never. A failed END event carries (type, exception, traceback) in
# `_exc_details`, the others None, so nothing public tells them apart the right way but `not is_failed`.
#
# What we do about it: the line "compiling kernels" (cfa_lab/method/cpu/compiled.py) goes by start and end alone and never asks
# (tests/method/test_compiled.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1
"$folder/venv/bin/python" - <<'PY'
import numba
from numba.core import event

seen = []


class Listener(event.Listener):
    def on_start(self, told):
        seen.append((told.data["dispatcher"].__name__, "start", told.is_failed))

    def on_end(self, told):
        seen.append((told.data["dispatcher"].__name__, "end", told.is_failed))


@numba.njit
def good(x):
    return x + 1


@numba.njit
def bad(x):
    return x.no_such_attribute


event.register("numba:compile", Listener())
good(1)
try:
    bad(1)
except numba.TypingError as error:
    print(type(error).__name__)
for name, kind, failed in seen:
    print(f"{name} {kind}: is_failed={failed}")
assert seen == [("good", "start", True), ("good", "end", True), ("bad", "start", True), ("bad", "end", False)]
PY
# Output:
#   TypingError
#   good start: is_failed=True
#   good end: is_failed=True
#   bad start: is_failed=True
#   bad end: is_failed=False
