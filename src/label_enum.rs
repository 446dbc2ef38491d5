//! Enums whose variants are label values. One table defines the variants, their labels and their
//! meanings.

use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

/// Defines an enum whose variants are the values of a metric label, with a meaning for each.
macro_rules! label_enum {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$variant_attribute:meta])* $variant:ident = $label:literal, $meaning:literal;)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $name {
            $(#[doc = $meaning] $(#[$variant_attribute])* $variant,)*
        }

        impl $name {
            /// All values, in label order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the label value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }

            /// Returns the meaning, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                crate::label_enum::schema(Self::ALL.iter().map(|value| (value.as_str(), value.meaning())))
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

pub(crate) use label_enum;

/// Returns the schema of a set of label values, with their meanings.
pub(crate) fn schema(values: impl Iterator<Item = (&'static str, &'static str)>) -> RefOr<Schema> {
    let (labels, meanings): (Vec<_>, Vec<_>) = values
        .map(|(label, meaning)| (label, format!("- `{label}`: {meaning}")))
        .unzip();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(labels))
        .description(Some(meanings.join("\n")))
        .into()
}
