"""Champion or challenger: which of two models should serve. A pure decision with its reasons."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.metrics import larger_is_better

Alias = Literal["champion", "challenger"]
Policy = Literal["strict", "better", "always"]
Status = Literal["passed", "failed", "skipped"]

DECIDING_METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss")

CHECKS = ("parity", "leakage", "comparable", "score", "chance", "calibration", "slices", "images")
"""What is checked, in order; see `decide_promotion`."""

DECIDES: Mapping[Policy, tuple[str, ...]] = {  # which checks do, by policy; the others are told all the same
    "strict": CHECKS,
    "better": ("parity", "leakage", "comparable", "score"),
    "always": ("parity",),
}


@dataclass(frozen=True)
class Rules:
    """What a new model must meet.

    Attributes:
        policy: Which checks decide.
        significance: Largest one-sided p-value that is no chance, in (0, 1).
        max_ece_rise: By how much the calibration error may exceed the champion's; what chance explains is let pass.
        max_slice_drop: By how much accuracy on a slice may fall below the champion's.
        parity_tolerance: Largest difference of a probability between the model and its registered, reloaded copy.
    """

    policy: Policy
    significance: float
    max_ece_rise: float
    max_slice_drop: float
    parity_tolerance: float


@dataclass(frozen=True)
class SliceDrop:
    """A slice on which the new model is less accurate, beyond chance."""

    column: str
    value: str
    images: int
    drop: float


@dataclass(frozen=True)
class Champion:
    """The present champion on the new model's test images.

    Attributes:
        version: Its number.
        score: Of the deciding metric.
        p_value: How often a model of the same worth would beat it so far by chance.
        ece: Calibration error.
        images: Images it was made from (train, validation and test); None where that is not on record.
        same_answers: Whether the new model answers every image alike.
        drops: Slices on which the new model is less accurate, beyond chance.
        seen: Test images that are left out of the comparison, because it was trained or selected on them.
        recorded: Whether it is on record what it was trained on.
        ece_rise: By how much the new model's calibration error is above this one's at least: the lower end of its 95 %
            interval; NaN where that cannot be told.
        incomparable: Why the two cannot be compared, as the end of a sentence; the numbers mean nothing then.
    """

    version: str
    score: float = math.nan
    p_value: float = math.nan
    ece: float = math.nan
    images: int | None = None
    same_answers: bool = False
    drops: tuple[SliceDrop, ...] = ()
    seen: int = 0
    recorded: bool = True
    ece_rise: float = math.nan
    incomparable: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What is known of the new model.

    Attributes:
        metric: One of `DECIDING_METRICS`, which decides.
        score: Its score, on the images that both are compared on.
        ece: Its calibration error on these.
        images: Images it was made from.
        parity: Largest difference of a probability after registering and loading it again; infinite where it could not
            be loaded.
        leaks: What lies on two sides of its split, or was seen by what it started from.
        unrecorded: What it started from, where it is not on record what that had seen.
        champion: What it is compared with; None where there is none.
    """

    metric: str
    score: float
    ece: float
    images: int
    parity: float
    leaks: tuple[str, ...] = ()
    unrecorded: str | None = None
    champion: Champion | None = None


@dataclass(frozen=True)
class Check:
    """One check: its name, how it went, and a readable line."""

    name: str
    status: Status
    reason: str


@dataclass(frozen=True)
class Decision:
    """The alias that the new model earns, and why.

    Attributes:
        alias: `champion` where it takes over, `challenger` where the present champion stays.
        reason: one readable line.
        policy: which checks decided.
        checks: every check, in the order of `CHECKS`.
    """

    alias: Alias
    reason: str
    policy: Policy
    checks: tuple[Check, ...] = field(default_factory=tuple)

    @property
    def promoted(self) -> bool:
        """Whether the new model takes over."""
        return self.alias == "champion"


def decide_promotion(evidence: Evidence, rules: Rules) -> Decision:
    """Decide whether a new model takes the champion's place.

    Checked are parity (the registered copy answers as the model did), leakage (nothing lies on two sides of its split),
    and beside a champion comparable (same classes), score (strictly better on the metric), chance (better beyond it),
    calibration and slices (no worse than a limit), and images (made from as many or more). It takes over where every
    check that the policy names passed or had nothing to compare with.

    Raises:
        InputError: for an unknown metric.
    """
    if evidence.metric not in DECIDING_METRICS:
        raise InputError(f"metric: {evidence.metric!r} is unknown; choose one of {', '.join(DECIDING_METRICS)}")
    checks = (*_check_itself(evidence, rules), *_check_beside(evidence, evidence.champion, rules))
    stopped = [check.reason for check in checks if check.status == "failed" and check.name in DECIDES[rules.policy]]
    if stopped:
        return Decision("challenger", "; ".join(stopped), rules.policy, checks)
    return Decision("champion", _why_promoted(evidence, rules, checks), rules.policy, checks)


def reconsider(decision: Decision, compared: str | None, now: str | None) -> Decision:
    """Hold a decision against the champion that there is when it takes effect: another run may have made a new one.

    Versions are None where there is no champion. Where a comparison decides, and would be with another one, that stays.
    """
    if now == compared or not decision.promoted or "comparable" not in DECIDES[decision.policy]:
        return decision
    before = "there was no champion" if compared is None else f"it was version {compared}"
    after = "there is none" if now is None else f"it is version {now}"
    reason = f"the champion changed meanwhile: {before} when they were compared, {after} now"
    checks = tuple(
        Check("comparable", "failed", reason) if one.name == "comparable" else one for one in decision.checks
    )
    return Decision("challenger", reason, decision.policy, checks)


def _why_promoted(evidence: Evidence, rules: Rules, checks: tuple[Check, ...]) -> str:
    if evidence.champion is None:
        return f"no champion yet; {evidence.metric} {evidence.score:.4f}"
    told = [check.reason for check in checks if check.name in ("score", "chance") and check.status == "passed"]
    ignored = [check.reason for check in checks if check.status == "failed"]
    aside = [f"promotion.policy={rules.policy} lets pass: {'; '.join(ignored)}"] if ignored else []
    return "; ".join([*told, *aside])


def _check_itself(evidence: Evidence, rules: Rules) -> tuple[Check, ...]:
    close = evidence.parity <= rules.parity_tolerance
    gap = f"the registered copy answers {evidence.parity:.1g} off, {rules.parity_tolerance:g} is allowed"
    text = gap if math.isfinite(evidence.parity) else "the registered copy could not be loaded, or answers nonsense"
    leaks = (
        f"the split leaks: {'; '.join(evidence.leaks)}" if evidence.leaks else "nothing lies on two sides of the split"
    )
    if evidence.unrecorded is not None:
        leaks += f"; what it started from ({evidence.unrecorded}) may have seen test images: that is not on record"
    return _check("parity", close, text), _check("leakage", not evidence.leaks, leaks)


def _check_beside(evidence: Evidence, champion: Champion | None, rules: Rules) -> tuple[Check, ...]:
    names = [name for name in CHECKS if name not in ("parity", "leakage")]
    if champion is None:
        if math.isnan(evidence.score):
            return tuple(_not_a_number(name, evidence.metric) for name in names)
        return tuple(Check(name, "skipped", "there is no champion to compare with") for name in names)
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
    if champion.seen:
        text += f", but for {champion.seen} that it was trained or selected on, or others of their groups"
    if not champion.recorded:
        text += "; what it was trained on is not on record, and they may flatter it"
    return Check("comparable", "passed", text)


def _not_a_number(name: str, metric: str) -> Check:
    if name == "score":
        return Check(name, "failed", f"the new model's {metric} is not a number")
    return Check(name, "skipped", "there is no champion to compare with")


def _check_score(evidence: Evidence, champion: Champion) -> Check:
    metric, new, old = evidence.metric, evidence.score, champion.score
    if math.isnan(new):
        return _not_a_number("score", metric)
    if math.isnan(old):
        return Check("score", "passed", f"{metric} {new:.4f}; the champion's is not a number")
    better = new > old if larger_is_better(metric) else new < old
    texts = _distinct(new, old)
    verdict = "better than" if better else "no better than"
    hint = "" if larger_is_better(metric) else " (lower is better)"
    alike = ", and every answer is the same" if champion.same_answers else ""
    return _check("score", better, f"{metric} {texts[0]} is {verdict} the champion's {texts[1]}{hint}{alike}")


def _check_chance(evidence: Evidence, champion: Champion, rules: Rules) -> Check:
    if math.isnan(champion.p_value):
        return Check("chance", "skipped", "no score to compare with")
    beyond = champion.p_value <= rules.significance
    word = "beyond" if beyond else "not beyond"
    return _check("chance", beyond, f"the gain is {word} chance (p = {champion.p_value:.2g})")


def _check_calibration(evidence: Evidence, champion: Champion, rules: Rules) -> Check:
    if math.isnan(champion.ece_rise):
        return Check("calibration", "skipped", "too few groups to tell calibration errors apart")
    fine = champion.ece_rise <= rules.max_ece_rise
    words = ("no more than", ", but for chance") if fine else ("more than", f", by {champion.ece_rise:.3f} at least")
    against = f"{words[0]} {rules.max_ece_rise:g} above the champion's {champion.ece:.3f}{words[1]}"
    return _check("calibration", fine, f"calibration error {evidence.ece:.3f} is {against}")


def _check_slices(champion: Champion, rules: Rules) -> Check:
    down = [drop for drop in champion.drops if drop.drop > rules.max_slice_drop]
    if not down:
        return Check("slices", "passed", f"no slice lost more than {rules.max_slice_drop:g} of accuracy beyond chance")
    worst = max(down, key=lambda drop: drop.drop)
    text = f"accuracy where {worst.column} is {worst.value} ({worst.images} images) fell by {worst.drop:.3f}"
    return Check("slices", "failed", text + (f", and on {len(down) - 1} more slices" if len(down) > 1 else ""))


def _check_images(evidence: Evidence, champion: Champion) -> Check:
    if champion.images is None:
        return Check("images", "skipped", "it is not on record how many images the champion was made from")
    fine = evidence.images >= champion.images
    word = "no fewer than" if fine else "fewer than"
    return _check("images", fine, f"made from {evidence.images:,} images, {word} the champion's {champion.images:,}")


def _check(name: str, passed: bool, reason: str) -> Check:
    return Check(name, "passed" if passed else "failed", reason)


def _distinct(one: float, other: float) -> tuple[str, str]:
    """Format two numbers with the fewest decimals, four at least, that tell them apart."""
    for decimals in range(4, 17):
        texts = f"{one:.{decimals}f}", f"{other:.{decimals}f}"
        if texts[0] != texts[1]:
            return texts
    return f"{one:.4f}", f"{other:.4f}"
