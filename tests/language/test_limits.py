"""What a sweep file may come to, and what it may read: each limit is one line with its place, at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from orchestrator.language.cells.count import count_cells
from orchestrator.language.load import load_sweep
from orchestrator.planning.expand import expand
from tests.builders import TINY, expansion, sweep, table_yaml, yaml

LONG = "x" * 300


def refused(text: str) -> str:
    started = time.process_time()
    with pytest.raises(SpecError) as caught:
        expand(sweep(text), default_place="sweep.yaml:1")
    assert time.process_time() - started < 2
    (line, *_) = lines = str(caught.value).splitlines()
    assert all(one.startswith(("sweep.yaml:", "... and ")) for one in lines)
    assert all(len(one) < 700 for one in lines)
    return line


def file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def unread(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_sweep(path)
    (line,) = str(caught.value).splitlines()
    return line


# Names


@pytest.mark.parametrize(
    "text",
    [
        table_yaml().replace("name: tiny", f"name: {LONG}"),
        table_yaml().replace("name: main", f"name: {LONG}"),
        table_yaml() + f"figures: [{{kind: curves, name: {LONG}}}]\n",
        table_yaml() + f"profiles: {{{LONG}: {{}}}}\n",
        table_yaml().replace("name: tiny", "name: " + "x" * 201),
    ],
    ids=["sweep", "table", "figure", "profile", "one letter too long"],
)
def test_a_name_that_no_file_may_have_is_refused_when_it_is_read(text: str) -> None:
    assert "at most" in refused(text)


def test_the_longest_names_together_are_a_file_name() -> None:
    long, profile = "x" * 200, "y" * 40
    made = sweep(table_yaml().replace("name: tiny", f"name: {long}") + f"profiles: {{{profile}: {{}}}}\n")
    assert len(f"{made.name}-{next(iter(made.profiles))}.part".encode()) <= 255


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("''", "level '': a label must not be empty"),
        ("'  '", "a label must not be empty"),
        (r'"a\nb"', r"level 'a\nb': a label must be one line without control characters"),
        (r'"\e[31m"', "a label must be one line without control characters"),
        (r'"\u202Eb"', "a label must be one line without control characters"),
        ("é" * 101, "a label may have at most 200 bytes, this has 202"),
    ],
)
@pytest.mark.parametrize(
    "axis", ["{path: epochs, values: [1, 2], labels: [%s, b]}", "{%s: {epochs: 1}, b: {epochs: 2}}"]
)
def test_a_label_is_one_short_line_of_text(axis: str, written: str, says: str) -> None:
    line = refused(yaml(TINY) + f"axes: {{m: {axis % written}}}\n")
    assert line.startswith("sweep.yaml:14: axes.m: level ") and says in line


def test_the_name_of_an_axis_is_one_short_line_of_text() -> None:
    text = yaml(TINY) + f"axes: {{{LONG[:250]}: {{path: epochs, values: [1, 2]}}}}\n"
    assert "the name of an axis may have at most 200 bytes" in refused(text)


def test_the_labels_of_a_cell_together_fit_into_the_name_of_a_run() -> None:
    axes = "".join(f"  a{i}: {{{i}{'x' * 100}: {{optimizer.lr: 0.{i}}}}}\n" for i in range(1, 4))
    assert "its levels together have 311 bytes" in refused(yaml(TINY) + "axes:\n" + axes)


# Numbers


@pytest.mark.parametrize(
    ("axis", "says"),
    [
        ("labels: 5, values: [1, 2]", "labels: expected a list, one for each level; got 5"),
        ("integers: [0, 1e999], samples: 3", "integers: expected [low, high], got [0, inf]"),
        ("integers: [0.5, 3], samples: 2", "integers: expected whole numbers"),
        ("integers: [0, 3], samples: 10000", "only 4 different values to draw, 'samples' asks for 10000"),
        ("choice: [1, 2, 2], samples: 3", "only 2 different values to draw"),
        ("uniform: [0, 1], samples: 100000000", "'samples' may be 10000 at most; got 100000000"),
        ("uniform: [0, 1], samples: 2, sample_seed: a", "'sample_seed' must be a whole number; got 'a'"),
        ("loguniform: [1, 1.00001], samples: 9000", "different values to draw"),
    ],
)
def test_a_sampler_that_cannot_draw_says_so_at_once(axis: str, says: str) -> None:
    assert says in refused(yaml(TINY) + f"axes: {{m: {{path: epochs, {axis}}}}}\n")


def test_a_choice_may_be_between_whole_blocks() -> None:
    text = yaml(TINY).replace("method: {name: byol, predictor: {hidden: 16}}", "method: byol")
    made = expansion(
        text + "axes: {m: {path: method, choice: [{name: byol}, {name: simsiam}], samples: 2}}\n"
    )
    assert sorted(cell.label for cell in made.cells) == ["byol", "simsiam"]
    assert {c.config().method.name for c in made.cells} == {"byol", "simsiam"}  # type: ignore[attr-defined]


def test_more_than_a_million_trials_ask_for_a_flag() -> None:
    lines = [f"  a{i}: {{path: epochs, values: [{', '.join(map(str, range(1, 11)))}]}}\n" for i in range(9)]
    line = refused(yaml(TINY) + "axes:\n" + "".join(lines))
    assert line.startswith("sweep.yaml:14: axes: more than 1000000 trials") and "--trust" in line
    assert "more than 1000000 trials" in refused(
        yaml(TINY) + "axes:\n" + "".join(lines[:3]) + "seeds: 9999\n"
    )


def test_cells_are_counted_without_being_made() -> None:
    conditions = "  b: {when: {m: a}, path: epochs, values: [1, 2, 3]}\n  c: {when: {b: '1'}, x: {}, y: {}}\n"
    conditions = conditions.replace(
        "{when: {b: '1'}, x: {}, y: {}}", "{when: {b: 1}, levels: {x: {}, y: {}}}"
    )
    texts = [
        table_yaml(),
        yaml(TINY) + "axes:\n  m: {a: {batch_size: 32}, b: {}}\n" + conditions,
        yaml(TINY) + "design: one_at_a_time\naxes: {m: {path: epochs, values: [1, 2]}}\n",
    ]
    for text in texts:
        spec = sweep(text)
        assert count_cells(spec, most=10**6) == len(expand(spec).cells)


def test_many_repeated_keys_take_no_time() -> None:
    assert "keys in one mapping; at most 2000" in refused("".join(f"k{i % 3}: 1\n" for i in range(40_000)))


def test_many_unknown_keys_take_no_time() -> None:
    assert "no such field" in refused(yaml(TINY) + "".join(f"key{i}: 1\n" for i in range(1_900)))


def test_a_path_of_many_dots_is_too_deep() -> None:
    line = refused(yaml(TINY) + f"axes:\n  m:\n    a:\n      ? {'.'.join('a' * 3000)}\n      : 1\n")
    assert "nested deeper than 40 levels" in line


# Files that are extended


def test_a_file_that_does_not_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is no regular file" in unread(tmp_path / "pipe")
    assert "pipe is no regular file" in unread(file(tmp_path / "a.yaml", "extends: pipe\nversion: 1\n"))
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert "in none of the folders" in unread(file(tmp_path / "a.yaml", "extends: zero\nversion: 1\n"))
    assert "is no regular file" in unread(Path("/dev/zero"))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.yaml").open("wb") as large:
        large.truncate(2**33)
    assert "is larger than the 1000000 characters" in unread(tmp_path / "large.yaml")


def test_what_is_no_sweep_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    file(tmp_path / "secret", "token: abc\nroot: x\n")
    child = file(tmp_path / "a.yaml", "extends: secret\nversion: 1\n")
    for line in (unread(child), unread(tmp_path / "secret")):
        assert "no sweep file" in line and "token" not in line and "abc" not in line
    file(tmp_path / "secret", "- *token: abc")  # nor is an error of YAML told, which may quote it
    assert "token" not in unread(child)


def test_a_file_from_elsewhere_is_extended_only_where_that_is_trusted(tmp_path: Path) -> None:
    base = file(tmp_path / "elsewhere" / "base.yaml", table_yaml())
    child = file(tmp_path / "a" / "b" / "sweep.yaml", f"extends: {base}\nversion: 1\nname: child\n")
    os.chdir("/")
    assert "in none of the folders that a sweep file may extend" in unread(child)
    assert load_sweep(child, trust=True).name == "child"
    os.chdir(tmp_path)
    assert load_sweep(child).name == "child"  # below the current folder


def test_a_file_beside_above_or_below_is_extended(tmp_path: Path) -> None:
    os.chdir("/")
    for place in ("base.yaml", "../base.yaml", "../base/base.yaml", "below/base.yaml"):
        file(tmp_path / "x" / place, table_yaml())
        assert load_sweep(file(tmp_path / "x" / "s.yaml", f"extends: {place}\nversion: 1\nname: s\n"))
    file(tmp_path.parent / "far.yaml", table_yaml())
    assert "in none of" in unread(file(tmp_path / "x" / "s.yaml", "extends: ../../far.yaml\nversion: 1\n"))


def test_a_long_chain_of_files_is_refused(tmp_path: Path) -> None:
    for i in range(1500):
        file(tmp_path / f"{i}.yaml", f"extends: {i + 1}.yaml\nversion: 1\n")
    assert "more than 20 files extend each other" in unread(tmp_path / "0.yaml")


def test_a_file_name_that_is_none_is_an_error(tmp_path: Path) -> None:
    assert "names no file" in unread(file(tmp_path / "a.yaml", 'extends: "a\\0b"\nversion: 1\n'))
    (tmp_path / "link.yaml").symlink_to("link.yaml")
    file(tmp_path / "a.yaml", "extends: link.yaml\nversion: 1\n")
    assert unread(tmp_path / "a.yaml") and unread(tmp_path / "link.yaml")


# Files that are not as they should be


def test_a_file_in_another_encoding_says_what_to_save_it_as(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(table_yaml().encode("utf-16"))
    assert "is UTF-16; save it as UTF-8" in unread(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_bytes(b"version: 1\nname: caf\xe9\n")
    assert "is not UTF-8 in line 2; save it as UTF-8" in unread(tmp_path / "a.yaml")
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04\xff")
    assert "a bundle's name ends in .orch.zip" in unread(tmp_path / "a.zip")


def test_a_setting_in_the_place_of_a_file_is_told_how_it_is_given() -> None:
    assert "a setting is given as --set epochs=3" in unread(Path("epochs=3"))
