//! The ledger in memory and on disk: every change is on disk before anything follows from it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::supervisor::run_blocking;

use super::ledger::Ledger;
use super::ledger_file::{LedgerError, LedgerFile};

/// The ledger of one network, opened when it is first needed.
#[derive(Debug)]
pub(super) struct SafeLedger {
    state_dir: PathBuf,
    network: String,
    opened: Option<(Arc<LedgerFile>, Ledger)>,
    /// The last error, so that each is logged once.
    last_error: Option<String>,
}

impl SafeLedger {
    pub(super) const fn new(state_dir: PathBuf, network: String) -> Self {
        Self {
            state_dir,
            network,
            opened: None,
            last_error: None,
        }
    }

    /// Returns the ledger of this account in the network with this genesis; none if it cannot be
    /// read. A ledger of another account or network is replaced with the next change.
    pub(super) async fn read(&mut self, account: u64, genesis: &str) -> Option<Ledger> {
        if self.opened.is_none() {
            let (state_dir, network) = (self.state_dir.clone(), self.network.clone());
            let opened = run_blocking(move || {
                let file = LedgerFile::open(&state_dir, &network)?;
                let ledger = file.read()?.unwrap_or_default();
                Ok((Arc::new(file), ledger))
            });
            let opened = opened.await;
            self.opened = self.logged(opened);
        }
        let (_, ledger) = self.opened.as_ref()?;
        if ledger.account == account && ledger.genesis == genesis {
            return Some(ledger.clone());
        }
        let mut new = Ledger::new(account, genesis.to_owned());
        // The pause between transactions is the network's, whatever the account.
        new.sent_ms = ledger.sent_ms;
        Some(new)
    }

    /// Writes a changed ledger. Returns false if it is not on disk.
    pub(super) async fn write(&mut self, ledger: Ledger) -> bool {
        let Some((file, current)) = &self.opened else {
            return false;
        };
        if *current == ledger {
            return true;
        }
        let (file, written) = (Arc::clone(file), ledger.clone());
        let outcome = run_blocking(move || file.write(&written)).await;
        if self.logged(outcome).is_none() {
            return false;
        }
        if let Some((_, current)) = &mut self.opened {
            *current = ledger;
        }
        true
    }

    fn logged<T>(&mut self, outcome: Result<T, LedgerError>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.last_error = None;
                Some(value)
            }
            Err(error) => {
                let text = error.to_string();
                if self.last_error.as_ref() != Some(&text) {
                    tracing::warn!(network = %self.network, %error, "the canary sends no transactions");
                }
                self.last_error = Some(text);
                None
            }
        }
    }
}
