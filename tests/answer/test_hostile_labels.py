"""Labels, sources and names of any characters, in tables of every format."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from yaml import safe_dump

from orchestrator.answer import formats
from orchestrator.answer.draw import draw, to_png
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.formats._latex import tex_text
from orchestrator.answer.tables import Table, tabulate
from orchestrator.errors import printable
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.records import Curves
from tests.builders import TINY, expansion, record, yaml

HOSTILE = (
    "\x1b[31mred", "two\nlines", "\x9b2J", "\u202egnp.exe", "<script>alert(1)</script>", "a|b", "=1+1",
    "[click](http://x)", "*", "[1, 2]", "λ < 1", "τ → ∞", "8 × 8", "x ≤ y", "中文", "$W_p$", "$5 and $6",
    "$\\nosuch$", "$a_b_c$", "$\\frac{1}{2}$", "$\\hat{x}_i^2$", "100 %", "a_b & #1 {~^}\\", "Höppe Łódź ő",
    "α_p", "½ x² ₂", "-1", "\"quoted\" 'x'", "😀", "ά ὦ", "", "№ ﬁ ª", "$", "$$", "«x»", "®©§",
)  # fmt: skip


@pytest.fixture(autouse=True)
def any_label_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sweep file may not say, an older store or somebody's Python may."""
    monkeypatch.setattr("orchestrator.language.cells.axes.unfit", lambda label: None)


def made(labels: tuple[str, ...] = HOSTILE, **more: object) -> Table:
    """A table with a row for each label."""
    levels = {label: {"method.momentum": 0.9 - 0.001 * i} for i, label in enumerate(labels)}
    parts = {"seeds": 1, "axes": {"a": levels}, "tables": [{"name": "main", "rows": "a", **more}]}
    asked = expansion(yaml(TINY) + safe_dump(parts, sort_keys=False))
    records = {trial.id: record(trial.id, 0.5) for trial in asked.trials}
    return tabulate(asked, asked.spec.tables[0], records)


@pytest.mark.parametrize("name", formats.names())
def test_no_format_passes_on_what_steers_a_terminal(name: str) -> None:
    published = {"source": "a\x1b[2Jpaper\u202e", "values": [[1.0]] * len(HOSTILE)}
    written = formats.written(name, [made(published=published)] * 2)
    assert printable(written, keep="\n") == written
    assert "x1b" in written or "u001b" in written  # shown, not lost


@pytest.mark.parametrize("name", ["text", "md", "tex", "html"])
def test_a_label_of_two_lines_stays_in_its_row(name: str) -> None:
    (line,) = [one for one in formats.written(name, [made()]).splitlines() if "lines" in one]
    assert "50.0" in line


def test_an_empty_label_is_not_the_base() -> None:
    assert made().rows[HOSTILE.index("")] == '""'


def test_markdown_holds_neither_html_nor_links() -> None:
    written = formats.written("md", [made()])
    assert not re.search(r"(?<!\\)<script|(?<!\\)\]\(", written) and r"a\|b" in written
    assert "\n| \\* | " in written and "| [1, 2] |" in written


def test_a_label_like_a_formula_is_text_to_a_spreadsheet_and_a_number_stays_one() -> None:
    rows = [line["row"] for line in csv.DictReader(io.StringIO(formats.written("csv", [made()])))]
    assert "'=1+1" in rows and "-1" in rows


def test_json_gives_the_label_back_as_the_rows_have_it() -> None:
    table = made()
    assert json.loads(formats.written("json", [table]))["rows"] == list(table.rows)


