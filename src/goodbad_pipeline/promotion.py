"""Champion or challenger: which of two models should serve. A pure decision with its reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from goodbad_pipeline.errors import InputError

Alias = Literal["champion", "challenger"]

HIGHER_IS_BETTER: Mapping[str, bool] = {
    "accuracy": True,
    "balanced_accuracy": True,
    "f1_macro": True,
    "roc_auc": True,
    "log_loss": False,
}
"""The metrics that can decide, and which way is up."""


@dataclass(frozen=True)
class Decision:
    """The alias that the new model earns, and why.

    Attributes:
        alias: `champion` where it takes over, `challenger` where the present champion stays.
        reason: one readable line, with both numbers where there are two.
        metric: what was compared.
        challenger_value: the new model's score.
        champion_value: the present champion's score; None where there is none to compare with.
    """

    alias: Alias
    reason: str
    metric: str
    challenger_value: float
    champion_value: float | None = None

    @property
    def promoted(self) -> bool:
        """Whether the new model takes over."""
        return self.alias == "champion"


def decide_promotion(
    challenger: Mapping[str, float],
    champion: Mapping[str, float] | None,
    metric: str = "balanced_accuracy",
    *,
    incomparable: str | None = None,
) -> Decision:
    """Decide whether a new model takes the champion's place.

    It does where there is no champion, and where it is strictly better on the metric. Equals and whatever cannot be
    compared leave the champion in place; a score that is not a number never wins.

    Args:
        challenger: the new model's metrics on the test split.
        champion: the present champion's metrics on the same test split; None where there is no champion.
        metric: one of `HIGHER_IS_BETTER`.
        incomparable: why the two cannot be compared (other classes, another test split), as the end of a sentence; None
            where they can. Without a champion it says nothing.

    Raises:
        InputError: for an unknown metric, or one that the challenger lacks.
    """
    value = _challenger_value(challenger, metric)
    if math.isnan(value):
        return Decision("challenger", f"the new model's {metric} is not a number", metric, value)
    if champion is None:
        return Decision("champion", f"no champion yet; {metric} {value:.4f}", metric, value)
    if incomparable is None and metric not in champion:
        incomparable = f"the champion has no {metric} on record"
    if incomparable is not None:
        return Decision("challenger", f"not comparable with the champion: {incomparable}", metric, value)
    return _compare(value, float(champion[metric]), metric)


def _challenger_value(challenger: Mapping[str, float], metric: str) -> float:
    if metric not in HIGHER_IS_BETTER:
        raise InputError(f"metric: {metric!r} is unknown; choose one of {', '.join(HIGHER_IS_BETTER)}")
    if metric not in challenger:
        raise InputError(
            f"metric: the new model has no {metric!r}, only {', '.join(challenger) or 'nothing'}; evaluate it first"
        )
    return float(challenger[metric])


def _compare(challenger: float, champion: float, metric: str) -> Decision:
    if math.isnan(champion):
        return Decision(
            "champion", f"{metric} {challenger:.4f}; the champion's is not a number", metric, challenger, champion
        )
    better = challenger > champion if HIGHER_IS_BETTER[metric] else challenger < champion
    new, old = _distinct(challenger, champion)
    verdict = "better than" if better else "no better than"
    hint = "" if HIGHER_IS_BETTER[metric] else " (lower is better)"
    reason = f"{metric} {new} is {verdict} the champion's {old}{hint}"
    return Decision("champion" if better else "challenger", reason, metric, challenger, champion)


def _distinct(one: float, other: float) -> tuple[str, str]:
    """Format two numbers with the fewest decimals, four at least, that tell them apart."""
    for decimals in range(4, 17):
        texts = f"{one:.{decimals}f}", f"{other:.{decimals}f}"
        if texts[0] != texts[1]:
            return texts
    return f"{one:.4f}", f"{other:.4f}"
