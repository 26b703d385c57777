"""Whether a difference is too small to matter: two one-sided tests (TOST)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.answer.statistics.sign_flips import sign_flip_p
from orchestrator.answer.statistics.summary import student_t, summarise


class Equivalence(NamedTuple):
    """Two one-sided tests of paired differences against a margin."""

    p: float
    """The larger of the p-values by Student's t and by sign flips."""
    low: float
    high: float
    """90 % interval of the mean difference by Student's t: inside ±margin where p by t is at most 0.05."""
    p_by_t: float


def equivalence(differences: Sequence[float], margin: float) -> Equivalence | None:
    """Test whether the mean difference is inside ±`margin`: against -margin and less, margin and more.

        p = max(P(mean ≤ -margin), P(mean ≥ +margin)),   each one-sided

    The two tests by Student's t assume normal differences; by sign flips, that they are symmetric. p is
    the larger of both, so that few seeds are not called equal by the assumption of normality alone: by
    sign flips, n differences cannot give less than 1 / 2ⁿ.

    Args:
        differences: one per seed.
        margin: the largest difference that does not matter, positive, in the unit of the differences;
            declared before looking at the numbers.

    Returns:
        None of fewer than two differences.

    Source: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657; Lakens 2017, Soc. Psychol.
    Personal. Sci. 8, 355.
    """
    from scipy.special import stdtr

    summary = summarise(differences)
    if summary is None or summary.sd is None:
        return None
    error = summary.sd / math.sqrt(summary.n)
    half = student_t(summary.n - 1, 0.95) * error
    distance = margin - abs(summary.mean)  # to the nearer bound, whose p is the larger
    by_t = float(stdtr(summary.n - 1, -distance / error)) if error else float(distance <= 0)
    by_signs = max(
        sign_flip_p([margin + d for d in differences], greater=True),
        sign_flip_p([margin - d for d in differences], greater=True),
    )
    return Equivalence(max(by_t, by_signs), summary.mean - half, summary.mean + half, by_t)
