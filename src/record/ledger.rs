//! Which sequence numbers were seen: one bit each, in pages that are given back once they are complete.
//!
//! A [`Tally`] belongs to one (subscription, producer) pair, or to one producer's confirms. Every subscription is driven
//! by exactly one worker, so no two threads ever write the same tally and nothing has to be merged. A page of 64 Ki
//! numbers whose bits are all set is reused; the range that it covered stays known as complete, so that a duplicate that
//! comes hours later still counts as one.

use std::collections::VecDeque;

const PAGE_BITS: u64 = 1 << 16;
const WORDS: usize = (PAGE_BITS / 64) as usize;

#[derive(Debug)]
struct Page {
    set: u32,
    words: Box<[u64; WORDS]>,
}

impl Page {
    fn new() -> Self {
        Self {
            set: 0,
            words: Box::new([0; WORDS]),
        }
    }

    fn is_full(&self) -> bool {
        u64::from(self.set) == PAGE_BITS
    }
}

/// A set of sequence numbers, cheap where it is dense.
#[derive(Debug, Default)]
pub struct Tally {
    /// Every number below this page is in the set.
    complete_pages: u64,
    /// From `complete_pages` on. A complete page behind an incomplete one is given back too.
    pages: VecDeque<Held>,
    /// A cleared page for next time, so that a steady stream allocates nothing.
    spare: Option<Page>,
    count: u64,
}

#[derive(Debug)]
enum Held {
    /// No bit set yet.
    Empty,
    Some(Page),
    /// All bits set, page given back.
    Complete,
}

impl Tally {
    /// An empty set with the memory for its first pages already there.
    pub fn new() -> Self {
        Self {
            pages: VecDeque::with_capacity(8),
            ..Self::default()
        }
    }

    /// Adds `sequence`; false where it was there already.
    pub fn insert(&mut self, sequence: u64) -> bool {
        let page_number = sequence / PAGE_BITS;
        let Some(index) = page_number.checked_sub(self.complete_pages) else {
            return false;
        };
        let index = index as usize;
        while self.pages.len() <= index {
            self.pages.push_back(Held::Empty);
        }
        let held = &mut self.pages[index];
        if let Held::Empty = held {
            *held = Held::Some(self.spare.take().unwrap_or_else(Page::new));
        }
        let Held::Some(page) = held else { return false };
        let bit = sequence % PAGE_BITS;
        let word = &mut page.words[(bit / 64) as usize];
        let mask = 1_u64 << (bit % 64);
        if *word & mask != 0 {
            return false;
        }
        *word |= mask;
        page.set += 1;
        self.count += 1;
        if page.is_full() {
            self.retire(index);
        }
        true
    }

    fn retire(&mut self, index: usize) {
        if let Held::Some(mut page) = std::mem::replace(&mut self.pages[index], Held::Complete) {
            page.words.fill(0);
            page.set = 0;
            self.spare = Some(page);
        }
        while let Some(Held::Complete) = self.pages.front() {
            self.pages.pop_front();
            self.complete_pages += 1;
        }
    }

    /// Whether `sequence` is in the set.
    pub fn contains(&self, sequence: u64) -> bool {
        let Some(index) = (sequence / PAGE_BITS).checked_sub(self.complete_pages) else {
            return true;
        };
        match self.pages.get(index as usize) {
            None | Some(Held::Empty) => false,
            Some(Held::Complete) => true,
            Some(Held::Some(page)) => {
                let bit = sequence % PAGE_BITS;
                page.words[(bit / 64) as usize] & (1 << (bit % 64)) != 0
            }
        }
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether the set has no numbers.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The numbers below `end` that are not in the set, ascending.
    pub fn missing(&self, end: u64) -> impl Iterator<Item = u64> + '_ {
        (self.complete_pages..end.div_ceil(PAGE_BITS))
            .filter(|number| {
                !matches!(
                    self.pages.get((number - self.complete_pages) as usize),
                    Some(Held::Complete)
                )
            })
            .flat_map(|number| number * PAGE_BITS..(number + 1) * PAGE_BITS)
            .take_while(move |sequence| *sequence < end)
            .filter(|sequence| !self.contains(*sequence))
    }

    /// Bytes of the pages in use.
    pub fn bytes(&self) -> usize {
        let pages = self
            .pages
            .iter()
            .filter(|held| matches!(held, Held::Some(_)))
            .count();
        (pages + usize::from(self.spare.is_some())) * WORDS * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_set_twice_is_a_duplicate_even_after_its_page_was_retired() {
        let mut tally = Tally::new();
        for sequence in 0..3 * PAGE_BITS {
            assert!(tally.insert(sequence));
        }
        assert!(!tally.insert(5));
        assert!(!tally.insert(2 * PAGE_BITS + 7));
        assert_eq!(tally.len(), 3 * PAGE_BITS);
        assert_eq!(tally.missing(3 * PAGE_BITS).count(), 0);
    }

    #[test]
    fn missing_numbers_are_listed_and_nothing_else() {
        let mut tally = Tally::new();
        let end = 4 * PAGE_BITS + 100;
        let lost = [0, 17, PAGE_BITS, 2 * PAGE_BITS - 1, 4 * PAGE_BITS + 99];
        for sequence in (0..end).rev().filter(|s| !lost.contains(s)) {
            assert!(tally.insert(sequence));
        }
        assert_eq!(tally.missing(end).collect::<Vec<_>>(), lost);
        assert!(tally.contains(1) && !tally.contains(17) && tally.contains(3 * PAGE_BITS));
    }

    #[test]
    fn a_thousand_million_numbers_in_order_keep_two_pages() {
        let mut tally = Tally::new();
        // The pages before the last few are what a long run has behind it.
        tally.complete_pages = 1_000_000_000 / PAGE_BITS;
        let start = tally.complete_pages * PAGE_BITS;
        for sequence in start..start + 5 * PAGE_BITS {
            tally.insert(sequence);
        }
        assert!(tally.bytes() <= 2 * 8192, "{} bytes", tally.bytes());
        assert!(!tally.insert(12_345));
    }
}
