// Drawing at the pace of the screen: what comes faster is joined, so that no message costs a frame of its own.

/** Run a function once before the next frame, however often it is asked for. @param {() => void} run */
export function oncePerFrame(run) {
  let frame = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  let waits = false;
  const go = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    waits = false;
    run();
  };
  return () => {
    if (waits) return;
    waits = true;
    frame = requestAnimationFrame(go);
    // A hidden page gets no frames: what waits for one would pile up.
    timer = setTimeout(go, 500);
  };
}

/**
 * Keep the newest value of each key until the next frame (metrics: what was overtaken is never drawn).
 * @template T @param {(values: Map<string, T>) => void} draw @returns {(key: string, value: T) => void}
 */
export function latest(draw) {
  /** @type {Map<string, T>} */
  let values = new Map();
  const flush = oncePerFrame(() => {
    const drawn = values;
    values = new Map();
    draw(drawn);
  });
  return (key, value) => {
    values.set(key, value);
    flush();
  };
}

/**
 * Gather every value until the next frame (lines: none is left out).
 * @template T @param {(values: T[]) => void} draw @returns {(...values: T[]) => void}
 */
export function batched(draw) {
  /** @type {T[]} */
  let values = [];
  const flush = oncePerFrame(() => {
    const drawn = values;
    values = [];
    draw(drawn);
  });
  return (...more) => {
    for (const value of more) values.push(value);
    flush();
  };
}
