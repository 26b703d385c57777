from __future__ import annotations

import math

import pytest

from orchestrator.errors import SpecError
from orchestrator.language.yaml_text import MAX_CHARACTERS, parse, place_of, written


def problem(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(text, "f.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "0.001", ".001", "1.0e-03"])
def test_a_float_in_any_notation_is_a_number(written: str) -> None:
    assert parse(f"lr: {written}", "f.yaml") == {"lr": 0.001}


def test_on_off_yes_no_are_words_and_true_false_are_not() -> None:
    assert parse("{on: yes, off: no, a: true, b: null}", "f.yaml") == {
        "on": "yes",
        "off": "no",
        "a": True,
        "b": None,
    }


@pytest.mark.parametrize("text", [".inf", ".Inf", ".INF", "+.Inf", "-.INF"])
def test_infinity_is_a_number_in_each_of_its_spellings(text: str) -> None:
    assert parse(f"a: {text}", "f.yaml") == {"a": -math.inf if text[0] == "-" else math.inf}
    assert math.isnan(parse("a: .NaN", "f.yaml")["a"])


def test_a_quoted_number_stays_text() -> None:
    assert parse("a: '1'", "f.yaml") == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!str 0.1", "0.1"),
        ("!!str true", "true"),
        ("!!int 5", 5),
        ('!!int "5"', 5),
        ("!!float 1", 1.0),
        ('!!bool "true"', True),
        ("!!null ''", None),
        ("!!seq [1]", [1]),
        ("!!map {k: 1}", {"k": 1}),
    ],
)
def test_a_tag_says_what_a_value_is(text: str, value: object) -> None:
    read = parse(f"a: {text}", "f.yaml")["a"]
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "text", ["!!int x", "!!int 1.5", "!!bool yes", "!!binary aGk=", "!mine 1", "!!set {b}", "!mine [1]"]
)
def test_a_tag_that_a_value_does_not_have_is_a_line(text: str) -> None:
    tag = text.split()[0]
    assert problem(f"x: 1\na: {text}").startswith(f"f.yaml:2: tag {tag} does not fit ")
    assert problem(f"x: 1\n{tag} a: 1").startswith(f"f.yaml:2: tag {tag} does not fit the key a")


def test_a_number_as_key_is_the_text_that_was_written() -> None:
    assert list(parse("0.990: x", "f.yaml")) == ["0.990"]


def test_every_key_knows_its_line() -> None:
    tree = parse("a:\n  b:\n    - c: 1\n    - d: 2\n", "f.yaml")
    assert place_of(tree, ("a", "b", 1, "d"), "?") == "f.yaml:4"
    assert place_of(tree, ("a", "union-branch", "b"), "?") == "f.yaml:2"


def test_a_key_given_twice_is_an_error_that_names_both_lines() -> None:
    assert problem("a: 1\nb: 2\na: 3\n") == "f.yaml:3: a: given twice; first at f.yaml:1"


def test_an_alias_repeats_what_its_anchor_holds() -> None:
    assert parse("a: &x {k: 1}\nb: *x", "f.yaml")["b"] == {"k": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "f.yaml:1: the file holds nothing"),
        ("- a", "f.yaml:1: the file holds a list"),
        ("a: [1", "f.yaml:2: not valid YAML"),
        ("a:\n\t- b", "f.yaml:2: not valid YAML"),
        ("a: &x [*x]", "f.yaml:1:"),
        ("{? [a, b] : c}", "f.yaml:1: a key must be a single word"),
        ("a: &b {c: 1}\nd:\n  <<: *b", "f.yaml:3: merge keys"),
        ("a: !!python/object:os.system x", "f.yaml:1: tag !!python/object:os.system does not fit"),
        ("x" * (MAX_CHARACTERS + 1), "f.yaml: "),
        ("a: " + "[" * 500 + "]" * 500, "f.yaml:1: nested deeper"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(text: str, says: str) -> None:
    assert problem(text).startswith(says)


def test_nested_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "too many values" in problem("\n".join(lines))


WORDS = ["1e-3", "true", "null", "", "~", "0", "on", "1_000", "a: b", "- a", "λ\n#", "'", ".5"]


@pytest.mark.parametrize("word", WORDS)
def test_what_is_written_is_read_as_the_same(word: str) -> None:
    numbers = [1e-3, 1e-07, 3, -0.5, 1e22, True, None]
    tree = {"word": word, word or "empty": [word, {"a": word}], "numbers": numbers}
    assert parse(written(tree), "a.yaml") == tree
