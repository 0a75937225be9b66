//! The 20-byte names of the protocol.

use core::fmt;
use core::str::FromStr;

macro_rules! twenty_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 20]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = 20;

            /// The name with these bytes.
            #[must_use]
            pub const fn new(bytes: [u8; 20]) -> Self {
                Self(bytes)
            }

            /// The bytes of the name.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 20] {
                &self.0
            }
        }

        impl From<[u8; 20]> for $name {
            fn from(bytes: [u8; 20]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = core::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }

        impl fmt::Display for $name {
            /// 40 lower-case hexadecimal digits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

twenty_bytes! {
    /// SHA-1 of the bencoded `info` dictionary: the name of a torrent and of its swarm (BEP 3).
    InfoHash
}

twenty_bytes! {
    /// A peer's name of itself, made anew for each run (BEP 20).
    PeerId
}

twenty_bytes! {
    /// SHA-1 of one piece.
    Sha1Hash
}

/// The text is not 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an info-hash is 40 hexadecimal digits")]
pub struct ParseInfoHashError;

impl FromStr for InfoHash {
    type Err = ParseInfoHashError;

    /// Reads 40 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 2 * Self::LENGTH {
            return Err(ParseInfoHashError);
        }
        let mut bytes = [0; Self::LENGTH];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair
                .iter()
                .try_fold(0, |value, digit| Some(value << 4 | hex_digit(*digit)?))
                .ok_or(ParseInfoHashError)?;
        }
        Ok(Self(bytes))
    }
}

/// The value of a hexadecimal digit of either case.
pub(crate) fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_info_hash_is_40_digits_of_either_case() {
        let text = "0123456789abcdefABCDEF00000000000000000f";
        let hash: InfoHash = text.parse().expect("40 digits");
        assert_eq!(
            hash.as_bytes().first_chunk(),
            Some(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xab])
        );
        assert_eq!(hash.to_string(), text.to_lowercase());
    }

    #[test]
    fn anything_else_is_no_info_hash() {
        let zeros = "0".repeat(39);
        for text in [
            String::new(),
            zeros.clone(),
            zeros.clone() + "00",
            zeros.clone() + "g",
            zeros + "+",
        ] {
            assert_eq!(text.parse::<InfoHash>(), Err(ParseInfoHashError), "{text}");
        }
        assert_eq!(
            "é".repeat(20).parse::<InfoHash>(),
            Err(ParseInfoHashError),
            "40 bytes that are no digits"
        );
    }
}
