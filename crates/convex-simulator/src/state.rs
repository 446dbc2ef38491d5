//! The state of the network as a cell: accounts, registry of peers and globals (PEER-PROTOCOL,
//! section 5.9). Queries read it by field, account and peer.

use std::collections::HashMap;
use std::sync::Arc;

use cad3::{Cell, Hash};

use super::account::NewAccount;

/// Tags of the records.
const STATE: u8 = 0xd5;
const ACCOUNT: u8 = 0xd8;
const PEER: u8 = 0xd9;

/// Field names of the records, in the order of the encoding.
const STATE_FIELDS: [&str; 4] = ["accounts", "peers", "globals", "schedule"];
const ACCOUNT_FIELDS: [&str; 9] = [
    "sequence",
    "key",
    "balance",
    "allowance",
    "holdings",
    "controller",
    "environment",
    "metadata",
    "parent",
];
const PEER_FIELDS: [&str; 7] = [
    "controller",
    "stake",
    "stakes",
    "delegated-stake",
    "metadata",
    "timestamp",
    "balance",
];

/// All coins that there can ever be, in copper.
pub(super) const SUPPLY: i64 = 1_000_000_000_000_000_000;
/// Number of accounts of a fresh network, and so the first account of a peer's controller.
pub(super) const FIRST_CONTROLLER: u64 = 132;
/// The account that runs queries which name none. It has coins.
pub(super) const GENESIS_USER: u64 = 11;
/// Balance of each controller, in copper: 1,000 CVM.
const CONTROLLER_BALANCE: i64 = 1_000_000_000_000;
/// Price of a unit of juice, in copper, as on a fresh network.
pub(super) const JUICE_PRICE: i64 = 10;
/// Memory in the pool, in bytes, and its coins, in copper, as on a fresh network.
const POOL_BYTES: i64 = 672_920_000;
const POOL_COPPER: i64 = 1_000_000_000_000;

/// One state of the network.
#[derive(Debug)]
pub(super) struct State {
    /// Accounts, peers, globals, schedule.
    fields: [Cell; 4],
    /// Hash of the whole state.
    pub(super) hash: Hash,
    /// Index of the last block; −1 before the first.
    pub(super) block: i64,
    /// Time of the last block, in milliseconds since the epoch.
    pub(super) timestamp: i64,
    /// Registry entries by peer index, which `by_key` gives.
    entries: Vec<Option<PeerEntry>>,
    /// The same as cells.
    registered: Vec<Option<Cell>>,
    by_key: Arc<HashMap<Hash, usize>>,
}

/// The entry of a peer in the registry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PeerEntry {
    pub(super) controller: u64,
    /// Own stake, in copper.
    pub(super) stake: i64,
    /// Own stake and rewards, in copper.
    pub(super) balance: i64,
    /// Time of the last block, in milliseconds since the epoch; −1 before the first.
    pub(super) timestamp: i64,
    pub(super) url: Option<Arc<str>>,
}

/// What a state says of the network as a whole.
#[derive(Clone, Debug)]
pub(super) struct Globals {
    /// Index of the last block; −1 before the first.
    pub(super) block: i64,
    /// Time of the last block, in milliseconds since the epoch.
    pub(super) timestamp: i64,
    /// Fees that are not distributed yet, in copper.
    pub(super) fees: i64,
    /// The protocol's version, and when each version takes effect, in milliseconds since the epoch;
    /// none before an upgrade was ever scheduled.
    pub(super) protocol: Option<(i64, Vec<i64>)>,
}

impl Globals {
    fn cell(&self) -> Cell {
        let usual = [
            self.timestamp,
            self.fees,
            JUICE_PRICE,
            POOL_BYTES,
            POOL_COPPER,
            self.block,
        ];
        let protocol = self.protocol.iter().flat_map(|(version, activations)| {
            let activations = activations.iter().copied().map(Cell::integer);
            [Cell::integer(*version), Cell::vector(activations)]
        });
        Cell::vector(usual.map(Cell::integer).into_iter().chain(protocol))
    }
}

