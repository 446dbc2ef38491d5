//! The canary of a rehearsal: its account, and its part of the agent's configuration.

use std::path::Path;
use std::{fs, io};

use convex_client::transaction::AccountKey;
use convex_simulator::NewAccount;

/// File of the key, beside the configuration.
const KEY_FILE: &str = "canary.key";

/// What the key is made from. Its account exists in simulated networks only.
const SEED: [u8; 32] = [7; 32];

/// Returns the account that the network must have.
pub(super) fn account() -> NewAccount {
    NewAccount::new(AccountKey::from_seed(&SEED).public_key())
}

/// Writes the key file into the directory of an agent.
pub(super) fn write_key(dir: &Path) -> io::Result<()> {
    fs::write(dir.join(KEY_FILE), hex::encode(SEED))
}

/// Returns the canary in the configuration of the network that has the account with this number.
pub(super) fn config(account: u64) -> String {
    format!(
        ", canary: {{ account: {account}, key_file: {KEY_FILE}, interval: 1m, \
         peers: [sim-1, sim-2], daily_budget_cvm: 0.1 }}"
    )
}
