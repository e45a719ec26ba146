//! What the engine has to say goes to Python's `logging`.
//!
//! Records wait in a bounded queue; the hub that was opened last wakes its loop, which takes them and hands them on. No
//! thread of ours waits for Python here, and none logs by itself. What Python would not show is never made: the level of
//! its logger is told to [`set_level`], and below it a place that logs costs one load.
//!
//! One log per process, as both sides have it: of several managers, the one that started last decides the directives.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::hub::Bell;

/// The key under which a hub announces records.
pub(super) const LOG: u64 = 1;
/// Records that may wait: what one module may write in some seconds, and 4 MiB at most.
const WAITING: usize = 1024;

/// Level as Python counts, target, message, file, line, seconds since 1970, fields.
pub(super) type Row = (u8, &'static str, String, Option<&'static str>, Option<u32>, f64, Vec<(&'static str, String)>);

static WAITING_ROOM: Mutex<Room> = Mutex::new(Room { rows: VecDeque::new(), left_out: 0, bells: Vec::new() });
/// The least level that Python wants, as Python counts.
static LEVEL: AtomicU8 = AtomicU8::new(u8::MAX);
static DIRECTIVES: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

struct Room {
    rows: VecDeque<Row>,
    /// Records for which there was no place.
    left_out: u64,
    /// Of the hubs that are open.
    bells: Vec<Weak<Bell>>,
}

/// From here on what is said goes to Python, as far as these directives let it.
pub(super) fn start(directives: &str) {
    // They were checked with the configuration.
    let Ok(filter) = EnvFilter::try_new(directives) else { return };
    if let Some(handle) = DIRECTIVES.get() {
        let _ = handle.reload(filter);
        return;
    }
    let (filter, handle) = reload::Layer::new(filter);
    // Refused where the command line has a log of its own, which nobody starts in an application.
    if tracing_subscriber::registry().with(filter).with(ToPython).try_init().is_ok() {
        let _ = DIRECTIVES.set(handle);
    }
}

/// Nothing below this level is wanted, as Python counts.
pub(super) fn set_level(level: u8) {
    if LEVEL.swap(level, Ordering::Relaxed) != level {
        tracing::callsite::rebuild_interest_cache();
    }
}

/// This bell rings when there is something, as long as it lives and no other one was added later.
pub(super) fn announce_to(bell: &Arc<Bell>) {
    let mut room = WAITING_ROOM.lock();
    room.bells.retain(|bell| bell.strong_count() > 0);
    room.bells.push(Arc::downgrade(bell));
}

/// What waits, and how many found no place since the last time.
pub(super) fn take() -> (Vec<Row>, u64) {
    let mut room = WAITING_ROOM.lock();
    (room.rows.drain(..).collect(), std::mem::take(&mut room.left_out))
}

impl Room {
    fn push(&mut self, row: Row) {
        if self.rows.len() >= WAITING {
            self.left_out += 1;
            return;
        }
        self.rows.push_back(row);
        while let Some(bell) = self.bells.last() {
            if bell.upgrade().is_some_and(|bell| bell.ring()) {
                break;
            }
            // Its hub is closed; whoever is left hears of it.
            self.bells.pop();
        }
    }
}

struct ToPython;

impl<S: Subscriber> Layer<S> for ToPython {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LEVEL.load(Ordering::Relaxed) {
            ..=5 => LevelFilter::TRACE,
            6..=10 => LevelFilter::DEBUG,
            11..=20 => LevelFilter::INFO,
            21..=30 => LevelFilter::WARN,
            31..=40 => LevelFilter::ERROR,
            41.. => LevelFilter::OFF,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut said = Said::default();
        event.record(&mut said);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let level = python_level(metadata);
        let row = (level, metadata.target(), said.message, metadata.file(), metadata.line(), time, said.fields);
        WAITING_ROOM.lock().push(row);
    }
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    python_level(metadata) >= LEVEL.load(Ordering::Relaxed)
}

/// `logging.DEBUG` and so on; Python has no name for `trace`, and leaves the numbers below 10 free.
fn python_level(metadata: &Metadata<'_>) -> u8 {
    match *metadata.level() {
        tracing::Level::TRACE => 5,
        tracing::Level::DEBUG => 10,
        tracing::Level::INFO => 20,
        tracing::Level::WARN => 30,
        tracing::Level::ERROR => 40,
    }
}

/// The message of an event and its fields, as text.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields.push((field.name(), format!("{value:?}")));
        }
    }
}
