//! Names, tables and properties in lapin's terms.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};

use crate::driver::{DriverError, ProducerSpec};
use crate::topology::{Arguments, Value};

/// A name of at most 255 bytes.
pub(super) fn short(what: &str, text: &str) -> Result<ShortString, DriverError> {
    ShortString::try_new(text).map_err(|_| DriverError::System {
        what: format!("{what} `{text}`"),
        reason: format!(
            "it has {} bytes and the protocol allows 255: shorten it",
            text.len()
        ),
    })
}

/// An argument or header table.
pub(super) fn table(arguments: &Arguments) -> Result<FieldTable, DriverError> {
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        table.insert(short("the argument or header", key)?, field(value));
    }
    Ok(table)
}

fn field(value: &Value) -> AMQPValue {
    match value {
        Value::Bool(truth) => AMQPValue::Boolean(*truth),
        Value::Int(number) => AMQPValue::LongLongInt(*number),
        Value::Float(number) => AMQPValue::Double(*number),
        Value::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
        Value::List(values) => {
            let mut array = FieldArray::default();
            values.iter().for_each(|value| array.push(field(value)));
            AMQPValue::FieldArray(array)
        }
    }
}

/// What every message of a producer carries besides its body.
pub(super) fn properties(spec: &ProducerSpec) -> Result<BasicProperties, DriverError> {
    let mut properties =
        BasicProperties::default().with_delivery_mode(if spec.persistent { 2 } else { 1 });
    if !spec.headers.is_empty() {
        properties = properties.with_headers(table(&spec.headers)?);
    }
    let set = &spec.properties;
    if let Some(priority) = set.priority {
        properties = properties.with_priority(priority);
    }
    type With = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&str, &Option<String>, With); 9] = [
        (
            "content_type",
            &set.content_type,
            BasicProperties::with_content_type,
        ),
        (
            "content_encoding",
            &set.content_encoding,
            BasicProperties::with_content_encoding,
        ),
        (
            "correlation_id",
            &set.correlation_id,
            BasicProperties::with_correlation_id,
        ),
        ("reply_to", &set.reply_to, BasicProperties::with_reply_to),
        (
            "expiration",
            &set.expiration,
            BasicProperties::with_expiration,
        ),
        (
            "message_id",
            &set.message_id,
            BasicProperties::with_message_id,
        ),
        ("type", &set.kind, BasicProperties::with_type),
        ("user_id", &set.user_id, BasicProperties::with_user_id),
        ("app_id", &set.app_id, BasicProperties::with_app_id),
    ];
    for (name, text, with) in texts {
        if let Some(text) = text {
            properties = with(properties, short(name, text)?);
        }
    }
    Ok(properties)
}
