//! Enums as (name, JSON): how commands and events pass between typed code and the log.
//!
//! Owns the mapping of one enum variant to its name and the JSON of its content, by serde alone,
//! so that a domain writes an enum and derives the rest. Refuses to know any enum.

use alloc::string::{String, ToString};

use serde::de::{self, DeserializeSeed, EnumAccess, VariantAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Reads the variant `name` of `T` with the content `data`.
pub fn read<'de, T: Deserialize<'de>>(
    name: &'de str,
    data: &'de str,
) -> Result<T, serde_json::Error> {
    T::deserialize(Tagged { name, data })
}

/// The variant's name and the JSON of its content (`{}` for a variant without fields).
pub fn write<T: Serialize>(value: &T) -> Result<(String, String), serde_json::Error> {
    let text = serde_json::to_string(value)?;
    let split = match text.strip_prefix("{\"").and_then(|rest| rest.strip_suffix('}')) {
        Some(inner) => {
            // Names are short: looking byte by byte is quicker than starting a search.
            let ends = |pair: &[u8]| matches!(pair, [b'"', b':']);
            let end = inner.as_bytes().windows(2).position(ends);
            end.and_then(|end| inner.split_at_checked(end)).and_then(|(name, rest)| {
                rest.strip_prefix("\":").map(|data| (name.to_string(), data.to_string()))
            })
        }
        None => text
            .strip_prefix('"')
            .and_then(|t| t.strip_suffix('"'))
            .map(|name| (name.to_string(), "{}".to_string())),
    };
    split.ok_or_else(|| serde::ser::Error::custom("not an enum"))
}

struct Tagged<'de> {
    name: &'de str,
    data: &'de str,
}

impl<'de> de::Deserializer<'de> for Tagged<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("commands and events are enums"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Tagged<'de> {
    type Error = serde_json::Error;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'de>), Self::Error> {
        let name = de::value::BorrowedStrDeserializer::new(self.name);
        Ok((seed.deserialize(name)?, Content(self.data)))
    }
}

struct Content<'de>(&'de str);

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Self::Error> {
        let mut json = serde_json::Deserializer::from_str(self.0);
        let value = seed.deserialize(&mut json)?;
        json.end()?;
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Self::Error> {
        de::Deserializer::deserialize_seq(&mut serde_json::Deserializer::from_str(self.0), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        de::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(self.0), visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all_fields = "camelCase")]
    enum Sample {
        Opened { first_name: String },
        Counted(u64),
        Closed,
        Emptied {},
    }

    #[test]
    fn variants_go_there_and_back() {
        for (value, name, data) in [
            (Sample::Opened { first_name: "a\"}".into() }, "Opened", r#"{"firstName":"a\"}"}"#),
            (Sample::Counted(7), "Counted", "7"),
            (Sample::Closed, "Closed", "{}"),
            (Sample::Emptied {}, "Emptied", "{}"),
        ] {
            let written = write(&value).expect("serializes");
            assert_eq!((written.0.as_str(), written.1.as_str()), (name, data));
            assert_eq!(read::<Sample>(name, data).expect("reads"), value);
        }
        assert!(read::<Sample>("Unknown", "{}").is_err());
    }
}
