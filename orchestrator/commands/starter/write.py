"""Writes a first sweep with a method of one's own. Nothing that is there is overwritten."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.language.load import join_plugins
from orchestrator.language.sweep_spec import written_schema
from orchestrator.language.table_spec import LONGEST_NAME, NAME
from orchestrator.language.yaml_text import written

HERE = Path(__file__).parent
OWN = "mine"
"""The sweep's name in the files here, and in docs/own_code.md."""


def write(folder: Path) -> Iterator[str]:
    """Write the files of a first sweep, named after its folder; a line on each, and on what to type.

    Raises:
        UsageError: a file is there, the folder's name is none for a sweep, or it cannot be written.
    """
    name = folder.absolute().resolve().name
    if not re.match(NAME, name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"folder '{name}' would be the sweep's name, which has letters, digits, '_', '.' and '-' only; "
            "choose another: orch init FOLDER"
        )
    texts = _texts(name)
    sweep, schema = folder / f"{name}.yaml", folder / "schema.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if there := [one for one in (*texts, schema.name) if (folder / one).exists()]:
            message = "there already, and nothing is overwritten; choose another folder: orch init FOLDER"
            raise UsageError(f"{', '.join(str(folder / one) for one in there)}: {message}")
        for file, text in texts.items():
            _create(folder / file, text)
        join_plugins(sweep)
        _create(schema, written_schema())
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; choose another folder") from None
    yield f"{folder / 'mybyol.py'}: a method of your own, BYOL with one change"
    yield f"{sweep}: a sweep of it beside BYOL"
    yield f"{schema}: lets an editor complete and check the sweep; README.md: what to type"
    yield f"next:  {shlex.join(['orch', 'sweep', str(sweep)])}"


def _texts(name: str) -> dict[str, str]:
    """The files by name, in a folder of that name."""
    own = {
        file: (HERE / file).read_text(encoding="utf-8") for file in ("mybyol.py", "sweep.yaml", "README.md")
    }
    sweep = own["sweep.yaml"].replace(f"\nname: {OWN}\n", "\n" + written({"name": name}), 1)
    return {
        "mybyol.py": own["mybyol.py"],
        f"{name}.yaml": sweep,
        "README.md": own["README.md"]
        .replace(f"# {OWN}\n", f"# {name}\n")
        .replace(f"{OWN}.yaml", f"{name}.yaml"),
    }


def _create(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:  # what came meanwhile stays, too
        file.write(text)
