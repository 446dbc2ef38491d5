//! Whether the canary sends a transaction. Pure.

use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::chain::economics::CONSENSUS_THRESHOLD;
use convex_client::transaction::AccountControl;

use crate::fleet::{CanaryProblem, CanarySkip, OrderState};

use super::ledger::Standing;

/// Minimum time between two transactions of one network.
pub(super) const SENDING_PAUSE: Duration = Duration::from_secs(60);

/// Others must have made a block within this time.
pub(super) const RECENT_BLOCK: Duration = Duration::from_secs(180);

/// Nothing is sent from so long before an upgrade on.
const BEFORE_UPGRADE: Duration = Duration::from_secs(900);

/// An account with more daily budgets is not one for a canary.
const MAX_DAILY_BUDGETS: u64 = 30;

/// What decides whether a transaction is sent through one peer.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) peer: PeerState,
    /// State of the order of the network.
    pub(super) order: OrderState,
    pub(super) ledger: LedgerState,
    pub(super) next_upgrade: NextUpgrade,
    /// The share of the registered stake that the own peers hold; none while that is unknown.
    pub(super) own_stake: Option<f64>,
    /// The date of the last final block with a transaction of somebody else, if one is known.
    pub(super) last_foreign_block: Option<SystemTime>,
    /// Whether the canary may be the only one who sends.
    pub(super) allow_idle: bool,
    /// Until when it sends nothing because a peer was overloaded.
    pub(super) overloaded_until: Option<SystemTime>,
    /// When a transaction was last sent.
    pub(super) last_sent: Option<SystemTime>,
    /// The account; none if it could not be read.
    pub(super) account: Option<AccountFacts>,
}

/// The peer that the transaction would be sent through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerState {
    /// Its last poll was good.
    Answers,
    /// Its last poll was not.
    Down,
    Maintenance,
}

/// Whether the peers of the network have one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LedgerState {
    /// Nothing else is known.
    One,
    /// They have different histories or states.
    Forked,
    /// All of them show another genesis hash than before.
    Reset,
}

/// The next upgrade of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextUpgrade {
    /// No state is trusted.
    Unknown,
    /// None is scheduled.
    None,
    /// One takes effect at this time, or waits for a block since.
    At(SystemTime),
}

/// State of the account.
#[derive(Clone, Debug)]
pub(super) enum AccountFacts {
    /// The ledger cannot be used.
    NoLedger,
    /// The network has no such account.
    Missing,
    /// The account.
    Found(FoundAccount),
}

/// An account of the network.
#[derive(Clone, Debug)]
pub(super) struct FoundAccount {
    /// Its public key on chain.
    pub(super) key: Option<Hash>,
    /// The public key of the key file.
    pub(super) expected_key: Hash,
    /// Whether a peer with its key is registered.
    pub(super) has_key_of_peer: bool,
    /// What it controls.
    pub(super) control: AccountControl,
    pub(super) standing: Standing,
    pub(super) balance_copper: u64,
    pub(super) daily_budget_copper: u64,
    pub(super) spent_today_copper: u64,
    /// The most that the next transaction is likely to cost.
    pub(super) next_cost_copper: u64,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Send a transaction.
    Send,
    /// The account cannot pay for one.
    ShortOfCoins,
    /// One was sent so recently that the next has to wait for this time.
    Wait(Duration),
    /// Send none now.
    Skip(CanarySkip),
    /// Send none with this account.
    Refuse(CanaryProblem),
}

