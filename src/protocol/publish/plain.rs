//! A plain event: `{"channel", "type", "data", "id"?, "time"?, "source"?}`.

use serde_json::value::RawValue;

use super::draft::Draft;
use super::error::Problem;
use super::members::{Members, string};

const NAMES: [&str; 6] = ["channel", "type", "data", "id", "time", "source"];

/// Reads one event's JSON.
pub(super) fn draft(text: &str) -> Result<Draft<'_>, Problem> {
    let members = Members::read(text, &NAMES)?;
    if let Some(name) = members.unknown {
        let nearest = nearest(&name);
        return Err(Problem::UnknownMember { name, nearest });
    }
    let [channel, kind, data, id, time, source] = members.values;
    Ok(Draft {
        channel: string("channel", channel)?,
        kind: string("type", kind)?,
        data: data.map(RawValue::get),
        id: string("id", id)?,
        time: string("time", time)?,
        source: string("source", source)?,
    })
}

/// The member that was probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |known: &&str| strsim::jaro_winkler(&name.to_ascii_lowercase(), known);
    let best = NAMES.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.75).then_some(best)
}
