"""Secrets: values that are handed to notebooks and nowhere else, and what takes them out of every text that is kept or shown.

What `Redactor` cannot find is a value that somebody has transformed: reversed, encrypted, drawn in an image, or spelled out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dsjobs.secretforms import Form

MASK = "***"

BLANK = bytes(range(0x21)) + b"\x7f"
"""The bytes that do not count: white space and control characters."""

SHORTEST = 4
"""Characters of a secret, without white space, from which on it is looked for inside of words and in other forms."""


def bare(text: str | bytes) -> bytes:
    """UTF-8 without what does not count."""
    return (text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text).translate(None, BLANK)


class Secret:
    """A value that does not show: as text it is `***`. Equal to another of the same name, whatever the values are."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """The value. For the request that hands it over, and for a Redactor."""
        return self._value

    @property
    def is_short(self) -> bool:
        """Whether it is too short to be found inside of words, or in another form."""
        return len(bare(self._value).decode()) < SHORTEST

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not written down")


Span = tuple[int, int]
Known = tuple[tuple["Form", str], ...]

# What a terminal does not show: CSI and OSC sequences, as colours are; white space and control characters.
_UNSEEN = re.compile(rb"(?:\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x20\x7f])+")
_BLANKS = re.compile(rb"[\x00-\x20\x7f]+")
_BLOCK = 64 * 1024
_BORDER = "\ufdd0"
"""Keeps texts apart that are searched together: no character, so that no secret has it."""
_OF_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")


class Redactor:
    """Puts `***` in the place of secrets, in any of their forms, also where white space or colours are in between.

    Takes time in proportion to the text: one search for each form. Without secrets it takes none. Any thread may use it.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        # Replaced, never changed: other threads may be reading.
        self._known: Mapping[str, frozenset[str]] = {}
        self._forms: Known = ()
        self._encoded: Known = ()
        self._short: tuple[tuple[re.Pattern[str], str], ...] = ()
        for secret in secrets:
            self.learn(secret)

    def forget(self) -> None:
        """Mask nothing any more: for a process that goes on with something else."""
        self._known, self._forms, self._encoded, self._short = {}, (), (), ()

    def __bool__(self) -> bool:
        return bool(self._known)

    def knows(self, name: str) -> bool:
        """Whether some value of the secret `name` is masked."""
        return name in self._known

    @property
    def reach(self) -> int:
        """How many bytes of a text a secret may take, white space aside: who reads the end of a text reads so much more."""
        return max((len(form.text) for form, _ in self._forms), default=0)

    def learn(self, secret: Secret) -> bool:
        """Mask this one as well from now on; also values that the same secret had before. Whether it is new."""
        values, value = self._known.get(secret.name, frozenset()), secret.reveal()
        if value in values:
            return False
        self._known = {**self._known, secret.name: values | {value}}
        if secret.is_short:
            # Inside of words it would mask everything.
            alone = re.compile(rf"(?<!\w){re.escape(value.strip())}(?!\w)")
            self._short = (*self._short, (alone, secret.name))
        else:
            from dsjobs.secretforms import forms  # of use to runs with secrets only

            self._forms = (*self._forms, *((form, secret.name) for form in forms(value)))
            self._encoded = tuple((form, name) for form, name in self._forms if form.is_encoded)
        return True

    def mask(self, text: str, *, is_binary: bool = False) -> str:
        """`text` without secrets. `is_binary`: it is the base64 of something, in which only encoded ones can be."""
        return self.mask_all([text], is_binary=is_binary)[0] if self._known else text

    def mask_all(self, texts: Sequence[str], *, is_binary: bool = False) -> list[str]:
        """`texts`, which were written one after the other, without secrets: one may begin in one of them and end in another."""
        if not self._known:
            return list(texts)
        pieces = [text.encode("utf-8", "surrogatepass") for text in texts]
        spans = _spans(b"".join(pieces), self._encoded if is_binary else self._forms)
        masked = list(texts)
        if spans:
            masked = [piece.decode("utf-8", "surrogatepass") for piece in _without(pieces, spans)]
        for alone, _ in () if is_binary else self._short:
            masked = [alone.sub(MASK, text) for text in masked]
        return masked

    def mask_json(self, value: Any) -> Any:
        """A JSON value without secrets, in its texts, its keys and its numbers."""
        if not self._known:
            return value
        try:
            return self._masked(value, self._masks(value))
        except RecursionError:
            return MASK

    def names_in(self, value: Any) -> list[str]:
        """The names of the secrets whose values stand somewhere in a JSON value, sorted."""
        found: set[str] = set()
        for text in _texts(value) if self._known else ():
            if isinstance(text, str):
                data = text.encode("utf-8", "surrogatepass")
                found.update(name for kept in _kept(data) for _, _, name in _found(kept, self._forms))
                found.update(name for alone, name in self._short if alone.search(text))
            else:
                found.update(name for name, values in self._known.items() if self._is_number(text, values))
        return sorted(found)

    def _masks(self, value: Any) -> dict[str, str]:
        """The texts in a JSON value, keys included, without secrets: each is looked at once, and most of them together."""
        texts = dict.fromkeys(text for text in _texts(value) if isinstance(text, str))
        # What begins a sequence for a terminal could hide those that follow.
        plain = [text for text in texts if "\x1b" not in text]
        together = self.mask_all([part for text in plain for part in (text, _BORDER)])
        return {text: self.mask(text) for text in texts if "\x1b" in text} | dict(
            zip(plain, together[::2], strict=True)
        )

    def _masked(self, value: Any, masks: Mapping[str, str]) -> Any:
        if isinstance(value, str):
            return masks[value]
        if isinstance(value, list | tuple):
            return [self._masked(inner, masks) for inner in value]
        if isinstance(value, Mapping):
            return {masks[key]: self._masked(inner, masks) for key, inner in value.items()}
        is_secret = any(self._is_number(value, values) for values in self._known.values())
        return MASK if is_secret else value

    def _is_number(self, value: Any, values: Iterable[str]) -> bool:
        """Whether a number is a secret as a whole: a part of one is chance."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return any(len(known) >= SHORTEST and known.strip() == repr(value) for known in values)


def _texts(value: Any) -> Iterator[Any]:
    """The texts in a JSON value, keys included, and what else it ends in."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list | tuple):
            waiting += one
        elif not isinstance(one, str) and isinstance(one, Mapping):
            waiting += [*one, *one.values()]
        else:
            yield one


