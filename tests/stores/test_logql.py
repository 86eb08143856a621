"""Questions to Loki: what users say stays within its quotes, and no pattern leaves out what a search finds."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featurewatch.model import FeatureKey, LogEntry
from featurewatch.stores.base import LogFilter
from featurewatch.stores.logql import Question, having_id, packed, quote, selector, unpacked
from featurewatch.stores.logql_search import patterns
from featurewatch.stores.loki_entries import read_streams
from featurewatch.stores.matching import matches
from log_samples import searches, texts

CHAT = FeatureKey("chat", "production")
ANY = LogFilter()


def unquoted(text: str) -> str:
    """Read a string of LogQL as Go does (strconv.Unquote), which reads these escapes as JSON does but for \\U."""
    assert re.fullmatch(r'"(?:[ !#-\[\]-~]|\\["\\]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"', text)
    wide = re.sub(r"(?<!\\)((?:\\\\)*)\\U([0-9a-f]{8})", lambda m: m[1] + json.dumps(chr(int(m[2], 16)))[1:-1], text)
    return str(json.loads(wide))


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example('"')
@example("\\")
@example('\\"} or {a="b')
@example("`\n\r\t\0\x7f\ufeff\ufffd🙂")
@example("\\U0001f642 \\u0041")
def test_a_quoted_text_is_plain_ascii_and_means_the_text(text: str) -> None:
    assert unquoted(quote(text)) == text


def strings(query: str) -> list[str]:
    """The quoted strings of a query; what lies between them holds no quote."""
    found = re.findall(r'"(?:[^"\\]|\\.)*"', query)
    assert '"' not in re.sub(r'"(?:[^"\\]|\\.)*"', "", query)
    return found


@given(searches, texts)
@example('" |= "', '"} | drop id | x="')
@example("`", "\\")
def test_what_a_caller_says_adds_nothing_to_a_query_but_strings(search: str, source: str) -> None:
    question = packed(selector(["chat"], ["production"]), CHAT, LogFilter(source=source, search=search))
    strings(question.text)
    assert re.fullmatch(
        r'\{feature="", environment=""\}( \| source=""( or source="")?)?( \| line_format ""( \|~ "")+)?'
        r' \| line_format "" \| drop level, source, trace_id, user_id, metadata, detected_level, id=~""',
        re.sub(r'"(?:[^"\\]|\\.)*"', '""', question.text),
    )


def test_selectors() -> None:
    assert selector(["chat"], ["production"]) == '{feature="chat", environment="production"}'
    assert selector(["chat"], ["production", ""]) == '{feature="chat", environment=~"|production"}'
    assert selector(["b.c", "a"]) == '{feature=~"a|b\\\\x{2e}c"}'
    assert selector() == '{feature=~".+"}'
    assert selector() + having_id('x"') == '{feature=~".+"} | id="x\\""'


def test_filters() -> None:
    where = selector(["chat"])
    assert unpacked(where, ANY) == Question(where)
    assert unpacked(where, LogFilter(frozenset({"error", "warn"}))).text == (
        f'{where} | level!~"debug|info|fatal" | level!="" or detected_level!~"debug|info|fatal"'
    )
    everything: Any = frozenset({"debug", "info", "warn", "error", "fatal"})
    assert unpacked(where, LogFilter(everything)).text == where
    assert unpacked(where, LogFilter(source="api")).text == f'{where} | source="api"'
    assert unpacked(where, LogFilter(source="app")).text == f'{where} | source="app" or source=""'
    assert unpacked(where, LogFilter(search="timeout")).text == where


def test_a_packed_line_has_as_many_parts_as_its_query_writes() -> None:
    for filter, parts in ((ANY, 8), (LogFilter(search="timeout"), 9), (LogFilter(search="detected"), 9)):
        question = packed(selector(["chat"]), CHAT, filter)
        assert question.parts == parts
        assert sum(unquoted(text).count("\x7f") for text in strings(question.text)) == parts - 1


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("timeout", ("(?i)meou",)), ("order: 77", ("(?i)order", "(?i) 77")), ("error", ("(?i)rror",)),
        ("request failed",
         ("(?i) failed", "[eE][qQ][uU][eE][sS\\x{17f}tT\\x{fb05}\\x{fb06}]{1,2} [fF][aA][iI][lL][eE][dD]")),
        ("\\n", ()), ("a", ()), ('"', ()), ("第1章", ("\\x{7b2c}1\\x{7ae0}",)), ("A", ()),
        ("шум", ("[\\x{448}\\x{428}\\x{10ffff}][\\x{443}\\x{423}\\x{10ffff}][\\x{43c}\\x{41c}\\x{10ffff}]",)),
    ],
)  # fmt: skip
def test_patterns(search: str, found: tuple[str, ...]) -> None:
    assert patterns(search).patterns == found


def lies_in(pattern: str, text: str) -> bool:
    """Look for an RE2 pattern as Loki does: (?i) knows the letters of ASCII alone (others it folds as it likes)."""
    translated = re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: f"\\U{int(m[1], 16):08x}", pattern)
    return re.search(translated, text, re.ASCII) is not None


json_texts = st.dictionaries(texts, st.one_of(texts, st.integers(), st.lists(texts, max_size=2)), max_size=3)


@settings(max_examples=500)
@given(
    message=texts,
    labels=st.dictionaries(st.sampled_from(["pod", "job", "source"]), texts, max_size=2),
    own=st.dictionaries(st.sampled_from(["kind", "zone", "source", "metadata"]), texts, max_size=3),
    metadata=st.one_of(st.none(), json_texts.map(lambda value: json.dumps(value, ensure_ascii=False))),
    search=st.one_of(searches, st.text(alphabet='"\\{}:,n\nuifbat0159\x1f\x7f sßﬁﬆŉİ', min_size=1, max_size=6)),
)
@example("", {}, {"zone": "\nabc"}, None, "nabc")
@example("", {}, {"zone": "\x1fabc"}, None, "1fabc")
@example("", {}, {"zone": "\\\nabc"}, None, "\\\\nabc")
@example("", {}, {"zone": 'x"y'}, None, 'x\\"y')
@example("groß", {}, {}, None, "ROSS")
@example("ﬁ\ufb06", {}, {}, None, "ist")
@example("", {}, {"metadata": "no object"}, None, "metadata")
@example("", {}, {}, None, "app")
def test_no_pattern_leaves_out_what_a_search_finds(
    message: str, labels: dict[str, str], own: dict[str, str], metadata: str | None, search: str
) -> None:
    """For lines as our exporter writes them and as others do, and for both formats that Loki searches in."""
    labels = {"feature": "chat", "environment": "production"} | {k: v for k, v in labels.items() if v}
    own = {k: v for k, v in own.items() if v and k not in labels}
    if metadata is not None:
        own["metadata"] = metadata
    value = ["1", message, {"structuredMetadata": own}]
    (entry,) = read_streams([{"stream": labels, "values": [value]}], "production")
    if not matches(LogFilter(search=search), entry):
        return
    question = packed(selector(["chat"]), CHAT, LogFilter(search=search))
    wanted = [unquoted(text) for text in re.findall(r'\|~ ("(?:[^"\\]|\\.)*")', question.text)]
    fields = labels | own
    shown = f"map[{' '.join(f'{name}:{fields[name]}' for name in sorted(fields))}]"
    # As for lines that we wrote, and none of theirs is looked into; else all there is.
    strange = fields.keys() - {"feature", "environment", "source", "metadata"}
    ours = f"{fields.get('source', '')}\n{fields.get('metadata', '')}"
    for text in (f"{message}\x7f{shown}", f"{message}\x7f{shown if strange else ours}"):
        assert all(lies_in(pattern, text) for pattern in wanted), (wanted, text)


@given(texts, searches)
@settings(max_examples=500)
def test_a_text_that_a_search_finds_has_its_patterns(text: str, search: str) -> None:
    """Without the fields around it, which could hold a pattern by chance."""
    for hay, needle in ((text, search), (f"x{search}y", search), (search.upper(), search), (search, search.upper())):
        entry = LogEntry("1", *CHAT, 1, "info", hay, "")
        if matches(LogFilter(search=needle), entry):
            assert all(lies_in(pattern, hay) for pattern in patterns(needle).patterns)
