//! Label values of the canary.

use crate::label_enum::label_enum;

label_enum! {
    /// What can be observed of a transaction: a peer does not acknowledge one before it is final.
    pub enum CanaryStage {
        Result = "result", "The peer answered with the result: the block of the transaction is final.";
        Seen = "seen", "Another peer has executed the transaction.";
    }
}

label_enum! {
    /// Why the canary sent no transaction when one was due.
    pub enum CanarySkip {
        Idle = "idle", "Nobody else made a block recently, and the own peers hold 67 % of the stake or less.";
        Maintenance = "maintenance", "The peer is in maintenance.";
        Stalled = "stalled", "The network finalises nothing, or has lost final blocks.";
        Fork = "fork", "Peers of the network have different histories or states.";
        Upgrade = "upgrade", "An upgrade of the protocol is due within 15 minutes, or its time has come.";
        Overload = "overload", "A peer answered that it is overloaded.";
        Budget = "budget", "The budget of the day is spent.";
        PeerDown = "peer_down", "The peer does not answer polls, or could not be connected to.";
        Unknown = "unknown", "The state of the network or of the account is not known.";
        Refused = "refused", "The account is not safe to use.";
    }
}

label_enum! {
    /// Problem of the account or its coins.
    pub enum CanaryProblem {
        OtherAgent = "other_agent", "Something else made transactions with the account.";
        ControlsOthers = "controls_others", "The account controls other accounts or peers.";
        PeerKey = "peer_key", "The account has the key of a registered peer.";
        TooRich = "too_rich", "The account holds more than 30 daily budgets.";
        WrongKey = "wrong_key", "The account has another key than the key file.";
        NoAccount = "no_account", "The account does not exist.";
        Ledger = "ledger", "The ledger of signed transactions in the state directory cannot be read or written, or another process uses it.";
        LowBalance = "low_balance", "The coins of the account last for less than three days.";
        BudgetSpent = "budget_spent", "The budget of the day is spent.";
    }
}
