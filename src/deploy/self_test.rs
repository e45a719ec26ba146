//! Asks each resolver about the example event of its own decorator, before anyone else does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::DeployError;
use crate::event::{Channel, Event};
use crate::manifest::FieldManifest;
use crate::outcome::{Invocation, Job, Outcome};
use crate::sandbox::{Module, Sandbox, together};
use crate::text::{in_margin, printable};

/// For how long all examples together may take: a version that is put into service waits for them, and what comes after it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs all examples. Fields without one are not asked, nor are those that need a principal or arguments that the
/// example does not tell.
pub(super) async fn run(sandbox: &Sandbox, module: &Arc<Module>) -> Result<(), DeployError> {
    let deadline = Instant::now() + PATIENCE;
    for field in &module.manifest().fields {
        let Some(example) = &field.example else { continue };
        let failed = |problem: String| DeployError::SelfTest {
            field: field.name.clone(),
            place: format!("{}:{} {}", field.file, field.line, field.function),
            problem,
        };
        let data: Value =
            serde_json::from_str(example).map_err(|error| failed(format!("the example is not JSON: {error}")))?;
        if field.context {
            continue;
        }
        let invocation =
            Invocation { arguments: arguments(field, &data).into(), principal: None, tenant: None, payer: None };
        let event = Arc::new(event(field, example, data));
        let job = Job { field: Arc::from(field.name.as_str()), event, invocations: vec![invocation] };
        let (done, outcomes) = oneshot::channel();
        sandbox.submit(module, job, together(1, move |outcomes| drop(done.send(outcomes))));
        let late = |_| failed(format!("the examples of all fields take more than {} s", PATIENCE.as_secs()));
        let outcomes = tokio::time::timeout_at(deadline, outcomes).await.map_err(late)?;
        let outcomes = outcomes.map_err(|_| DeployError::Stopping)?;
        if let Some(Outcome::Failed(failure)) = outcomes.into_iter().next() {
            // The guest's words, in an answer and in the log.
            let traceback = failure.traceback.map(|text| in_margin(&text)).unwrap_or_default();
            return Err(failed(format!("{}{traceback}", printable(&failure.message))));
        }
    }
    Ok(())
}

/// The arguments of a subscription that the example matches.
fn arguments(field: &FieldManifest, data: &Value) -> String {
    let mut arguments = Map::new();
    for equality in &field.matches {
        let value = equality.path.split('.').try_fold(data, |value, member| value.get(member));
        arguments.insert(equality.argument.clone(), value.cloned().unwrap_or_default());
    }
    Value::Object(arguments).to_string()
}

fn event(field: &FieldManifest, example: &str, value: Value) -> Event {
    let kind = field.events.iter().find(|kind| *kind != "*").unwrap_or(&field.name);
    Event {
        id: "self-test".into(),
        channel: Channel::new(&field.channel),
        kind: kind.as_str().into(),
        time: "1970-01-01T00:00:00Z".into(),
        source: "subcast".into(),
        data: example.into(),
        value,
        charge: crate::event::EventCharge::default(),
    }
}