impl PeerEntry {
    fn cell(&self) -> Cell {
        let metadata = self.url.as_ref().map_or(Cell::Nil, |url| {
            Cell::map([(Cell::keyword("url"), Cell::string(url))])
        });
        let no_delegators = Cell::index([]).unwrap_or(Cell::Nil);
        Cell::record(
            PEER,
            [
                Cell::address(self.controller),
                Cell::integer(self.stake),
                no_delegators,
                Cell::integer(0),
                metadata,
                Cell::integer(self.timestamp),
                Cell::integer(self.balance),
            ],
        )
    }
}

/// Makes the accounts of a network whose controllers have these keys. The cost of traffic is not
/// simulated; that of transactions is.
///
/// `more` accounts follow those of the controllers.
pub(super) fn accounts(keys: &[Hash], staked: i64, more: &[NewAccount]) -> Cell {
    let account = |key: Cell, balance: i64, controller: Cell| {
        let fields = [
            Cell::integer(0),
            key,
            Cell::integer(balance),
            Cell::integer(0),
            Cell::Nil,
            controller,
            Cell::Nil,
            Cell::Nil,
            Cell::Nil,
        ];
        Cell::record(ACCOUNT, fields)
    };
    let controllers = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    let rest = SUPPLY
        - staked
        - POOL_COPPER
        - controllers * CONTROLLER_BALANCE
        - more.iter().map(|it| it.balance_copper).sum::<i64>();
    let fresh = (0..FIRST_CONTROLLER).map(|number| match number {
        GENESIS_USER => account(
            Cell::from(Hash::of(b"genesis user")),
            rest,
            Cell::address(7),
        ),
        _ => account(Cell::Nil, 0, Cell::Nil),
    });
    let controllers = keys
        .iter()
        .map(|key| account(Cell::from(*key), CONTROLLER_BALANCE, Cell::address(7)));
    let more = more
        .iter()
        .map(|it| account(Cell::from(it.key), it.balance_copper, Cell::Nil));
    Cell::vector(fresh.chain(controllers).chain(more))
}

/// Returns the accounts with another sequence number and balance of one that is there.
pub(super) fn with_account(accounts: &Cell, number: u64, sequence: i64, balance: i64) -> Cell {
    let changed = |record: &Cell| {
        let fields = record.record_fields(ACCOUNT);
        let fields = fields.into_iter().flat_map(|fields| fields.iter().cloned());
        let own = [(0, sequence), (2, balance)];
        let fields = fields.enumerate().map(|(i, field)| {
            let own = own.iter().find(|(at, _)| *at == i);
            own.map_or(field, |(_, value)| Cell::integer(*value))
        });
        Cell::record(ACCOUNT, fields)
    };
    let records = accounts.as_elements();
    let records = records.into_iter().flat_map(|records| records.iter());
    let records = records.zip(0..).map(|(record, at)| {
        if at == number {
            changed(record)
        } else {
            record.clone()
        }
    });
    Cell::vector(records)
}

/// Returns the accounts with these fees in the reward pool, account #0.
pub(super) fn reward_pool_with(accounts: &Cell, fees: i64) -> Cell {
    let pool = accounts.as_elements().and_then(|records| records.get(0));
    let balance = pool
        .and_then(|pool| record_field(pool, "balance"))
        .and_then(|balance| balance.as_i64());
    with_account(accounts, 0, 0, balance.unwrap_or(0) + fees)
}

