"""Any text as pdfLaTeX prints it without a package: signs as mathematics, formulas as they are."""

from __future__ import annotations

import functools
import re
import unicodedata

_ASCII = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$",
    '"': "''",
}  # fmt: skip
_WORDS = {
    "–": "--", "—": "---", "…": r"\ldots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "„": ",,",
    "\N{NO-BREAK SPACE}": "~", "€": "EUR", "ł": r"\l{}", "Ł": r"\L{}",
    "œ": r"\oe{}", "Œ": r"\OE{}", "ı": r"\i{}", "⁄": "/", "‐": "-", "‑": "-",
}  # fmt: skip
_MACROS = {
    "±": "pm", "∓": "mp", "×": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "•": "bullet", "∘": "circ",
    "∗": "ast", "⋆": "star", "†": "dagger", "‡": "ddagger", "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx",
    "∼": "sim", "≃": "simeq", "≅": "cong", "≡": "equiv", "∝": "propto", "≪": "ll", "≫": "gg", "∞": "infty",
    "→": "to", "←": "leftarrow", "↔": "leftrightarrow", "⇒": "Rightarrow", "⇐": "Leftarrow",
    "⇔": "Leftrightarrow", "↑": "uparrow", "↓": "downarrow", "↦": "mapsto", "↗": "nearrow", "↘": "searrow",
    "∈": "in", "∉": "notin", "∋": "ni", "⊂": "subset", "⊆": "subseteq", "⊃": "supset", "⊇": "supseteq",
    "∪": "cup", "∩": "cap", "∅": "emptyset", "∖": "setminus", "∀": "forall", "∃": "exists", "¬": "neg",
    "∧": "wedge", "∨": "vee", "⊕": "oplus", "⊗": "otimes", "⊙": "odot", "⊥": "perp", "⊤": "top",
    "∥": "parallel", "‖": "|", "∑": "sum", "∏": "prod", "∫": "int", "√": "surd", "∂": "partial", "∇": "nabla",
    "ℓ": "ell", "ℏ": "hbar", "⟨": "langle", "⟩": "rangle", "⌊": "lfloor", "⌋": "rfloor", "⌈": "lceil",
    "⌉": "rceil", "⋯": "cdots", "△": "triangle", "✓": "surd", "✗": "times", "✔": "surd", "✘": "times",
    "ς": "varsigma", "ε": "varepsilon", "φ": "varphi", "ϕ": "phi", "ϵ": "epsilon", "ϑ": "vartheta",
    "ϱ": "varrho", "ϖ": "varpi", "ϰ": "kappa", "\N{OHM SIGN}": "Omega", "\N{MICRO SIGN}": "mu",
    "★": "star",
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon chi psi omega"
)
_MACROS |= {
    unicodedata.lookup(f"GREEK SMALL LETTER {n.replace('lambda', 'lamda')}"): n for n in _GREEK.split()
}
_GREEK_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
_MACROS |= {
    unicodedata.lookup(f"GREEK CAPITAL LETTER {n.replace('Lambda', 'Lamda')}"): n
    for n in _GREEK_CAPITALS.split()
}
_LIKE_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
_MATH = {sign: f"\\{macro}" for sign, macro in _MACROS.items()} | _LIKE_LATIN | {
    "−": "-", "°": r"^{\circ}", "′": "'", "″": "''",
    **{sign: f"^{{{plain}}}" for sign, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True)},
    **{sign: f"_{{{plain}}}" for sign, plain in zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True)},
}  # fmt: skip
_AS_IT_IS = "¡¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ"
"""Letters that pdfLaTeX takes in its own encoding, UTF-8."""

# A formula that pdfLaTeX takes whatever stands around it; what else stands between dollars is text.
_WITH_ONE = r"\\(?:math(?:rm|bf|it|cal|sf)|hat|bar|tilde|vec|dot|sqrt|overline|operatorname)(?![A-Za-z])"
_ALONE = "|".join(sorted({m[1:] for m in _MATH.values() if re.fullmatch(r"\\[A-Za-z]+", m)}, key=len)[::-1])
_ONE = rf"[A-Za-z0-9]|\\(?:{_ALONE}|ldots|log|exp|min|max|quad)(?![A-Za-z])"
_PLAIN = r"[ +\-*/=<>()\[\].,:;!|@]"


def _scripted(one: str) -> str:
    return rf"(?:{one})(?:_(?:{one})(?:\^(?:{one}))?|\^(?:{one})(?:_(?:{one}))?)?"


_GROUP = rf"\{{(?:{_scripted(_ONE)}|{_PLAIN})+\}}"
_ATOM = rf"{_ONE}|{_GROUP}|{_WITH_ONE}{_GROUP}|\\frac{_GROUP}{_GROUP}"
_SYMBOL = re.compile(r"(?<![\w\\])([W\u0370-\u03ff])_([a-z0-9])(?!\w)")
_MINUS = re.compile(r"(?<![\w.)\]-])-(?=\.?[0-9])")


@functools.cache
def _formula() -> re.Pattern[str]:
    """What a formula looks like; to compile it takes a fifth of a second, which only LaTeX's tables need."""
    # As pandoc reads dollars: "$5 and $6" is no formula.
    return re.compile(rf"(\$(?=\S)(?:{_scripted(_ATOM)}|{_PLAIN})+(?<=\S)\$(?![0-9]))")


def tex_text(text: str) -> str:
    """`text` as LaTeX wants it: formulas between dollars stay, W_p and its kin become some."""
    parts = _formula().split(text)
    return "".join(
        part.replace("operatorname", "mathrm") if odd % 2 else _words(part) for odd, part in enumerate(parts)
    )


def foreign(text: str) -> list[str]:
    """Characters of `text` that pdfLaTeX has no sign for: they are written by number."""
    return sorted({c for part in _formula().split(text)[::2] for c in part if _escaped(c) == _number(c)})


def _words(text: str) -> str:
    text = _MINUS.sub("−", text)
    pieces, end = [], 0
    for symbol in _SYMBOL.finditer(text):
        letter = _MATH.get(symbol[1], symbol[1])
        if letter.isascii():
            pieces += [*map(_escaped, text[end : symbol.start()]), f"${letter}_{symbol[2]}$"]
            end = symbol.end()
    return "".join([*pieces, *map(_escaped, text[end:])])


def _escaped(sign: str) -> str:
    if sign in _ASCII:
        return _ASCII[sign]
    if " " <= sign <= "~" or sign in _AS_IT_IS:
        return sign
    if sign in _WORDS:
        return _WORDS[sign]
    if sign in _MATH:
        return f"${_MATH[sign]}$"
    plain = unicodedata.normalize("NFKD", sign)
    if plain != sign and all(c in _ACCENTS or _escaped(c) != _number(c) for c in plain):
        return _accented(plain)
    return _number(sign)


_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip


def _accented(plain: str) -> str:
    """What is left of a sign that is others put together: letters with their accents, or a few signs."""
    out: list[str] = []
    for sign in plain:
        if sign in _ACCENTS and out and out[-1].isalpha() and out[-1].isascii():
            out[-1] = rf"\{_ACCENTS[sign]}{{{out[-1]}}}"
        elif sign not in _ACCENTS:
            out.append(_escaped(sign))
    return "".join(out)


def _number(sign: str) -> str:
    return f"U+{ord(sign):04X}"
