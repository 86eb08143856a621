"""The commands of the command line, one module each: a `register` that describes it, and a function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .alerts import register as alerts
from .apply import register as apply
from .demo import register as demo
from .doctor import register as doctor
from .logs import register as logs
from .parser import Commands
from .rules import register as rules
from .serve import register as serve
from .tail import register as tail
from .token import register as token

COMMANDS: Final[tuple[Callable[[Commands], None], ...]] = (
    serve, demo, apply, rules, alerts, tail, logs, token, doctor,
)  # fmt: skip
"""In the order of the help."""