def test_several_tables_are_one_document() -> None:
    one, two = made(("a", "b")), made(("c",))
    assert [len(t["rows"]) for t in json.loads(formats.written("json", [one, two]))] == [2, 1]
    assert isinstance(json.loads(formats.written("json", [one])), dict)
    lines = list(csv.DictReader(io.StringIO(formats.written("csv", [one, two]))))
    assert [(line["row"], line["seed"], line["value"]) for line in lines] == [
        ("a", "0", "0.5"), ("b", "0", "0.5"), ("c", "0", "0.5"),
    ]  # fmt: skip
    assert {(line["table"], line["metric"], line["unit"]) for line in lines} == {
        ("main", "probe/top1", "share")
    }


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("$W_p$", "$W_p$"),
        ("W_p", "$W_p$"),
        ("τ → ∞", r"$\tau$ $\to$ $\infty$"),
        ("$5 and $6", r"\$5 and \$6"),
        ("$\\nosuch$", r"\$\textbackslash{}nosuch\$"),
        ("$a_b_c$", r"\$a\_b\_c\$"),
        ("-0.5", "$-$0.5"),
        ("1e-05 and 0-1", "1e-05 and 0-1"),
        ("Höppe", "Höppe"),
        ("Łódź", r"\L{}ód\'{z}"),
        ("中", "U+4E2D"),
        ("σ²", r"$\sigma$$^{2}$"),
        ("η_p", r"$\eta_p$"),
        ("a<b", "a$<$b"),
    ],
)
def test_text_is_written_for_latex_without_packages(text: str, tex: str) -> None:
    assert tex_text(text) == tex


def test_a_latex_table_says_what_it_needs_and_can_be_referred_to() -> None:
    lines = formats.written("tex", [made(("中", "[1]"))]).splitlines()
    assert lines[1:3] == [
        r"% needs \usepackage{booktabs}",
        "% pdfLaTeX has no sign for 中: U+4E2D stands for it",
    ]
    assert r"  \label{tab:tiny-main}" in lines and "    {}[1] & 50.0 (n=1) \\\\" in lines
    assert not any("probe/top1" in line for line in lines if r"\caption" in line)


def test_no_number_has_a_signed_zero_and_a_minus_is_one() -> None:
    table = made(("a", "b"), baseline={"a": "a"})
    tiny = tuple(
        tuple(e._replace(summary=e.summary._replace(mean=-1e-9)) for e in row if e.summary)
        for row in table.entries
    )
    written = formats.written("tex", [table._replace(entries=tiny)])
    assert "-0.0" not in written and "$-$0.0" not in written and "+0.0" not in written


@pytest.mark.slow
def test_any_label_compiles_with_booktabs_alone(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here")
    greek = tuple(chr(c) for c in range(0x370, 0x400) if chr(c).isprintable())
    signs = tuple(chr(c) for c in (*range(0xA0, 0x180), *range(0x2000, 0x2300)) if chr(c).isprintable())
    labels = tuple(
        dict.fromkeys(
            (*HOSTILE, *(" ".join(s[i : i + 8]) for s in (greek, signs) for i in range(0, len(s), 8)))
        )
    )
    for i in range(0, len(labels), 25):
        table = made(labels[i : i + 25], metric="probe/top1")
        tex = formats.written("tex", [table])
        head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        (tmp_path / "a.tex").write_text(
            f"{head}{tex}See \\ref{{tab:tiny-main}}.\n\\end{{document}}\n", "utf-8"
        )
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"],
            cwd=tmp_path, capture_output=True, check=False,
        )  # fmt: skip
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0 and "Missing character" not in said, said[-1500:]


def test_a_figure_is_drawn_of_any_label_without_a_warning() -> None:
    curves = Curves(metrics={"y": ((0, 1.0), (1, 2.0))})
    cells = [CellCurves(label, (0,), (curves,), "") for label in HOSTILE]
    figure = draw(FigureSpec(kind="curves", columns=("y",)), cells, title=HOSTILE[0], stamp=HOSTILE[3])
    assert to_png(figure).startswith(b"\x89PNG")
    shown = " ".join(text.get_text() for text in figure.texts)
    assert printable(shown) == shown and r"\x1b[31mred" in shown
