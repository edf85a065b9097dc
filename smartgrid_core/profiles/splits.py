"""Which weeks train, tune and test: week number mod 4, counted from the data's first day.

Weeks 0 and 1 of every four train, week 2 validates, week 3 tests. Four consecutive weeks share a season, so
all three splits see the whole year. A trailing partial week is unused.
"""

from __future__ import annotations

import numpy as np

from smartgrid_core.profiles.types import SPLITS, UNUSED, ProfileError, split_code

DAYS_PER_WEEK = 7
WEEKS_PER_CYCLE = 4
SPLIT_OF_WEEK = np.array([0, 0, 1, 2], np.int8)  # week number mod 4 -> index into SPLITS


def assign_splits(
    num_steps: int, step_minutes: int, *, split: str = "weeks", source: str = "the data", margin_steps: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Block and split of every step.

    Args:
        num_steps: T, whole days.
        step_minutes: length of a step.
        split: "weeks" for the rule above; "all" for one block with every step, for data too short to hold any
            out.
        source: what the data are called in the error.
        margin_steps: what observations read before and after an episode, for the error's advice.

    Returns:
        block [T] int32: number of the contiguous run of weeks of one split, `UNUSED` in a trailing partial
        week; split_of_step [T] int8: index into `SPLITS`, `UNUSED` likewise.

    Raises:
        ProfileError: fewer than four whole weeks and split = "weeks", or an unknown `split`.
    """
    if split == "all":
        return np.zeros(num_steps, np.int32), np.full(num_steps, split_code("all"), np.int8)
    if split != "weeks":
        raise ProfileError(f'split = {split!r}: expected "weeks" (train, validation and test weeks) or "all"')
    steps_per_week = DAYS_PER_WEEK * 1440 // step_minutes
    weeks = num_steps // steps_per_week
    if weeks < WEEKS_PER_CYCLE:
        raise ProfileError(_too_short_message(source, num_steps, 1440 // step_minutes, margin_steps))
    week = np.arange(weeks)
    week_split = SPLIT_OF_WEEK[week % WEEKS_PER_CYCLE]
    week_block = np.concatenate([[0], np.cumsum(np.diff(week_split) != 0)])
    block = np.full(num_steps, UNUSED, np.int32)
    split_of_step = np.full(num_steps, UNUSED, np.int8)
    used = weeks * steps_per_week
    block[:used] = np.repeat(week_block, steps_per_week)
    split_of_step[:used] = np.repeat(week_split, steps_per_week)
    return block, split_of_step


def runs(block: np.ndarray) -> np.ndarray:
    """Start and end (exclusive) of every run of equal entries of `block` [T], as int64 [R, 2]."""
    edges = np.flatnonzero(np.diff(block)) + 1
    return np.stack([np.concatenate([[0], edges]), np.concatenate([edges, [block.size]])], axis=1)


def episode_starts(
    block: np.ndarray,
    split_of_step: np.ndarray,
    split: str,
    *,
    episode_steps: int,
    lookback_steps: int = 0,
    lookahead_steps: int = 0,
    steps_per_day: int = 96,
) -> np.ndarray:
    """Steps at which an episode of a split may start, int64 [S], ascending.

    Training and "all": every step with the look-back before it, the episode, and the look-ahead after it
    inside one block, so that no window of a training episode reaches a validation or test week. Validation
    and test: midnights with the episode inside the block; forecasts stay inside the block by themselves
    (`forecast`). "all" takes the data as one block even where they are split into weeks.

    Args:
        block, split_of_step: [T] as from `assign_splits`; step 0 is a midnight.
        split: one of `SPLITS`.
        episode_steps: length of an episode.
        lookback_steps, lookahead_steps: what training episodes read before and after, in steps.
        steps_per_day: steps of a day.

    Raises:
        ProfileError: no start is possible; the message says what would fit.
    """
    code = split_code(split)
    if episode_steps < 1 or lookback_steps < 0 or lookahead_steps < 0:
        raise ProfileError(
            f"episode_steps = {episode_steps}, lookback_steps = {lookback_steps}, lookahead_steps = "
            f"{lookahead_steps}: "
            "expected at least 1, 0 and 0"
        )
    if split == "all":
        used = np.flatnonzero(block != UNUSED)
        spans = np.array([[used[0], used[-1] + 1]]) if used.size else np.empty((0, 2), np.int64)
    else:
        spans = runs(block)
        spans = spans[split_of_step[spans[:, 0]] == code]
    if not len(spans):
        present = [name for number, name in enumerate(SPLITS) if (split_of_step == number).any()]
        raise ProfileError(f"the data have no {split} weeks, only: {', '.join(present) or 'none'}")
    evaluation = split in ("validation", "test")
    before, after = (0, 0) if evaluation else (lookback_steps, lookahead_steps)
    starts = np.concatenate([np.arange(first + before, end - after - episode_steps + 1) for first, end in spans])
    if evaluation:
        starts = starts[starts % steps_per_day == 0]
    if starts.size == 0:
        longest = int(np.max(spans[:, 1] - spans[:, 0]))
        raise ProfileError(_too_long_message(split, episode_steps, before, after, longest, steps_per_day))
    return starts.astype(np.int64)


def _too_short_message(source: str, num_steps: int, steps_per_day: int, margin: int) -> str:
    days, room = num_steps / steps_per_day, num_steps - margin
    problem = (
        f"{source}: {days:g} whole day{'' if days == 1 else 's'}, but splitting into train, validation and test weeks "
        f"needs at least {WEEKS_PER_CYCLE * DAYS_PER_WEEK} days from a midnight on; give more data"
    )
    if room <= 0:
        return f"{problem}: what observations look back and ahead alone takes {margin / steps_per_day:.4g} days"
    return (
        f"{problem}, or set profiles.hold_out = false to use every day for everything (nothing is held out then) and "
        f"episode_days to at most {_rounded_down(room / steps_per_day)}"
    )


def _too_long_message(split: str, episode: int, before: int, after: int, longest: int, steps_per_day: int) -> str:
    def span(steps: int) -> str:
        return f"{steps} steps ({steps / steps_per_day:.4g} days)"

    windows = f" with {span(before)} of look-back and {span(after)} of look-ahead" if before or after else ""
    room, place = longest - before - after, "the data" if split == "all" else f"a {split} block"
    fitting = f"episodes of up to {span(room)} do: set episode_days to at most {_rounded_down(room / steps_per_day)}"
    advice = fitting if room > 0 else "give more data, or shorten the look-back or look-ahead first"
    return f"an episode of {span(episode)}{windows} does not fit into {place} of {span(longest)}; {advice}"


def _rounded_down(days: float) -> str:
    return f"{np.floor(days * 1000) / 1000:g}"
