"""Laws of plug-ins that are modules of installed packages."""

from __future__ import annotations

import functools
import importlib
import pickle
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.plugged import METHOD, refused, written
from tests.trainers.builders import config
from trainers.config import foreign, plugins
from trainers.config.base import identity_dump

HEADS = "from trainers.networks.heads"


def entries(name: str, module: str) -> Any:
    found = {("methods", name): (EntryPoint(name, module, "orch.methods"),)}
    return functools.cache(lambda: found)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path / "site"


def test_an_installed_package_joins_by_its_entry_point(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(site / "hats", tall=METHOD, __init__="", _used="")
    monkeypatch.setattr(foreign, "installed", entries("mine", "hats.tall"))
    assert "mine" in plugins.names("methods")
    assert config(method="mine").method.name == "mine"
    (one,) = foreign.used_by(config(method="mine"))
    assert one.carried.files == {} and one.label == "methods/mine"


def test_an_entry_point_of_another_name_than_its_config_is_told(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(site, tall_hat=METHOD)
    monkeypatch.setattr(foreign, "installed", entries("yours", "tall_hat"))
    with pytest.raises(ValidationError, match="entry point says method 'yours'"):
        config(method="yours")


def test_what_an_importable_module_imports_of_its_package_is_part_of_its_identity(site: Path) -> None:
    text = METHOD.replace("from trainers.networks.heads", "from . import _hat\nfrom trainers.networks.heads")
    codes = []
    for package, height in (("caps", 1), ("kepis", 1), ("hoods", 2)):
        written(site / package, tall=text, __init__="", _hat=f"HAT = {height}\n")
        with foreign.knowing({}):
            codes += [one.carried.code for one in foreign.join(f"{package}.tall")]
    assert codes[0] == codes[1] != codes[2]


def test_other_code_of_an_installed_plug_in_is_refused_where_it_arrives(site: Path) -> None:
    written(site, bowler=METHOD)
    carried = foreign.Carried("mine", "bowler", "version 2")
    with pytest.raises(foreign.PluginError, match="where the sweep was started; install the same everywhere"):
        foreign.receive([carried])


def test_an_installed_module_that_is_edited_is_refused_but_where_it_is_trained_already(site: Path) -> None:
    tall = METHOD.replace(HEADS, f"from . import _hat\n{HEADS}")
    tall += "\ndef later():\n    from . import _late\n    return _late\n"
    files = {"tall": tall, "_hat": "HAT = 1\n", "_late": "LATE = 1\n"}
    written(site / "crown", __init__="", **files)
    (first,) = foreign.join("crown.tall")
    content = pickle.dumps(config(method="mine"))
    for name, text in files.items():
        written(site / "crown", **{name: f"# a comment\n{text}"})
        assert foreign.join("crown.tall")[0].carried.code == first.carried.code
        written(site / "crown", **{name: f"{text}edited = 1\n"})
        (line,) = refused("crown.tall")
        assert "has changed in the life of this process" in line
        assert pickle.loads(content) == config(method="mine")
        written(site / "crown", **{name: text})


def test_code_that_was_imported_before_it_was_edited_is_refused(site: Path) -> None:
    for name in ("derby", "fez", "helm"):
        written(
            site / name,
            tall=METHOD.replace(HEADS, f"from . import _hat\n{HEADS}"),
            __init__="",
            _hat="HAT = 1\n",
        )
    importlib.import_module("derby.tall")
    written(site / "derby", tall=f"{METHOD}\nedited = 1\n")
    importlib.import_module("fez._hat")
    written(site / "fez", _hat="HAT = 2\n")
    for name, file in (("derby", "tall"), ("fez", "_hat")):
        (line,) = refused(f"{name}.tall")
        assert f"{name}/{file}.py has changed in the life of this process" in line
        assert line.endswith("begin a new one, or name the file in `plugins`, which is read anew")
    assert foreign.join("helm.tall")


def test_a_file_that_is_older_than_this_process_may_have_been_imported(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.config.fresh._is_newer_than_this_process", lambda path: False)
    written(site, boater=METHOD)
    importlib.import_module("boater")
    assert foreign.join("boater")


def test_a_module_that_is_reloaded_keeps_its_identity_and_is_refused_if_edited(
    site: Path,
) -> None:
    written(site, beret=METHOD)
    (one,) = foreign.join("beret")
    old = config(method="mine")
    importlib.reload(sys.modules["beret"])
    with pytest.raises(foreign.PluginError, match="beret: was reloaded since this sweep was made"):
        plugins.behind(type(old.method))
    with foreign.knowing({}):
        foreign.join("beret")
        new = config(method="mine")
        assert identity_dump(new) == identity_dump(old)
        assert identity_dump(new)["method"][foreign.CODE] == one.carried.code
        assert plugins.behind(type(new.method)).build
    written(site, beret=METHOD.replace("1.0", "2.0"))
    importlib.reload(sys.modules["beret"])
    assert "beret.py has changed in the life of this process" in refused("beret")[0]


def test_a_config_is_of_the_class_that_was_found_whatever_the_module_has_now(site: Path) -> None:
    written(site, tiara=METHOD)
    (one,) = foreign.join("tiara")
    importlib.reload(sys.modules["tiara"])
    assert plugins.config_type("methods", "mine") is one.config
    assert identity_dump(config(method="mine"))["method"][foreign.CODE] == one.carried.code


def test_what_an_installed_module_may_import_later_is_read_and_not_imported(site: Path) -> None:
    lazy = f"{METHOD}\n\ndef later():\n    from turban.gpu.kernel import K\n    return K\n"
    written(site / "turban", tall=lazy, __init__="")
    written(site / "turban" / "gpu", __init__="raise SystemExit('no GPU')\n", kernel="K = 1\n")
    (first,) = foreign.join("turban.tall")
    assert "turban.gpu" not in sys.modules
    written(site / "bonnet", tall=lazy.replace("turban", "bonnet"), __init__="")
    written(site / "bonnet" / "gpu", __init__="raise SystemExit('no GPU')\n", kernel="K = 2\n")
    with foreign.knowing({}):
        (second,) = foreign.join("bonnet.tall")
    assert first.carried.code != second.carried.code


def test_an_installed_package_cannot_take_a_built_in_ones_name(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(site, evil=METHOD.replace('"mine"', '"byol"') + "\n1 / 0\n")
    monkeypatch.setattr(foreign, "installed", entries("byol", "evil"))
    assert type(config(method="byol").method).__module__ == "trainers.methods.byol"
    assert "evil" not in sys.modules


def test_what_a_plug_in_prints_when_it_is_imported_is_no_answer(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(site, cloche=f"{METHOD}\nprint('hello')\n")
    foreign.join("cloche")
    assert tuple(capsys.readouterr()) == ("", "hello\n")
