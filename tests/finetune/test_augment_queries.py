from __future__ import annotations

import pytest
from small_shop import build

from footfall.errors import EmptyLogError, EngineAnswerError, SettingError
from footfall.finetune.augment import augment, augment_with_report
from footfall.finetune.augment_prompts import paraphrase_prompt, translation_prompt
from footfall.finetune.augmentation_settings import AugmentationSettings
from footfall.simulator.engines import (
    EngineIdentity,
    RecordingEngine,
    ReplayEngine,
    ScriptedEngine,
    TextAnswer,
)

ONCE = AugmentationSettings(variants=1, tries=1)


class Answering:
    """An engine that answers from a function of the prompt's last filled line and the draw."""

    def __init__(self, answer):
        self._answer = answer
        self._ready = []
        self.prompts = []
        self.identity = EngineIdentity("test", "test", "0")

    def submit(self, request):
        self.prompts.append(request.prompt)
        asked = request.prompt.splitlines()[-2].partition(": ")[2]
        text = self._answer(asked, request)
        self._ready.append((len(self.prompts), TextAnswer(text, 1, 1)))
        return len(self.prompts)

    def collect(self):
        # In another order than asked.
        ready, self._ready = self._ready[::-1], []
        return ready

    def close(self):
        pass


def shop(queries, size=2):
    return build(
        [
            {
                "search_id": f"r{number}",
                "item_id": f"i{item}",
                "query": query,
                "has_query": 0.0 if query is None else 1.0,
                "label": item == 0,
            }
            for number, query in enumerate(queries)
            for item in range(size)
        ]
    )


def test_slates_are_copied_with_a_paraphrase():
    real = shop(["red shoes", None, "garden hose", "red shoes"])
    engine = Answering(lambda query, request: f" Other words: fine {query}\nQuery: more")
    made = augment_with_report(real, "paraphrase", 6, settings=ONCE, engine=engine)
    assert (made.slates, made.eligible, made.changed, made.asked) == (4, 3, 3, 2)
    rows = made.examples.table.to_pylist()
    assert sorted({row["query"] for row in rows}) == ["fine garden hose", "fine red shoes"]
    assert [row["label"] for row in rows] == [True, False] * 3
    assert {row["origin"] for row in rows} == {"augment:paraphrase"}
    # One slate has one query.
    assert len({(row["search_id"], row["query"]) for row in rows}) == 3
    # What was shown is in no prompt: the answer would carry it into the query.
    assert not any("something" in prompt for prompt in engine.prompts)


def test_rewritings_that_say_nothing_new_are_refused_and_asked_for_again():
    answers = {
        "red shoes": ["Red  Shoes", "scarlet shoes"],
        "garden hose": ["", "水管"],
        "big lamp": ["gift for dad", "huge lamp"],
        "usb hub": ["usb port", "never asked"],
    }

    # An example's answer is no paraphrase of this query.
    answers["big lamp"][0] = "present for my father"

    def answer(query, request):
        draw = int(request.draw.rsplit("/", 1)[1])
        return answers[query][draw]

    settings = AugmentationSettings(variants=1, tries=2)
    made = augment_with_report(
        shop(list(answers)), "paraphrase", 8, settings=settings, engine=Answering(answer)
    )
    found = set(made.examples.column("query"))
    assert found == {"scarlet shoes", "huge lamp", "usb port"}
    assert made.asked == 7
    assert made.refused == {"unchanged": 1, "empty": 2, "another script": 1}
    # Three changed slates of two rows are repeated to make eight rows.
    assert len(made.examples) == 8
    assert made.changed == 3
    assert any("another script: 1" in line for line in made.lines())


def test_other_slates_take_the_place_of_refused_ones():
    real = shop([f"shoes {letter}" for letter in "abcdefgh"])
    refused = Answering(lambda query, request: query if query[-1] in "abcd" else f"new {query}")
    made = augment_with_report(real, "paraphrase", 8, settings=ONCE, engine=refused)
    assert set(made.examples.column("query")) == {f"new shoes {letter}" for letter in "efgh"}
    assert made.changed == 4


def test_variants_of_one_query_differ():
    def answer(query, request):
        draw = int(request.draw.rsplit("/", 1)[1])
        return f"{query} {['red', 'red', 'blue'][draw]}"

    settings = AugmentationSettings(variants=3, tries=1)
    made = augment_with_report(
        shop(["shoes"]), "paraphrase", 6, settings=settings, engine=Answering(answer)
    )
    assert set(made.examples.column("query")) == {"shoes red", "shoes blue"}
    assert made.refused == {"a repeat": 1}