def _kept(data: bytes) -> Iterator[bytes]:
    """What of `data` counts; and, where there may be sequences for a terminal, what counts without them."""
    yield bare(data)
    if b"\x1b" in data:
        yield _UNSEEN.sub(b"", data)


def _spans(data: bytes, known: Known) -> list[Span]:
    """Where in `data` secrets are: sorted, none touching another."""
    both = zip(_kept(data), (_BLANKS, _UNSEEN), strict=False)
    return _merged((span for kept, left_out in both for span in _placed(data, kept, left_out, known)), touching=True)


def _placed(data: bytes, kept: bytes, left_out: re.Pattern[bytes], known: Known) -> list[Span]:
    """The places in `data` of what is found in `kept`, which is `data` without what `left_out` matches."""
    spans = _merged((start, end) for start, end, _ in _found(kept, known))
    if not spans or len(kept) == len(data):
        return spans
    marks = [mark for start, end in spans for mark in (start, end - 1)]
    placed: list[int] = []
    taken = 0
    # Most of a long text has no secret in it, and what is left out need only be counted there; sequences may be anywhere.
    size = _BLOCK if left_out is _BLANKS else len(data)
    for offset in range(0, len(data), size):
        block = data[offset : offset + size]
        count = len(bare(block)) if left_out is _BLANKS else len(kept)
        if marks[len(placed)] < taken + count:
            _walk(block, offset, taken, left_out, marks, placed)
            if len(placed) == len(marks):
                break
        taken += count
    return [(start, last + 1) for start, last in zip(placed[::2], placed[1::2], strict=True)]


def _walk(
    block: bytes, offset: int, taken: int, left_out: re.Pattern[bytes], marks: Sequence[int], placed: list[int]
) -> None:
    """Add to `placed` the places of the next of `marks` that are in `block`, which begins at `offset`; so many bytes that count
    come before it."""
    position = 0
    for run in chain(left_out.finditer(block), (None,)):
        stop = run.start() if run is not None else len(block)
        while len(placed) < len(marks) and marks[len(placed)] < taken + stop - position:
            placed.append(offset + position + marks[len(placed)] - taken)
        if run is None or len(placed) == len(marks):
            return
        taken += stop - position
        position = run.end()


def _found(kept: bytes, known: Known) -> Iterator[tuple[int, int, str]]:
    for form, name in known:
        at = kept.find(form.text)
        while at >= 0:
            yield *_widened(kept, at, form), name
            at = kept.find(form.text, at + form.period)


def _widened(kept: bytes, at: int, form: Form) -> Span:
    """The place of a form with the characters of base64 beside it that have bits of the secret."""
    start, end = at, at + len(form.text)
    if form.before and start and kept[start - 1] in _OF_BASE64:
        start -= 1
    if form.after and end < len(kept) and kept[end] in _OF_BASE64:
        end += 1
    return start, end


def _merged(spans: Iterable[Span], *, touching: bool = False) -> list[Span]:
    """Those that overlap, or also touch, as one; sorted."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1] + touching:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without(pieces: Sequence[bytes], spans: Sequence[Span]) -> Iterator[bytes]:
    """Each of the pieces with `***` where a span begins, and nothing where it goes on."""
    offset, number = 0, 0
    for piece in pieces:
        end, at, kept = offset + len(piece), offset, []
        while number < len(spans) and spans[number][0] < end:
            start, stop = spans[number]
            kept.append(piece[at - offset : max(start, at) - offset])
            if start >= offset:
                kept.append(MASK.encode())
            at = min(stop, end)
            if stop > end:
                break
            number += 1
        kept.append(piece[at - offset :])
        yield b"".join(kept)
        offset = end
