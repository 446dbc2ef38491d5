//! Sizes of the messages in one poll, as on the command line of the floor: `255:362` is one turn,
//! several are joined by commas.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;

use crate::wire::Turn;

/// Number of bytes sent and received in each turn of a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turns(pub(crate) Vec<(usize, usize)>);

impl Turns {
    pub(crate) fn of(turns: &[Turn]) -> Self {
        let sizes = |turn: &Turn| (turn.request.len(), turn.reply.len());
        Self(turns.iter().map(sizes).collect())
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns: Vec<String> = self
            .0
            .iter()
            .map(|(sent, received)| format!("{sent}:{received}"))
            .collect();
        f.write_str(&turns.join(","))
    }
}

impl FromStr for Turns {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let turn = |text: &str| {
            let (sent, received) = text
                .split_once(':')
                .with_context(|| format!("{text:?} is not SENT:RECEIVED"))?;
            anyhow::Ok((sent.parse()?, received.parse()?))
        };
        Ok(Self(text.split(',').map(turn).collect::<Result<_, _>>()?))
    }
}
