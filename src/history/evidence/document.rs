//! The form of an evidence file, and the check of what it proves.

use std::time::SystemTime;

use cad3::Hash;
use convex_client::belief::{ProvenBlock, SignedOrder};
use serde::{Deserialize, Serialize};

use super::incident::{Compared, Incident, OrderEvidence, rfc3339};

/// Value of the file's `format`.
const FORMAT: &str = "convex-peer-monitor evidence";

/// Value of the file's `version`.
const VERSION: u32 = 1;

/// An evidence file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    format: String,
    version: u32,
    /// Its id, which is the name of the file without `.json`.
    pub id: String,
    /// Version of the agent that wrote it.
    agent: String,
    /// When it was written, by the agent's clock.
    #[serde(with = "rfc3339")]
    pub recorded: SystemTime,
    /// The incident.
    #[serde(flatten)]
    pub incident: Incident,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// How many signatures of an evidence file are valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// Number of signed orders and blocks.
    pub total: usize,
    /// Those that do not prove what the file says: what they are, and why.
    pub invalid: Vec<String>,
}

impl Document {
    pub(super) fn new(id: String, recorded: SystemTime, incident: Incident) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            id,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            recorded,
            incident,
        }
    }

    /// Reads the text of an evidence file.
    ///
    /// # Errors
    /// Says what the text is instead.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let header: Header = serde_json::from_slice(text)
            .map_err(|error| format!("truncated or not an evidence file: {error}"))?;
        if header.format != FORMAT {
            let found = header.format;
            return Err(format!("its format is {found:?}; expected {FORMAT:?}"));
        }
        if header.version != VERSION {
            return Err(format!(
                "its version is {}; this program reads version {VERSION}",
                header.version
            ));
        }
        serde_json::from_slice(text)
            .map_err(|error| format!("not evidence of version {VERSION}: {error}"))
    }

    /// Checks every signature, and that the signed orders and blocks are what the file says.
    #[must_use]
    pub fn signatures(&self) -> Signatures {
        let mut found = Signatures::default();
        for order in &self.incident.orders {
            found.add(|| format!("order {}", order.hash), check_order(order));
        }
        for compared in &self.incident.compared {
            let Compared::DifferentBlocks { blocks, .. } = compared else {
                continue;
            };
            for block in blocks {
                if let Some(message) = &block.message {
                    let checked = check_block(&block.hash, &message.0);
                    found.add(|| format!("block {}", block.hash), checked);
                }
            }
        }
        found
    }
}

impl Signatures {
    fn add(&mut self, name: impl FnOnce() -> String, checked: Result<(), String>) {
        self.total += 1;
        if let Err(problem) = checked {
            self.invalid.push(format!("{}: {problem}", name()));
        }
    }
}

fn check_order(order: &OrderEvidence) -> Result<(), String> {
    let found = SignedOrder::from_message(&order.message.0).map_err(|error| error.to_string())?;
    let proven = OrderEvidence::new(&found, order.held_by.clone());
    if proven == *order {
        Ok(())
    } else {
        Err("the signed order has another key, time, number of blocks or hash".to_owned())
    }
}

fn check_block(hash: &Hash, message: &[u8]) -> Result<(), String> {
    let found = ProvenBlock::from_message(message).map_err(|error| error.to_string())?;
    if found.hash == *hash {
        Ok(())
    } else {
        Err(format!("the signed block is {}", found.hash))
    }
}
