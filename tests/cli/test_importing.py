import gc
import sys
import weakref
from types import ModuleType

import pytest

from cfa_lab.cli.importing import importing


@pytest.mark.parametrize("looks", [True, False])
def test_garbage_is_looked_for_after_imports_as_before_them(looks, monkeypatch):
    (gc.enable if looks else gc.disable)()
    try:
        with pytest.raises(ImportError), importing():
            assert not gc.isenabled()
            monkeypatch.setitem(sys.modules, "cfa_lab_new", ModuleType("cfa_lab_new"))
            raise ImportError
        assert gc.isenabled() is looks
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
        gc.enable()


class Cycle:
    def __init__(self):
        self.itself = self


def test_where_nothing_is_imported_no_garbage_is_kept():
    """Else each job of a study in one process would keep what the one before left in cycles."""
    gc.disable()
    left = weakref.ref(Cycle())
    try:
        with importing():
            pass
        gc.collect()
        assert left() is None
    finally:
        gc.unfreeze()
        gc.enable()
