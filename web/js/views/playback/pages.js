/**
 * Frames of a recording, fetched in pages when they are needed, the least recently used forgotten.
 *
 * @typedef {{first: number, next: number|null, frames: any[]}} Page
 */
const KEPT = 12;

export class FramePages {
  /**
   * @param {(first: number, limit: number) => Promise<Page>} fetchPage
   * @param {number} first number of the oldest frame
   * @param {number} count frames there are
   * @param {number} size frames of a page
   */
  constructor(fetchPage, first, count, size = 96) {
    this.fetchPage = fetchPage;
    this.first = first;
    this.count = count;
    this.size = size;
    /** @type {Map<number, any[]>} frames by page, the last used last */
    this.pages = new Map();
    /** @type {Map<number, Promise<void>>} */
    this.coming = new Map();
  }

  /** Number after the last frame. */
  get end() {
    return this.first + this.count;
  }

  /** @param {number} frame */
  clamp(frame) {
    return Math.min(Math.max(Math.round(frame), this.first), Math.max(this.end - 1, this.first));
  }

  /**
   * The frame if it is here already.
   * @param {number} frame
   */
  peek(frame) {
    const page = Math.floor(frame / this.size);
    const frames = this.pages.get(page);
    if (!frames) return undefined;
    this.pages.delete(page);
    this.pages.set(page, frames);
    return frames[frame - page * this.size];
  }

  /**
   * Frames right before one that are here, oldest first.
   * @param {number} frame
   * @param {number} most
   */
  before(frame, most) {
    const frames = [];
    for (let k = frame - 1; k >= this.first && frames.length < most; k -= 1) {
      const found = this.peek(k);
      if (!found) break;
      frames.unshift(found);
    }
    return frames;
  }

  /**
   * The frame, fetched where it is not here; the page after it is fetched along.
   * @param {number} frame
   */
  async get(frame) {
    const page = Math.floor(frame / this.size);
    if (this.peek(frame) === undefined) await this.load(page);
    const ahead = (page + 1) * this.size;
    if (ahead < this.end && !this.pages.has(page + 1)) this.load(page + 1).catch(() => {}); // asked for again when shown
    return this.peek(frame);
  }

  /**
   * @param {number} page
   * @returns {Promise<void>}
   */
  load(page) {
    const running = this.coming.get(page);
    if (running) return running;
    const promise = this.fill(page).finally(() => this.coming.delete(page));
    this.coming.set(page, promise);
    return promise;
  }

  /** @param {number} page */
  async fill(page) {
    const begin = page * this.size;
    const end = Math.min(begin + this.size, this.end);
    /** @type {any[]} */
    const frames = [];
    let next = /** @type {number|null} */ (Math.max(begin, this.first));
    while (next !== null && next < end) {
      const answer = await this.fetchPage(next, end - next);
      answer.frames.forEach((frame, k) => (frames[answer.first + k - begin] = frame));
      if (!answer.frames.length) break;
      next = answer.next;
    }
    this.pages.set(page, frames);
    while (this.pages.size > KEPT) this.pages.delete(/** @type {number} */ (this.pages.keys().next().value));
  }
}
