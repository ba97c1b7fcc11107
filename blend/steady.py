"""What is hashed of a blend's ingredients is what was read of them, whoever writes them meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from blend import ingredients
from blend.ingredients import Ingredients, Pools
from extract.errors import InputError

STEADY = 5
"""So often are files read again that changed while they were read."""


def read(made_of: Ingredients, is_done: Callable[[Ingredients], bool]) -> tuple[Ingredients, Pools | None]:
    """The ingredients with the hashes of just what was read, and that, or nothing where `is_done` finds it made.

    Raises InputError as `ingredients.pools`, and where files do not stop changing.
    """
    for _ in range(STEADY):
        known = replace(made_of, hashes=ingredients.hashes(made_of))
        if is_done(known):
            return known, None
        found = ingredients.pools(made_of)
        if ingredients.hashes(made_of) == known.hashes:
            return known, found
    raise InputError(
        f"annotations, test list or predictions of task {made_of.task.place!r} change while they are read; start again "
        f"when nobody writes them"
    )
