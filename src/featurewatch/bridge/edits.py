"""What pydantic says of a body that people wrote, told as our errors are."""

from __future__ import annotations

from pydantic import ValidationError

from ..errors import BadInput, OutOfRange, Problem
from ..fields import shown


def explained(error: ValidationError) -> BadInput:
    """Make the error that names every problem; OutOfRange where all of them are limits."""
    problems = []
    limits = 0
    for problem in error.errors():
        field = ".".join(map(str, problem["loc"]))
        text = f"{problem['msg']}, got {shown(problem['input'])}"
        if problem["type"] == "missing":  # of which pydantic shows the whole object
            text = "is missing"
        limits += problem["type"].startswith(("greater_than", "less_than", "too_long", "string_too_long"))
        problems.append(Problem(field, f"{text[0].lower()}{text[1:]}"))
    kind = OutOfRange if limits == len(problems) else BadInput
    return kind(f"{problems[0].field}: {problems[0].message}", problems=problems)
