"""Names and fingerprints of a user's functions: equal code, equal values."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hwnas.errors import InvalidValueError
from hwnas.files.identity import identity_text

_OURS = frozenset({"hwnas", "hwnas_optuna", "hwnas_nni", "hwnas_predictors"})
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def target_of(function: Any) -> str:
    """Give ``module:name`` of a function, by which another process finds it where it can.

    The script that is run goes by the name of its file.
    """
    named = next(_parts(function), function)
    module = _module_of(named)
    name = str(getattr(named, "__qualname__", type(named).__qualname__))
    if module is None:
        return f"unknown:{name}"
    bound = (key for key, value in vars(module).items() if value is function)
    file = getattr(module, "__file__", None)
    script = module.__name__ == "__main__" and file
    return f"{Path(str(file)).stem if script else module.__name__}:{next(bound, name)}"


def fingerprint(function: Any) -> str:
    """Give a letter and 12 hexadecimal digits of the code of a function and what it is bound to.

    They are of the file of its module, and of those beside and below it that these import.
    What is installed does not count.

    Raises:
        InvalidValueError: it is bound to something that has no text of its own.
    """
    digest = hashlib.blake2b(digest_size=6)
    files: set[Path] = set()
    for part in _parts(function):
        module = _module_of(part)
        file = _file(module)
        if module is None or file is None:
            digest.update(_text_of_code(part).encode())
        elif not module.__name__.startswith("hwnas."):
            files |= _files(file, _root(module, file))
    for path in sorted(files):
        digest.update(path.read_bytes())
    try:
        digest.update(identity_text(bound=_bound(function)).encode())
    except InvalidValueError as error:
        raise InvalidValueError(
            f"`{target_of(function)}` must be bound to values that can be told apart, but {error}"
        ) from error
    return f"v{digest.hexdigest()}"


def _parts(function: Any) -> Iterator[Any]:
    """Yield what has code of its own among a function and what it is bound to."""
    match function:
        case functools.partial():
            for part in (function.func, *function.args, *function.keywords.values()):
                yield from _parts(part)
        case types.MethodType():
            yield function.__func__
            yield from _parts(function.__self__)
        case types.FunctionType() | type():
            yield function
        case Mapping():
            for part in function.values():
                yield from _parts(part)
        case list() | tuple():
            for part in function:
                yield from _parts(part)
        case _ if callable(function):
            yield type(function)
            for part in vars(function).values():
                yield from _parts(part)


def _module_of(function: Any) -> types.ModuleType | None:
    return sys.modules.get(getattr(function, "__module__", None) or type(function).__module__)


def _bound(function: Any) -> Any:
    """Give what a function has beside its code: arguments of partials, closures, attributes."""
    match function:
        case functools.partial():
            keywords = {k: _bound(v) for k, v in function.keywords.items()}
            return [_bound(function.func), [_bound(a) for a in function.args], keywords]
        case types.MethodType():
            return [function.__func__.__qualname__, _bound(function.__self__)]
        case types.FunctionType():
            cells = [_content(cell) for cell in function.__closure__ or ()]
            inside = [c for c in cells if c is not function]
            return [function.__qualname__, function.__code__.co_firstlineno, *map(_bound, inside)]
        case type() | types.ModuleType() | types.BuiltinFunctionType():
            return [getattr(function, "__module__", ""), function.__name__]
    if callable(function) and not callable(getattr(function, "identity", None)):
        return [type(function).__qualname__, {k: _bound(v) for k, v in vars(function).items()}]
    if isinstance(function, Mapping):
        return {str(k): _bound(v) for k, v in function.items()}
    if isinstance(function, list | tuple):
        return [_bound(item) for item in function]
    return function


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has yet to be set
        return None


def _text_of_code(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr((code.co_code, code.co_names, code.co_varnames)) if code else repr(function)


def _file(module: types.ModuleType | None) -> Path | None:
    found = getattr(module, "__file__", None)
    path = None if found is None else Path(found)
    return path if path is not None and path.suffix == ".py" and path.is_file() else None


def _root(module: types.ModuleType, file: Path) -> Path:
    """Give the folder that the module is imported from."""
    depth = module.__name__.count(".") + (file.name == "__init__.py")
    return file.resolve().parents[depth if module.__name__ != "__main__" else 0]


def _files(file: Path, root: Path) -> set[Path]:
    """Give a file and what it imports from the same folder, by name: imported by now or not."""
    first = file.resolve()
    # Of what is installed, only the package itself.
    alone = any(first.is_relative_to(folder) for folder in _INSTALLED if folder)
    top = first.relative_to(root).parts[0].removesuffix(".py")
    found: set[Path] = set()
    todo = [first]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imported(path, root):
            parts = name.split(".")
            if parts[0] not in _OURS and (not alone or parts[0] == top):
                places = (root.joinpath(*parts[: i + 1]) for i in range(len(parts)))
                both = (
                    p
                    for place in places
                    for p in (place.with_name(f"{place.name}.py"), place / "__init__.py")
                )
                todo += [p for p in both if p.is_file()]
    return found


def _imported(path: Path, root: Path) -> Iterator[str]:
    """Yield the names of the modules that a file imports, and of what may be one."""
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = [*above, *filter(None, [node.module])]
            yield from (".".join([*start, alias.name]) for alias in node.names)
