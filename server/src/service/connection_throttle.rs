//! How many sessions may be opened in a time: a bucket of tokens, and before it a coin that falls
//! against more and more of those who come while the bucket stays empty. Source:
//! `BlueThrottle.java`, and `ZooKeeperServer.java` processConnectRequest for what costs how much.
//!
//! Pure: time is given in, and the coin is a seeded generator.

/// connection_throttle_*: what there is to give out, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionThrottleSettings {
    /// connection_throttle_tokens: the most that the bucket holds; 0 lets everybody in.
    pub tokens_max: i32,
    /// connection_throttle_fill_time, in milliseconds.
    pub fill_time_ms: i32,
    /// connection_throttle_fill_count: tokens that come in that time.
    pub fill_count: i32,
    /// connection_throttle_freeze_time, in milliseconds: how long the coin stays as it is; `None`
    /// where there is no coin.
    pub freeze_time_ms: Option<i32>,
    /// connection_throttle_drop_increase: by how much the coin gets worse while the bucket is empty.
    pub drop_increase: f64,
    /// connection_throttle_drop_decrease: by how much it gets better.
    pub drop_decrease: f64,
    /// connection_throttle_decrease_ratio: the share of the bucket that may be missing for that.
    pub decrease_ratio: f64,
    /// Tokens that a new session takes.
    pub new_session_weight: i32,
    /// Tokens that a session takes that comes back.
    pub renewed_session_weight: i32,
}

impl Default for ConnectionThrottleSettings {
    fn default() -> Self {
        ConnectionThrottleSettings {
            tokens_max: 0,
            fill_time_ms: 1,
            fill_count: 1,
            freeze_time_ms: None,
            drop_increase: 0.02,
            drop_decrease: 0.002,
            decrease_ratio: 0.0,
            new_session_weight: 1,
            renewed_session_weight: 1,
        }
    }
}

/// connection_throttle_*_weight: what sessions take where they don't all take the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWeights {
    /// Of a session that all members know.
    pub global: i32,
    /// Of a session that its own member alone knows.
    pub local: i32,
    /// Of a session that comes back.
    pub renewed: i32,
}

impl SessionWeights {
    /// What Java makes of three numbers: none is less than 1, and none less than a local session's.
    #[must_use]
    pub fn corrected(self) -> Self {
        let at_least = |weight: i32, default: i32| {
            if weight <= 0 {
                default
            } else {
                weight.max(self.local)
            }
        };
        SessionWeights {
            global: at_least(self.global, 3),
            local: if self.local <= 0 { 1 } else { self.local },
            renewed: at_least(self.renewed, 2),
        }
    }
}

/// The bucket and the coin.
#[derive(Debug)]
pub(super) struct ConnectionThrottle {
    settings: ConnectionThrottleSettings,
    tokens: i32,
    filled_ms: i64,
    frozen_ms: i64,
    /// The chance to be sent away by the coin.
    drop_chance: f64,
    coin: u64,
}

impl ConnectionThrottle {
    /// A full bucket.
    pub(super) fn new(settings: ConnectionThrottleSettings, now_ms: i64, seed: u64) -> Self {
        ConnectionThrottle {
            tokens: settings.tokens_max,
            settings,
            filled_ms: now_ms,
            frozen_ms: now_ms,
            drop_chance: 0.0,
            coin: seed,
        }
    }

    /// Whether anybody is ever sent away.
    pub(super) fn is_on(&self) -> bool {
        self.settings.tokens_max > 0
    }

    /// Whether a session may be opened now, a new one or one that comes back.
    pub(super) fn lets_in(&mut self, new: bool, now_ms: i64) -> bool {
        if !self.is_on() {
            return true;
        }
        self.fill(now_ms);
        let need = if new {
            self.settings.new_session_weight
        } else {
            self.settings.renewed_session_weight
        };
        if !self.coin_falls_well(now_ms) || self.tokens < need {
            return false;
        }
        self.tokens -= need;
        true
    }

    fn fill(&mut self, now_ms: i64) {
        let Self { settings, .. } = self;
        let passed_ms = now_ms - self.filled_ms;
        if passed_ms > i64::from(settings.fill_time_ms) {
            // Java's runs over after so long a time that the bucket is full anyway.
            let more = passed_ms.saturating_mul(i64::from(settings.fill_count))
                / i64::from(settings.fill_time_ms.max(1));
            let tokens = i64::from(self.tokens).saturating_add(more);
            let tokens = tokens.min(i64::from(settings.tokens_max));
            self.tokens = i32::try_from(tokens).unwrap_or(settings.tokens_max);
            self.filled_ms = now_ms;
        }
    }

