"""Libraries imported without the parts of them that nothing here needs."""

import importlib
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def put_off(modules: Mapping[str, Sequence[str]]) -> Generator[None]:
    """While the body imports a library, let it have these modules without importing them.

    Whatever it takes from one of them loads the module, except the functions listed for it, which
    load it when they are called. So nothing is missing afterwards, only later. Modules have to be
    installed; those imported already are left alone.
    """
    new = {
        name: _Later(name, functions)
        for name, functions in modules.items()
        if name not in sys.modules
    }
    sys.modules.update(new)
    try:
        yield
    finally:
        for name, module in new.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _Later(ModuleType):
    """Stands for a module until something of it is needed."""

    def __init__(self, name: str, functions: Sequence[str]):
        super().__init__(name)
        self._functions = functions

    def __getattr__(self, name: str) -> Any:
        if name in self._functions:
            return lambda *args, **kwargs: getattr(self._load(), name)(*args, **kwargs)
        # Whoever looks through all modules asks for names such as __file__ and needs none of them,
        # and a from-import asks for __path__; so does the import of a package's part, which does.
        hidden = name.startswith("__") and (name != "__path__" or self._functions)
        if hidden and sys.modules.get(self.__name__) is self:
            raise AttributeError(name)
        return getattr(self._load(), name)

    def _load(self) -> ModuleType:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)
