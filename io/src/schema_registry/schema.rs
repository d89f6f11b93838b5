//! Schemas as the registry has them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a schema is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum SchemaType {
    /// Avro: what the registry means when it says nothing.
    #[default]
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

impl SchemaType {
    fn is_default(&self) -> bool {
        *self == SchemaType::default()
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SchemaType::Avro => "AVRO",
            SchemaType::Json => "JSON",
            SchemaType::Protobuf => "PROTOBUF",
            SchemaType::Other => "another type",
        })
    }
}

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// What it is written in. Old registries know Avro alone and no word for it, so that is not sent.
    #[serde(rename = "schemaType", default, skip_serializing_if = "SchemaType::is_default")]
    pub schema_type: SchemaType,
    /// Its text: JSON, or a `.proto` file.
    #[serde(rename = "schema")]
    pub text: String,
    /// Other schemas that it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
}

impl Schema {
    /// A schema of Avro, as JSON, that uses no other.
    pub fn avro(text: impl Into<String>) -> Schema {
        Schema { schema_type: SchemaType::Avro, text: text.into(), references: Vec::new() }
    }

    /// A `.proto` file that imports no other of the registry's.
    pub fn protobuf(text: impl Into<String>) -> Schema {
        Schema { schema_type: SchemaType::Protobuf, ..Schema::avro(text) }
    }
}

/// A schema that another one uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// As the other one calls it: a full name in Avro, a file in Protocol Buffers.
    pub name: String,
    /// The subject that it is registered under.
    pub subject: String,
    /// Which version of that.
    pub version: u32,
}

/// A schema that is registered under a subject.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// What stands in front of payloads that are written with it.
    pub id: u32,
    /// Which version of the subject it is, from 1.
    pub version: u32,
    /// The schema.
    #[serde(flatten)]
    pub schema: Schema,
}
