"""What keeps a file from being a plug-in is told in one line, with file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.plugged import METHOD, joined, refused, written
from trainers.config import foreign, plugins

WRONG = {
    "a syntax error": (METHOD.replace("hat: float", "hat float"), ":16: not valid Python: "),
    "no Config": ("x = 1\n", ":1: no class `Config` of its own; expected one that derives from MethodConfig"),
    "another's Config": (
        "from trainers.methods.byol import Config, build\n",
        ":1: no class `Config` of its own",
    ),
    "no family": (
        "from trainers.config.base import Frozen\nclass Config(Frozen):\n    name: str\n",
        ":2: `Config` joins no family",
    ),
    "no Literal": (
        METHOD.replace('Literal["mine"]', "str"),
        ":15: `Config.name` is no name; expected name: Lit",
    ),
    "no default": (METHOD.replace(' = "mine"', ""), ":15: `Config.name` is no name"),
    "an import error": (
        METHOD.replace("from typing import", "import nowhere\nfrom typing import"),
        ":5: cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
    ),
    "an error": (METHOD + "\n1 / 0\n", ":24: cannot be imported: ZeroDivisionError: division by zero"),
    "an exit": ("import sys\nsys.exit(3)\n", ":2: cannot be imported: SystemExit: 3"),
    "no build": (METHOD.replace("def build", "def built"), ":1: no function `build`, which every method has"),
    "a built-in's name": (
        METHOD.replace('"mine"', '"byol"'),
        ":15: method 'byol' is also in trainers/methods/byol.py; give it another name",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_line_with_file_and_line(what: str) -> None:
    text, words = WRONG[what]
    written(Path.cwd(), wrong=text)
    (line,) = refused("./wrong.py")
    assert line.startswith(f"wrong.py{words}")


def test_two_plug_ins_of_one_name_are_an_error_that_names_both() -> None:
    written(Path("a"), mine=METHOD)
    written(Path("b"), yours=METHOD.replace("1.0", "2.0"))
    assert refused("./a", "./b/yours.py") == [
        "b/yours.py:15: method 'mine' is also in a/mine.py; give it another name"
    ]


def test_a_file_that_is_not_there_an_empty_folder_and_a_file_beside_are_told() -> None:
    written(Path.cwd(), uses="import mine\n" + METHOD, mine=METHOD)
    Path("empty").mkdir()
    assert refused("./nothing.py") == ["nothing.py: no such file or folder"]
    assert refused("./empty") == ["empty: a folder without a plug-in; expected files *.py in it"]
    assert refused("no_such_module") == [
        "no_such_module: cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"
    ]
    assert refused("./uses.py")[0].startswith(
        "uses.py:1: imports 'mine', a file beside it; write `from . import"
    )


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.config.files.MOST_BYTES", 100)
    written(Path.cwd(), mine=METHOD)
    assert refused("./mine.py") == ["mine.py: larger than the 100 bytes that travel with a trial"]


def test_every_wrong_file_of_a_folder_has_its_line() -> None:
    written(Path("all"), a="def\n", b=METHOD, c="import nowhere\n", d="def\n")
    assert [line.partition(":")[0] for line in refused("./all")] == ["all/a.py", "all/d.py"]


def test_a_name_that_python_has_no_module_for_is_refused() -> None:
    written(Path("all"), mine=METHOD)
    for name in ("mine.txt", "mine.py.bak", "my.counting.py", "mine.ipynb"):
        Path("all", name).write_text(METHOD)
        said = f"all/{name}: no name of a Python module; expected one such as mine.py"
        assert refused(f"./all/{name}") == [said]
    assert refused("./all") == [
        "all/my.counting.py: no name of a Python module; expected one such as mine.py"
    ]


@pytest.mark.parametrize("value", ["object()", "''", "True", "1.5", "()"])
def test_a_version_is_a_whole_number_or_a_text(value: str) -> None:
    written(Path.cwd(), mine=f"{METHOD}\nVERSION = {value}\n")
    (line,) = refused("./mine.py")
    assert line.startswith("mine.py:24: VERSION is of type ")
    assert line.endswith('expected a whole number or a text, such as 2 or "2.1"')


def test_a_version_of_something_else_is_not_the_plug_ins() -> None:
    text = METHOD.replace("from typing", "from platform import python_version as VERSION\nfrom typing")
    assert not joined(text).carried.code.startswith("version")


BESIDE = {
    "a folder": ("from lab.heads import K", "imports 'lab', a folder beside it, which does not travel"),
    "a folder, by a dot": (
        "from .lab import heads",
        "imports 'lab', a folder beside it, and only files beside",
    ),
    "its module": ("from .lab.heads import K", "imports 'lab', a folder beside it, and only files beside"),
    "a file": ("import hat", "imports 'hat', a file beside it; write `from . import hat`"),
    "its own package": ("from . import K", "imports 'K', which is no file beside it; a package is installed"),
}


@pytest.mark.parametrize("how", ["as it is", "through a link", "by two dots"])
@pytest.mark.parametrize("what", BESIDE)
def test_what_lies_beside_and_would_not_travel_is_told(
    what: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement, words = BESIDE[what]
    own = written(Path("own").absolute(), mine=METHOD.replace("from typing", f"{statement}\nfrom typing"))
    written(own, hat="", __init__="K = 1\n")
    written(own / "lab", heads="K = 1\n")
    monkeypatch.syspath_prepend(str(own))
    Path("link").symlink_to(own)
    Path("sweeps").mkdir()
    entry = {
        "as it is": "./own/mine.py",
        "through a link": "link/mine.py",
        "by two dots": "sweeps/../own/mine.py",
    }
    (line,) = refused(entry[how])
    assert f"mine.py:5: {words}" in line


def test_what_is_installed_elsewhere_may_have_the_name_of_a_folder_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "site" / "gloves", __init__="K = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in ("gloves", "scarves"):
        Path(name).mkdir()
    optional = "try:\n    import scarves\nexcept ImportError:\n    pass\n"
    text = METHOD.replace("from typing", f"from gloves import K\n{optional}from typing", 1)
    assert joined(text)


def test_a_file_is_read_as_python_reads_it() -> None:
    plain = joined().carried.code
    Path("mine.py").write_text(METHOD, encoding="utf-8-sig")
    assert foreign.join("./mine.py")[0].carried.code == plain
    text = f"# -*- coding: latin-1 -*-\n{METHOD}\nNAME = 'Poincaré'\n"
    Path("mine.py").write_bytes(text.encode("latin-1"))
    (one,) = foreign.join("./mine.py")
    assert plugins.behind(one.config).NAME == "Poincaré"
    Path("mine.py").write_bytes(text.replace("latin-1", "no-such").encode("latin-1"))
    assert refused("./mine.py") == ["mine.py: cannot be read: not a text file"]


STRANGE = {
    "a name that is too long": "",
    "deep": f"x = {'(' * 5000}{')' * 5000}\n",
    "an error without words": "class E(Exception):\n    def __str__(self): raise E\nraise E\n",
    "no exception at all": "raise type('E', (BaseException,), {})('so')\n",
    "a NUL": "x = '\0'\n",
}


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_a_file_does_is_told_in_a_line(what: str) -> None:
    name = "a" * 300 if what == "a name that is too long" else "mine"
    if STRANGE[what]:
        written(Path.cwd(), mine=STRANGE[what])
    (line,) = refused(f"./{name}.py")
    assert line.startswith(name)


def test_a_folder_whose_name_is_no_utf_8_is_told_and_sent_in_letters() -> None:
    folder = Path(os.fsdecode(b"caf\xe9"))
    try:
        written(folder, mine=METHOD)
    except OSError:
        pytest.skip("this disk has only names in UTF-8")
    (one,) = foreign.join(f"./{folder}/mine.py")
    assert repr(one.carried).encode()
