"""What all shapes share, and how they appear in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

FEATURE = "summarize"
AT = "2026-01-31T12:00:00.000000Z"


class Schema(BaseModel):
    """A documented shape."""

    model_config = ConfigDict(extra="ignore")


class Detail(Schema):
    """One thing that is wrong with an input."""

    index: int | None = Field(None, description="Which item of a list; left out where there is no list.", examples=[3])
    field: str = Field(description="The field.", examples=["level"])
    message: str = Field(description="What was expected and what came.", examples=["expected info, got 'loud'"])


class Error(Schema):
    """What went wrong, in one line."""

    error: str = Field(description="One line: what was expected, what came, what to do.")
    code: str = Field(description="A stable word for programs.", examples=["bad_request"])
    details: list[Detail] = Field(description="What is wrong with which item; empty where the line says it all.")


def models() -> dict[str, type[Schema]]:
    """Return every shape by its name."""
    found, waiting = {}, [Schema]
    while waiting:
        for model in waiting.pop().__subclasses__():
            found[model.__name__] = model
            waiting.append(model)
    return found


def content(
    shape: type[BaseModel] | Mapping[str, Any] | None, media_type: str, example: Any = None
) -> dict[str, Any] | None:
    """Describe a body: a model by reference, a mapping as it is."""
    if shape is None:
        return None
    entry: dict[str, Any] = (
        {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}} if isinstance(shape, type) else dict(shape)
    )
    return {media_type: entry if example is None else {**entry, "example": example}}


def one_or_many(shape: type[BaseModel], wrapper: str) -> dict[str, Any]:
    """Describe a body of one object, a list, or a list under `wrapper`."""
    one = {"$ref": f"#/components/schemas/{shape.__name__}"}
    many = {"type": "array", "items": one}
    wrapped = {"type": "object", "properties": {wrapper: many}, "required": [wrapper]}
    example = (shape.model_config.get("json_schema_extra") or {}).get("example")  # type: ignore[union-attr]  # ours are mappings
    return {"schema": {"oneOf": [one, many, wrapped]}, "example": example}


def components() -> dict[str, Any]:
    """Return the JSON schema of every shape, by name."""
    _, schema = models_json_schema(
        [(model, "validation") for model in models().values()], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions
