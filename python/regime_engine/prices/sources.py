"""What a command names → the files to load, each with what is known about it."""

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from regime_engine.errors import RegimeError
from regime_engine.prices.shapes import Reading

SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".parquet", ".arrow", ".feather", ".ipc", ".xlsx", ".xls"),
    *(".gz", ".zip"),
)
PLACE = "{instrument}"


def files_of(names: Sequence[str]) -> list[Path]:
    """The files of some names: a file, a folder, a pattern with `*`, or `-` for stdin.

    raises RegimeError if a folder or a pattern has none
    """
    return [path for name in names for path in _files_of(name)]


def _files_of(name: str) -> Iterator[Path]:
    path = Path(name)
    if path.is_dir():
        found = sorted(
            file for file in path.iterdir() if not file.is_dir() and not file.name.startswith(".")
        )
        if not found:
            if any(file.is_dir() for file in path.iterdir()):
                raise RegimeError(f"{name}: only folders in the folder: name '{path}/**/*'")
            raise RegimeError(f"{name}: no file in the folder: name the files to load")
        yield from found
    elif name != "-" and glob.has_magic(name) and not path.exists():
        found = sorted(
            file for file in map(Path, glob.glob(name, recursive=True)) if file.is_file()
        )
        if not found:
            raise RegimeError(f"{name}: no file has such a name: name the files to load")
        yield from found
    else:
        yield path


def named_after_file(path: Path, pattern: str, reading: Reading) -> Reading:
    """The reading with the instrument that the file's name has.

    path: `-`, stdin, has no name, and the reading is left as it is
    pattern: `name`: all of the name but its suffixes; or a name with {instrument} in it
    raises RegimeError if the name is not as the pattern says
    """
    if str(path) == "-":
        return reading
    if pattern == "name":
        name = path.name
        while Path(name).suffix.lower() in SUFFIXES:
            name = name.removesuffix(Path(name).suffix)
        return replace(reading, instrument_if_unnamed=name)
    before, _, after = map(re.escape, pattern.partition(PLACE))
    match = re.fullmatch(f"{before}(.+){after}".replace(r"\*", ".*"), path.name)
    if not match:
        raise RegimeError(f"{path}: the name is not like {pattern}: see --instrument-from")
    return replace(reading, instrument_if_unnamed=match[1])
