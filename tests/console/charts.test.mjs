import assert from "node:assert/strict";
import { test } from "node:test";
import { Lane } from "../../src/featurewatch/console/static/history.js";
import { joinPoints, nearest, runs, ticks, timeTicks } from "../../src/featurewatch/console/static/scale.js";

test("ticks are round, begin at 0 and reach the highest value", () => {
  assert.deepEqual(ticks(400), [0, 200, 400]);
  assert.deepEqual(ticks(0.31), [0, 0.2, 0.4]);
  assert.deepEqual(ticks(0), [0, 0.5, 1]);
  for (const most of [1e-7, 0.003, 0.7, 1, 3, 9.99, 61.5, 100, 12_345, 1e9]) {
    const found = ticks(most);
    assert.ok(found.at(-1) >= most && found.length >= 2 && found.length <= 5, `${most}: ${found}`);
  }
});

test("an axis of time names whole minutes and no more than fit", () => {
  const from = Date.UTC(2026, 0, 31, 12, 3, 20);
  const found = timeTicks(from, from + 3_600_000, 6);
  assert.ok(found.length >= 3 && found.length <= 6);
  for (const time of found) assert.equal(new Date(time).getMinutes() % 10, 0);
});

test("a null or a missing step is a hole, never a line across it", () => {
  const minute = 60_000;
  const points = [[0, 1], [minute, 2], [2 * minute, null], [3 * minute, 4], [6 * minute, 5]];
  assert.deepEqual(runs(points, minute), [[[0, 1], [minute, 2]], [[3 * minute, 4]], [[6 * minute, 5]]]);
});

test("newer points replace older ones, provisional ones give way", () => {
  const older = [[0, 1], [60, 2], [75, 9]];
  assert.deepEqual(joinPoints(older, [[60, 3], [120, 4], [130, 5]], 60, 60), [[60, 3], [120, 4], [130, 5]]);
});

test("the cursor finds the nearest moment, and none beyond a hole", () => {
  assert.deepEqual(nearest([[0, 1], [60, null]], 50, 60), [60, null]);
  assert.equal(nearest([[0, 1]], 600, 60), null);
});

test("a lane runs so many at a time, in order, failures included", async () => {
  const lane = new Lane(2);
  const [running, order] = [new Set(), []];
  let most = 0;
  const task = (name) => async () => {
    running.add(name);
    order.push(name);
    most = Math.max(most, running.size);
    await new Promise((done) => setTimeout(done, 1));
    running.delete(name);
    if (name === "b") throw new Error("b");
  };
  const results = await Promise.allSettled(["a", "b", "c", "d", "e"].map((name) => lane.run(task(name))));
  assert.equal(most, 2);
  assert.deepEqual(order, ["a", "b", "c", "d", "e"]);
  assert.equal(results[1].status, "rejected");
  assert.equal(lane.running, 0);
});
