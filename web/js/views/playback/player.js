/** Moves through the frames of a recording, as fast as asked for and never faster than they arrive. */

export const SPEEDS = [1, 2, 5, 10, 20, 50];

export class Player {
  /**
   * @param {import("./pages.js").FramePages} pages
   * @param {(frame: number, data: any) => void} onFrame
   * @param {(playing: boolean) => void} onPlaying
   * @param {(error: Error) => void} onError
   */
  constructor(pages, onFrame, onPlaying, onError) {
    this.pages = pages;
    this.onFrame = onFrame;
    this.onPlaying = onPlaying;
    this.onError = onError;
    this.at = pages.first;
    this.speed = 10;
    this.playing = false;
    this.wanted = -1;
    this.handle = 0;
  }

  /** @param {number} frame */
  async seek(frame) {
    const target = this.pages.clamp(frame);
    this.wanted = target;
    try {
      const data = await this.pages.get(target);
      if (this.wanted !== target || !data) return; // went elsewhere meanwhile
      this.at = target;
      this.onFrame(target, data);
    } catch (error) {
      if (this.wanted !== target) return;
      this.pause();
      this.onError(/** @type {Error} */ (error));
    }
  }

  /** @param {number} by */
  step(by) {
    this.pause();
    const from = this.wanted >= 0 ? this.wanted : this.at;
    return this.seek(from + by);
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    this.onPlaying(true);
    if (this.at >= this.pages.end - 1) this.at = this.pages.first - 1;
    let last = performance.now();
    let due = 0;
    let waiting = false;
    const tick = (/** @type {number} */ now) => {
      if (!this.playing) return;
      due = Math.min(due + ((now - last) / 1000) * this.speed, Math.max(1, this.speed / 4)); // a hidden page does not leap
      last = now;
      const steps = Math.floor(due);
      if (steps > 0 && !waiting) {
        due -= steps;
        waiting = true;
        this.seek(this.at + steps).finally(() => {
          waiting = false;
          if (this.at >= this.pages.end - 1) this.pause();
        });
      }
      this.handle = requestAnimationFrame(tick);
    };
    this.handle = requestAnimationFrame(tick);
  }

  pause() {
    cancelAnimationFrame(this.handle);
    if (this.playing) this.onPlaying(false);
    this.playing = false;
  }

  /** What was asked for and comes later is not shown. */
  close() {
    this.wanted = -1;
    this.pause();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }
}
