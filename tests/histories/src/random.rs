//! The one source of chance in a run: SplitMix64. A seed gives the same schedule of faults and the
//! same requests again; what the machine makes of them is its own.

/// A seeded stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A stream of its own for part `part` of a run.
    #[must_use]
    pub fn of_part(seed: u64, part: u64) -> Self {
        let mut random = Random::new(seed);
        let base = random.next_u64();
        Random::new(base ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next_u64() % (high - low + 1)
    }

    /// A place in a list of `len`, which is not empty.
    pub fn below(&mut self, len: usize) -> usize {
        usize::try_from(self.between(0, len as u64 - 1)).unwrap_or(0)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(0, 99) < percent
    }
}