impl State {
    /// Makes the state after `block`. `entries` are in the order of `keys`, and `by_key` has their
    /// indexes. Parts that are equal in `similar` are taken from there, which is much faster.
    pub(super) fn new(
        accounts: Cell,
        keys: &[Hash],
        by_key: Arc<HashMap<Hash, usize>>,
        entries: Vec<Option<PeerEntry>>,
        globals: &Globals,
        similar: Option<&Self>,
    ) -> Self {
        let changed = similar.and_then(|similar| similar.with_entries(keys, &entries));
        let (peers, registered) = changed.unwrap_or_else(|| registry(keys, &entries));
        let schedule = Cell::index([]).unwrap_or(Cell::Nil);
        let fields = [accounts, peers, globals.cell(), schedule];
        let hash = Cell::record(STATE, fields.clone()).hash();
        Self {
            fields,
            hash,
            block: globals.block,
            timestamp: globals.timestamp,
            entries,
            registered,
            by_key,
        }
    }

    /// Returns the registry with these entries and the entries as cells; none if other peers are
    /// registered here.
    fn with_entries(
        &self,
        keys: &[Hash],
        entries: &[Option<PeerEntry>],
    ) -> Option<(Cell, Vec<Option<Cell>>)> {
        let (mut peers, mut registered) = (self.fields[1].clone(), self.registered.clone());
        for (i, (own, entry)) in self.entries.iter().zip(entries).enumerate() {
            match (own, entry) {
                _ if own == entry => {}
                (Some(_), Some(entry)) => {
                    let cell = entry.cell();
                    peers = peers.index_with(&Cell::from(keys[i]), cell.clone())?;
                    registered[i] = Some(cell);
                }
                _ => return None,
            }
        }
        Some((peers, registered))
    }

    /// Returns the whole state.
    pub(super) fn cell(&self) -> Cell {
        Cell::record(STATE, self.fields.clone())
    }

    /// Returns the state with references to its larger fields, as the reply to a data request
    /// carries it.
    pub(super) fn top_cell(&self) -> Cell {
        let shallow = |cell: &Cell| {
            if cad3::encode(cell).len() > cad3::MAX_EMBEDDED_BYTES {
                Cell::Ref(Arc::new(cell.hash()))
            } else {
                cell.clone()
            }
        };
        Cell::record(STATE, self.fields.each_ref().map(shallow))
    }

    /// Returns a field of the state by its name.
    pub(super) fn field(&self, name: &str) -> Option<Cell> {
        let at = STATE_FIELDS.iter().position(|field| *field == name)?;
        Some(self.fields[at].clone())
    }

    /// Returns an account by its number.
    pub(super) fn account(&self, number: u64) -> Option<Cell> {
        let elements = self.fields[0].as_elements()?;
        elements.get(usize::try_from(number).ok()?).cloned()
    }

    /// Returns a peer's registry entry by its key.
    pub(super) fn peer(&self, key: &Hash) -> Option<Cell> {
        self.registered.get(*self.by_key.get(key)?)?.clone()
    }

    /// Whether a cell is the registry of this state. Then [`Self::peer`] finds an entry faster than
    /// a search.
    pub(super) fn is_registry(&self, cell: &Cell) -> bool {
        self.fields[1] == *cell
    }
}

/// Makes the registry of these entries, and the entries as cells.
fn registry(keys: &[Hash], entries: &[Option<PeerEntry>]) -> (Cell, Vec<Option<Cell>>) {
    let cell = |entry: &Option<PeerEntry>| entry.as_ref().map(PeerEntry::cell);
    let registered: Vec<Option<Cell>> = entries.iter().map(cell).collect();
    let pairs = keys.iter().zip(&registered);
    let pairs = pairs.filter_map(|(key, entry)| Some((Cell::from(*key), entry.clone()?)));
    (Cell::index(pairs).unwrap_or(Cell::Nil), registered)
}

/// Returns a field of a record by its name.
pub(super) fn record_field(record: &Cell, name: &str) -> Option<Cell> {
    let (tag, names): (u8, &[&str]) = match record.kind() {
        "state" => (STATE, &STATE_FIELDS),
        "account" => (ACCOUNT, &ACCOUNT_FIELDS),
        "peer" => (PEER, &PEER_FIELDS),
        _ => return None,
    };
    let at = names.iter().position(|field| *field == name)?;
    record.record_fields(tag)?.get(at).cloned()
}
