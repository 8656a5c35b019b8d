"""The words in which a language model is asked to write a query differently.

Chinese queries are asked for in Chinese, all others in English, like the simulator's prompts. No
prompt says what was shown or clicked: a rewriting that knew the answer would carry it into the
query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["AskedText", "paraphrase_prompt", "translation_prompt"]

_ENGLISH_PAIRS: Final = (
    ("cheap running shoes", "inexpensive sneakers for jogging"),
    ("gift for dad", "present for my father"),
    ("kids raincoat", "waterproof jacket for children"),
)
_CHINESE_PAIRS: Final = (
    ("便宜跑鞋", "平价运动鞋"),
    ("送爸爸的礼物", "给父亲买的礼品"),
    ("儿童雨衣", "小孩穿的雨披"),
)
#: The same query in English and in Chinese.
_TRANSLATED: Final = (
    ("running shoes for women", "女士跑步鞋"),
    ("gift for dad", "送给爸爸的礼物"),
    ("kids raincoat", "儿童雨衣"),
)
#: Names of languages in English and in Chinese; others go by their code.
_NAMES: Final = {
    "ar": ("Arabic", "阿拉伯文"),
    "de": ("German", "德文"),
    "en": ("English", "英文"),
    "es": ("Spanish", "西班牙文"),
    "fr": ("French", "法文"),
    "hi": ("Hindi", "印地文"),
    "it": ("Italian", "意大利文"),
    "ja": ("Japanese", "日文"),
    "ko": ("Korean", "韩文"),
    "nl": ("Dutch", "荷兰文"),
    "pl": ("Polish", "波兰文"),
    "pt": ("Portuguese", "葡萄牙文"),
    "ru": ("Russian", "俄文"),
    "th": ("Thai", "泰文"),
    "tr": ("Turkish", "土耳其文"),
    "uk": ("Ukrainian", "乌克兰文"),
    "vi": ("Vietnamese", "越南文"),
    "zh": ("Chinese", "中文"),
}


@dataclass(frozen=True, slots=True)
class AskedText:
    """A prompt whose next line is the rewriting.

    ``labels`` begin the prompt's lines, and ``examples`` are its pattern's answers: a model may
    echo either, and neither is an answer.
    """

    prompt: str
    labels: tuple[str, ...]
    examples: tuple[str, ...]


def paraphrase_prompt(query: str, language: str) -> AskedText:
    """Ask for ``query`` in other words of the same language."""
    if language == "zh":
        return _asked(
            "搜索词，以及意思相同的另一种说法。", ("搜索词", "另一种说法"), _CHINESE_PAIRS, query
        )
    labels = ("Query", "Other words")
    if language == "en":
        return _asked(
            "Search queries and the same wish in other words.", labels, _ENGLISH_PAIRS, query
        )
    name = _NAMES.get(language, (language,))[0]
    task = f"Search queries in {name} and the same wish in other words, in {name} too."
    return _asked(task, labels, (), query)


def translation_prompt(query: str, source: str, target: str, asked_in: str) -> AskedText:
    """Ask for ``query`` of the language ``source`` in ``target``; in Chinese for ``zh``."""
    place = 1 if asked_in == "zh" else 0
    names = [_NAMES.get(code, (code, code))[place] for code in (source, target)]
    task = (
        f"同一个搜索词：{names[0]}和{names[1]}。"
        if place
        else (f"The same search query in {names[0]} and in {names[1]}.")
    )
    pairs: Sequence[tuple[str, str]] = ()
    if {source, target} == {"en", "zh"}:
        pairs = [pair if source == "en" else pair[::-1] for pair in _TRANSLATED]
    return _asked(task, (names[0], names[1]), pairs, query)


def _asked(
    task: str, labels: tuple[str, str], pairs: Sequence[tuple[str, str]], query: str
) -> AskedText:
    lines = [task]
    for given, answer in pairs:
        lines += [f"{labels[0]}: {given}", f"{labels[1]}: {answer}"]
    lines += [f"{labels[0]}: {' '.join(query.split())}", f"{labels[1]}:"]
    return AskedText("\n".join(lines), labels, tuple(answer for _, answer in pairs))
