//! Bytes in a message as one piece: serde takes a `Vec<u8>` byte by byte otherwise. The encoding
//! is the same.
//!
//! Owns how such fields are taken in and given on, alone and in the lists that rows come in.
//! Refuses to know what the bytes are.

use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_bytes(Whole)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

/// One piece inside another type.
struct Piece<T>(T);

impl Serialize for Piece<&[u8]> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Piece<Vec<u8>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// Bytes that may be missing.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, Piece, Serialize, Serializer, Vec};

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Piece).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(|Piece(bytes)| bytes))
    }
}

/// Keys and values.
pub(super) mod rows {
    use super::{Deserialize, Deserializer, Piece, Serializer, Vec};

    type Rows = Vec<(Vec<u8>, Vec<u8>)>;

    pub(in super::super) fn serialize<S: Serializer>(
        rows: &Rows,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let pieces = rows.iter().map(|(key, value)| (Piece(&**key), Piece(&**value)));
        serializer.collect_seq(pieces)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Rows, D::Error> {
        let pieces = Vec::deserialize(deserializer)?;
        Ok(pieces.into_iter().map(|(Piece(key), Piece(value))| (key, value)).collect())
    }
}

/// Changes of rows by view.
pub(super) mod changes {
    use super::super::{RowChange, View};
    use super::{Deserialize, Deserializer, Piece, Serialize, Serializer, Vec};

    type Changes = Vec<(View, Vec<RowChange>)>;

    type Pieces = (Piece<Vec<u8>>, Option<Piece<Vec<u8>>>);

    struct OfOne<'a>(&'a [RowChange]);

    impl Serialize for OfOne<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let changes = self.0.iter();
            serializer.collect_seq(changes.map(|(k, v)| (Piece(&**k), v.as_deref().map(Piece))))
        }
    }

    pub(in super::super) fn serialize<S: Serializer>(
        changes: &Changes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(changes.iter().map(|(view, rows)| (view, OfOne(rows))))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Changes, D::Error> {
        let views = Vec::<(View, Vec<Pieces>)>::deserialize(deserializer)?;
        let change = |(Piece(key), value): Pieces| (key, value.map(|Piece(value)| value));
        let of_one =
            |(view, rows): (View, Vec<Pieces>)| (view, rows.into_iter().map(change).collect());
        Ok(views.into_iter().map(of_one).collect())
    }
}