/// Decides whether to send a transaction at `now`.
pub(super) fn gate(now: SystemTime, facts: &Facts) -> Gate {
    use CanarySkip::{
        Budget, Fork, Idle, Maintenance, Overload, PeerDown, Stalled, Unknown, Upgrade,
    };
    let account = match &facts.account {
        None => return Gate::Skip(Unknown),
        Some(AccountFacts::NoLedger) => return Gate::Refuse(CanaryProblem::Ledger),
        Some(AccountFacts::Missing) => return Gate::Refuse(CanaryProblem::NoAccount),
        Some(AccountFacts::Found(account)) => account,
    };
    if let Some(problem) = account.problem() {
        return Gate::Refuse(problem);
    }
    let age = |at: SystemTime| now.duration_since(at).unwrap_or_default();
    let is_recent = |at: SystemTime| age(at) <= RECENT_BLOCK;
    let holds_most = facts
        .own_stake
        .is_some_and(|share| share > CONSENSUS_THRESHOLD);
    let may_be_alone = facts.allow_idle || holds_most;
    let skip = match facts.next_upgrade {
        _ if facts.peer == PeerState::Maintenance => Some(Maintenance),
        _ if facts.order == OrderState::Unknown => Some(Unknown),
        _ if facts.ledger == LedgerState::Reset => Some(Unknown),
        _ if matches!(facts.order, OrderState::Stalled | OrderState::Receding) => Some(Stalled),
        _ if facts.ledger == LedgerState::Forked => Some(Fork),
        NextUpgrade::Unknown => Some(Unknown),
        NextUpgrade::At(at) if at <= now + BEFORE_UPGRADE => Some(Upgrade),
        _ if account.standing == Standing::Stale => Some(Unknown),
        _ if facts.overloaded_until.is_some_and(|until| now < until) => Some(Overload),
        _ if facts.peer == PeerState::Down => Some(PeerDown),
        _ if account.exceeds_budget() => Some(Budget),
        _ if !may_be_alone && !facts.last_foreign_block.is_some_and(is_recent) => Some(Idle),
        _ => None,
    };
    if let Some(skip) = skip {
        return Gate::Skip(skip);
    }
    if account.balance_copper < account.next_cost_copper {
        return Gate::ShortOfCoins;
    }
    // A clock that went back must not stop the canary for longer than the pause.
    let left = facts
        .last_sent
        .map(|at| SENDING_PAUSE.saturating_sub(age(at)));
    match left.unwrap_or_default() {
        Duration::ZERO => Gate::Send,
        left => Gate::Wait(left),
    }
}

impl FoundAccount {
    /// Returns why the account is not safe to use, if so.
    fn problem(&self) -> Option<CanaryProblem> {
        let controls = [self.control.accounts, self.control.peers];
        let budgets = self.daily_budget_copper.saturating_mul(MAX_DAILY_BUDGETS);
        if self.standing == Standing::Foreign {
            Some(CanaryProblem::OtherAgent)
        } else if self.key != Some(self.expected_key) {
            Some(CanaryProblem::WrongKey)
        } else if self.has_key_of_peer {
            Some(CanaryProblem::PeerKey)
        } else if controls.iter().flatten().any(|count| *count > 0) {
            Some(CanaryProblem::ControlsOthers)
        } else if self.balance_copper > budgets {
            Some(CanaryProblem::TooRich)
        } else {
            None
        }
    }

