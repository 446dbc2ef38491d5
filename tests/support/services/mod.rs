//! Stand-ins for chat and paging services. Each takes requests as the service documents them,
//! refuses what it would refuse, remembers what a user would see, and answers with its errors.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "tests of the library and of the program use different parts"
)]

mod discord;
mod html;
mod ntfy;
mod pagerduty;
mod serve;
mod slack;
mod telegram;

use std::collections::VecDeque;

use serde_json::Value;

pub use serve::{Shared, serve};

/// How long a service asks for a pause, in seconds.
pub const PAUSE: u64 = 3;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Discord,
    Slack,
    SlackWebhook,
    Telegram,
    Ntfy,
    PagerDuty,
}

/// What a service does instead of taking the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Asks for a pause.
    Busy,
    /// Fails.
    Broken,
    /// Takes the message, but the answer gets lost.
    AnswerLost,
    /// Finds the request invalid.
    Invalid,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    pub body: Value,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// A message that a user sees, or an alert of `PagerDuty`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    /// Its first line.
    pub title: String,
    /// Its first line when it was new.
    pub first_title: String,
    /// Everything else.
    pub text: String,
    /// The message that it belongs to.
    pub reply_to: Option<String>,
    /// Whether it notifies nobody.
    pub quiet: bool,
    /// How often it was changed.
    pub edits: usize,
    /// `triggered`, `acknowledged` or `resolved`, of an alert.
    pub state: &'static str,
}

/// A service with one channel.
#[derive(Clone, Debug)]
pub struct StandIn {
    pub kind: Kind,
    pub messages: Vec<Message>,
    /// What goes wrong next.
    pub faults: VecDeque<Fault>,
    /// What was wrong with requests; a correct client causes none.
    pub complaints: Vec<String>,
    last_id: u64,
}

/// A request that the service does not accept, with its answer.
type Refused = Reply;

impl StandIn {
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            messages: Vec::new(),
            faults: VecDeque::new(),
            complaints: Vec::new(),
            last_id: 0,
        }
    }

    /// Returns the configuration of a receiver called `ops`. `base` is where the stand-in is
    /// served.
    pub fn receiver(kind: Kind, base: &str) -> String {
        let keys = match kind {
            Kind::Discord => format!("type: discord, url: '{base}/api/webhooks/123/s3cret'"),
            Kind::Slack => {
                format!("type: slack, url: '{base}/api', token: xoxb-s3cret, channel: '#ops'")
            }
            Kind::SlackWebhook => format!("type: slack, url: '{base}/services/T0/B0/s3cret'"),
            Kind::Telegram => format!(
                "type: telegram, url: '{base}', token: '123:s3cret', chat_id: -1001234567890"
            ),
            Kind::Ntfy => format!("type: ntfy, url: '{base}', topic: s3cret, token: tk_s3cret"),
            Kind::PagerDuty => format!(
                "type: pagerduty, url: '{base}', routing_key: 0123456789abcdef0123456789abcdef"
            ),
        };
        format!("{{ name: ops, {keys} }}")
    }

    /// Takes a request.
    pub fn handle(&mut self, call: &Call) -> Reply {
        match self.faults.pop_front() {
            Some(Fault::Busy) => return self.busy(),
            Some(Fault::Broken) => return Reply::new(503, "no upstream"),
            Some(Fault::Invalid) => return self.invalid(),
            Some(Fault::AnswerLost) => {
                self.take(call);
                return Reply::new(502, "bad gateway");
            }
            None => {}
        }
        self.take(call)
    }

    fn take(&mut self, call: &Call) -> Reply {
        let taken = match self.kind {
            Kind::Discord => discord::take(self, call),
            Kind::Slack => slack::take(self, call),
            Kind::SlackWebhook => slack::take_webhook(self, call),
            Kind::Telegram => telegram::take(self, call),
            Kind::Ntfy => ntfy::take(self, call),
            Kind::PagerDuty => pagerduty::take(self, call),
        };
        taken.unwrap_or_else(|refused| refused)
    }

    /// Asks for a pause, as the service does.
    fn busy(&self) -> Reply {
        match self.kind {
            Kind::Discord => discord::busy(),
            Kind::Telegram => telegram::busy(),
            Kind::Slack | Kind::SlackWebhook => {
                Reply::new(429, "rate_limited").with_header("retry-after", PAUSE.to_string())
            }
            Kind::Ntfy => ntfy::busy(),
            Kind::PagerDuty => Reply::new(429, ""),
        }
    }

    fn invalid(&self) -> Reply {
        match self.kind {
            Kind::Slack => Reply::new(200, r#"{"ok":false,"error":"invalid_attachments"}"#),
            Kind::Telegram => telegram::error(400, "Bad Request: can't parse entities"),
            _ => Reply::new(400, "invalid"),
        }
    }

    /// Returns what notified people: new messages, and new alerts, by their titles then.
    pub fn news(&self) -> Vec<&str> {
        let news = self.messages.iter().filter(|message| !message.quiet);
        news.map(|message| message.first_title.as_str()).collect()
    }

    /// Deletes all messages, as a user can.
    pub fn delete_all(&mut self) {
        self.messages.clear();
    }

    fn complain(&mut self, complaint: impl Into<String>) {
        self.complaints.push(complaint.into());
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn post(&mut self, message: Message) {
        self.messages.push(message);
    }

    fn find(&mut self, id: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.id == id)
    }
}

impl Message {
    fn new(id: impl Into<String>, title: &str, text: &str) -> Self {
        Self {
            id: id.into(),
            title: title.to_owned(),
            first_title: title.to_owned(),
            text: text.to_owned(),
            reply_to: None,
            quiet: false,
            edits: 0,
            state: "",
        }
    }

    fn edit(&mut self, title: &str, text: &str) {
        title.clone_into(&mut self.title);
        text.clone_into(&mut self.text);
        self.edits += 1;
    }
}

impl Reply {
    fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string())
    }

    fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Returns the text at a JSON pointer; empty if there is none.
fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    let value = body.pointer(pointer).and_then(Value::as_str);
    value.unwrap_or_default()
}

/// Whether a text has an `@` that could begin a mention.
fn mentions(text: &str) -> bool {
    let after = text.split('@').skip(1);
    after.into_iter().any(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '!' | '&'))
    })
}
