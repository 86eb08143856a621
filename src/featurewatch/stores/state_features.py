"""What the state keeps of features: declarations by people, sightings by data, and the record they make together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from .. import wire
from ..errors import NotFound, StaleEdit
from ..model import FeatureKey, FeatureRecord, Slo, Thresholds, choose_environment
from .state_schema import features, sightings

_SAID: Final = ("name", "owner", "version")


class Sighting(NamedTuple):
    """When a feature's data was last noted in an environment, and what the app says of it (None: nothing heard)."""

    last_seen_ns: int
    info: Mapping[str, str] | None


def said(info: Mapping[str, str]) -> dict[str, str]:
    """Keep of an app's words about its feature what a record shows, as text that every database takes."""
    return {name: _text(info[name]) for name in _SAID if info.get(name)}


def all_features(connection: Connection) -> dict[str, FeatureRecord]:
    """Read every feature, declared or seen, by id."""
    seen: defaultdict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for row in connection.execute(select(sightings.c.feature, sightings.c.environment, sightings.c.info)):
        seen[row.feature][row.environment] = row.info
    records = {
        row.id: _joined(row.id, row.revision, row.declaration if row.declared else None, seen.get(row.id, {}))
        for row in connection.execute(select(features))
        if row.declared or row.id in seen
    }
    for feature in seen.keys() - records.keys():
        records[feature] = _joined(feature, 0, None, seen[feature])
    return dict(sorted(records.items()))


def save(connection: Connection, record: FeatureRecord, expected: int | None) -> FeatureRecord:
    """Store a declaration; StaleEdit where `expected` is not the current revision."""
    found = connection.execute(select(features).where(features.c.id == record.id)).one_or_none()
    current = found.revision if found else 0
    if expected is not None and expected != current:
        raise StaleEdit(f"feature {record.id}: expected revision {expected}, it is {current}: read it again first")
    rows = connection.execute(select(sightings).where(sightings.c.feature == record.id))
    seen: dict[str, Mapping[str, str]] = {row.environment: row.info for row in rows}
    declaration = orjson.loads(wire.dump(_declaration(record, seen)))  # as it will be read again
    values = {"revision": current + 1, "declared": True, "declaration": declaration}
    if found:
        connection.execute(update(features).where(features.c.id == record.id).values(values))
    else:
        connection.execute(insert(features).values(id=record.id, **values))
    return _joined(record.id, current + 1, declaration, seen)


def forget(connection: Connection, feature: str) -> None:
    """Delete a declaration and the sightings; NotFound where there is neither."""
    gone = connection.execute(
        update(features)
        .where(features.c.id == feature, features.c.declared)
        .values(declared=False, declaration={}, revision=features.c.revision + 1)
    ).rowcount
    gone += connection.execute(delete(sightings).where(sightings.c.feature == feature)).rowcount
    if not gone:
        raise NotFound(f"feature {feature} does not exist")


def note(connection: Connection, fresh: Mapping[FeatureKey, Sighting]) -> None:
    """Store sightings, new ones and known ones."""
    columns = (sightings.c.feature, sightings.c.environment, sightings.c.info)
    known = {(row.feature, row.environment): row.info for row in connection.execute(select(*columns))}
    rows = [
        {
            "of": key.feature,
            "within": key.environment,
            "at": seen.last_seen_ns,
            "words": dict(known.get(key, {}) if seen.info is None else seen.info),
        }
        for key, seen in fresh.items()
    ]
    if old := [row for row in rows if (row["of"], row["within"]) in known]:
        this = (sightings.c.feature == bindparam("of"), sightings.c.environment == bindparam("within"))
        change = update(sightings).where(*this)
        connection.execute(change.values(last_seen_ns=bindparam("at"), info=bindparam("words")), old)
    if new := [row for row in rows if (row["of"], row["within"]) not in known]:
        addition = insert(sightings).values(
            feature=bindparam("of"),
            environment=bindparam("within"),
            first_seen_ns=bindparam("at"),
            last_seen_ns=bindparam("at"),
            info=bindparam("words"),
        )
        connection.execute(addition, new)


def _joined(
    feature: str, revision: int, declared: Mapping[str, Any] | None, seen: Mapping[str, Mapping[str, str]]
) -> FeatureRecord:
    words = seen.get(choose_environment(set(seen)) or "", {})
    given = declared or {}
    record = FeatureRecord(
        id=feature,
        name=given.get("name") or words.get("name") or feature,
        owner=given.get("owner") or words.get("owner", ""),
        version=given.get("version") or words.get("version", ""),
        environments=frozenset(seen) | frozenset(given.get("environments", ())),
        revision=revision,
        declared=declared is not None,
    )
    if declared is None:
        return record
    slo = given.get("slo")
    return replace(
        record,
        description=given.get("description", ""),
        organization_id=given.get("organization_id"),
        thresholds=Thresholds(**given.get("thresholds", {})),
        slo=None if slo is None else Slo(**{**slo, "channels": tuple(slo.get("channels", ()))}),
    )


def _declaration(record: FeatureRecord, seen: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Keep what a record adds to what the app says: the rest follows the app from then on."""
    follows = _joined(record.id, 0, None, seen)
    return {
        "name": "" if record.name == follows.name else record.name,
        "owner": "" if record.owner == follows.owner else record.owner,
        "version": "" if record.version == follows.version else record.version,
        "description": record.description,
        "organization_id": record.organization_id,
        "thresholds": asdict(record.thresholds),
        "slo": None if record.slo is None else asdict(record.slo),
        "environments": sorted(record.environments - follows.environments),
    }


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode().replace("\0", "")
