"""Design the sample's sixty cartoon characters, whose label shows only in expression, posture and attributes.

Two rules keep a model from using a single feature. Irrelevant traits (skin tone, hair, age, clothes, background) are
equally frequent in both labels. Relevant cues (expression, posture, attributes) usually agree with the label, but no
cue always agrees.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Label = Literal["good", "bad"]
Colour = tuple[int, int, int]

CHARACTERS_PER_LABEL = 30
LABELS: tuple[Label, ...] = ("good", "bad")

SKIN_TONES: dict[str, Colour] = {
    "ivory": (246, 220, 196),
    "peach": (240, 190, 156),
    "tan": (208, 154, 110),
    "brown": (156, 104, 70),
    "umber": (106, 70, 50),
    "blue": (120, 168, 224),
    "green": (138, 196, 116),
    "violet": (180, 146, 214),
    "grey": (168, 174, 184),
    "coral": (238, 138, 118),
}
CLOTHES: dict[str, Colour] = {
    "red": (206, 62, 58),
    "orange": (232, 140, 52),
    "yellow": (238, 204, 78),
    "green": (84, 156, 84),
    "teal": (52, 150, 152),
    "blue": (64, 104, 186),
    "purple": (128, 82, 168),
    "pink": (232, 140, 176),
    "white": (232, 230, 222),
    "charcoal": (74, 76, 88),
}
HAIR_STYLES = ("bald", "tuft", "long", "curls", "spikes", "mohawk")
AGES = ("child", "adult", "elder")
BACKGROUNDS = ("meadow", "night", "city", "desert", "snow", "sea")


@dataclass(frozen=True)
class Cues:
    """Features that hint at the label: 1 for a friendly form, -1 for a menacing form, 0 if the feature is absent."""

    mouth: int
    brows: int
    eyes: int
    posture: int
    headgear: int
    back: int
    hand: int
    cheeks: int
    mask: int
    emblem: int


CUE_SHARES: dict[str, tuple[int, int]] = {
    # Of the thirty characters of a label: number whose cue contradicts the label, and number without the cue.
    "mouth": (5, 0),
    "brows": (5, 0),
    "eyes": (6, 0),
    "posture": (6, 0),
    "headgear": (3, 4),
    "back": (4, 4),
    "hand": (4, 4),
    "cheeks": (5, 4),
    "mask": (5, 4),
    "emblem": (4, 4),
}


@dataclass(frozen=True)
class Traits:
    """A drawn character: its label, the traits that reveal the label (cues), and traits that do not."""

    label: Label
    skin_tone: str
    hair: str
    age: str
    clothes: str
    background: str
    cues: Cues


@dataclass(frozen=True)
class Character(Traits):
    """One cartoon figure: its traits, colours and proportions."""

    number: int
    skin_colour: Colour
    hair_colour: Colour
    clothes_colour: Colour
    trouser_colour: Colour
    ink: Colour
    accents: tuple[Colour, Colour, Colour, Colour]
    head_width: float
    head_height: float
    body_width: float
    body_height: float
    ears: str
    variant: int

    @property
    def group(self) -> str:
        """Name of the group of all images of the character."""
        return f"character_{self.number:03d}"


def design_characters(seed: int) -> list[Character]:
    """Design the sixty characters of the sample, thirty per label, in random order and numbered from 0."""
    rng = Random(f"cast {seed}")
    cast = [traits for label in LABELS for traits in _deal_traits(rng, label)]
    rng.shuffle(cast)
    return [_design_character(seed, number, traits) for number, traits in enumerate(cast)]


def design_guest(seed: int, number: int) -> Character:
    """Design an extra character for a rotated, damaged or doubly labelled image, from ``seed`` and ``number``."""
    rng = Random(f"guest {seed} {number}")
    return _design_character(seed, number, _deal_traits(rng, LABELS[number % 2])[0])


def _deal_traits(rng: Random, label: Label) -> list[Traits]:
    columns = [_deal(rng, levels) for levels in (tuple(SKIN_TONES), HAIR_STYLES, AGES, tuple(CLOTHES), BACKGROUNDS)]
    return [Traits(label, *row) for row in zip(*columns, _deal_cues(rng, label), strict=True)]


def _deal(rng: Random, levels: Sequence[str]) -> list[str]:
    values = [levels[index % len(levels)] for index in range(CHARACTERS_PER_LABEL)]
    rng.shuffle(values)
    return values


def _deal_cues(rng: Random, label: Label) -> list[Cues]:
    agreeing = 1 if label == "good" else -1
    dealt: dict[str, list[int]] = {}
    for name, (against, absent) in CUE_SHARES.items():
        values = [-agreeing] * against + [0] * absent
        values += [agreeing] * (CHARACTERS_PER_LABEL - len(values))
        rng.shuffle(values)
        dealt[name] = values
    return [Cues(**{name: values[index] for name, values in dealt.items()}) for index in range(CHARACTERS_PER_LABEL)]


def _design_character(seed: int, number: int, traits: Traits) -> Character:
    rng = Random(f"character {seed} {number}")
    head_size, body_size = {"child": (1.08, 0.86), "adult": (1.0, 1.06), "elder": (0.98, 0.98)}[traits.age]
    return Character(
        **vars(traits),
        number=number,
        head_width=rng.uniform(38, 45) * head_size,
        head_height=rng.uniform(36, 41) * head_size,
        body_width=rng.uniform(25, 34) * body_size,
        body_height=rng.uniform(27, 32) * body_size,
        skin_colour=vary(rng, SKIN_TONES[traits.skin_tone], 12),
        hair_colour=_hair_colour(rng, traits.age),
        clothes_colour=vary(rng, CLOTHES[traits.clothes], 16),
        trouser_colour=_any_colour(rng),
        ink=vary(rng, (44, 38, 48), 10),
        accents=(_any_colour(rng), _any_colour(rng), _any_colour(rng), _any_colour(rng)),
        ears=rng.choice(("round", "pointed", "none")),
        variant=rng.randrange(2),
    )


def _hair_colour(rng: Random, age: str) -> Colour:
    if age == "elder":
        return vary(rng, (206, 206, 208), 24)
    return vary(rng, rng.choice(((60, 44, 40), (122, 78, 44), (198, 150, 76), (176, 78, 42), (86, 70, 130))), 16)


def _any_colour(rng: Random) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.35, 0.8), rng.uniform(0.55, 0.95))
    return round(red * 255), round(green * 255), round(blue * 255)


def vary(rng: Random, colour: Colour, amount: int) -> Colour:
    """Change each channel of a colour randomly by at most ``amount``, within 0–255."""
    red, green, blue = (min(255, max(0, channel + rng.randint(-amount, amount))) for channel in colour)
    return red, green, blue
