//! The JSON Schema of a policy, by which editors complete and check one. Names, types, defaults and meanings come from
//! `fields`, ranges from `check`.

use crate::policy::fields::Policy;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// A policy whose ranges are asked for. They do not depend on its values.
const SHIPPED: &str = "overnight";

impl Policy {
    /// The schema, in draft 7, which editors know best.
    ///
    /// # Errors
    /// The shipped policy cannot be read.
    pub fn schema() -> Result<Value, super::PolicyError> {
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Self>().to_value();
        for range in Self::load(SHIPPED)?.ranges() {
            let pointer = format!("/properties/{}", range.field.replace('.', "/properties/"));
            if let Some(Value::Object(field)) = schema.pointer_mut(&pointer) {
                field.insert("minimum".into(), range.low);
                field.insert("maximum".into(), range.high);
            }
        }
        Ok(schema)
    }
}
