//! A stand-in of a chat or paging service that the agent of a rehearsal notifies.

use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use tokio::net::TcpListener;

use super::services::{self, Kind, Message, Shared, StandIn};

/// A kind of service.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Service {
    Discord,
    Slack,
    SlackWebhook,
    Telegram,
    Ntfy,
    Pagerduty,
}

impl Service {
    const fn kind(self) -> Kind {
        match self {
            Self::Discord => Kind::Discord,
            Self::Slack => Kind::Slack,
            Self::SlackWebhook => Kind::SlackWebhook,
            Self::Telegram => Kind::Telegram,
            Self::Ntfy => Kind::Ntfy,
            Self::Pagerduty => Kind::PagerDuty,
        }
    }
}

/// A stand-in that is served.
pub(super) struct Served {
    stand_in: Shared,
    /// The configuration of the receiver.
    pub(super) config: String,
}

impl Served {
    pub(super) async fn start(service: Service) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let stand_in = Arc::new(Mutex::new(StandIn::new(service.kind())));
        services::serve(listener, Arc::clone(&stand_in));
        Ok(Self {
            stand_in,
            config: StandIn::receiver(service.kind(), &base),
        })
    }

    /// Returns the messages of the channel, and the problems: requests that the service would
    /// refuse, and notifications that are missing.
    pub(super) fn outcome(&self, must_notify: bool) -> (Vec<String>, Vec<String>) {
        let stand_in = self.stand_in.lock();
        let stand_in = stand_in.unwrap_or_else(PoisonError::into_inner);
        let mut problems = stand_in.complaints.clone();
        let news = stand_in.news().len();
        if must_notify && news == 0 {
            problems.push("the service notified nobody".to_owned());
        }
        if !must_notify && news > 0 {
            problems.push(format!("the service notified people {news} times"));
        }
        (stand_in.messages.iter().map(describe).collect(), problems)
    }
}

/// Describes a message as it is now.
fn describe(message: &Message) -> String {
    let how = match (message.quiet, &message.reply_to) {
        (true, _) => "message that notifies nobody",
        (false, Some(_)) => "message in reply to another",
        (false, None) => "message",
    };
    let edits = format!("{} edits", message.edits);
    let first = (message.title != message.first_title)
        .then(|| format!("at first: {}", message.first_title));
    let parts = [how.to_owned(), edits, message.state.to_owned()];
    let parts: Vec<String> = parts
        .into_iter()
        .chain(first)
        .filter(|part| !part.is_empty())
        .collect();
    format!(
        "{}\n    {}\n    {}",
        parts.join(", "),
        message.title,
        message.text.replace('\n', "\n    ")
    )
}