    const fn exceeds_budget(&self) -> bool {
        let spent = self
            .spent_today_copper
            .saturating_add(self.next_cost_copper);
        spent > self.daily_budget_copper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Hash = Hash::new([1; 32]);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const NOW: u64 = 100_000;

    fn account() -> FoundAccount {
        FoundAccount {
            key: Some(KEY),
            expected_key: KEY,
            has_key_of_peer: false,
            control: AccountControl {
                block: 1,
                accounts: Some(0),
                peers: Some(0),
            },
            standing: Standing::Free,
            balance_copper: 10_000,
            daily_budget_copper: 1_000,
            spent_today_copper: 0,
            next_cost_copper: 100,
        }
    }

    /// Facts with which a transaction is sent.
    fn facts() -> Facts {
        Facts {
            peer: PeerState::Answers,
            order: OrderState::Advancing,
            ledger: LedgerState::One,
            next_upgrade: NextUpgrade::None,
            own_stake: Some(0.2),
            last_foreign_block: Some(at(NOW - 180)),
            allow_idle: false,
            overloaded_until: None,
            last_sent: Some(at(NOW - 60)),
            account: Some(AccountFacts::Found(account())),
        }
    }

    fn decided(change: impl FnOnce(&mut Facts)) -> Gate {
        let mut facts = facts();
        change(&mut facts);
        gate(at(NOW), &facts)
    }

    fn decided_for_account(change: impl FnOnce(&mut FoundAccount)) -> Gate {
        let mut found = account();
        change(&mut found);
        decided(|facts| facts.account = Some(AccountFacts::Found(found)))
    }

    type Change<T> = fn(&mut T);

    #[test]
    fn a_transaction_is_sent_where_others_make_blocks_or_own_peers_hold_most_stake() {
        use CanarySkip::Idle;
        let cases: [(&str, Change<Facts>, Gate); 9] = [
            ("others make blocks", |_| {}, Gate::Send),
            (
                "their last one is too old",
                |it| it.last_foreign_block = Some(at(NOW - 181)),
                Gate::Skip(Idle),
            ),
            (
                "none is known",
                |it| it.last_foreign_block = None,
                Gate::Skip(Idle),
            ),
            (
                "one is dated ahead of the clock",
                |it| it.last_foreign_block = Some(at(NOW + 5)),
                Gate::Send,
            ),
            (
                "most of the stake",
                |it| (it.last_foreign_block, it.own_stake) = (None, Some(0.671)),
                Gate::Send,
            ),
            (
                "not more than 67 % of it",
                |it| (it.last_foreign_block, it.own_stake) = (None, Some(0.67)),
                Gate::Skip(Idle),
            ),
            (
                "unknown stake",
                |it| (it.last_foreign_block, it.own_stake) = (None, None),
                Gate::Skip(Idle),
            ),
            (
                "the operator allows it",
                |it| (it.last_foreign_block, it.allow_idle) = (None, true),
                Gate::Send,
            ),
            (
                "a quiet moment",
                |it| it.order = OrderState::Idle,
                Gate::Send,
            ),
        ];
        for (what, change, expected) in cases {
            assert_eq!(decided(change), expected, "{what}");
        }
    }

    #[test]
    fn nothing_is_sent_in_maintenance_stall_or_fork_or_around_an_upgrade() {
        use CanarySkip::{Fork, Maintenance, Overload, PeerDown, Stalled, Unknown, Upgrade};
        let cases: [(&str, Change<Facts>, Gate); 16] = [
            (
                "maintenance",
                |it| it.peer = PeerState::Maintenance,
                Gate::Skip(Maintenance),
            ),
            (
                "stall",
                |it| it.order = OrderState::Stalled,
                Gate::Skip(Stalled),
            ),
            (
                "receding",
                |it| it.order = OrderState::Receding,
                Gate::Skip(Stalled),
            ),
            (
                "unknown order",
                |it| it.order = OrderState::Unknown,
                Gate::Skip(Unknown),
            ),
            (
                "reset",
                |it| it.ledger = LedgerState::Reset,
                Gate::Skip(Unknown),
            ),
            (
                "fork",
                |it| it.ledger = LedgerState::Forked,
                Gate::Skip(Fork),
            ),
            (
                "16 minutes before an upgrade",
                |it| it.next_upgrade = NextUpgrade::At(at(NOW + 901)),
                Gate::Send,
            ),
            (
                "15 minutes before it",
                |it| it.next_upgrade = NextUpgrade::At(at(NOW + 900)),
                Gate::Skip(Upgrade),
            ),
            (
                "due and not applied",
                |it| it.next_upgrade = NextUpgrade::At(at(NOW - 7_200)),
                Gate::Skip(Upgrade),
            ),
            (
                "no trusted state",
                |it| it.next_upgrade = NextUpgrade::Unknown,
                Gate::Skip(Unknown),
            ),
            (
                "overloaded",
                |it| it.overloaded_until = Some(at(NOW + 1)),
                Gate::Skip(Overload),
            ),
            (
                "no longer overloaded",
                |it| it.overloaded_until = Some(at(NOW)),
                Gate::Send,
            ),
            (
                "a peer that is down",
                |it| it.peer = PeerState::Down,
                Gate::Skip(PeerDown),
            ),
            (
                "a stall, whatever is allowed",
                |it| {
                    (it.order, it.allow_idle, it.own_stake) =
                        (OrderState::Stalled, true, Some(1.0));
                },
                Gate::Skip(Stalled),
            ),
            (
                "30 s after the last one",
                |it| it.last_sent = Some(at(NOW - 30)),
                Gate::Wait(Duration::from_secs(30)),
            ),
            (
                "a clock that went back",
                |it| it.last_sent = Some(at(NOW + 7_200)),
                Gate::Wait(Duration::from_secs(60)),
            ),
        ];
        for (what, change, expected) in cases {
            assert_eq!(decided(change), expected, "{what}");
        }
    }

    #[test]
    fn an_account_that_is_not_for_the_canary_alone_is_refused() {
        use CanaryProblem::{ControlsOthers, OtherAgent, PeerKey, TooRich, WrongKey};
        let cases: [(&str, Change<FoundAccount>, Gate); 13] = [
            ("the account", |_| {}, Gate::Send),
            (
                "another agent",
                |it| it.standing = Standing::Foreign,
                Gate::Refuse(OtherAgent),
            ),
            ("no key", |it| it.key = None, Gate::Refuse(WrongKey)),
            (
                "another key",
                |it| it.key = Some(Hash::new([2; 32])),
                Gate::Refuse(WrongKey),
            ),
            (
                "a peer's key",
                |it| it.has_key_of_peer = true,
                Gate::Refuse(PeerKey),
            ),
            (
                "it controls an account",
                |it| it.control.accounts = Some(1),
                Gate::Refuse(ControlsOthers),
            ),
            (
                "it controls a peer",
                |it| it.control.peers = Some(1),
                Gate::Refuse(ControlsOthers),
            ),
            (
                "more accounts than are searched",
                |it| (it.control.accounts, it.control.peers) = (None, None),
                Gate::Send,
            ),
            ("30 budgets", |it| it.balance_copper = 30_000, Gate::Send),
            (
                "more than that",
                |it| it.balance_copper = 30_001,
                Gate::Refuse(TooRich),
            ),
            (
                "a transaction that may be executed yet",
                |it| it.standing = Standing::Open,
                Gate::Send,
            ),
            (
                "a reading that is too old",
                |it| it.standing = Standing::Stale,
                Gate::Skip(CanarySkip::Unknown),
            ),
            (
                "too few coins",
                |it| it.balance_copper = 99,
                Gate::ShortOfCoins,
            ),
        ];
        for (what, change, expected) in cases {
            assert_eq!(decided_for_account(change), expected, "{what}");
        }
        let unread = |account| decided(|facts| facts.account = account);
        assert_eq!(unread(None), Gate::Skip(CanarySkip::Unknown));
        let missing = unread(Some(AccountFacts::Missing));
        assert_eq!(missing, Gate::Refuse(CanaryProblem::NoAccount));
        let no_ledger = unread(Some(AccountFacts::NoLedger));
        assert_eq!(no_ledger, Gate::Refuse(CanaryProblem::Ledger));
    }

    #[test]
    fn no_transaction_costs_more_than_what_is_left_of_the_budget() {
        for (spent, expected) in [(900, Gate::Send), (901, Gate::Skip(CanarySkip::Budget))] {
            let found = decided_for_account(|it| it.spent_today_copper = spent);
            assert_eq!(found, expected, "{spent}");
        }
    }
}
