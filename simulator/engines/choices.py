"""Requests checked, options turned into first tokens, answers brought into one form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from footfall.errors import EngineError, SettingError
from footfall.simulator.engines.protocol import (
    Answer,
    ChoiceAnswer,
    LikelihoodAnswer,
    LikelihoodRequest,
    Request,
    TextAnswer,
    TextRequest,
)

__all__ = [
    "choice_answer",
    "closed_error",
    "first_tokens",
    "following_tokens",
    "in_form",
    "is_repeatable",
    "likelihood_answer",
    "matching_log_probabilities",
    "one_line",
    "require_valid",
    "unusable_choice",
]

#: Options are read after this sign, as they follow a label in a prompt: tokenisers that put a
#: blank before a text's first word would otherwise begin every option with the same token.
_ANCHOR = ":"


def require_valid(request: Request) -> None:
    """Refuse a request that no engine could answer.

    Raises
    ------
    SettingError
        For no options, an empty or a repeated option, an empty continuation, fewer than one
        token, or a temperature that is negative or not a number.
    """
    if isinstance(request, LikelihoodRequest):
        if not request.continuation:
            raise SettingError(
                "The continuation of a likelihood request is empty.",
                hint="Give the text whose probability is wanted.",
            )
        return
    if isinstance(request, TextRequest):
        if request.max_tokens < 1:
            raise SettingError(
                f"max_tokens is {request.max_tokens} in a text request.",
                hint="Ask for at least one token.",
            )
        if not (math.isfinite(request.temperature) and request.temperature >= 0):
            raise SettingError(
                f"temperature is {request.temperature} in a text request.",
                hint="Use 0 for the likeliest words, up to about 1 for varied ones.",
            )
        return
    if not request.options:
        raise SettingError("A choice request has no options.", hint="Give at least one option.")
    if "" in request.options:
        raise SettingError(
            f"An option is empty in the choice {list(request.options)!r}.",
            hint="Give every option some text.",
        )
    if len(set(request.options)) < len(request.options):
        raise SettingError(
            f"An option is repeated in the choice {list(request.options)!r}.",
            hint="Name each option once.",
        )


def is_repeatable(request: Request) -> bool:
    """Whether asking again means the same answer: all but text drawn anew each time."""
    return not isinstance(request, TextRequest) or request.temperature == 0 or bool(request.draw)


def in_form(request: Request, answer: Answer) -> Answer:
    """``answer`` if it has the form that ``request`` asks for, else one that is not usable.

    An answer of another kind, a text that is none, and log-probabilities of another number than
    the options or that are not finite say nothing that a shopper could use.
    """
    if isinstance(request, LikelihoodRequest):
        if isinstance(answer, LikelihoodAnswer) and -math.inf < answer.log_probability <= 0.0:
            return answer
        return LikelihoodAnswer(0.0, answer.prompt_tokens, answer.output_tokens, usable=False)
    if isinstance(request, TextRequest):
        if isinstance(answer, TextAnswer) and isinstance(answer.text, str):
            return answer
        return TextAnswer("", answer.prompt_tokens, answer.output_tokens)
    if (
        isinstance(answer, ChoiceAnswer)
        and len(answer.log_probabilities) == len(request.options)
        and all(math.isfinite(value) for value in answer.log_probabilities)
    ):
        return answer
    return unusable_choice(
        len(request.options),
        prompt_tokens=answer.prompt_tokens,
        output_tokens=answer.output_tokens,
    )


def following_tokens(encode: Callable[[str], Sequence[int]], text: str) -> list[int]:
    """Token ids of ``text`` where it follows a prompt's label; ``encode`` as in `first_tokens`.

    What a model is tuned to answer is cut into tokens by this too: its first token is the one
    that a choice is read from.
    """
    anchor = list(encode(_ANCHOR))
    ids = list(encode(_ANCHOR + text))
    # Where the anchor melts into the text's first token, the text is read on its own.
    return ids[len(anchor) :] if ids[: len(anchor)] == anchor else list(encode(text))


def first_tokens(encode: Callable[[str], Sequence[int]], options: Sequence[str]) -> tuple[int, ...]:
    """The token that begins each option where it follows a prompt.

    Parameters
    ----------
    encode:
        Token ids of a text, without special tokens.
    options:
        Texts that may follow a prompt.

    Raises
    ------
    SettingError
        If two options begin with the same token, because one token could not tell them apart.
    """
    tokens: dict[int, str] = {}
    for option in options:
        rest = following_tokens(encode, option)
        if not rest:
            raise SettingError(
                f"The option {option!r} has no tokens in this model.", hint="Use another word."
            )
        if rest[0] in tokens:
            raise SettingError(
                f"The options {tokens[rest[0]]!r} and {option!r} begin with the same token "
                f"({rest[0]}) in this model.",
                hint="Choose words that differ at their start, such as ' Yes' and ' No'.",
            )
        tokens[rest[0]] = option
    return tuple(tokens)


def choice_answer(
    log_probabilities: Sequence[float | None], *, prompt_tokens: int, output_tokens: int
) -> ChoiceAnswer:
    """Normalise natural-log probabilities over the options, in their order.

    An option that the engine said nothing about (``None``) gets the smallest value that it did
    give, from which it cannot be told apart by more than the engine's own cut-off. Without any
    finite value the answer is uniform and not ``usable``.
    """
    known = [value for value in log_probabilities if value is not None and math.isfinite(value)]
    if not known:
        return unusable_choice(
            len(log_probabilities), prompt_tokens=prompt_tokens, output_tokens=output_tokens
        )
    floor = min(known)
    filled = [
        floor if value is None or not math.isfinite(value) else value for value in log_probabilities
    ]
    top = max(filled)
    total = top + math.log(math.fsum(math.exp(value - top) for value in filled))
    return ChoiceAnswer(tuple(value - total for value in filled), prompt_tokens, output_tokens)


def likelihood_answer(
    log_probabilities: Sequence[float | None], *, prompt_tokens: int, output_tokens: int
) -> LikelihoodAnswer:
    """The sum over the continuation's tokens; not ``usable`` where one of them is missing."""
    known = [value for value in log_probabilities if value is not None and math.isfinite(value)]
    if not known or len(known) < len(log_probabilities):
        return LikelihoodAnswer(0.0, prompt_tokens, output_tokens, usable=False)
    return LikelihoodAnswer(math.fsum(known), prompt_tokens, output_tokens)


def unusable_choice(
    options: int, *, prompt_tokens: int = 0, output_tokens: int = 0
) -> ChoiceAnswer:
    """The uniform answer to a choice that the engine did not make."""
    return ChoiceAnswer((-math.log(options),) * options, prompt_tokens, output_tokens, usable=False)


def one_line(text: str) -> str:
    """The first line of ``text`` without surrounding white space; it may be empty."""
    lines = text.split("\n", 1)[0].strip().splitlines()
    # A sign of several bytes that was cut off by the last token comes as a replacement sign.
    return lines[0].rstrip("\ufffd").strip() if lines else ""


def matching_log_probabilities(
    tokens: Mapping[str, float], options: Sequence[str]
) -> list[float | None]:
    """Log-probability of each option from the words of likely tokens.

    A token counts for the one option that begins with it, blanks at its start aside; a token
    that begins several options counts for none. Several tokens of one option are summed.
    """
    found: list[list[float]] = [[] for _ in options]
    for token, value in tokens.items():
        start = token.strip()
        owners = [index for index, option in enumerate(options) if option.strip() == start] or [
            index
            for index, option in enumerate(options)
            if start and option.strip().startswith(start)
        ]
        if len(owners) == 1 and math.isfinite(value):
            found[owners[0]].append(value)
    return [
        math.log(math.fsum(math.exp(value) for value in values)) if values else None
        for values in found
    ]


def closed_error() -> EngineError:
    """The error of an engine used after ``close``."""
    return EngineError("The engine is closed.", hint="Open a new one with `open_engine`.")
