"""A report in a real browser: its slider moves, it asks nothing of a network, everybody can read it."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.report.spectra import spectra_of
from orchestrator.records import Curves
from tests.answer.report.test_report import made, told
from tests.browser import seen
from tests.builders import PUBLISHED, expansion, table_yaml

pytestmark = pytest.mark.browser
PROBE = """
const slider = document.querySelector(".spectra input"), line = document.querySelector("polyline");
const before = [line.getAttribute("points"), document.querySelector("output").textContent];
slider.value = 0;
slider.dispatchEvent(new Event("input"));
const after = [line.getAttribute("points"), document.querySelector("output").textContent];
const out = document.createElement("pre");
const resources = performance.getEntriesByType("resource").map((one) => one.name);
out.id = "probe";
const links = [...document.querySelectorAll("a")].map((one) => { location.hash = ""; one.click();
  return [one.textContent, document.getElementById(location.hash.slice(1)) !== null]; });
document.querySelectorAll("details").forEach((one) => { one.open = true; });
const tell = (violations) => { document.body.append(out);
  out.textContent = JSON.stringify({before, after, resources, links, violations}); };
typeof axe === "undefined" ? tell([]) : axe.run(document).then((found) => tell(found.violations.map(
  (one) => [one.id, one.impact, one.nodes[0].html])));
"""


def probed(html: str, folder: Path, *scripts: str, width: int = 1900) -> dict[str, object]:
    """What a script finds that looks at the page from inside."""
    path = folder / "report.html"
    inside = "".join(f"<script>{one}</script>" for one in (*scripts, PROBE))
    path.write_text(html.replace("</body>", f"{inside}</body>"), encoding="utf-8")
    page = seen(path.as_uri(), folder / "profile", width=width)
    found = re.search(r'<pre id="probe">(.*?)</pre>', page, re.DOTALL)
    assert found is not None
    told_: dict[str, object] = json.loads(unescape(found[1]))
    return told_


def test_the_slider_moves_the_spectra_to_an_epoch(tmp_path: Path) -> None:
    found = probed(made(told(expansion())), tmp_path)
    before, after = found["before"], found["after"]
    assert isinstance(before, list) and isinstance(after, list)
    assert (before[1], after[1]) == ("1", "0")
    assert before[0] != after[0] and len(after[0].split()) == 3


def test_the_slider_says_of_which_epoch_older_spectra_are(tmp_path: Path) -> None:
    one = {"whole": (0, 1, 2), "diverged": (0, 1), "late": (2,)}
    cells = [
        CellCurves(name, (0,), (Curves(spectra_epochs=own, spectra={"F": np.ones((len(own), 2))}),), "")
        for name, own in one.items()
    ]
    ask = """document.querySelector("output").textContent += [2, 1, 0].map((at) => {
      const slider = document.querySelector(".spectra input");
      slider.value = at; slider.dispatchEvent(new Event("input"));
      return [...document.querySelectorAll(".as-of")].map((one) => one.textContent.trim()).join("|");
    }).join(";");"""
    html = made(told(expansion())._replace(spectra=spectra_of(cells)))
    before = probed(html, tmp_path, ask)["before"]
    assert isinstance(before, list)
    assert before[1] == "2(as of epoch 1)|;|(none yet);|(none yet)"


def test_each_link_leads_to_a_place_on_the_page(tmp_path: Path) -> None:
    one, other = (
        told(expansion(table_yaml(PUBLISHED))),
        told(expansion(table_yaml(PUBLISHED)), anchor="second"),
    )
    for chapters in ([one], [one, other]):
        links = probed(made(*chapters), tmp_path)["links"]
        assert isinstance(links, list) and len(links) > 4
        assert [text for text, there in links if not there] == []


def test_no_request_leaves_the_page(tmp_path: Path) -> None:
    found = probed(made(told(expansion(table_yaml(PUBLISHED)), figures={"a.png": b"none"})), tmp_path)
    assert [one for one in found["resources"] if not one.startswith("data:")] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(("number", "width"), [(1, 1900), (2, 1900), (1, 400)])
def test_axe_finds_nothing_that_keeps_anybody_from_reading(tmp_path: Path, number: int, width: int) -> None:
    axe = pytest.importorskip("axe_core_python", reason="pip install axe-core-python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    whole, figures = expansion(table_yaml(PUBLISHED)), {"a.png": b"none"}
    chapters = [told(whole, anchor=f"c{one}", figures=figures) for one in range(number)]
    assert probed(made(*chapters), tmp_path, script, width=width)["violations"] == []
