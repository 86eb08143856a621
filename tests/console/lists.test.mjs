import assert from "node:assert/strict";
import { test } from "node:test";
import { segments } from "../../src/featurewatch/console/static/kit/highlight.js";
import { LogBuffer } from "../../src/featurewatch/console/static/kit/log-buffer.js";
import { indexAt, offsetOf, totalHeight, visibleRange } from "../../src/featurewatch/console/static/kit/virtual-window.js";

const lines = (from, to) => Array.from({ length: to - from }, (_, index) => ({ id: `${from + index}`, timestamp: `t${from + index}`, level: "info", message: "m" }));
const ids = (buffer) => buffer.rows.map((row) => row.id).join(" ");

test("every pixel belongs to exactly one row, open rows included", () => {
  const extras = [[0, 40], [3, 100], [4, 7]];
  const [count, row] = [8, 10];
  let next = 0;
  for (let index = 0; index < count; index += 1) {
    const height = row + (extras.find(([at]) => at === index)?.[1] ?? 0);
    assert.equal(offsetOf(index, row, extras), next);
    for (let pixel = next; pixel < next + height; pixel += 1) assert.equal(indexAt(pixel, count, row, extras), index);
    next += height;
  }
  assert.equal(totalHeight(count, row, extras), next);
});

test("the rows drawn cover the view and stay within the list", () => {
  const view = { height: 100, count: 100_000, row: 26, extras: [], overscan: 8 };
  assert.deepEqual(visibleRange({ ...view, top: 0 }), { first: 0, end: 12 });
  assert.deepEqual(visibleRange({ ...view, top: 26_000 }), { first: 992, end: 1012 });
  assert.deepEqual(visibleRange({ ...view, top: 26 * 100_000 - 100 }), { first: 99_988, end: 100_000 });
  assert.deepEqual(visibleRange({ ...view, top: 5_000_000 }), { first: 99_991, end: 100_000 });
  assert.deepEqual(visibleRange({ ...view, count: 0, top: 0 }), { first: 0, end: 0 });
});

test("history and live meet without a gap or a duplicate", () => {
  const buffer = new LogBuffer();
  buffer.prepend(lines(0, 5));
  assert.equal(buffer.append(lines(3, 8)), 3);
  assert.equal(ids(buffer), "0 1 2 3 4 5 6 7");
});

test("older pages come before, without what is there already", () => {
  const buffer = new LogBuffer();
  buffer.prepend(lines(5, 8));
  assert.equal(buffer.prepend(lines(3, 6)), 2);
  assert.equal(ids(buffer), "3 4 5 6 7");
});

test("the oldest lines make room and can come back", () => {
  const buffer = new LogBuffer(3);
  buffer.append(lines(0, 5));
  assert.equal(buffer.trim(), 2);
  assert.equal(ids(buffer), "2 3 4");
  assert.equal(buffer.oldest().id, "2");
  assert.equal(buffer.prepend(lines(0, 3)), 2);
});

test("a gap is a row of its own", () => {
  const buffer = new LogBuffer();
  buffer.gap("first");
  buffer.append(lines(0, 1));
  buffer.gap("second");
  assert.equal(new Set(buffer.rows.map((row) => row.id)).size, 3);
  assert.equal(buffer.oldest().id, "0");
});

test("lines that were missing take the place of their gap, each once", () => {
  const buffer = new LogBuffer();
  buffer.append(lines(0, 2));
  buffer.gap("two lines");
  buffer.append(lines(4, 6));
  assert.deepEqual(buffer.fill("gap-1", lines(1, 5)), { at: 2, added: 1 });
  assert.equal(ids(buffer), "0 1 2 3 4 5");
  assert.equal(buffer.fill("gap-1", lines(7, 8)), null);
});

test("what was searched for is found in any case and taken literally", () => {
  assert.deepEqual(segments("Time-out, TIME again", "time"), [
    { text: "Time", hit: true }, { text: "-out, ", hit: false }, { text: "TIME", hit: true }, { text: " again", hit: false },
  ]);
  assert.deepEqual(segments("a.b", "."), [{ text: "a", hit: false }, { text: ".", hit: true }, { text: "b", hit: false }]);
  assert.deepEqual(segments("", "x"), [{ text: "", hit: false }]);
  for (const search of ["(", "[", "\\", "a{2", "*", "é", "😀", "-", "/"]) {
    assert.equal(segments(`x${search}y`, search).map(({ text }) => text).join(""), `x${search}y`);
  }
});

test("a text whose lower case is longer keeps its places", () => {
  assert.deepEqual(segments("İİ err", "ERR").at(-1), { text: "err", hit: true });
});