def test_chinese_queries_are_asked_for_in_chinese_and_stay_chinese():
    real = shop(["无线耳机", "茉莉绿茶"])
    engine = Answering(lambda query, request: "wireless" if "耳机" in query else "茉莉花茶")
    # The full-width colon is no part of the label here: the line is split at ": ".
    made = augment_with_report(real, "paraphrase", 4, settings=ONCE, engine=engine)
    assert set(made.examples.column("query")) == {"茉莉花茶"}
    assert made.refused == {"another script": 1}
    assert all("另一种说法" in prompt for prompt in engine.prompts)


DICTIONARY = {"red shoes": "红鞋", "红鞋": "scarlet shoes", "xbox": "xbox", "hose": "no idea"}


def test_back_translation_goes_through_the_pivot():
    engine = Answering(lambda query, request: DICTIONARY[query])
    real = shop(["red shoes", "xbox", "hose"])
    made = augment_with_report(real, "back-translation", 6, settings=ONCE, engine=engine)
    assert made.examples.column("query").tolist() == ["scarlet shoes"] * 6
    # A name stays what it is and a translation into no other script is none: nothing comes back.
    assert made.refused == {"empty": 2}
    assert made.examples.column("origin")[0] == "augment:back-translation"


def test_back_translation_of_chinese_goes_through_english():
    words = {"红鞋": "red shoes", "red shoes": "红色的鞋"}
    engine = Answering(lambda query, request: words[query])
    made = augment(shop(["红鞋"]), "back-translation", 2, settings=ONCE, engine=engine)
    assert made.column("query").tolist() == ["红色的鞋"] * 2


def test_prompts_end_where_the_answer_begins():
    for asked in (
        paraphrase_prompt("red  shoes", "en"),
        paraphrase_prompt("rote Schuhe", "de"),
        paraphrase_prompt("红鞋", "zh"),
        translation_prompt("red shoes", "en", "zh", "en"),
        translation_prompt("红鞋", "zh", "en", "zh"),
        translation_prompt("rote Schuhe", "de", "en", "de"),
        translation_prompt("x", "sw", "en", "sw"),
    ):
        *_, given, last = asked.prompt.splitlines()
        assert given.startswith(f"{asked.labels[0]}: ")
        assert last == f"{asked.labels[1]}:"
    assert "German" in paraphrase_prompt("rote Schuhe", "de").prompt
    assert translation_prompt("红鞋", "zh", "en", "zh").examples[0] == "running shoes for women"


def test_the_scripted_engine_only_echoes_and_that_is_said():
    with pytest.raises(EngineAnswerError, match="unchanged: 12"):
        augment(shop(["red shoes", "hose"]), "paraphrase", 4, engine=ScriptedEngine())


def test_a_recording_gives_the_same_rows(tmp_path):
    real = shop(["red shoes", "hose", "lamp"])
    path = tmp_path / "answers.jsonl"
    recorder = RecordingEngine(Answering(lambda query, request: f"new {query}"), path)
    made = augment(real, "paraphrase", 5, settings=ONCE, engine=recorder)
    recorder.close()
    again = augment(real, "paraphrase", 5, settings=ONCE, engine=ReplayEngine(path))
    assert again.table.equals(made.table)


def test_what_is_missing_is_said():
    with pytest.raises(EmptyLogError, match="a query"):
        augment(shop([None, " "]), "paraphrase", 2, engine=ScriptedEngine())
    with pytest.raises(SettingError, match="language model"):
        augment(shop(["a"]), "paraphrase", 2)
    with pytest.raises(SettingError, match="already"):
        augment(
            shop(["red shoes"]),
            "back-translation",
            2,
            engine=ScriptedEngine(),
            settings=AugmentationSettings(pivot="en"),
        )
    assert len(augment(shop(["a"]), "paraphrase", 0, engine=ScriptedEngine())) == 0


@pytest.mark.parametrize(
    "wrong", [{"pivot": "en", "language": "en"}, {"forth_model": "a"}, {"pivot": "English"}]
)
def test_wrong_settings(wrong):
    with pytest.raises(ValueError, match=r"pivot|back_model"):
        AugmentationSettings(**wrong)
