"""Running promtool and amtool: bounded in time and output, and told apart from their absence."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import Unavailable

__all__ = ["Ran", "Tool"]

_TIMEOUT_S: Final = 120.0
_OUTPUT: Final = 1024**2
"""Bytes of a tool's output that are kept: 10,000 wrong rules say more than anybody reads."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a tool ended, and what it said on both outputs."""

    code: int
    output: str


class Tool:
    """A program that checks files.

    Args:
        program: its name, looked for on PATH, or its path.
        setting: the setting that names it, for messages.
    """

    def __init__(self, program: str, setting: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self.program = program
        self._setting = setting
        self._timeout_s = timeout_s

    @property
    def path(self) -> str | None:
        """Where the program is, None where it is not installed. Looked up anew each time."""
        return shutil.which(self.program)

    async def run(self, arguments: Sequence[str], folder: Path) -> Ran | None:
        """Run the program in a folder; None where it is not installed.

        Raises:
            Unavailable: it cannot be run, or does not end in time.
        """
        path = self.path
        if path is None:
            return None
        try:
            process = await asyncio.create_subprocess_exec(
                path,
                *arguments,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            raise Unavailable(f"{self._setting}: {path} cannot be run ({error.strerror})") from None
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await _read(process)
                code = await process.wait()
        except TimeoutError:
            raise Unavailable(
                f"{self._setting}: {path} did not end within {self._timeout_s:g} s; nothing was published"
            ) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return Ran(code, said.decode(errors="replace"))


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    kept = bytearray()
    while chunk := await process.stdout.read(65_536):
        if len(kept) < _OUTPUT:
            kept += chunk
    return bytes(kept)
