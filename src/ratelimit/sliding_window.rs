//! At most the rate in any window of its length, by two counts.
//!
//! **The choice.** To be exact one would keep the time of every request: 10,000/d times 100,000 clients are a billion
//! times. A count that begins anew at each full minute is one number, but lets twice the rate pass around the full
//! minute. Between the two: time is cut into slots as long as the window, each key has the counts of this slot and of
//! the one before, and what the window still covers of the one before is taken as its share:
//!
//! ```text
//!       slot before        this slot
//! |--------------------|---------+----------|
//!            |<----- window ---->|now           used = before * (window - elapsed) / window + current
//! ```
//!
//! A request passes when `used + 1` is at most the limit; reckoned in whole nanoseconds times requests, nothing is
//! rounded.
//!
//! **Example.** 100/m, 80 in the minute before, 15 s into this one: `80 * 45/60 = 60` are counted, so 40 may pass.
//!
//! **The error.** The share is right when requests came evenly. If all of the slot before came at its end, too few
//! are counted: after 100 at 0:59.9 the 25th of the next passes at 1:15, so the window from 0:15 holds 125. In no
//! slot do more than the limit pass, so no window ever sees more than twice the limit; who asks steadily, however
//! often, is held to the rate. Where the peak itself must be bounded, a token bucket with a small burst is the tool.
//!
//! **A change of rate** keeps the counts; one of the length of the window turns them into requests of its first slot.
//!
//! A refused request is not counted. A clock that goes back is taken as the beginning of the newest slot seen.

use super::{Terms, Verdict, from_nanos};
use crate::config::units::Rate;

/// What is agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Requests in a window, at least 1.
    limit: u32,
    /// Length of window and slot in nanoseconds, at least 1.
    width: u64,
}

/// What one key has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The slot of `current`, counted from the beginning of time.
    slot: u64,
    current: u32,
    before: u32,
}

impl SlidingWindow {
    /// From what is configured; nothing in it is taken as less than 1.
    pub fn new(rate: Rate) -> Self {
        let width = u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { limit: rate.count.max(1), width }
    }

    /// The cell as it stands in the slot of now, and how far that slot has gone.
    fn turn(&self, cell: Cell, nanos: u64) -> (Cell, u64) {
        let slot = nanos / self.width;
        let elapsed = nanos % self.width;
        match slot.checked_sub(cell.slot) {
            None => (cell, 0),
            Some(0) => (cell, elapsed),
            Some(1) => (Cell { slot, current: 0, before: cell.current }, elapsed),
            Some(_) => (Cell { slot, current: 0, before: 0 }, elapsed),
        }
    }

    /// What counts now, in requests times nanoseconds.
    fn used(&self, cell: Cell, elapsed: u64) -> u128 {
        u128::from(cell.before) * u128::from(self.width - elapsed) + u128::from(cell.current) * u128::from(self.width)
    }

    fn room(&self) -> u128 {
        u128::from(self.limit) * u128::from(self.width)
    }

    /// Nanoseconds until a request passes, for a cell that lets none pass now.
    fn wait(&self, cell: Cell, elapsed: u64) -> u128 {
        if cell.current < self.limit {
            return u128::from(self.faded(cell.before, cell.current).saturating_sub(elapsed));
        }
        // This slot is full; in the next one it fades.
        u128::from(self.width - elapsed) + u128::from(self.faded(cell.current, 0))
    }

    /// How far a slot must have gone before `before` leaves room for one more than `current`, which is below the
    /// limit.
    fn faded(&self, before: u32, current: u32) -> u64 {
        let left = self.limit.saturating_sub(current).saturating_sub(1);
        if before == 0 || left >= before {
            return 0;
        }
        // Rounded down what may still count, so rounded up what must have gone.
        let may_count = u128::from(left) * u128::from(self.width) / u128::from(before);
        self.width - u64::try_from(may_count).unwrap_or(self.width)
    }

    fn fresh_after(&self, cell: Cell, elapsed: u64) -> u64 {
        match cell {
            Cell { current: 1.., .. } => (self.width - elapsed).saturating_add(self.width),
            Cell { before: 1.., .. } => self.width - elapsed,
            _ => 0,
        }
    }
}

impl Terms for SlidingWindow {
    type Cell = Cell;

    fn take(&self, cell: Cell, nanos: u64) -> (Cell, Verdict) {
        let (mut cell, elapsed) = self.turn(cell, nanos);
        let width = u128::from(self.width);
        let is_allowed = self.used(cell, elapsed) + width <= self.room();
        let retry_after = if is_allowed { 0 } else { self.wait(cell, elapsed) };
        if is_allowed {
            cell.current += 1;
        }
        let remaining = self.room().saturating_sub(self.used(cell, elapsed)) / width;
        let verdict = Verdict {
            is_allowed,
            limit: self.limit,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after: from_nanos(u128::from(self.fresh_after(cell, elapsed))),
            retry_after: from_nanos(retry_after),
        };
        (cell, verdict)
    }

    fn give_back(&self, cell: Cell, nanos: u64) -> Cell {
        let (mut cell, _) = self.turn(cell, nanos);
        // It may have been counted just before the slot turned.
        if cell.current > 0 {
            cell.current -= 1;
        } else {
            cell.before = cell.before.saturating_sub(1);
        }
        cell
    }

    fn as_new_after(&self, cell: Cell, nanos: u64) -> u64 {
        let (cell, elapsed) = self.turn(cell, nanos);
        self.fresh_after(cell, elapsed)
    }

    fn carry(&self, older: &Self, cell: Cell, nanos: u64) -> Cell {
        if self.width == older.width {
            return cell;
        }
        let (cell, elapsed) = older.turn(cell, nanos);
        let used = older.used(cell, elapsed).div_ceil(u128::from(older.width));
        let current = u32::try_from(used).unwrap_or(u32::MAX).min(self.limit);
        Cell { slot: nanos / self.width, current, before: 0 }
    }
}

#[cfg(test)]
mod tests;
