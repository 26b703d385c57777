"""Laws of plug-ins from outside the package: names, identity, and the way to another process."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.plugged import DATA, ENCODER, METHOD, OPTIMIZER, TRAINER, written
from tests.trainers.builders import config
from trainers.attempt.isolation import run_trial
from trainers.attempt.source import digests, files_of
from trainers.config import foreign, plugins
from trainers.config.base import Runtime, canonical, identity_dump
from trainers.config.code import normalised
from trainers.config.examined import PluginError


def joined(text: str = METHOD, name: str = "mine", folder: Path | None = None) -> foreign.Foreign:
    (one,) = foreign.join(f"{written(folder or Path.cwd(), **{name: text}) / name}.py")
    return one


def refused(*entries: str) -> list[str]:
    with pytest.raises(PluginError) as caught:
        for entry in entries:
            foreign.join(entry)
    return str(caught.value).splitlines()


def test_a_file_joins_the_family_whose_base_class_its_config_has() -> None:
    assert (joined().kind, joined(TRAINER, "counting").kind) == ("methods", "loops")
    assert "mine" in plugins.names("methods") and "counting" in plugins.names("loops")
    assert config(method={"name": "mine", "momentum": 0.5}).method.name == "mine"


def test_a_foreign_plug_in_has_in_common_what_its_base_class_has() -> None:
    joined()
    assert "momentum" in plugins.shared_fields("methods", "byol", "mine")


def test_a_misspelt_field_of_a_foreign_plug_in_is_refused() -> None:
    joined()
    with pytest.raises(ValidationError, match="no such field"):
        config(method={"name": "mine", "heat": 1})


def test_without_a_version_the_source_is_the_identity_and_its_layout_is_not() -> None:
    first = joined().carried.code
    same = METHOD.replace("class Config", "# why\n\n\nclass  Config").replace('"""Mine."""', '"""Ours!"""')
    assert joined(same).carried.code == first
    assert joined(METHOD.replace("1.0", "2.0")).carried.code != first


def test_a_declared_version_is_the_identity_whatever_the_source_is() -> None:
    one, two = (joined(f"{METHOD}\nVERSION = 3\nx = {x}\n") for x in (1, 2))
    assert one.carried.code == two.carried.code == "version 3"
    assert one.digest != two.digest  # which provenance tells


def test_the_digest_of_a_source_is_pinned() -> None:
    assert joined().carried.code == "f688282270f3"


def test_f_strings_are_one_token_in_every_python() -> None:
    assert normalised("x = f'a{b!r:>{3}}'  # c\n") == "x = f'a{b!r:>{3}}'"
    assert normalised('f"""a\n\nb"""\n"""doc"""\n') == 'f"""a\n\nb"""'


def test_identity_has_a_plug_ins_code_and_nothing_of_the_packages_own() -> None:
    built_in = canonical(identity_dump(config()))
    code = joined().carried.code
    assert canonical(identity_dump(config())) == built_in and foreign.CODE not in built_in
    assert identity_dump(config(method="mine"))["method"][foreign.CODE] == code
    assert digests(files_of(config(method="mine")))["methods/mine.py"] == code[:8]


def test_what_a_file_imports_from_beside_it_is_part_of_its_identity() -> None:
    text = METHOD.replace(
        "from trainers.networks.heads", "from ._hat import HAT\nfrom trainers.networks.heads"
    )
    written(Path.cwd(), _hat="HAT = 1\n", unrelated="x = 1\n")
    first = joined(text)
    assert sorted(name.rpartition(".")[2] for name in first.carried.files) == ["_hat", "mine"]
    written(Path.cwd(), _hat="HAT = 2\n", unrelated="x = 2\n")
    second = joined(text)
    assert second.carried.code != first.carried.code
    assert (plugins.behind(first.config).HAT, plugins.behind(second.config).HAT) == (1, 2)


def test_an_edited_file_is_another_module_and_old_configs_keep_their_code() -> None:
    joined()
    old = config(method="mine")
    joined(METHOD.replace("def build", "EDITED = 1\n\n\ndef build"))
    assert not hasattr(plugins.behind(type(old.method)), "EDITED")
    assert hasattr(plugins.behind(type(config(method="mine").method)), "EDITED")


def test_a_folder_stands_for_its_files_without_those_that_they_share(tmp_path: Path) -> None:
    family = METHOD.replace('Literal["mine"] = "mine"', "str")
    one, two = (
        f"from typing import Literal\nfrom ._family import Config as Family, build\n\n\n"
        f'class Config(Family):\n    name: Literal["{name}"] = "{name}"\n'
        for name in ("one", "two")
    )
    written(tmp_path / "all", one=one, two=two, _family=family, base="x = 1\n")
    made = foreign.join(f"{tmp_path}/all")
    assert [plugin.name for plugin in made] == ["one", "two"]
    assert plugins.shared_fields("methods", "one", "two") >= {"hat", "momentum"}


def test_a_config_is_read_in_a_process_that_has_never_seen_the_file() -> None:
    joined()
    content = pickle.dumps(config(method={"name": "mine", "hat": 3}))
    Path("mine.py").unlink()
    code = (
        "import pickle, sys\n"
        "config = pickle.loads(sys.stdin.buffer.read())\n"
        "from trainers.config.plugins import behind\n"
        "from trainers.config.base import canonical, identity_dump\n"
        "print(behind(type(config.method)).build.__name__, canonical(identity_dump(config)))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"build {canonical(identity_dump(pickle.loads(content)))}"


def test_a_config_of_the_packages_own_is_pickled_without_code() -> None:
    joined()
    assert b"_unpickled" not in pickle.dumps(config())
    assert pickle.loads(pickle.dumps(config())) == config()


def test_other_code_of_an_installed_plug_in_is_refused_where_it_arrives() -> None:
    carried = foreign.Carried("mine", joined().carried.module, "version 2")
    with pytest.raises(PluginError, match="where the sweep was started; install the same everywhere"):
        foreign.receive([carried])


# Installed packages


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
    assert one.carried.files == {} and one.label == "methods/hats.tall"


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
        codes += [one.carried.code for one in foreign.join(f"{package}.tall")]
        foreign.forget()
    assert codes[0] == codes[1] != codes[2]


def test_an_installed_module_that_is_edited_keeps_the_identity_of_what_was_imported(site: Path) -> None:
    written(site, brim=METHOD)
    (first,) = foreign.join("brim")
    written(site, brim=METHOD.replace("1.0", "2.0"))
    assert foreign.join("brim") == [first]  # as Python keeps the module, until a process begins anew


def test_a_data_set_an_encoder_and_an_optimizer_of_ones_own_train_together() -> None:
    written(Path("all"), noise=DATA, flat=ENCODER, plain=OPTIMIZER)
    foreign.join("./all")
    own = config(data="noise", encoder="flat", optimizer="plain", epochs=1, batch_size=32)
    outcome = run_trial(own, runtime=Runtime(), folder=None, report=lambda message: None)
    assert outcome.status in ("completed", "collapsed"), outcome.reason
    assert outcome.details["source"].keys() >= {
        "datasets/noise.py",
        "encoders/flat.py",
        "optimizers/plain.py",
    }
    assert "methods/byol.py" in outcome.details["source"]


# What is wrong with one

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
    monkeypatch.setattr("trainers.config.examined.MOST_BYTES", 100)
    written(Path.cwd(), mine=METHOD)
    assert refused("./mine.py") == ["mine.py: larger than the 100 bytes that travel with a trial"]


def test_every_wrong_file_of_a_folder_has_its_line() -> None:
    written(Path("all"), a="def\n", b=METHOD, c="import nowhere\n", d="def\n")
    assert [line.partition(":")[0] for line in refused("./all")] == ["all/a.py", "all/d.py"]


def test_a_trainer_of_ones_own_has_its_code_in_its_identity() -> None:
    joined(TRAINER, "counting")
    own = plugins.config_type("loops", "counting")()
    assert next(iter(identity_dump(own))) == foreign.CODE
