//! `CloudEvents` 1.0 over HTTP: structured (the event is the body), and binary (attributes are headers, data is the body).

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::draft::Draft;
use super::error::{Problem, shortened};
use super::media_type::is_json;
use super::members::{Members, string};

const NAMES: [&str; 9] =
    ["specversion", "id", "source", "type", "channel", "time", "datacontenttype", "data", "data_base64"];

/// The attributes that mean something here, decoded from headers.
pub(super) struct Attributes {
    id: String,
    source: String,
    kind: String,
    channel: Option<String>,
    time: Option<String>,
}

/// Reads the JSON event format.
pub(super) fn structured(text: &str) -> Result<Draft<'_>, Problem> {
    let members = Members::read(text, &NAMES)?;
    let [version, id, source, kind, channel, time, data_type, data, base64] = members.values;
    check_version(string("specversion", version)?.as_deref())?;
    if let Some(given) = string("datacontenttype", data_type)?.filter(|given| !is_json(given)) {
        return Err(Problem::DataContentType { given: shortened(&given) });
    }
    if base64.is_some_and(|base64| base64.get() != "null") {
        return Err(Problem::Base64);
    }
    Ok(Draft {
        id: Some(string("id", id)?.ok_or(Problem::Missing("id"))?),
        source: Some(required_source(string("source", source)?)?),
        kind: string("type", kind)?,
        channel: string("channel", channel)?,
        time: string("time", time)?,
        data: data.map(RawValue::get),
    })
}

/// Puts decoded headers and the body together. What the body's type is was seen when the form was recognized.
pub(super) fn binary<'a>(attributes: &'a Attributes, data: &'a str) -> Result<Draft<'a>, Problem> {
    let data = data.trim_ascii();
    Ok(Draft {
        id: Some(Cow::from(&attributes.id)),
        source: Some(required_source(Some(Cow::from(&attributes.source)))?),
        kind: Some(Cow::from(&attributes.kind)),
        channel: attributes.channel.as_deref().map(Cow::from),
        time: attributes.time.as_deref().map(Cow::from),
        data: (!data.is_empty()).then_some(data),
    })
}

impl Attributes {
    pub(super) fn from_headers(headers: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let attribute = |name: &'static str| match headers(&format!("ce-{name}")) {
            Some(value) => decode(&value).ok_or(Problem::Header(name)).map(Some),
            None => Ok(None),
        };
        let required = |name| attribute(name)?.ok_or(Problem::Missing(name));
        check_version(attribute("specversion")?.as_deref())?;
        Ok(Self {
            id: required("id")?,
            source: required("source")?,
            kind: required("type")?,
            channel: attribute("channel")?,
            time: attribute("time")?,
        })
    }
}

fn check_version(version: Option<&str>) -> Result<(), Problem> {
    match version {
        Some("1.0") => Ok(()),
        Some(_) => Err(Problem::SpecVersion),
        None => Err(Problem::Missing("specversion")),
    }
}

fn required_source(source: Option<Cow<'_, str>>) -> Result<Cow<'_, str>, Problem> {
    match source {
        None => Err(Problem::Missing("source")),
        Some(source) if source.is_empty() => Err(Problem::Empty("source")),
        Some(source) => Ok(source),
    }
}

/// A header's value as an attribute: quotes undone, then percent-encoding (HTTP protocol binding §3.1.3.2).
fn decode(value: &str) -> Option<String> {
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = unquoted.map_or(Cow::from(value), |inner| Cow::from(unescape(inner)));
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn unescape(quoted: &str) -> String {
    let mut characters = quoted.chars();
    let mut text = String::with_capacity(quoted.len());
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
