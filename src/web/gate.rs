//! Who is let in: TLS and passwords as the configuration in force has them, and what was made of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::authorization::Basic;
use headers::{Authorization, HeaderMapExt};
use rustls::ServerConfig;

use crate::config::{Served, Tls, Web};
use crate::current::Current;

use super::api;
use super::guard::Caller;
use super::passwords::{Passwords, Verdict};

/// Answered to anybody, for what asks whether the agent lives: it tells nothing else.
const OPEN: [&str; 2] = ["/-/healthy", "/-/ready"];

const BUSY: &str = "too many passwords are being checked; try again";

/// When it is worth another try.
const AGAIN: Duration = Duration::from_secs(5);

/// What the listener asks of its clients.
pub(super) struct Gate {
    current: Arc<Current>,
    terms: ArcSwap<Terms>,
    /// Whether the listener can be reached from this host alone.
    loopback: bool,
    prefix: Arc<str>,
}

/// One configuration of the listener, and what was made of it.
pub(super) struct Terms {
    pub(super) web: Arc<Web>,
    pub(super) certificates: Option<Certificates>,
    passwords: Passwords,
}

/// What a connection has shown of its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connected {
    /// A certificate, verified.
    pub(super) certificate: bool,
}

impl Gate {
    pub(super) fn new(current: Arc<Current>, loopback: bool, prefix: Arc<str>) -> Self {
        let terms = ArcSwap::from_pointee(Terms::new(&current.get().config.web));
        Self {
            current,
            terms,
            loopback,
            prefix,
        }
    }

    /// The terms in force. The same as before unless a reload has changed them.
    pub(super) fn terms(&self) -> Arc<Terms> {
        let web = &self.current.get().config.web;
        let terms = self.terms.load_full();
        if terms.web == *web {
            return terms;
        }
        let terms = Arc::new(Terms::new(web));
        self.terms.store(Arc::clone(&terms));
        terms
    }

    fn is_open(&self, path: &str) -> bool {
        let under_prefix = path.strip_prefix(&*self.prefix).unwrap_or(path);
        OPEN.contains(&path) || OPEN.contains(&under_prefix)
    }
}

impl Terms {
    fn new(web: &Arc<Web>) -> Self {
        Self {
            certificates: web.tls.clone().map(Certificates::new),
            passwords: Passwords::new(Arc::clone(web)),
            web: Arc::clone(web),
        }
    }

    /// Who sends a request, or the answer to who is nobody.
    async fn caller(
        &self,
        certificate: bool,
        loopback: bool,
        headers: &HeaderMap,
    ) -> Result<Caller, Refusal> {
        if self.web.users.is_empty() {
            let asks = self.web.tls.as_ref().is_some_and(Tls::takes_certificates);
            return Ok(match (asks, certificate) {
                (true, true) => Caller::Known,
                (true, false) => Caller::Nobody,
                (false, _) => Caller::Anybody { loopback },
            });
        }
        let Some(Authorization(basic)) = headers.typed_get::<Authorization<Basic>>() else {
            return Err(Refusal::Unknown("a user name and a password are needed"));
        };
        match self
            .passwords
            .check(basic.username(), basic.password())
            .await
        {
            Verdict::Right => Ok(Caller::Known),
            Verdict::Wrong => Err(Refusal::Unknown("the user name or the password is wrong")),
            Verdict::Busy => Err(Refusal::Busy),
        }
    }
}

/// Why somebody is not let in.
enum Refusal {
    Unknown(&'static str),
    Busy,
}

/// Lets in who is known where that is asked for, and tells the routes who it is; adds the headers that are configured.
pub(super) async fn pass(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let terms = gate.terms();
    let shown = request.extensions().get::<Connected>();
    let certificate = shown.is_some_and(|shown| shown.certificate);
    let path = request.uri().path();
    let mut answer = if gate.is_open(path) {
        next.run(request).await
    } else {
        match terms
            .caller(certificate, gate.loopback, request.headers())
            .await
        {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            Err(refusal) => refused(&refusal, path.contains("/api/")),
        }
    };
    for (name, value) in &terms.web.headers {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}

/// The answer to who is not let in, in the form of the API where that is asked.
fn refused(refusal: &Refusal, api: bool) -> Response {
    match refusal {
        Refusal::Unknown(why) => {
            let mut answer = if api {
                api::unauthorized(why)
            } else {
                (StatusCode::UNAUTHORIZED, format!("{why}\n")).into_response()
            };
            let challenge =
                HeaderValue::from_static("Basic realm=\"convex-peer-monitor\", charset=\"UTF-8\"");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            answer
        }
        Refusal::Busy if api => api::busy(AGAIN, BUSY),
        Refusal::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, AGAIN.as_secs().to_string())],
            format!("{BUSY}\n"),
        )
            .into_response(),
    }
}

/// Certificate and key as their files hold them: looked at for each connection, as they may be replaced at any time.
pub(super) struct Certificates {
    tls: Arc<Tls>,
    newest: Mutex<Newest>,
}

struct Newest {
    served: Served,
    /// What is wrong with the files since then, told once.
    wrong: Option<String>,
}

impl Certificates {
    fn new(tls: Tls) -> Self {
        let newest = Newest {
            served: tls.first().clone(),
            wrong: None,
        };
        Self {
            tls: Arc::new(tls),
            newest: Mutex::new(newest),
        }
    }

    /// What is served to a connection now. Files that cannot be used leave in force what they held before.
    pub(super) async fn server(&self) -> Arc<ServerConfig> {
        let (tls, known) = (Arc::clone(&self.tls), self.newest().served.clone());
        // From disk, which may hang: not on the threads that poll.
        let renewed = tokio::task::spawn_blocking(move || tls.renewed(&known)).await;
        let mut newest = self.newest();
        match renewed {
            Ok(Ok(None)) => newest.wrong = None,
            Ok(Ok(Some(served))) => {
                tracing::info!("the certificate of the listener is replaced");
                *newest = Newest {
                    served,
                    wrong: None,
                };
            }
            Ok(Err(why)) if newest.wrong.as_ref() == Some(&why) => {}
            Ok(Err(why)) => {
                tracing::error!(%why, "the certificate of the listener cannot be replaced; the one before is served on");
                newest.wrong = Some(why);
            }
            Err(error) => tracing::error!(%error, "the files of the certificate were not read"),
        }
        newest.served.server()
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
