"""Promotion: decide whether a new model gets the alias champion or challenger, and give the reasons."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from goodbad_pipeline.errors import counted
from goodbad_pipeline.evaluation.metrics import larger_is_better

Alias = Literal["champion", "challenger"]
Policy = Literal["strict", "better", "always"]
Status = Literal["passed", "failed", "skipped"]

CHECKS = ("parity", "leakage", "comparable", "score", "chance", "calibration", "slices", "images")
"""All checks in order; see `decide_promotion`."""
DECIDING_CHECKS: Mapping[Policy, tuple[str, ...]] = {
    "strict": CHECKS,
    "better": ("parity", "leakage", "comparable", "score"),
    "always": ("parity",),
}
"""The checks that must not fail under each policy; all other checks are only reported."""


@dataclass(frozen=True)
class Rules:
    """Limits that a new model must meet."""

    policy: Policy
    significance: float  # a gain is significant if its one-sided p-value is at most this
    max_ece_rise: float  # the check fails if the calibration error rises by significantly more than this
    max_slice_drop: float  # the check fails if accuracy on a slice drops significantly and by more than this
    parity_tolerance: float  # largest allowed change of a probability by registering and reloading the model


@dataclass(frozen=True)
class SliceDrop:
    """A slice on which the new model is significantly less accurate."""

    column: str
    value: str
    images: int
    drop: float  # of the accuracy


@dataclass(frozen=True)
class Champion:
    """The current champion, measured on the test images of the new model."""

    version: str
    score: float = math.nan  # value of the deciding metric
    p_value: float = math.nan  # one-sided p-value of the new model's gain
    ece: float = math.nan  # calibration error
    images: int | None = None  # number of images in the champion's splits; None if unknown
    same_predictions: bool = False  # True if champion and new model predict the same class for every image
    drops: tuple[SliceDrop, ...] = ()  # slices on which the new model is significantly less accurate
    exposed: int = 0  # test images left out, because the champion was trained or selected on images of their groups
    recorded: bool = True  # True if all images that the champion was trained on are known
    ece_rise: float = math.nan  # lower end of the 95 % interval of the new calibration error minus the champion's
    incomparable: str | None = None  # why the models cannot be compared; the numbers above are then meaningless


@dataclass(frozen=True)
class Evidence:
    """The facts on which the decision about the new model rests."""

    metric: str  # the deciding metric, as in ``registry.metric``
    score: float  # value of this metric on the images on which both models are compared
    ece: float  # calibration error on the same images
    images: int  # number of images in the splits
    parity: float  # largest change of a probability by registering and reloading; infinite if reloading failed
    leaks: tuple[str, ...] = ()  # leaks between the splits, a clause for each, from `find_leaks`
    unrecorded: str | None = None  # the initial weights, if it is unknown which images they were trained on
    champion: Champion | None = None


@dataclass(frozen=True)
class Check:
    """The result of one check, with its reason in one line."""

    name: str
    status: Status
    reason: str


@dataclass(frozen=True)
class Decision:
    """The alias of the new model, with the reason in one line and the result of every check of `CHECKS`."""

    alias: Alias
    reason: str
    policy: Policy
    checks: tuple[Check, ...] = ()

    @property
    def promoted(self) -> bool:
        """True if the new model becomes champion."""
        return self.alias == "champion"


def decide_promotion(evidence: Evidence, rules: Rules) -> Decision:
    """Decide whether a new model replaces the champion.

    Two checks need no champion: ``parity`` (registering does not change the model's predictions) and ``leakage`` (the
    splits are disjoint). Six checks compare the model with the champion:

    - ``comparable``: both models have the same classes and are measured on the same test images.
    - ``score``: the new model's metric is better.
    - ``chance``: the difference is statistically significant.
    - ``calibration`` and ``slices``: calibration error and accuracy on slices are not significantly worse.
    - ``images``: the new model's splits have at least as many images as the champion's splits.

    The model is promoted unless one of the `DECIDING_CHECKS` of ``rules.policy`` fails.
    """
    checks = (*_check_model(evidence, rules), *_check_against_champion(evidence, evidence.champion, rules))
    failed = [
        check.reason for check in checks if check.status == "failed" and check.name in DECIDING_CHECKS[rules.policy]
    ]
    if failed:
        return Decision("challenger", "; ".join(failed), rules.policy, checks)
    return Decision("champion", _reason_to_promote(evidence, rules, checks), rules.policy, checks)


def reconsider(decision: Decision, compared: str | None, current: str | None) -> Decision:
    """Withdraw a promotion if another run has changed the champion since the comparison.

    ``compared`` is the champion's version at the comparison, ``current`` its version now; None means no champion.
    """
    if current == compared or not decision.promoted or "comparable" not in DECIDING_CHECKS[decision.policy]:
        return decision
    before = "no champion" if compared is None else f"version {compared}"
    after = "no champion" if current is None else f"version {current}"
    reason = f"the champion changed after the comparison, from {before} to {after}"
    checks = tuple(
        Check("comparable", "failed", reason) if check.name == "comparable" else check for check in decision.checks
    )
    return replace(decision, alias="challenger", reason=reason, checks=checks)


def _reason_to_promote(evidence: Evidence, rules: Rules, checks: tuple[Check, ...]) -> str:
    if evidence.champion is None:
        return f"no champion yet; {evidence.metric} {evidence.score:.4f}"
    reasons = [check.reason for check in checks if check.name in ("score", "chance") and check.status == "passed"]
    ignored = [check.reason for check in checks if check.status == "failed"]
    if ignored:
        reasons.append(f"ignored under promotion.policy={rules.policy}: {'; '.join(ignored)}")
    return "; ".join(reasons)


def _check_model(evidence: Evidence, rules: Rules) -> tuple[Check, ...]:
    equal = evidence.parity <= rules.parity_tolerance
    text = "the registered copy cannot be loaded, or returns invalid predictions"
    if math.isfinite(evidence.parity):
        text = (
            f"registering the model changes its probabilities by up to {evidence.parity:.1g}; "
            f"at most {rules.parity_tolerance:g} is allowed"
        )
    leaks = f"the splits leak: {'; '.join(evidence.leaks)}" if evidence.leaks else "no leak between the splits"
    if evidence.unrecorded is not None:
        leaks += f"; it is unknown whether the initial weights ({evidence.unrecorded}) were trained on test images"
    return _check("parity", equal, text), _check("leakage", not evidence.leaks, leaks)


def _check_against_champion(evidence: Evidence, champion: Champion | None, rules: Rules) -> tuple[Check, ...]:
    names = [name for name in CHECKS if name not in ("parity", "leakage")]
    if champion is None:
        checks = [Check(name, "skipped", "no champion to compare with") for name in names]
        if math.isnan(evidence.score):
            checks[names.index("score")] = _score_is_nan(evidence.metric)
        return tuple(checks)
    if champion.incomparable is not None:
        reason = f"not comparable with the champion: {champion.incomparable}"
        skipped = (Check(name, "skipped", "not comparable with the champion") for name in names[1:])
        return Check("comparable", "failed", reason), *skipped
    return (
        _check_comparable(champion),
        _check_score(evidence, champion),
        _check_chance(evidence, champion, rules),
        _check_calibration(evidence, champion, rules),
        _check_slices(champion, rules),
        _check_images(evidence, champion),
    )


def _check_comparable(champion: Champion) -> Check:
    text = f"measured on the same test images as champion version {champion.version}"
    if champion.exposed:
        text += (
            f", except {champion.exposed} that the champion was trained or selected on, or that share a group with "
            "such an image"
        )
    if not champion.recorded:
        text += "; it is unknown what the champion was trained on, so the champion's score may be too high"
    return Check("comparable", "passed", text)


def _check_score(evidence: Evidence, champion: Champion) -> Check:
    metric, new, old = evidence.metric, evidence.score, champion.score
    if math.isnan(new):
        return _score_is_nan(metric)
    if math.isnan(old):
        return Check("score", "passed", f"{metric} {new:.4f}; the champion's {metric} is not a number")
    better = _is_better(evidence, champion)
    new_text, old_text = _format_distinct(new, old)
    verdict = "better than" if better else "no better than"
    hint = "" if larger_is_better(metric) else " (lower is better)"
    same = "; all predictions are the same" if champion.same_predictions else ""
    return _check("score", better, f"{metric} {new_text} is {verdict} the champion's {old_text}{hint}{same}")


def _is_better(evidence: Evidence, champion: Champion) -> bool:
    difference = evidence.score - champion.score
    return difference > 0 if larger_is_better(evidence.metric) else difference < 0


def _score_is_nan(metric: str) -> Check:
    return Check("score", "failed", f"the new model's {metric} is not a number")


def _check_chance(evidence: Evidence, champion: Champion, rules: Rules) -> Check:
    if math.isnan(champion.p_value):
        return Check("chance", "skipped", "no score to compare with")
    if not _is_better(evidence, champion):
        return Check("chance", "failed", "there is no gain")
    significant = champion.p_value <= rules.significance
    word = "significant" if significant else "not significant"
    return _check("chance", significant, f"the gain is {word} (p = {champion.p_value:.2g})")


def _check_calibration(evidence: Evidence, champion: Champion, rules: Rules) -> Check:
    if math.isnan(champion.ece_rise):
        return Check("calibration", "skipped", "too few groups to compare calibration errors")
    errors = f"calibration error {evidence.ece:.3f}, the champion's {champion.ece:.3f}"
    if champion.ece_rise <= rules.max_ece_rise:
        return Check("calibration", "passed", f"{errors}: no significant rise above {rules.max_ece_rise:g}")
    rise = f"a rise of at least {champion.ece_rise:.3f}; at most {rules.max_ece_rise:g} is allowed"
    return Check("calibration", "failed", f"{errors}: {rise}")


def _check_slices(champion: Champion, rules: Rules) -> Check:
    drops = [drop for drop in champion.drops if drop.drop > rules.max_slice_drop]
    if not drops:
        return Check("slices", "passed", f"no slice lost significantly more than {rules.max_slice_drop:g} of accuracy")
    worst = max(drops, key=lambda drop: drop.drop)
    text = f"accuracy where {worst.column} is {worst.value} ({counted(worst.images, 'image')}) fell by {worst.drop:.3f}"
    more = f"; accuracy fell too far on {counted(len(drops) - 1, 'more slice')}" if len(drops) > 1 else ""
    return Check("slices", "failed", text + more)


def _check_images(evidence: Evidence, champion: Champion) -> Check:
    if champion.images is None:
        return Check("images", "skipped", "the number of the champion's images is unknown")
    enough = evidence.images >= champion.images
    word = "no fewer than" if enough else "fewer than"
    return _check(
        "images", enough, f"{evidence.images:,} images in the splits, {word} the champion's {champion.images:,}"
    )


def _check(name: str, passed: bool, reason: str) -> Check:
    return Check(name, "passed" if passed else "failed", reason)


def _format_distinct(one: float, other: float) -> tuple[str, str]:
    """Format two numbers with enough decimals to tell the numbers apart, at least four."""
    for decimals in range(4, 17):
        texts = f"{one:.{decimals}f}", f"{other:.{decimals}f}"
        if texts[0] != texts[1]:
            return texts
    return f"{one:.4f}", f"{other:.4f}"
