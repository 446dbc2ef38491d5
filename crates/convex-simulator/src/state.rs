//! A state as a cell: accounts, registry of peers, globals (PEER-PROTOCOL, section 5.9), and what a query asks of it.

use std::collections::HashMap;
use std::sync::Arc;

use cad3::{Cell, Hash};

/// Record tags.
const STATE: u8 = 0xd5;
const ACCOUNT: u8 = 0xd8;
const PEER: u8 = 0xd9;

/// Field names by record, in the order of the encoding.
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

/// Coins in existence, copper: all that there can ever be.
pub(super) const SUPPLY: i64 = 1_000_000_000_000_000_000;
/// Accounts of a fresh network, before those of the peers' controllers.
pub(super) const FIRST_CONTROLLER: u64 = 132;
/// The account that asks where none is named; it has coins.
pub(super) const GENESIS_USER: u64 = 11;
/// What each controller has, copper: 1,000 CVM.
const CONTROLLER_BALANCE: i64 = 1_000_000_000_000;
/// Price of a unit of juice, copper, as on a fresh network.
pub(super) const JUICE_PRICE: i64 = 10;
/// Memory that the pool sells, bytes, and its coins, copper, as on a fresh network.
const POOL_BYTES: i64 = 672_920_000;
const POOL_COPPER: i64 = 1_000_000_000_000;

/// One state of the network.
#[derive(Debug)]
pub(super) struct State {
    /// Accounts, peers, globals, schedule.
    fields: [Cell; 4],
    /// The hash of the whole.
    pub(super) hash: Hash,
    /// Time of that block, milliseconds since the epoch.
    pub(super) timestamp: i64,
    /// Registered peers in the network's own order, found by `by_key`.
    registered: Vec<Cell>,
    by_key: Arc<HashMap<Hash, usize>>,
}

/// A peer as the registry has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PeerEntry {
    pub(super) controller: u64,
    /// Own stake, copper.
    pub(super) stake: i64,
    /// Stake with rewards, copper.
    pub(super) balance: i64,
    /// Time of its last block; −1 before the first.
    pub(super) timestamp: i64,
    pub(super) url: Option<Arc<str>>,
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

/// The accounts of a network with these controllers' keys. They stay as they are: what traffic costs is not simulated.
pub(super) fn accounts(keys: &[Hash], staked: i64) -> Cell {
    let account = |key: Cell, balance: i64, controller: Cell| {
        let (none, zero) = (Cell::Nil, Cell::integer(0));
        let fields = [
            zero.clone(),
            key,
            Cell::integer(balance),
            zero,
            none.clone(),
            controller,
            none.clone(),
            none.clone(),
            none,
        ];
        Cell::record(ACCOUNT, fields)
    };
    let controllers = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    let rest = SUPPLY - staked - POOL_COPPER - controllers * CONTROLLER_BALANCE;
    let fresh = (0..FIRST_CONTROLLER).map(|number| match number {
        GENESIS_USER => account(
            Cell::from(Hash::of(b"genesis user")),
            rest,
            Cell::address(7),
        ),
        _ => account(Cell::Nil, 0, Cell::Nil),
    });
    let own = keys
        .iter()
        .map(|key| account(Cell::from(*key), CONTROLLER_BALANCE, Cell::address(7)));
    Cell::vector(fresh.chain(own))
}

impl State {
    /// The state after `block`, with these peers in the order that `by_key` and `keys` have.
    pub(super) fn new(
        accounts: Cell,
        keys: &[Hash],
        by_key: Arc<HashMap<Hash, usize>>,
        peers: &[PeerEntry],
        (block, timestamp, fees): (i64, i64, i64),
    ) -> Self {
        let registered: Vec<Cell> = peers.iter().map(PeerEntry::cell).collect();
        let entries = keys.iter().zip(&registered);
        let peers = Cell::index(entries.map(|(key, entry)| (Cell::from(*key), entry.clone())))
            .unwrap_or(Cell::Nil);
        let globals = [timestamp, fees, JUICE_PRICE, POOL_BYTES, POOL_COPPER, block];
        let schedule = Cell::index([]).unwrap_or(Cell::Nil);
        let fields = [
            accounts,
            peers,
            Cell::vector(globals.map(Cell::integer)),
            schedule,
        ];
        let hash = Cell::record(STATE, fields.clone()).hash();
        Self {
            fields,
            hash,
            timestamp,
            registered,
            by_key,
        }
    }

    /// The whole.
    pub(super) fn cell(&self) -> Cell {
        Cell::record(STATE, self.fields.clone())
    }

    /// The whole without what its fields refer to, as a reply to a data request carries it.
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

    /// A field of the state by its name.
    pub(super) fn field(&self, name: &str) -> Option<Cell> {
        let at = STATE_FIELDS.iter().position(|field| *field == name)?;
        Some(self.fields[at].clone())
    }

    /// An account by its number.
    pub(super) fn account(&self, number: u64) -> Option<Cell> {
        let elements = self.fields[0].as_elements()?;
        elements.get(usize::try_from(number).ok()?).cloned()
    }

    /// A peer's entry by its key.
    pub(super) fn peer(&self, key: &Hash) -> Option<Cell> {
        self.registered.get(*self.by_key.get(key)?).cloned()
    }

    /// Whether a cell is this state's registry, which is found in quicker than by looking through it.
    pub(super) fn is_registry(&self, cell: &Cell) -> bool {
        self.fields[1] == *cell
    }
}

/// A field of a record by its name.
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
