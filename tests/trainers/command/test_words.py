"""Laws of a command's words: what stands in braces, and what a config says that does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.scripted import command, script
from trainers.attempt.command.words import filled, names_in
from trainers.config.base import identity_dump


@pytest.mark.parametrize(
    ("word", "values", "words"),
    [
        ("--lr={lr}", {"lr": 1e-5}, ["--lr=1e-05"]),
        ("{model.width}", {"model.width": 8}, ["8"]),
        ("--ema={ema}", {"ema": True}, ["--ema=true"]),
        ("{ema:--ema}", {"ema": True}, ["--ema"]),
        ("{ema:--ema}", {"ema": False}, []),
        ("{ema:--ema|--no-ema}", {"ema": False}, ["--no-ema"]),
        ("--mode={ema:on|off}", {"ema": False}, ["--mode=off"]),
        ("{widths}", {"widths": [8, 16]}, ["8", "16"]),
        ("--widths={widths}", {"widths": [8, 16]}, ["--widths=8,16"]),
        ("--decay={decay}", {"decay": None}, []),
        ("{params}", {"params": {"lr": 0.1, "on": True}}, ['{"lr": 0.1, "on": true}']),
        ("{params}", {"params": {"b": {"d": None, "a": 1}, "a": None}}, ['{"b": {"a": 1}}']),
        (
            "{params}",
            {"params": {"a": [{"b": 1, "c": None}, [{"c": None}], None]}},
            ['{"a": [{"b": 1}, [{}], null]}'],
        ),
        ("{a}", {"a": [{"b": [{"b": 1, "c": None}]}]}, ['{"b": [{"b": 1}]}']),
        ("{params}", {"params": {"b": 1, "a": 2}}, ['{"a": 2, "b": 1}']),
        ("f'{{x}}'", {}, ["f'{x}'"]),
    ],
)
def test_a_placeholder_becomes_a_word_several_or_none(
    word: str, values: dict[str, Any], words: list[str]
) -> None:
    assert filled([word], values) == words


@pytest.mark.parametrize("word", ["{params}", "{layers}", "--layers={layers}"])
def test_parameters_of_one_id_are_one_command(word: str) -> None:
    script("")
    run = ["python", "train.py", "{seed}", word]
    configs = [
        command(run=run, params={"layers": layers})
        for layers in ([{"width": 8, "act": None}], [{"width": 8}], [{"width": 8, "in": [{"act": None}]}])
    ]
    words = [filled([word], {"params": one.params, "layers": one.params["layers"]}) for one in configs]
    assert identity_dump(configs[0]) == identity_dump(configs[1]) != identity_dump(configs[2])
    assert words[0] == words[1] != words[2]


def test_a_brace_without_a_name_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"belongs to no \{name\}; write \{\{ for the brace itself"):
        names_in("awk '{ print }'")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing sets it": (
        {"run": ["python", "train.py", "{seed}", "{lrr}"]},
        "'{lrr}': nothing sets it; known are",
    ),
    "no word uses it": ({"params": {"lr": 1}}, "no word uses it; write {lr} in `run` or `env`"),
    "no seed": ({"run": ["python", "train.py"]}, "no word uses {seed}, so all seeds would be the same"),
    "a name that is taken": (
        {"params": {"seed": 1}},
        "{seed} has another meaning; give the parameter another",
    ),
    "no command": ({"run": []}, "no command; expected its words"),
    "one text": (
        {"run": "python train.py {seed}"},
        "expected a list of words, such as [python, train.py, {seed}]",
    ),
    "files as a text": ({"files": "train.py"}, "expected a list of files and folders, such as [train.py]"),
    "a line for a shell": (
        {"run": ["python train.py", "{seed}"]},
        "'python train.py' is one word, and no shell reads it; write a word for each part, or [bash, -c,",
    ),
    "a zero byte": ({"params": {"a": "x\0"}}, "has a character that no command can be given; leave it out"),
    "a zero byte in a name": (
        {"run": ["python", "train.py", "{seed}", "{params}"], "params": {"a": {"x\0": 1}}},
        "has a character that no command can be given; leave it out",
    ),
    "half a character in a name": (
        {"run": ["python", "train.py", "{seed}", "{params}"], "params": {"\ud800": 1}},
        "has a character that no command can be given; leave it out",
    ),
    "half a character": ({"env": {"A": "\ud800"}}, "has a character that no command can be given"),
    "no epochs": (
        {"run": ["python", "train.py", "{seed}{epochs}"]},
        "uses {epochs}, and `epochs` is not set",
    ),
    "a missing file": ({"files": ["train.py", "net.py"]}, "no such file or folder: net.py"),
    "a script beside": (
        {"run": ["python", "other.py", "{seed}"]},
        "other.py is not among the `files`, which are",
    ),
    "not runnable": (
        {"run": ["./train.py", "{seed}"]},
        "./train.py does not begin with #!; say what runs it",
    ),
    "no number": ({"params": {"lr": float("nan")}}, "expected a finite number"),
    "no expression": ({"reads": {"stdout": "(?P<x"}}, "is no regular expression"),
    "no group": ({"reads": {"stdout": "acc=(.*)"}}, "names no metric; write (?P<name>...)"),
    "orch's own variable": ({"env": {"ORCH_REPORT": "x"}}, "names that begin with ORCH_ are orch's own"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_one_line_before_training(what: str) -> None:
    script("print(1)")
    fields, words = WRONG[what]
    with pytest.raises(ValidationError) as caught:
        command(**fields)
    (error,) = caught.value.errors()
    assert words in error["msg"]
    assert "\n" not in error["msg"]


def test_what_is_shown_and_how_long_it_may_take_are_no_identity_and_words_are() -> None:
    script("print(1)")
    one, other = command(), command(metrics={"loss": "curve"}, limit=3)
    assert identity_dump(one) == identity_dump(other)
    assert identity_dump(command(run=["python", "train.py", "-v", "{seed}"])) != identity_dump(one)


def test_a_variable_and_all_parameters_as_one_word_count_as_used() -> None:
    script("print(1)")
    assert command(params={"lr": 1}, env={"LR": "{lr}"}).params == {"lr": 1}
    assert command(params={"a": {"b": 1}}, env={"ALL": "{params}"}).params == {"a": {"b": 1}}


def test_numbers_are_words_too() -> None:
    script("print(1)")
    made = command(run=["python", "train.py", "{seed}", "--epochs", 5, 1e-5], env={"W": 3})
    assert made.run[3:] == ("--epochs", "5", "1e-05")
    assert made.env == {"W": "3"}
