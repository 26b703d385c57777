"""What torchvision's data sets are made with, read from its source: importing it takes seconds."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

_OTHER_FILES = {
    "_optical_flow", "_stereo_matching", "cityscapes", "coco", "flickr", "folder", "hmdb51", "kinetics",
    "kitti", "lsun", "moving_mnist", "phototour", "sbd", "sbu", "ucf101", "vision", "voc", "widerface",
}  # fmt: skip
_OTHERS = {"LFWPairs"}
"""What has no classes of images: boxes, masks, captions, depths, movements, videos, pairs."""


def names() -> tuple[str, ...]:
    """The classes in torchvision.datasets that may hold images of classes, sorted."""
    there = _names_in("__init__")[1].items()
    return tuple(sorted(name for name, file in there if file not in _OTHER_FILES and name not in _OTHERS))


def others() -> tuple[str, ...]:
    """The other classes in torchvision.datasets."""
    return tuple(sorted(_names_in("__init__")[1].keys() - {*names()}))


def parameters(name: str) -> dict[str, tuple[str, bool]]:
    """What one of `names` is made with: the type of each parameter, as it is written, and if it is needed."""
    return _parameters("__init__", name)


@functools.cache
def _parameters(file: str, name: str) -> dict[str, tuple[str, bool]]:
    classes, imported = _names_in(file)
    if name not in classes:
        return _parameters(imported[name], name) if name in imported else {}
    body = classes[name].body
    made = next((one for one in body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    found: dict[str, tuple[str, bool]] = {}
    if made is None or made.args.kwarg is not None:  # as its base class
        for base in classes[name].bases:
            found |= _parameters(file, ast.unparse(base))
    if made is not None:
        given = made.args.args[1:]
        needed = len(given) - len(made.args.defaults)
        for index, one in enumerate(given):
            kind = ast.unparse(one.annotation) if one.annotation else ""
            found[one.arg] = (kind, index < needed)
    return found


@functools.cache
def _names_in(file: str) -> tuple[dict[str, ast.ClassDef], dict[str, str]]:
    """The classes in a file of torchvision.datasets; and what it has from others of them, by name."""
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "datasets" / f"{file}.py"
    if not path.is_file():
        return {}, {}
    classes: dict[str, ast.ClassDef] = {}
    imported: dict[str, str] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            classes[node.name] = node
        elif isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            imported |= {one.name: node.module for one in node.names}
    return classes, imported
