import assert from "node:assert/strict";
import { test } from "node:test";
import { FIGURES, ago, asText, clockMs, figure, moment, readable, span, usd } from "../../src/featurewatch/console/static/kit/format.js";
import { plain } from "../../src/featurewatch/console/static/kit/plain-text.js";

const shown = (name, value) => asText(figure(name, value));

test("what is unknown is a dash, never 0", () => {
  for (const name of Object.keys(FIGURES)) {
    for (const unknown of [null, undefined, NaN]) assert.equal(shown(name, unknown), "—");
    assert.match(shown(name, 0), /0/);
  }
});

test("percentages keep what matters and never round up to 100", () => {
  assert.equal(shown("uptime", 100), "100 %");
  assert.equal(shown("uptime", 99.996), "99.99 %");
  assert.equal(shown("error_rate", 0), "0 %");
  assert.equal(shown("error_rate", 0.4), "0.40 %");
  assert.equal(shown("error_rate", 61.53), "61.5 %");
});

test("durations change their unit with their size", () => {
  assert.equal(shown("response_time", 0.4), "0.40 ms");
  assert.equal(shown("response_time", 412.4), "412 ms");
  assert.equal(shown("response_time", 999.6), "1.00 s");
  assert.equal(shown("response_time", 12_340), "12.3 s");
  assert.equal(shown("response_time", 83_000), "1:23 min");
});

test("dollars keep two digits that say something, however small", () => {
  assert.deepEqual([0, 0.0021, 0.000042, 0.0000001, 2.1, 1234.5].map((value) => usd(value).value), [
    "$0", "$0.0021", "$0.000042", "<$0.000001", "$2.10", "$1,234.50",
  ]);
});

test("counts are shortened only where digits no longer help", () => {
  assert.equal(shown("total_requests", 12_345), "12,345");
  assert.equal(shown("total_requests", 1_234_567), "1.23M");
  assert.equal(shown("requests_per_minute", 246.84), "247/min");
});

test("reasons speak of figures by their names in words", () => {
  assert.equal(readable("error_rate is 7.2 %, the threshold is 5 %"), "Error rate is 7.2 %, the threshold is 5 %");
  assert.equal(readable("response_time_p95 is 12000 ms"), "Response time p95 is 12000 ms");
  assert.equal(readable("user_id is odd"), "User_id is odd");
});

test("times are local, with the day where it is another one", () => {
  const date = new Date(2026, 0, 31, 14, 3, 22, 7);
  assert.equal(clockMs(date), "14:03:22.007");
  assert.equal(moment(date, new Date(2026, 0, 31, 23)), "14:03:22");
  assert.match(moment(date, new Date(2026, 1, 1)), /31.*14:03$/);
});

test("what is past is told in the unit that people use", () => {
  assert.deepEqual([0, 4_000, 240_000, 7_200_000, 3 * 86_400_000].map(ago), ["just now", "4 s ago", "4 min ago", "2 h ago", "3 d ago"]);
  assert.deepEqual([300, 90, 86_400, 7200].map(span), ["5 min", "90 s", "1 d", "2 h"]);
});

test("marks that reorder or hide become visible, joiners that a script or an emoji needs stay", () => {
  assert.equal(plain("invoice\u202egnp.exe"), "invoice⟨U+202E⟩gnp.exe");
  assert.equal(plain("ad\u200dmin \u200c\u200b"), "ad⟨U+200D⟩min ⟨U+200C⟩⟨U+200B⟩");
  for (const joined of ["👩\u200d💻", "👨\u200d👩\u200d👧", "می\u200cخواهم"]) assert.equal(plain(joined), joined);
  assert.equal(plain("é\u200d\u200dé"), "é⟨U+200D⟩⟨U+200D⟩é");
});
