//! Avro schemas that use others: put together as one.
//!
//! The registry names what a schema uses by full name, subject and version; each of these may use others in turn. A
//! schema of Avro defines a name where it is first met and names it later on, so the first mention of each name is
//! replaced by its definition.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use slotflow_runtime::{Error, Result};

use super::client::{SchemaRegistry, encoded};
use super::schema::{Reference, Registered, Schema};

/// No schema uses more others (a guess, so that a registry that names ever new ones comes to an end).
const MOST_REFERENCES: usize = 1000;

/// No type is deeper within others: what reads the whole as JSON goes no further, and each level takes some of the
/// stack.
const MOST_DEPTH: usize = 128;

/// A type is deeper within others than that.
struct TooDeep;

impl SchemaRegistry {
    /// The text of a schema of Avro with all that it uses.
    pub(crate) fn whole(&self, schema: Schema) -> Result<String> {
        if schema.references.is_empty() {
            return Ok(schema.text);
        }
        let mut whole = parsed(&schema.text)?;
        let mut used = Used { definitions: self.definitions(schema.references)?, defined: HashSet::new() };
        used.put_into(&mut whole, "", 0).map_err(|TooDeep| {
            let what = format!(
                "a schema of {} is nested more than {MOST_DEPTH} deep with those that it uses",
                self.url
            );
            Error::world(what, "mend it, or read its payloads with a format of your own")
        })?;
        Ok(whole.to_string())
    }

    /// Everything that is used, however indirectly, by its full name.
    fn definitions(&self, mut missing: Vec<Reference>) -> Result<HashMap<String, Value>> {
        let mut definitions = HashMap::new();
        while let Some(reference) = missing.pop() {
            if definitions.contains_key(&reference.name) {
                continue;
            }
            let schema = self.referenced(&reference)?;
            definitions.insert(reference.name, parsed(&schema.text)?);
            missing.extend(schema.references);
            if definitions.len() > MOST_REFERENCES {
                let what = format!("a schema of {} uses more than {MOST_REFERENCES} others", self.url);
                return Err(Error::world(what, "mend it"));
            }
        }
        Ok(definitions)
    }

    fn referenced(&self, Reference { name, subject, version }: &Reference) -> Result<Schema> {
        let found: Option<Registered> =
            self.asked_once(&format!("/subjects/{}/versions/{version}", encoded(subject)))?;
        let missing = || {
            let what =
                format!("schema registry {} has no version {version} of subject {subject:?}", self.url);
            Error::world(what, format!("register it again: a schema uses it as {name}"))
        };
        found.map(|found| found.schema).ok_or_else(missing)
    }
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| {
        let what = format!("a schema of the schema registry, or one that it uses, is no JSON: {error}");
        Error::world(what, "register it again")
    })
}

/// What is used, and which names are defined already.
struct Used {
    definitions: HashMap<String, Value>,
    defined: HashSet<String>,
}

impl Used {
    /// Puts definitions where names are first met in a type that stands in this namespace, so deep within others.
    fn put_into(&mut self, avro: &mut Value, namespace: &str, depth: usize) -> Result<(), TooDeep> {
        if depth > MOST_DEPTH {
            return Err(TooDeep);
        }
        match avro {
            Value::String(name) => {
                let name = full_name(name, namespace);
                if self.defined.contains(&name) {
                    return Ok(());
                }
                // Taken out, so that one that names itself, whatever it defines, comes to an end.
                match self.definitions.remove(&name) {
                    Some(definition) => *avro = definition,
                    None => return Ok(()),
                }
                self.put_into(avro, "", depth + 1)
            }
            Value::Array(union) => {
                union.iter_mut().try_for_each(|one| self.put_into(one, namespace, depth + 1))
            }
            Value::Object(_) => self.put_into_object(avro, namespace, depth + 1),
            _ => Ok(()),
        }
    }

    fn put_into_object(&mut self, avro: &mut Value, namespace: &str, depth: usize) -> Result<(), TooDeep> {
        let text = |key: &str| avro.get(key).and_then(Value::as_str);
        let mut namespace = text("namespace").unwrap_or(namespace).to_owned();
        if let Some(name) = text("name") {
            let name = full_name(name, &namespace);
            namespace = name.rsplit_once('.').map_or_else(String::new, |(namespace, _)| namespace.to_owned());
            self.defined.insert(name);
        }
        for key in ["type", "items", "values"] {
            avro.get_mut(key).into_iter().try_for_each(|inner| self.put_into(inner, &namespace, depth))?;
        }
        let fields = avro.get_mut("fields").and_then(Value::as_array_mut);
        let mut types = fields.into_iter().flatten().filter_map(|field| field.get_mut("type"));
        types.try_for_each(|avro| self.put_into(avro, &namespace, depth))
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.into() } else { format!("{namespace}.{name}") }
}
