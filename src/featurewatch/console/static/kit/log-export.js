// A log as a file, fetched piece by piece, so that its progress can be told and it can be stopped.

/** Pieces are joined into parts of this size, which the browser may put on disk. */
const PART = 8 * 1024 * 1024;

/**
 * @typedef {{bytes: number, lines: number}} Progress lines: of the log
 */

export class LogExport {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    /** @type {AbortController|null} */
    this.aborter = null;
  }

  get isRunning() {
    return this.aborter !== null;
  }

  stop() {
    this.aborter?.abort();
  }

  /**
   * Fetch the file and hand it to the browser to keep.
   * @param {Record<string, unknown>} query as for /logs @param {"json"|"csv"} format
   * @param {(progress: Progress) => void} told called as it grows
   * @returns {Promise<Progress|null>} null where it was stopped; throws ApiError where it broke off
   */
  async run(query, format, told) {
    this.stop();
    const aborter = new AbortController();
    this.aborter = aborter;
    try {
      const response = await this.api.ask(this.api.url("/logs/export", { ...query, format }), { signal: aborter.signal });
      const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? `logs.${format}`;
      const { blob, progress } = await read(response, format, told);
      if (aborter.signal.aborted) return null;
      keep(blob, name);
      return progress;
    } catch (error) {
      if (aborter.signal.aborted) return null;
      throw error;
    } finally {
      if (this.aborter === aborter) this.aborter = null;
    }
  }
}

/** @param {Response} response @param {"json"|"csv"} format @param {(progress: Progress) => void} told */
async function read(response, format, told) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const progress = { bytes: 0, lines: 0 };
  let before = 0;
  const type = response.headers.get("content-type") ?? "";
  let blob = new Blob([], { type });
  /** @type {Uint8Array[]} */
  let pieces = [];
  let size = 0;
  const join = () => {
    blob = new Blob([blob, .../** @type {BlobPart[]} */ (pieces)], { type });
    pieces = [];
    size = 0;
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    size += value.length;
    progress.bytes += value.length;
    // JSON has one line break between two lines of the log; CSV ends each, and its header, with CRLF, and messages may hold LF.
    for (let place = value.indexOf(10); place !== -1; place = value.indexOf(10, place + 1)) {
      if (format === "json" || (place === 0 ? before : value[place - 1]) === 13) progress.lines += 1;
    }
    before = value[value.length - 1] ?? before;
    told(progress);
    if (size >= PART) join();
  }
  join();
  progress.lines += format === "csv" ? -1 : progress.bytes > 2 ? 1 : 0;
  return { blob, progress };
}

/** @param {Blob} blob @param {string} name */
function keep(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
