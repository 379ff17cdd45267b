import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import pytest
from report_kit import HOSTILE, NAMES, chart, facts, tables

from goodbad_pipeline.reporting.pages import escape_markdown, number, render_card, write_card, write_report

PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """What a browser would make of a page: its tags and its text; complains of tags that are not closed."""

    VOID = ("meta", "link", "img", "br", "hr")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.addresses = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def pages():
    card = write_card(facts())
    report = write_report(facts(), {"confusion_matrix": PNG, "slices": PNG}, {"slices": chart()})
    return {"report": Page(report), "card": Page(render_card(card))}


def test_facts_are_plain_json_without_nan():
    text = json.dumps(facts(), allow_nan=False)
    assert json.loads(text)["per_class"][0]["recall_high"] is None


def test_the_report_counts_corrected_labels_by_split(pages):
    assert "Labels that corrections changed: 3 in train, 1 in test." in pages["report"].text


def test_names_from_the_data_stay_text_on_both_pages(pages):
    for page in pages.values():
        assert page.tags.count("script") == (3 if page is pages["report"] else 0)  # data, plotly.js, our own script
        assert HOSTILE in page.text
        assert not any("javascript" in address for address in page.addresses)


def test_pages_load_nothing_from_a_server(pages):
    for page in pages.values():
        assert all(address.startswith("data:") for address in page.addresses)
    assert f"data:image/png;base64,{'iVBORw0KGgo='}" in pages["report"].addresses


def test_only_scripts_of_known_content_run(pages):
    report = write_report(facts(), {}, {"slices": chart()})
    scripts = re.findall(r"<script>(.*?)</script>", report, flags=re.S)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', report)
    assert policy.endswith(f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'")
    assert len(digests) == 2
    assert "script-src" not in write_report(facts(), {})
    assert len(write_report(facts(), {})) < 100_000  # plotly.js is brought where there is something to draw


def test_charts_are_kept_as_data_that_cannot_break_out():
    report = write_report(facts(), {"slices": PNG}, {"slices": chart()})
    (data,) = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', report, flags=re.S)
    assert "<" not in data
    assert HOSTILE in html.unescape(json.loads(data)["slices"]["data"][0]["customdata"][1][0])


def test_the_essentials_come_first(pages):
    text = pages["report"].text
    first = text[: text.index("Champion or challenger")]
    for words in ("goodbad version 7", "challenger", "the gain is not significant", "0.910", "0.810 to 0.960"):
        assert words in first
    assert "83 test images in 12 groups" in first
    assert "colour histogram 0.640" in first
    assert "The colour histogram reaches 0.64" in first


def test_every_number_of_the_facts_is_in_the_report(pages):
    text = pages["report"].text
    for words in (
        "parity passed",
        "chance failed",
        "images skipped",
        "hair red 30",
        "unknown",
        "A temperature of 0.800",
    ):
        assert words in text
    assert "388 files found = 383 accepted + 5 quarantined" in text
    assert "ab" * 32 in text


def test_a_temperature_of_1_is_said_to_change_nothing():
    unchanged = facts()
    unchanged["calibration"] |= {"temperature": 1.0}
    for text in (Page(write_report(unchanged, {})).text, Page(render_card(write_card(unchanged))).text):
        assert "Calibration left" in text
        assert "probabilities as they are (temperature 1)" in text
        assert "temperature of" not in text


def test_the_calibration_error_has_a_dash_for_its_interval_and_a_note():
    rows = tables()["metric_intervals"]
    rows.loc[rows["metric"] == "ece", ["low", "high"]] = float("nan")
    shown = facts(metric_intervals=rows)
    assert '<td>Calibration error (ECE)</td><td class="n"><b>0.910</b></td><td>–</td>' in write_report(shown, {})
    assert "| Calibration error (ECE) | 0.910 | – |" in write_card(shown)
    for page in (write_report(shown, {}), write_card(shown)):
        assert "The calibration error has no interval." in page


def test_a_run_without_findings_columns_or_champion_has_a_report_too():
    bare = facts(findings=[])
    bare |= {"slices": [], "fairness": [], "slice_comparison": []}
    bare["registered"] |= {"champion": None}
    bare["calibration"] |= {"threshold": None, "abstain_below": None}
    text = Page(write_report(bare, {})).text
    assert "No problems found" in text
    assert "no columns to slice by" in text
    assert "compared with champion" not in text
    assert "The model abstains below" not in text
    assert "Limits" in Page(render_card(write_card(bare))).text


def test_disagreements_are_shown_only_with_a_champion():
    figures = {"disagreements": PNG}
    shown = "Images that only one of the two models predicts correctly"
    assert shown in write_report(facts(), figures)
    bare = facts()
    bare["registered"] |= {"champion": None}
    assert shown not in write_report(bare, figures)


def test_sentences_are_separated_by_spaces(pages):
    assert "from a probability of 0.400. The model abstains below 0.600" in pages["report"].text
    assert "on the other images is –. Accuracy on the 80 %" in pages["report"].text


def test_the_card_forbids_judging_people(pages):
    text = pages["card"].text
    assert "This model must not be used to judge people" in text
    assert "labels of a data set" in text
    for heading in ("Intended use", "Data", "Results on the test split", "Slices", "Limits"):
        assert heading in text
    assert "ab" * 32 in text


def test_weights_of_unknown_provenance_are_named_on_both_pages():
    network = facts()["network"] | {"weights": "others.keras"}
    note = "It is unknown what these weights were trained on, which may include test images."
    for recorded in (False, True):
        source = {"version": None, "recorded": recorded, "test_images": 0}
        known = facts(network=network | {"source": source})
        for page in (write_card(known), write_report(known, {})):
            assert (f"others.keras. {note}" in page) != recorded


def test_the_cards_tables_are_whole(pages):
    card = write_card(facts())
    for block in re.findall(r"(?:^\|.*\n)+", card, flags=re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
    assert pages["card"].tags.count("table") == 5


def test_markdown_is_escaped_in_one_line():
    assert escape_markdown("a|b\n# c_d") == r"a\|b \# c\_d"
    assert escape_markdown(3) == 3
    assert number(None) == "–"
    assert len(NAMES) == 2


def test_the_card_explains_that_test_images_choose_the_champion(pages):
    text = pages["card"].text
    assert "used once" not in text
    assert "The same test images decide for every model of this split whether it replaces the champion" in text
