//! The 40 bytes at the head of every message body, from which a consumer knows whose message this is and when it was
//! due and sent.
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0..4 | magic | `MQB1` |
//! | 4..8 | run | the run's number, so that an earlier run's messages are known as foreign |
//! | 8..12 | producer | index within the run |
//! | 12..20 | sequence | 0, 1, 2 .. for each producer |
//! | 20..28 | due | ns on the monotonic clock; equals the time of queueing where the loop has no schedule |
//! | 28..36 | sent | ns, written by the driver just before the bytes go to the kernel |
//! | 36..40 | check | over all of the above and the length of the body |
//!
//! All integers are little-endian. The check splits into a part that is known when the message is queued and a part
//! that depends on `sent` alone, so that a driver can patch `sent` at the last moment with two stores.

use crate::clock::Nanos;

/// Bytes that a stamp takes: the least size of a body that is measured.
pub const STAMP_LEN: usize = 40;
/// Where in the stamp the driver writes the `sent` time.
pub const SENT_OFFSET: usize = 28;
/// Where in the stamp the check stands.
pub const CHECK_OFFSET: usize = 36;

const MAGIC: [u8; 4] = *b"MQB1";

/// What is written into, and read back from, the head of a message body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the run.
    pub run: u32,
    /// Index of the producer within the run.
    pub producer: u32,
    /// Position in the producer's own stream, from 0.
    pub sequence: u64,
    /// When the message should have been sent.
    pub due: Nanos,
    /// When its first byte was handed to the kernel; [`Nanos::ZERO`] until the driver patches it.
    pub sent: Nanos,
}

/// Why the head of a body is no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampError {
    /// The body is shorter than a stamp or starts with other bytes: not a message of this program.
    Absent,
    /// The magic is there but the check does not hold: the body was damaged or cut.
    Corrupt,
}

impl Stamp {
    /// The bytes for a body of `body_len` bytes in all, and the check's part that does not depend on `sent`, which
    /// [`patch_sent`] wants back.
    pub fn encode(&self, body_len: u64) -> ([u8; STAMP_LEN], u32) {
        let base = self.check_base(body_len);
        let mut bytes = [0; STAMP_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.run.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.producer.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.due.0.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.sent.0.to_le_bytes());
        bytes[36..40].copy_from_slice(&(base ^ fold_sent(self.sent)).to_le_bytes());
        (bytes, base)
    }

    /// Reads a stamp from the head of a body whose length is `body_len` in all.
    ///
    /// # Errors
    /// [`StampError::Absent`] for a body that never had a stamp, [`StampError::Corrupt`] for a damaged one.
    pub fn decode(head: &[u8], body_len: u64) -> Result<Self, StampError> {
        let head: &[u8; STAMP_LEN] = head.first_chunk().ok_or(StampError::Absent)?;
        if head[0..4] != MAGIC {
            return Err(StampError::Absent);
        }
        let stamp = Self {
            run: u32_at(head, 4),
            producer: u32_at(head, 8),
            sequence: u64_at(head, 12),
            due: Nanos(u64_at(head, 20)),
            sent: Nanos(u64_at(head, SENT_OFFSET)),
        };
        if stamp.check_base(body_len) ^ fold_sent(stamp.sent) == u32_at(head, CHECK_OFFSET) {
            Ok(stamp)
        } else {
            Err(StampError::Corrupt)
        }
    }

    /// Multiplicative mixing in the manner of SplitMix64's finalizer (Steele, Lea, Flood: "Fast splittable
    /// pseudorandom number generators", 2014): each input bit reaches every bit of the result.
    fn check_base(&self, body_len: u64) -> u32 {
        let who = u64::from(self.run) << 32 | u64::from(self.producer);
        let mut mixed = mix(who ^ 0x9e37_79b9_7f4a_7c15);
        mixed = mix(mixed ^ self.sequence);
        mixed = mix(mixed ^ self.due.0);
        mixed = mix(mixed ^ body_len);
        (mixed >> 32) as u32
    }
}

/// Writes the `sent` time into an encoded stamp and completes its check. `base` is what [`Stamp::encode`] gave.
///
/// # Panics
/// Where `stamp` is shorter than [`STAMP_LEN`].
pub fn patch_sent(stamp: &mut [u8], base: u32, sent: Nanos) {
    stamp[SENT_OFFSET..CHECK_OFFSET].copy_from_slice(&sent.0.to_le_bytes());
    stamp[CHECK_OFFSET..STAMP_LEN].copy_from_slice(&(base ^ fold_sent(sent)).to_le_bytes());
}

fn fold_sent(sent: Nanos) -> u32 {
    let mixed = sent.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn u32_at(bytes: &[u8; STAMP_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; STAMP_LEN], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            run: 7,
            producer: 3,
            sequence: 1 << 40,
            due: Nanos(123_456_789),
            sent: Nanos::ZERO,
        }
    }

    #[test]
    fn a_patched_stamp_reads_back_with_its_sent_time() {
        let (mut bytes, base) = stamp().encode(1024);
        for sent in [1, 1 << 33, u64::MAX] {
            patch_sent(&mut bytes, base, Nanos(sent));
            assert_eq!(
                Stamp::decode(&bytes, 1024),
                Ok(Stamp {
                    sent: Nanos(sent),
                    ..stamp()
                })
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (mut bytes, base) = stamp().encode(1024);
        patch_sent(&mut bytes, base, Nanos(987_654_321));
        for bit in 0..STAMP_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 32 {
                StampError::Absent
            } else {
                StampError::Corrupt
            };
            assert_eq!(Stamp::decode(&damaged, 1024), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn a_cut_or_lengthened_body_is_corrupt_and_a_short_one_has_no_stamp() {
        let (bytes, _) = stamp().encode(1024);
        assert_eq!(Stamp::decode(&bytes, 1023), Err(StampError::Corrupt));
        assert_eq!(Stamp::decode(&bytes, 1025), Err(StampError::Corrupt));
        assert_eq!(Stamp::decode(&bytes[..39], 39), Err(StampError::Absent));
        assert_eq!(Stamp::decode(b"", 0), Err(StampError::Absent));
    }
}
