//! Asks the application who somebody is: `on_authenticate`, called on the manager's event loop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::convert::to_json;
use super::guard::guard;
use super::hub::{Bell, Mailbox};
use crate::auth::{self, Ask, Refused, Shown};
use crate::runtime::config::Config;

/// The key under which a hub announces questions.
pub(super) const QUESTIONS: u64 = 0;
/// For how long the application may think.
const PATIENCE: Duration = Duration::from_secs(10);

/// Claims, or why not.
type Answer = Result<Map<String, Value>, String>;

/// Questions that the loop has not taken yet. One per connection at most.
#[derive(Default)]
pub(super) struct Questions(Mutex<VecDeque<Question>>);

/// One question. Refused if it is dropped without an answer.
#[pyclass(frozen, module = "subcast._native")]
pub(super) struct Question {
    payload: Option<String>,
    headers: Vec<(String, String)>,
    reply: Mutex<Option<oneshot::Sender<Answer>>>,
}

impl Questions {
    pub(super) fn take(&self) -> Vec<Question> {
        self.0.lock().drain(..).collect()
    }
}

/// Asks by way of the hub.
pub(super) fn ask(threads: Handle, mailbox: &Arc<Mailbox>, questions: &Arc<Questions>, config: &Config) -> Ask {
    let bell: Arc<Bell> = mailbox.bell_with(QUESTIONS);
    let questions = Arc::clone(questions);
    let tenant_claim = config.auth.tenant_claim.clone();
    Arc::new(move |Shown { payload, headers }| {
        let (reply, answer) = oneshot::channel();
        let payload = payload.map(|payload| Value::Object(payload).to_string());
        questions.0.lock().push_back(Question { payload, headers, reply: Mutex::new(Some(reply)) });
        bell.ring();
        let tenant_claim = tenant_claim.clone();
        // On a thread that has timers; whoever polls the decision may have none. Ends within the patience.
        let waiting = threads.spawn(async move {
            let refused = |reason: &str| Refused::Application(reason.to_owned());
            match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(Ok(claims))) => Ok(auth::principal(claims, &tenant_claim)),
                Ok(Ok(Err(reason))) => Err(Refused::Application(reason)),
                Ok(Err(_)) => Err(refused("no answer")),
                Err(_) => Err(refused("on_authenticate took longer than 10 s")),
            }
        });
        Box::pin(async move { waiting.await.unwrap_or_else(|error| Err(Refused::Application(error.to_string()))) })
    })
}

#[pymethods]
impl Question {
    /// The payload of `connection_init` as JSON text, if it had one.
    #[getter]
    fn payload(&self) -> PyResult<Option<&str>> {
        guard(|| self.payload.as_deref())
    }

    /// Headers of the request, in lower case.
    #[getter]
    fn headers(&self) -> PyResult<Vec<(String, String)>> {
        guard(|| self.headers.clone())
    }

    /// Lets the client in, with these claims.
    fn accept(&self, claims: &Bound<'_, PyAny>) -> PyResult<()> {
        guard(|| {
            let text = to_json(claims, "claims")?;
            let claims = serde_json::from_str(&text)
                .map_err(|_| PyTypeError::new_err("on_authenticate must return a mapping of claims, or None"))?;
            self.answer(Ok(claims));
            Ok(())
        })?
    }

    /// Keeps it out. The reason goes into the log.
    fn refuse(&self, reason: String) -> PyResult<()> {
        guard(|| {
            self.answer(Err(reason));
        })
    }
}

impl Question {
    fn answer(&self, answer: Answer) {
        if let Some(reply) = self.reply.lock().take() {
            // The client may have gone meanwhile.
            let _ = reply.send(answer);
        }
    }
}
