"""Which pictures of a file are missing, unknown, doubled or out of place, each with the line to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Problem = tuple[int, str]
"""(line, what is wrong); the header is line 1."""


def compare(found: Sequence[str], lines: Sequence[int], expected: Sequence[str], first: int = 2) -> list[Problem]:
    """Problems of the pictures `found` (on `lines`) against those of a template, whose first is on line `first`.

    A template may name a picture several times; then so must the file. Neighbouring missing pictures are one problem,
    which names the line they belong before.
    """
    if found == expected:
        return []
    return sorted(_Walk(found, lines, expected, first).problems())


class _Walk:
    """One pass through the file with a finger in the template, which jumps ahead over what is missing."""

    def __init__(self, found: Sequence[str], lines: Sequence[int], expected: Sequence[str], first: int) -> None:
        self.found, self.lines, self.expected, self.first = found, lines, expected, first
        self.place: dict[str, int] = {}
        self.later: dict[str, list[int]] = {}
        for i, image in enumerate(expected):
            if self.place.setdefault(image, i) != i:
                self.later.setdefault(image, []).append(i)
        self.finger = 0
        self.skipped: list[tuple[int, int]] = []
        """(place in the template, line before which it belongs)."""

    def problems(self) -> list[Problem]:
        some: list[Problem] = []
        seen: dict[str, int] = {}
        for i, image in enumerate(self.found):
            if self.finger < len(self.expected) and image == self.expected[self.finger]:
                self.finger += 1
            elif problem := self._out_of_place(i, image, seen):
                some.append((self.lines[i], problem))
            seen.setdefault(image, self.lines[i])
        end = self.lines[-1] + 1 if len(self.lines) else self.first
        self.skipped.extend((place, end) for place in range(self.finger, len(self.expected)))
        return some + self._missing()

    def _out_of_place(self, i: int, image: str, seen: dict[str, int]) -> str:
        """What to say of a picture that is not the one under the finger; moves the finger where that explains it."""
        here = self.expected[self.finger] if self.finger < len(self.expected) else None
        following = self.found[i + 1] if i + 1 < len(self.found) else None
        if image not in self.place:
            after = self.expected[self.finger + 1] if self.finger + 1 < len(self.expected) else None
            if here is not None and following == after and here != following:
                self.finger += 1
                return f"picture {image[:80]!r}, where the template has {here!r}"
            return f"picture {image[:80]!r} is not in the template"
        ahead = self._next_place(image)
        if ahead is not None and here != following:
            self.skipped.extend((place, self.lines[i]) for place in range(self.finger, ahead))
            self.finger = ahead + 1
            return ""
        line = (ahead if ahead is not None else self.place[image]) + self.first
        if image in seen and image not in self.later:
            return f"picture {image!r} occurs again; it was on line {seen[image]}"
        return f"picture {image!r} comes too {'late' if ahead is None else 'early'}; the template has it on line {line}"

    def _next_place(self, image: str) -> int | None:
        """Where the template has the picture next, from the finger on."""
        places = [self.place[image], *self.later.get(image, ())]
        return next((place for place in places if place >= self.finger), None)

    def _missing(self) -> list[Problem]:
        """The skipped pictures that did not turn up elsewhere, neighbours together."""
        short = Counter(self.expected[place] for place, _ in self.skipped)
        if not short:
            return []
        there, wanted = Counter(self.found), Counter(self.expected)
        short = Counter({image: wanted[image] - there[image] for image in short if wanted[image] > there[image]})
        runs: list[list[int]] = []  # [line, first place, last place]
        for place, line in self.skipped:
            image = self.expected[place]
            if short[image] <= 0:
                continue
            short[image] -= 1
            if runs and runs[-1][0] == line and runs[-1][2] == place - 1:
                runs[-1][2] = place
            else:
                runs.append([line, place, place])
        return [(line, self._missing_text(a, b)) for line, a, b in runs]

    def _missing_text(self, a: int, b: int) -> str:
        one = f"picture {self.expected[a]!r}"
        if a == b:
            return f"{one} is missing; it belongs before this line"
        last = self.expected[b]
        return f"{b - a + 1:,} pictures are missing, {self.expected[a]!r} to {last!r}; they belong before this line"
