//! SipHash-2-4 (Aumasson and Bernstein, 2012): a short keyed hash that nobody can foretell without the key.

/// A key: its 16 bytes as two words, each from its lowest byte.
pub(super) type Key = [u64; 2];

/// The hash of a message under `key`: its whole words of eight bytes, from their lowest byte, and `last`,
/// which has what is left of it in its low bytes and the message's length in its highest.
#[inline]
pub(super) fn siphash_2_4(key: Key, words: &[u64], last: u64) -> u64 {
    let mut state = [
        key[0] ^ 0x736F_6D65_7073_6575,
        key[1] ^ 0x646F_7261_6E64_6F6D,
        key[0] ^ 0x6C79_6765_6E65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    for &word in words.iter().chain([&last]) {
        state[3] ^= word;
        round(&mut state);
        round(&mut state);
        state[0] ^= word;
    }
    state[2] ^= 0xFF;
    for _ in 0..4 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline(always)]
fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    c = c.wrapping_add(d);
    b = b.rotate_left(13) ^ a;
    d = d.rotate_left(16) ^ c;
    a = a.rotate_left(32).wrapping_add(d);
    c = c.wrapping_add(b);
    d = d.rotate_left(21) ^ a;
    b = b.rotate_left(17) ^ c;
    *state = [a, b, c.rotate_left(32), d];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the reference implementation: the key is 0, 1 to 15, and so are the messages.
    #[test]
    fn the_reference_is_met() {
        let key = [0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908];
        assert_eq!(siphash_2_4(key, &[], 0), 0x726F_DB47_DD0E_0E31);
        assert_eq!(siphash_2_4(key, &[], 1 << 56), 0x74F8_39C5_93DC_67FD);
        assert_eq!(siphash_2_4(key, &[key[0]], 8 << 56), 0x93F5_F579_9A93_2462);
        let fifteen = key[1] & 0x00FF_FFFF_FFFF_FFFF | 15 << 56;
        assert_eq!(siphash_2_4(key, &[key[0]], fifteen), 0xA129_CA61_49BE_45E5);
    }
}
