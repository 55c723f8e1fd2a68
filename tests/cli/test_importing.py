import gc

import pytest

from cfa_lab.cli.importing import importing


@pytest.mark.parametrize("looks", [True, False])
def test_garbage_is_looked_for_after_imports_as_before_them(looks):
    (gc.enable if looks else gc.disable)()
    try:
        with pytest.raises(ImportError), importing():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is looks
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
        gc.enable()
