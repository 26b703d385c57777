"""Which plug-ins a name means is a matter of the sweep that is read, not of what was read before."""

from __future__ import annotations

import functools
import pickle
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import SpecError, Sweep
from orchestrator.execution.child.trials import on_the_wire
from orchestrator.language.yaml_text import written as as_yaml
from orchestrator.planning.data import larger_than_data, missing_data
from orchestrator.planning.origin import trained_on_other_files
from tests.place import Place
from tests.plugged import COUNTING, METHOD, TRAINER, forgotten, written
from trainers.attempt.source import digests, files_of
from trainers.config import foreign

pytestmark = pytest.mark.filterwarnings("default")
EDITED = TRAINER.replace("epoch * config.step", "epoch + config.step")


@pytest.fixture
def two(place: Place) -> Place:
    """A place with two folders, each with a trainer of one name and a sweep of it."""
    for folder, text in (("a", TRAINER), ("b", EDITED)):
        written(place.folder / folder, counting=text)
        place.write(as_yaml(COUNTING), f"{folder}/s.yaml")
    return place


def ids(sweep: Sweep) -> list[str]:
    return [trial.id for trial in sweep.trials]


def test_a_sweep_without_a_plug_in_has_none_of_the_sweep_before(two: Place) -> None:
    two.write(as_yaml({key: value for key, value in COUNTING.items() if key != "plugins"}), "none.yaml")
    said = two.orch("validate", "a/s.yaml", "none.yaml", code=2)
    assert said.stdout.startswith("a/s.yaml: ok")
    assert said.stderr.startswith("none.yaml:4: trainer: no trainer named 'counting'")


def test_sweeps_of_two_folders_have_each_their_own_plug_in_of_one_name(two: Place) -> None:
    assert two.orch("validate", "a/s.yaml", "b/s.yaml").stdout.count(": ok") == 2
    assert "0 trials shared, 2 only in the first, 2" in two.orch("diff", "a/s.yaml", "b/s.yaml").stdout


def test_a_sweep_that_is_expanded_late_has_the_code_that_it_was_read_with(place: Place) -> None:
    written(place.folder, counting=TRAINER)
    spec = COUNTING | {"profiles": {"laptop": {"step": 3}, "paper": {"step": 4}}, "axes": {}, "tables": []}
    old = Sweep(spec)
    before = [[trial.id for trial in made.trials] for made in old.every_profile]
    written(place.folder, counting=EDITED)
    new = Sweep(old.spec)
    assert [[trial.id for trial in made.trials] for made in old.every_profile] == before
    assert [[trial.id for trial in made.trials] for made in new.every_profile] != before


def test_what_comes_from_another_process_changes_no_name(place: Place) -> None:
    written(place.folder, counting=TRAINER)
    old = Sweep(COUNTING)
    content, sent = pickle.dumps(old.trials[0].config), on_the_wire(old.trials)
    written(place.folder, counting=EDITED)
    assert pickle.loads(content) == sent.specs()[0].config == old.trials[0].config
    new = ids(Sweep(COUNTING))
    assert pickle.loads(content) == old.trials[0].config
    assert ids(Sweep(COUNTING)) == new != ids(old)
    assert foreign.names("loops") == set()


def test_an_edited_helper_is_told_wherever_the_sweep_file_lies(place: Place) -> None:
    text = TRAINER.replace("FIGURES", "from . import helpers\n\nFIGURES", 1)
    written(place.folder / "own", counting=text, helpers="K = 1\n")
    (place.folder / "sweeps").mkdir()
    (place.folder / "link").symlink_to("own")
    for entry in ("../own/counting.py", "../link/counting.py"):
        place.write(as_yaml(COUNTING | {"plugins": [entry]}), "sweeps/s.yaml")
        written(place.folder / "own", helpers="K = 1\n")
        before = ids(Sweep.load("sweeps/s.yaml"))
        written(place.folder / "own", helpers="K = 2\n")
        assert set(before).isdisjoint(ids(Sweep.load("sweeps/s.yaml")))
        written(place.folder / "own", counting=text.replace("from . import", "import"))
        with pytest.raises(SpecError, match=r"counting.py:8: imports 'helpers', a file beside it"):
            Sweep.load("sweeps/s.yaml")
        written(place.folder / "own", counting=text)


DATA = """
from typing import Literal
from trainers.datasets.base import DatasetConfig

class Config(DatasetConfig):
    name: Literal["noise"] = "noise"
    tags: list[str] = ["a"]

def load(config, *, root, download):
    raise NotImplementedError

def missing(config, *, root):
    return f"no noise of {config.tags}"

def for_training(config, *, root):
    return 10

def listing(config, *, root):
    return [("a.png", 1)]
"""


