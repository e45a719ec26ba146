//! Which form a request has, by its headers.

use super::error::{Problem, shortened};

/// How the events stand in the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// A plain event, or an array of them.
    Plain,
    /// A plain event on each line.
    Lines,
    /// One structured `CloudEvent`.
    CloudEvent,
    /// An array of structured `CloudEvents`.
    CloudEvents,
    /// The body is the data; the attributes are headers.
    BinaryCloudEvent,
}

impl Form {
    pub(super) fn of(content_type: &str, headers: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let media_type = media_type.trim().to_ascii_lowercase();
        let unsupported = || Problem::ContentType { given: shortened(content_type) };
        // Any of the attributes that every `CloudEvent` has: one that forgot another gets told so.
        let binary = || ["ce-specversion", "ce-id", "ce-type"].iter().any(|name| headers(name).is_some());
        let form = match media_type.as_str() {
            "application/cloudevents+json" => Self::CloudEvent,
            "application/cloudevents-batch+json" => Self::CloudEvents,
            "application/x-ndjson" => Self::Lines,
            other if other.starts_with("application/cloudevents") => return Err(unsupported()),
            json if is_json(json) && binary() => Self::BinaryCloudEvent,
            "application/json" => Self::Plain,
            _ => return Err(unsupported()),
        };
        check_charset(parameters)?;
        Ok(form)
    }
}

/// Whether this media type, perhaps with parameters, is JSON.
pub(super) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json")
        || essence.split_once('/').is_some_and(|(_, subtype)| subtype.ends_with("+json"))
}

/// JSON is UTF-8. Other parameters mean nothing here and are ignored.
fn check_charset(parameters: &str) -> Result<(), Problem> {
    for parameter in parameters.split(';') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !["utf-8", "utf8"].iter().any(|utf8| value.eq_ignore_ascii_case(utf8))
        {
            return Err(Problem::Charset { given: shortened(value) });
        }
    }
    Ok(())
}
