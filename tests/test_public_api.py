"""What `from orchestrator import ...` promises: the same results and the same errors as the command."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orchestrator
from orchestrator import OrchError, SpecError, Sweep, SweepSpec, TableSpec, UsageError
from orchestrator.commands.request import Request
from orchestrator.events import Event, Finished
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.workspace import Workspace
from tests.builders import INFO, expansion, table_yaml
from tests.place import Place
from tests.recording.test_bundle import exported, filled
from tests.scripted import REPORTING, SWEEP, script
from tests.trainers.builders import TINY

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and pandas warn about themselves
ROOT = Path(__file__).parents[1]
FIGURES = "figures:\n  - {kind: eigenspace}\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Place:
    """A sweep that the command has trained."""
    place = Place(tmp_path_factory.mktemp("api"))
    (place.folder / "runs").mkdir()
    (place.folder / "runs" / "mlflow.db").write_bytes(database.read_bytes())
    place.write(table_yaml() + FIGURES)
    place.orch("sweep", "sweep.yaml", "--executor", "serial", "--quiet")
    return place


@pytest.fixture
def sweep(trained: Place, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(trained.folder)
    return Sweep.load("sweep.yaml")


def test_the_list_of_names_is_complete_and_sorted() -> None:
    assert orchestrator.__all__ == sorted(orchestrator.__all__)
    for name in orchestrator.__all__:
        found = getattr(orchestrator, name)
        assert name == "__version__" or (found.__name__ == name and found.__doc__)
    with pytest.raises(AttributeError, match="no attribute 'Sweeep'"):
        orchestrator.Sweeep  # noqa: B018
    assert (ROOT / "orchestrator" / "py.typed").exists()


def test_importing_and_loading_a_sweep_loads_no_framework() -> None:
    code = (
        "import sys; from orchestrator import Sweep; Sweep.load('sweeps/smoke.yaml', home='nowhere').plan();"
        "print({'torch', 'ray', 'mlflow', 'pandas', 'matplotlib', 'typer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_its_tables_are_the_commands(sweep: Sweep, trained: Place) -> None:
    assert str(sweep.table()) == trained.orch("table", "sweep.yaml").stdout
    assert sweep.table("main").to_latex() == trained.orch("table", "sweep.yaml", "-f", "tex").stdout
    assert sweep.table()._repr_html_() == trained.orch("table", "sweep.yaml", "-f", "html").stdout
    frame = sweep.table().frame()
    assert list(frame.index.names) == ["row", "column"] and (frame["n"] == 2).all()


def test_a_frame_has_a_row_for_every_trial(sweep: Sweep) -> None:
    frame = sweep.frame()
    assert list(frame.index) == [trial.id for trial in sweep.trials]
    assert set(frame["status"]) <= {"completed", "collapsed"}
    records = sweep.records()
    assert [records[i].metrics["probe/top1"] for i in frame.index] == list(frame["probe/top1"])
    with_more = Sweep(sweep.spec, seeds=3)
    assert list(with_more.frame()["status"]).count("missing") == len(with_more.plan().todo) > 0


def test_curves_and_spectra_have_the_shapes_that_are_promised(sweep: Sweep) -> None:
    curves = sweep.curves()
    assert list(curves.columns) == ["trial", "cell", "seed", "epoch", "metric", "value"]
    losses = curves[curves["metric"] == "train/loss"]
    assert set(losses["trial"]) == {trial.id for trial in sweep.trials}
    cell = sweep.trials[0].cell.label
    for seed, found in sweep.spectra(cell).items():
        assert seed in sweep.expansion.seeds
        assert found["F"].shape[0] == len(found["epochs"]) and found["F"].ndim == 2
        assert np.isfinite(found["F"]).all()


def test_a_figure_is_matplotlibs(sweep: Sweep, tmp_path: Path) -> None:
    sweep.figure("eigenspace").savefig(tmp_path / "own.png")
    sweep.figure("curves", columns=["train/loss"]).savefig(tmp_path / "other.png")
    assert min(path.stat().st_size for path in tmp_path.glob("*.png")) > 5000


def test_a_user_mistake_is_an_exception_with_the_commands_words(sweep: Sweep, trained: Place) -> None:
    mistakes = {
        "Sweep.load reads a file": lambda: Sweep("sweep.yaml"),  # type: ignore[arg-type]
        "only a file extends another": lambda: Sweep({"extends": "sweep.yaml"}),
        "did you mean 'sweep.yaml'": lambda: Sweep.load("sweeep.yaml"),
        "no figure kind named 'nope'": lambda: sweep.figure("nope"),
        "no table 'nope'": lambda: sweep.table("nope"),
        "no cell 'nope'": lambda: sweep.spectra("nope"),
        "no such file": lambda: Sweep.load("nope.yaml"),
        "seeds=0: expected a number": lambda: Sweep(sweep.spec, seeds=0),
        "seeds=.1, 1.: expected": lambda: Sweep(sweep.spec, seeds=[1, 1]),
        "seeds=1.5: expected": lambda: Sweep(sweep.spec, seeds=1.5),  # type: ignore[arg-type]
        "kind slope has no columns": lambda: sweep.figure("slope", columns=["F"]),
        "record nothing for kind phase": lambda: sweep.figure("phase"),
        "figure 'curves': colums: ": lambda: sweep.figure("curves", colums=["F"]),
        "has no results to draw yet; run it": lambda: Sweep(sweep.spec, home="nowhere").figure("curves"),
        "optimizer.lrr: no such field": lambda: Sweep(sweep.spec, changes={"optimizer.lrr": 1}),
        "no profile 'nope'": lambda: Sweep(sweep.spec, profile="nope"),
        "no executor 'nope'": lambda: sweep.run("nope"),
    }
    for words, mistake in mistakes.items():
        with pytest.raises(OrchError, match=words):
            mistake()
    assert "no such file" in trained.orch("plan", "nope.yaml", code=2).stderr


def plain(**changes: object) -> dict[str, Any]:
    base = TINY | {"trainer": "ssl", "epochs": 1, "probe": {"epochs": 1}}
    axes = {"ema": {"EMA": {"method.momentum": 0.9}, "no EMA": {"method.momentum": 0.0}}}
    whole = {
        "version": 1,
        "name": "built",
        "base": base,
        "axes": axes,
        "tables": [{"name": "main", "rows": "ema"}],
    }
    return whole | changes


def built(**changes: object) -> SweepSpec:
    return SweepSpec.model_validate(plain(**changes))


def test_a_sweep_built_in_python_runs_inside_an_event_loop(ready: Place) -> None:
    heard: list[Event] = []

    async def notebook() -> Sweep:
        sweep = Sweep(built(), home=ready.folder / "runs")
        result = sweep.run("serial", say=lambda line: None, on_event=heard.append)
        assert result.trained["completed"] + result.trained["collapsed"] == 2
        return sweep

    sweep = asyncio.run(notebook())
    assert sum(isinstance(event, Finished) for event in heard) == 2
    assert sweep.plan().todo == () and list(sweep.table().rows) == ["EMA", "no EMA"]
    assert repr(sweep) == "<Sweep built: 2 cells × 1 seed = 2 trials>"
    assert repr(sweep.plan()) == "<Plan: 0 to train, 2 done>"


@pytest.mark.slow
def test_a_sweep_for_narrow_intervals_has_the_seeds_that_its_run_added(ready: Place) -> None:
    script(REPORTING)
    sweep = Sweep(SWEEP | {"figures": []}, home=ready.folder / "runs", precision=1.0, max_seeds=4)
    assert len(sweep.trials) == 2 * 2
    sweep.run("serial", say=lambda line: None)
    sweep.save("saved.yaml")
    command = ready.orch("table", "saved.yaml", "--precision", "1", "--max-seeds", "4").stdout
    assert str(sweep.table()) == command and "reached in every cell" in command
    assert len(sweep.trials) == 2 * 3 == len(sweep.plan().done) == len(sweep.frame())
    assert sweep.run("serial", say=lambda line: None).trained.total() == 0
    assert str(sweep.table()) == command


def test_a_sweep_that_is_kept_in_memory_is_trained_once_in_this_process_and_leaves_no_store(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    for todo in (2, 0):
        sweep = Sweep(built(), home=tmp_path / "runs", tracking_uri=f"memory:{tmp_path}")
        assert len(sweep.plan().todo) == todo
        sweep.run("serial", say=said.append)
        assert "ends with this process" in said[-1]
        assert list(sweep.table().rows) == ["EMA", "no EMA"] and not sweep.plan().todo
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left.isdisjoint({"mlflow.db", "artifacts", "journal"}) and not list(sweep.space.journals.iterdir())


def test_looking_for_the_profile_with_results_opens_the_store_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = table_yaml() + "profiles: {laptop: {epochs: 1}, a: {epochs: 2}, b: {epochs: 3}}\n"
    (file := tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    stores: list[MemoryStore] = []

    def opened(space: Workspace) -> MemoryStore:
        store, trial = MemoryStore(), Sweep.load(file, profile="b").trials[0]
        store.begin(trial.facts, INFO)
        stores.append(store)
        return store

    monkeypatch.setattr(Workspace, "open_store", opened)
    found = Sweep.load(file, prefer_profile_with_results=True)
    assert (found.profile, found.why) == ("b", "it has results") and len(stores) == 1


def test_a_spec_may_be_plain_and_seeds_be_numpys(tmp_path: Path) -> None:
    sweep = Sweep(plain(), seeds=np.arange(3), home=tmp_path, checkpoints=tmp_path / "kept", profile=None)
    assert sweep.expansion.seeds == (0, 1, 2) and len(sweep.frame()) == 6
    assert len(Sweep(plain(), seeds=np.int64(2)).trials) == 4
    with pytest.raises(SpecError, match=r"sweep: name: "):
        Sweep(plain(name="a b"))
    axes = {"seed": {"low": {"epochs": 1}, "high": {"epochs": 2}}}
    frame = Sweep(plain(axes=axes, tables=[]), home=tmp_path).frame()
    assert list(frame["axis.seed"]) == ["low", "high"] and set(frame["seed"]) == {0}


def test_a_spec_survives_being_dumped_and_read_again() -> None:
    conditional = {"path": "method.tau", "values": [1, 2], "when": {"ema": "EMA"}}
    spec = built(tables=[], axes=plain()["axes"] | {"lr": {"path": "optimizer.lr", "values": [0.1, 0.2]}})
    again = Sweep(spec.model_dump(mode="json"))
    assert [trial.id for trial in again.trials] == [trial.id for trial in Sweep(spec).trials]
    axis = SweepSpec.model_validate(plain(axes=plain()["axes"] | {"m": conditional})).axes["m"]
    assert axis.model_dump() == {
        "levels": {"1": {"method.tau": 1}, "2": {"method.tau": 2}},
        "when": {"ema": ["EMA"]},
    }


@pytest.mark.parametrize("values", [(0.1, 0.2), np.array([0.1, 0.2]), [np.float64(0.1), np.float64(0.2)]])
def test_values_may_be_what_python_has_and_come_back_as_numbers(values: Any, tmp_path: Path) -> None:
    axes = {"lr": {"path": "optimizer.lr", "values": values}, "ema": plain()["axes"]["ema"]}
    sweep = Sweep(plain(axes=axes, tables=[]), home=tmp_path)
    usual = Sweep(
        plain(tables=[], axes=axes | {"lr": {"path": "optimizer.lr", "values": [0.1, 0.2]}}), home=tmp_path
    )
    assert [trial.id for trial in sweep.trials] == [trial.id for trial in usual.trials]
    frame = sweep.frame()
    assert sorted(set(frame["lr"])) == [0.1, 0.2] and set(frame["ema"]) == {"EMA", "no EMA"}


def test_what_failed_is_said_and_a_second_ctrl_c_is_pythons_own(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.errors import Interrupted
    from orchestrator.execution import drive

    said: list[str] = []
    unfit = {"method": "supervised", "projector.probed_blocks": 1}
    broken = built(axes={"b": {"fits": {"epochs": 1}, "unfit": unfit}}, tables=[])
    result = Sweep(broken, home=ready.folder / "runs").run("serial", say=said.append)
    assert result.failed == 1 and repr(result) == "<SweepResult: 1 completed, 1 failed>"
    assert [line for line in said if line.startswith("failed: unfit · seed 0")]
    assert [line for line in said if line.startswith("[1/2] ") and "fits · seed 0: completed" in line]
    frame = Sweep(broken, home=ready.folder / "runs").frame().set_index("cell")
    assert frame.loc["unfit", "error"] == "code" and "projector" in frame.loc["unfit", "reason"]

    def stop(*_: object, **__: object) -> None:
        raise Interrupted

    monkeypatch.setattr(drive, "prepare", stop)
    with pytest.raises(KeyboardInterrupt):
        Sweep(broken, home=ready.folder / "runs").run("serial")


def test_what_is_said_and_raised_names_what_can_be_typed_or_called_about_the_same_sweep(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "`orch sweep SPEC --keep encoder --retrain-unkept` trains it; "
    line += "`orch sweep` goes on; `orch ui` shows it"

    def refuse(*_: object, say: Callable[[str], None]) -> None:
        say(line)
        raise UsageError(line)

    def told(sweep: Sweep) -> str:
        said: list[str] = []
        with pytest.raises(UsageError) as raised:
            sweep.run("serial", say=said.append)
        assert said == [str(raised.value)]
        return said[0]

    monkeypatch.setattr("orchestrator.execution.drive.prepare", refuse)
    place.write(table_yaml())
    asked = "--home 'my runs' --seeds 0,2, --set epochs=1"
    assert told(Sweep.load("sweep.yaml", home="my runs", seeds=[0, 2], changes={"epochs": 1})) == (
        f"`orch sweep sweep.yaml --keep encoder --retrain-unkept {asked}` trains it; "
        f"`orch sweep sweep.yaml {asked}` goes on; `orch ui --home 'my runs'` shows it"
    )
    assert told(Sweep(built(), home=place.folder)) == (
        "`sweep.run(keep=['encoder'], retrain_unkept=True)` trains it; `sweep.run()` goes on; "
        f"`orch ui --home {place.folder}` shows it"
    )


def test_a_bundle_that_python_reads_is_trained_by_what_its_import_makes_possible(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UsageError("`orch sweep SPEC --keep encoder` trains it")

    def told(sweep: Sweep) -> str:
        with pytest.raises(UsageError) as raised:
            sweep.run(keep=["encoder"])
        return str(raised.value)

    monkeypatch.chdir(place.folder)
    monkeypatch.setattr("orchestrator.execution.drive.prepare", refuse)
    whole = expansion()
    exported(place.folder / "tiny.orch.zip", filled(whole), whole)
    first = "`orch import tiny.orch.zip`"
    assert told(Sweep.load("tiny.orch.zip")) == (
        f"the command that {first} prints, with `--keep encoder`, trains it"
    )
    assert told(Sweep.load("tiny.orch.zip", seeds=[0])) == (
        f"the command that {first} prints, with `--keep encoder --seeds 0,`, trains it"
    )
    path = place.folder / "tiny.orch.zip"
    assert told(Sweep.load("sweep.yaml", tracking_uri="tiny.orch.zip")).replace(f"{path}", path.name) == (
        f"{first}, then `orch sweep sweep.yaml --keep encoder`, trains it"
    )


def test_settings_over_a_bundle_join_its_own_as_they_do_on_the_command_line(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    whole = expansion(changes={"epochs": 1})
    exported(place.folder / "tiny.orch.zip", filled(whole), whole, changes={"epochs": 1})
    for how in ({"changes": {"probe.epochs": 2}}, {"changes": None, "seeds": None, "tracking_uri": None}):
        asked = Sweep.load("tiny.orch.zip", **how)
        typed = [f"{path}={value}" for path, value in (how["changes"] or {}).items()]
        request = Request(Path("tiny.orch.zip"), changes=typed)
        assert asked.trials == request.trials and asked.trials[0].config.epochs == 1
        assert asked.space.store_at.text == request.space.store_at.text
        assert asked._typed is not None and asked._typed.flags == request.typed.flags


def test_parts_that_do_not_fit_each_other_are_an_error_without_a_file() -> None:
    with pytest.raises(SpecError, match=r"sweep 'built': tables.0.rows: no axis 'nope'"):
        Sweep(built(tables=[TableSpec(name="main", rows="nope")]))
    with pytest.raises(UsageError, match="no profile 'paper'"):
        Sweep(built(), profile="paper")


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_saved_sweep_asks_for_the_same_trials(file: Path, tmp_path: Path) -> None:
    sweep = Sweep.load(file, profile=None, seeds=1, home=tmp_path)
    sweep.save(tmp_path / "saved.yaml")
    again = Sweep.load(tmp_path / "saved.yaml", profile=None, seeds=1, home=tmp_path)
    assert [trial.id for trial in again.trials] == [trial.id for trial in sweep.trials]
