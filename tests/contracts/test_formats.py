"""The laws of a table format and of a kind of figure, over each that ships: one file each is all it takes."""

from __future__ import annotations

import pytest

from orchestrator.answer import draw, formats
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from tests.answer.test_formats import PUBLISHED
from tests.answer.test_tables import made_table
from trainers.config.families import members

KINDS = members("orchestrator.answer.figures")
SHOUT = '''
"""In capitals."""

IN_STORE = False

def write(table):
    return table.spec.name.upper() + "\\n"

def check(figure):
    pass
'''


@pytest.mark.parametrize("name", formats.names())
def test_a_format_says_what_it_is_and_writes_every_row_and_column(name: str) -> None:
    module, table = formats.load(name), made_table(PUBLISHED)
    assert module.__doc__ and isinstance(module.IN_STORE, bool)
    written = module.write(table)
    assert isinstance(written, str) and written.endswith("\n") and written == module.write(table)
    for word in (*table.rows, *table.columns):
        assert word in written


def test_a_format_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=f"no table format 'docx'; known: {', '.join(formats.names())}"):
        formats.load("docx")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_figure_says_what_it_shows_and_refuses_what_it_cannot(kind: str) -> None:
    module = draw.load(kind)
    assert (module.__doc__ or "").splitlines()[0].endswith(".")
    module.check(FigureSpec(kind=kind))
    with pytest.raises(UsageError, match=f"figure '{kind}': "):
        draw.draw(FigureSpec(kind=kind), [], title="", stamp="")
    if not any(hasattr(module, one) for one in ("COLUMNS_ARE_METRICS", "COLUMNS_ARE_FINAL_METRICS")):
        with pytest.raises(UsageError, match=f"figure '{kind}': .*"):
            module.check(FigureSpec(kind=kind, columns=("nonsense",)))


def test_a_new_file_is_a_new_format_and_a_new_kind(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import orchestrator.answer.figures
    import orchestrator.answer.formats

    (tmp_path / "shout.py").write_text(SHOUT)
    members.cache_clear()
    for package in (orchestrator.answer.formats, orchestrator.answer.figures):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    try:
        assert "shout" in formats.names() and formats.load("shout").write(made_table(PUBLISHED)).isupper()
        assert FigureSpec(kind="shout").kind == "shout"
        assert "shout" in FigureSpec.model_json_schema()["properties"]["kind"]["enum"]
    finally:
        members.cache_clear()


@pytest.mark.parametrize(("alias", "name"), [("latex", "tex"), ("markdown", "md")])
def test_a_format_has_the_names_that_people_give_it(alias: str, name: str) -> None:
    assert formats.load(alias) is formats.load(name) and alias not in formats.names()