def test_a_data_set_whose_config_has_no_hash_is_asked_for_its_files(place: Place) -> None:
    written(place.folder, noise=DATA)
    base = {"trainer": "ssl", "method": "byol", "data": "noise", "encoder": "mlp", "batch_size": 16}
    axes = {"tags": {"path": "data.tags", "values": [["a"], ["b"]]}}
    sweep = Sweep(
        COUNTING | {"plugins": ["./noise.py"], "base": base, "axes": axes, "tables": [], "figures": []}
    )
    assert list(missing_data(sweep.trials, None)) == ["no noise of ['a']", "no noise of ['b']"]
    assert len(list(larger_than_data(sweep.expansion.cells, None))) == 2
    records: Any = {trial.id: SimpleNamespace(data_listing="2 files") for trial in sweep.trials}
    (first,) = trained_on_other_files(sweep.trials, records, None).values()
    assert first.startswith("noise 'noise': its folder has 1 file")


def test_a_plug_in_in_a_mapping_travels_and_is_told_of(place: Place) -> None:
    kind = 'dict[str, Annotated[SerializeAsAny[MethodConfig], Plugin("methods")]]'
    text = TRAINER.replace("    step:", f"    parts: {kind} = {{}}\n    step:")
    imports = (
        "from typing import Annotated\nfrom pydantic import SerializeAsAny\n"
        "from trainers.config.plugins import Plugin\nfrom trainers.methods.base import MethodConfig\n"
    )
    written(place.folder, counting=text.replace("FIGURES", f"{imports}\nFIGURES", 1), mine=METHOD)
    base = {"trainer": "counting", "parts": {"a": "mine", "b": "byol"}}
    sweep = Sweep(COUNTING | {"plugins": ["./mine.py", "./counting.py"], "base": base})
    sent = on_the_wire(sweep.trials)
    assert sorted(one.place for one in sent.plugins) == ["counting.py", "mine.py"]
    assert sent.specs()[0].config == sweep.trials[0].config
    told = digests(files_of(sweep.trials[0].config))
    assert told.keys() == {"trainers", "loops/counting", "methods/mine", "methods/byol.py"}


def test_a_value_that_no_id_can_be_made_of_is_told(place: Place) -> None:
    text = TRAINER.replace("    step:", "    odd: Any = object()\n    step:")
    text = text.replace("import Literal", "import Any, Literal")
    written(place.folder, counting=text)
    with pytest.raises(
        SpecError, match="odd: a value of type object in a config has no form that an id could"
    ):
        Sweep(COUNTING)


def test_the_schema_leaves_out_a_package_that_is_broken_and_doctor_tells(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {("methods", name): (EntryPoint(name, "not_there", "orch.methods"),) for name in ("lost", "byol")}
    monkeypatch.setattr(foreign, "installed", functools.cache(lambda: there))
    assert '"lost"' not in place.orch("schema").stdout
    said = place.orch("doctor", code=2).stdout
    assert "not_there: cannot be imported: ModuleNotFoundError" in said
    assert "method 'byol' of not_there is not used: orch has one of that name" in said


def test_a_file_that_several_plug_ins_import_travels_once(place: Place) -> None:
    heads = "from trainers.networks.heads"
    text = METHOD.replace(heads, f"from . import _hat\n{heads}")
    written(
        place.folder / "all",
        one=text.replace("mine", "one"),
        two=text.replace("mine", "two"),
        _hat="HAT = 1\n",
    )
    base = {"trainer": "ssl", "data": "shapes", "encoder": "mlp"}
    axes = {"method": {"path": "method.name", "values": ["one", "two"]}}
    sweep = Sweep(COUNTING | {"plugins": ["./all/"], "base": base, "axes": axes, "tables": [], "figures": []})
    sent = on_the_wire(sweep.trials)
    assert sent.model_dump_json().count("HAT = 1") == 1
    with forgotten():
        assert [trial.config.method.name for trial in sent.specs()] == ["one", "two"]  # type: ignore[attr-defined]


def test_a_file_is_called_as_what_it_holds(place: Place) -> None:
    written(place.folder, byol=METHOD)
    (one,) = foreign.join("./byol.py")
    assert one.label == "methods/mine"


def test_a_sweep_keeps_its_plug_ins_when_the_working_folder_is_another(
    two: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(two.folder, counting=TRAINER)
    sweeps = [Sweep.load("a/s.yaml"), Sweep(COUNTING)]
    monkeypatch.chdir("b")
    for sweep in sweeps:
        assert ids(Sweep(sweep.spec)) == ids(sweep)
    sweeps[1].save("saved.yaml")
    assert "- ./../counting.py" in Path("saved.yaml").read_text()