    fn coin_falls_well(&mut self, now_ms: i64) -> bool {
        let Some(freeze_time_ms) = self.settings.freeze_time_ms else {
            return true;
        };
        let settings = &self.settings;
        if now_ms - self.frozen_ms > i64::from(freeze_time_ms) {
            let missing = settings.tokens_max - self.tokens;
            let few = (f64::from(settings.tokens_max) * settings.decrease_ratio + 0.5).floor();
            if self.tokens == 0 {
                self.drop_chance = (self.drop_chance + settings.drop_increase).min(1.0);
            } else if f64::from(missing) <= few {
                self.drop_chance = (self.drop_chance - settings.drop_decrease).max(0.0);
            }
            self.frozen_ms = now_ms;
        }
        self.toss() >= self.drop_chance
    }

    /// A number from 0 up to 1 (SplitMix64).
    fn toss(&mut self) -> f64 {
        self.coin = self.coin.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.coin;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        #[allow(clippy::cast_precision_loss)] // 53 bits are what a number holds.
        let number = (bits >> 11) as f64;
        number / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(settings: ConnectionThrottleSettings) -> ConnectionThrottle {
        ConnectionThrottle::new(settings, 0, 7)
    }

    fn let_in(throttle: &mut ConnectionThrottle, tries: usize, now_ms: i64) -> usize {
        (0..tries)
            .filter(|_| throttle.lets_in(true, now_ms))
            .count()
    }

    #[test]
    fn without_tokens_everybody_comes_in() {
        let mut throttle = throttle(ConnectionThrottleSettings::default());
        assert_eq!(let_in(&mut throttle, 10_000, 0), 10_000);
    }

    #[test]
    fn a_burst_takes_what_the_bucket_holds_and_then_what_comes_into_it() {
        let mut throttle = throttle(ConnectionThrottleSettings {
            tokens_max: 100,
            fill_time_ms: 100,
            fill_count: 10,
            ..Default::default()
        });
        assert_eq!(let_in(&mut throttle, 500, 0), 100);
        // Java looks once more than the time has passed.
        assert_eq!(let_in(&mut throttle, 500, 100), 0);
        assert_eq!(let_in(&mut throttle, 500, 150), 15);
        assert_eq!(let_in(&mut throttle, 500, 350), 20);
        assert_eq!(let_in(&mut throttle, 500, 1_000_000), 100);
        assert_eq!(let_in(&mut throttle, 500, i64::MAX), 100);
    }

    #[test]
    fn sessions_take_what_they_weigh() {
        let mut throttle = throttle(ConnectionThrottleSettings {
            tokens_max: 10,
            new_session_weight: 3,
            renewed_session_weight: 2,
            ..Default::default()
        });
        let got: Vec<bool> = [true, true, false, false, true]
            .iter()
            .map(|new| throttle.lets_in(*new, 0))
            .collect();
        assert_eq!(got, [true, true, true, true, false]);
    }

    #[test]
    fn weights_that_make_no_sense_are_put_right_as_java_does() {
        let weights = |global, local, renewed| {
            let weights = SessionWeights {
                global,
                local,
                renewed,
            };
            let SessionWeights {
                global,
                local,
                renewed,
            } = weights.corrected();
            (global, local, renewed)
        };
        assert_eq!(weights(3, 1, 2), (3, 1, 2));
        assert_eq!(weights(0, 0, -1), (3, 1, 2));
        assert_eq!(weights(2, 5, 4), (5, 5, 5));
    }

    fn blue() -> ConnectionThrottle {
        throttle(ConnectionThrottleSettings {
            tokens_max: 100,
            fill_time_ms: 10,
            fill_count: 1,
            freeze_time_ms: Some(50),
            drop_increase: 0.1,
            drop_decrease: 0.05,
            decrease_ratio: 0.2,
            ..Default::default()
        })
    }

    #[test]
    fn the_coin_gets_worse_while_the_bucket_is_empty_and_better_once_it_is_full() {
        let mut throttle = blue();
        let mut now_ms = 0;
        let mut worst: f64 = 0.0;
        for _ in 0..400 {
            let_in(&mut throttle, 50, now_ms);
            worst = worst.max(throttle.drop_chance);
            now_ms += 5;
        }
        assert!((0.3..=1.0).contains(&worst), "{worst}");
        // Nobody comes for so long that the bucket fills; then one now and then.
        now_ms += 10_000;
        for _ in 0..100 {
            throttle.lets_in(true, now_ms);
            now_ms += 100;
        }
        assert_eq!(throttle.drop_chance, 0.0);
        assert!(throttle.lets_in(true, now_ms));
    }

    #[test]
    fn the_same_seed_falls_the_same_way() {
        let run = |seed| {
            let mut throttle = ConnectionThrottle::new(blue().settings, 0, seed);
            let tries = (0..2000).map(|n| throttle.lets_in(true, n / 4));
            tries.collect::<Vec<bool>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
