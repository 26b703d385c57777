"""Laws of plug-ins from outside the package: names, identity, and the way to another process."""

from __future__ import annotations

import dataclasses
import enum
import pickle
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.plugged import DATA, ENCODER, METHOD, OPTIMIZER, TRAINER, joined, written
from tests.trainers.builders import config
from trainers.attempt.isolation import run_trial
from trainers.attempt.source import digests, files_of
from trainers.config import code, foreign, plugins
from trainers.config.base import Runtime, canonical, identity_dump, plain
from trainers.config.code import normalised


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
    mine = config(method="mine")
    assert digests(files_of(mine))["methods/mine"] == code[:8]


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


ENC = """
from typing import Literal
from trainers.config.lazy import nn
from trainers.encoders.base import EncoderConfig

class Config(EncoderConfig):
    name: Literal["enc"] = "enc"

def build(config, shape):
    return nn.Flatten(), 192
"""
HAS_ENC = TRAINER.replace("class Config", "from .enc import Config as Enc\n\nclass Config").replace(
    "    step:", "    inner: Enc = Enc()\n    step:"
)


def test_files_of_one_folder_are_one_package_however_they_are_named() -> None:
    written(Path("own"), enc=ENC, counting=HAS_ENC)
    Path("there").mkdir()
    ids = set()
    for entries in (
        ["./own"],
        ["./own/enc.py", "./own/counting.py"],
        ["own/counting.py", "there/../own/enc.py"],
    ):
        with foreign.knowing({}):
            foreign.join(*entries)
            loop = plugins.config_type("loops", "counting")
            assert type(loop().inner) is plugins.config_type("encoders", "enc")  # type: ignore[attr-defined]
            ids.add(canonical(identity_dump(loop())))
    assert len(ids) == 1 and f'"enc","{foreign.CODE}"' in ids.pop().replace('"name":', "")


def test_a_file_that_is_named_twice_or_renamed_is_no_other_plug_in() -> None:
    written(Path("own"), mine=METHOD)
    Path("there").mkdir()
    assert len(foreign.join("own/mine.py", "there/../own/mine.py")) == 1
    joined(METHOD.replace("1.0", "2.0"), folder=Path("own"))
    foreign.join("there/../own/mine.py")


def test_a_large_folder_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = "".join(f"x{i} = {i}\n" for i in range(3000))
    many = {
        f"m{i}": METHOD.replace('"mine"', f'"m{i}"').replace(
            "from trainers.networks.h", "from . import _shared\nfrom trainers.networks.h"
        )
        for i in range(20)
    }
    written(Path("all"), _shared=shared, **many)
    read = list[str]()
    whole = code._tokens
    monkeypatch.setattr(code, "_tokens", lambda text: read.append(text) or whole(text))
    for _ in range(3):
        assert len(foreign.join("./all")) == 20
    assert read.count(shared) == 1 and len(read) == 21


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Size:
    width: int = 1
    inner: Any = None


def test_fields_of_any_usual_type_have_a_form_for_the_identity() -> None:
    assert plain([Colour.RED, Size(2), frozenset({3, 1, 2}), Decimal("1.5"), 1 + 2j]) == [
        "red",
        {"width": 2, "inner": None},
        [1, 2, 3],
        "1.5",
        "1+2j",
    ]
    with pytest.raises(foreign.PluginError, match="a value of type object in a config has no form"):
        plain(object())


@pytest.mark.parametrize(
    "around", [lambda it: {"a": it}, lambda it: (it,), lambda it: [[it]], lambda it: Size(1, it)]
)
def test_a_plug_in_is_found_however_deep_it_lies(around: Callable[[Any], Any]) -> None:
    one = joined()
    own = config(method="mine")
    assert list(foreign.used_by(around(own))) == [one]
    assert [type(value) for value in foreign.configs_in(around(own))].count(type(own.method)) == 1


def test_a_config_that_is_read_brings_its_code_and_no_name() -> None:
    joined()
    content = pickle.dumps(config(method="mine"))
    with foreign.knowing({}):
        joined(METHOD.replace("1.0", "2.0"))
        assert pickle.loads(content).method.hat == 1.0
        assert config(method="mine").method.hat == 2.0  # type: ignore[attr-defined]


def test_a_trainer_of_ones_own_has_its_code_in_its_identity() -> None:
    joined(TRAINER, "counting")
    own = plugins.config_type("loops", "counting")()
    assert next(iter(identity_dump(own))) == foreign.CODE


def test_a_data_set_an_encoder_and_an_optimizer_of_ones_own_train_together() -> None:
    written(Path("all"), noise=DATA, flat=ENCODER, plain=OPTIMIZER)
    foreign.join("./all")
    own = config(data="noise", encoder="flat", optimizer="plain", epochs=1, batch_size=32)
    outcome = run_trial(own, runtime=Runtime(), folder=None, report=lambda message: None)
    assert outcome.status in ("completed", "collapsed"), outcome.reason
    assert outcome.details["source"].keys() >= {
        "datasets/noise",
        "encoders/flat",
        "optimizers/plain",
    }
    assert "methods/byol.py" in outcome.details["source"]
