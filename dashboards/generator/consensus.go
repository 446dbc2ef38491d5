package main

// consensus says whether networks agree and go on.
func consensus() board {
	made := started("convex-consensus", "6h")
	made.annotations = []annotation{
		{"Order stalled", "red", seen("max", byNetwork, in("convex_network_order_state", `state="stalled"`)) + " == 1", "{{network}} finalises nothing"},
		{"Split", "dark-red", seen("max", byNetwork, in("convex_network_split")) + " == 1", "{{network}} is split"},
		{"States differ", "orange", ofNetwork("max", "convex_network_state_groups") + " > 1", "{{network}}: states differ"},
		{"Several histories", "dark-red", ofNetwork("max", "convex_network_histories") + " > 1", "{{network}} has several histories"},
		{"Forked", "red", seen("max", byPeer, of("convex_peer_condition", `condition="forked"`)), "{{peer}} is forked"},
		{"State diverged", "red", seen("max", byPeer, of("convex_peer_state_diverged")) + " == 1", "{{peer}} is diverged"},
	}
	made.rows = []row{
		{panels: append(append(append(consensusNumbers(), comparedNumbers()...), beliefNumbers()...), orderOverTime(), networkPeers(), standings())},
		{"Head and finality", headAndFinality()},
		{"Orders and beliefs", beliefs()},
		{"Blocks", production()},
		{"States", comparedStates()},
		{"Quorum", quorum()},
		{"Upgrades of the protocol", upgrades()},
	}
	return made
}

func ofNetwork(how, metric string) string { return seen(how, byNetwork, in(metric)) }

func ofPeers(how, metric string) string { return seen(how, byNetwork, of(metric)) }

func consensusNumbers() []*panel {
	return []*panel{
		numbers("Order", "What the order of the network does: advancing, idle (nothing waits), stalled (blocks wait and finality stands), receding, unknown.").
			now(seen("max", byNetwork, orderOf("convex_network_order_state", in)), "{{network}}").named(orderWords).size(4, 4).
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		numbers("Quorum margin", "Weight that may still be lost before consensus stops, by what is proven to be absent: 33 % when no peer is missing, below 0 no quorum; below 23 % a tenth of the weight is missing. With several agents the lowest.").
			now(ofNetwork("min", "convex_network_quorum_margin_ratio"), "{{network}}").unit("percentunit").decimals(1).size(4, 4).empty("unknown").
			steps(neutral, step{-1, "red"}, step{0, "orange"}, step{0.23, "green"}).
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk"), runbook("ConvexQuorumUnknown")),
		numbers("Losable peers", "Peers, the heaviest first, that can be lost before consensus stops: worst if all stake that nobody watches is lost already, best if it is there. With few peers 0 is normal.").
			now(losable("worst"), "{{network}} worst").
			now(losable("best"), "{{network}} best").
			plain().size(4, 4).empty("unknown").
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		numbers("Registered stake", "Whether the registry of peers could be read. While it is unknown there is no head, no lag, no quorum, and nobody can be found diverged.").
			now(orUnknown("0 * "+ofNetwork("min", "convex_network_quorum_margin_ratio")), "{{network}}").
			named(mapping{{"unknown", "purple"}, {"known", "green"}}).size(4, 4).
			to(at("convex-stake"), runbook("ConvexQuorumUnknown")),
		numbers("Since finality", "Time since finality was last seen to grow on any watched peer. It grows without harm on an idle network.").
			now("time() - "+ofNetwork("max", "convex_network_finality_advance_timestamp_seconds"), "{{network}}").
			unit("s").decimals(0).plain().empty("-").size(4, 4).
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		numbers("Head block", "The highest block that is final for more than a third of the registered stake.").
			now(ofNetwork("max", "convex_network_head_block"), "{{network}}").plain().size(4, 4).empty("unknown").
			to(at("convex-fleet"), runbook("ConvexQuorumUnknown")),
	}
}

// comparedNumbers says what the states of peers were found to be, and from how much evidence.
func comparedNumbers() []*panel {
	return []*panel{
		numbers("States at one block", "Different states of watched peers at one block. 1: all peers that were compared have the same. The page of the network names the block and both hashes.").
			now(ofNetwork("max", "convex_network_state_groups"), "{{network}}").size(4, 4).empty("not compared").
			steps(neutral, step{0, "green"}, step{2, "red"}).
			to(at("convex-peer"), runbook("ConvexStatesDiffer"), runbook("ConvexStateDiverged")),
		numbers("Split, reset", "Whether no state has more than half of the registered stake; unknown if the peers that were compared hold less than that. Whether all polled peers show one genesis hash that is not the network's.").
			now(orUnknown(ofNetwork("max", "convex_network_split")), "{{network}} split").
			now(orUnknown(ofNetwork("max", "convex_network_reset")), "{{network}} reset").
			named(evidenceWords).titled().size(4, 4).
			to(at("convex-fleet"), runbook("ConvexNetworkSplit"), runbook("ConvexNetworkReset")),
		numbers("Stake compared", "Share of the registered stake whose peers showed a block within three poll intervals that another peer showed too. With less than half nobody can be found diverged.").
			now(ofNetwork("max", "convex_network_compared_stake_ratio"), "{{network}}").unit("percentunit").decimals(0).size(4, 4).empty("unknown").
			steps(neutral, step{0, "orange"}, step{0.5, "green"}).
			to(at("convex-stake"), runbook("ConvexNothingCompared")),
		numbers("Peers compared", "Watched peers that showed a block within three poll intervals that another one showed too, and all watched peers.").
			now(ofNetwork("max", "convex_network_compared_peers"), "{{network}} compared").
			now("count by (network) ("+seen("max", byPeer, in("convex_peer_info"))+")", "{{network}} watched").
			plain().size(4, 4).empty("-").
			to(at("convex-fleet"), runbook("ConvexNothingCompared")),
		numbers("Last comparison", "Time since two peers last showed the same block.").
			now("time() - "+seen("max", byNetwork, of("convex_peer_state_compared_timestamp_seconds")), "{{network}}").
			unit("s").decimals(0).plain().size(4, 4).empty("never").
			to(at("convex-fleet"), runbook("ConvexNothingCompared")),
		numbers("Nothing compared", "Whether blocks are made and several peers answer, but no two of them showed the same block for ten poll intervals: a fork would not be seen.").
			now(ofNetwork("max", "convex_network_nothing_compared"), "{{network}}").named(faultWords).size(4, 4).empty("-").
			to(at("convex-fleet"), runbook("ConvexNothingCompared")),
	}
}

// beliefNumbers says what the signed orders and beliefs of peers were found to say.
func beliefNumbers() []*panel {
	return []*panel{
		numbers("Histories", "Different histories of blocks among the signed orders of the registered peers, watched or not. 1: all orders that were compared have the same blocks. The page of the network names the first different block.").
			now(ofNetwork("max", "convex_network_histories"), "{{network}}").size(4, 4).empty("not compared").
			steps(neutral, step{0, "green"}, step{2, "red"}).
			to(at("convex-peer"), runbook("ConvexPeerForked"), runbook("ConvexNetworkSplit")),
		numbers("Forked, isolated, unheard", "Peers that have another history than the majority, do not hear the others, are not heard by them, or sign with a key that another one signs with too.").
			now(troubled("forked"), "{{network}} forked").
			now(troubled("isolated"), "{{network}} isolated").
			now(troubled("unheard"), "{{network}} unheard").
			now(troubled("duplicate_key"), "{{network}} share a key").
			size(4, 4).steps(neutral, step{0, "green"}, step{1, "red"}).
			to(at("convex-peer"), runbook("ConvexPeerForked"), runbook("ConvexPeerIsolated"), runbook("ConvexPeerUnheard")),
		numbers("Hears least", "The smallest share of the others' stake that a peer hears: whose newest orders its belief holds. Below two thirds a peer is isolated.").
			now(ofPeers("min", "convex_peer_heard_stake_ratio"), "{{network}}").unit("percentunit").decimals(0).size(4, 4).empty("unknown").
			steps(neutral, step{0, "red"}, step{0.667, "orange"}, step{0.99, "green"}).
			to(at("convex-peer"), runbook("ConvexPeerIsolated")),
		numbers("Next block waits", "Age of the oldest block that is not final, when it was read, by the clock of its maker; 0: all blocks are final. Below 0 the block is dated ahead of the clock, and peers do not confirm it before that time.").
			now(ofNetwork("max", "convex_network_pending_age_seconds"), "{{network}}").unit("s").decimals(0).size(4, 4).empty("unknown").
			steps("red", step{0, "green"}, step{60, "orange"}).
			to(at("convex-peer"), runbook("ConvexConsensusStalled")),
		numbers("Transactions", "Transactions in final blocks within the last hour, of the blocks that the agent has read.").
			now(seen("max", byNetwork, increase(in("convex_network_transactions_total"), "1h")), "{{network}}").
			decimals(0).plain().size(4, 4).empty("unknown").
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		numbers("Last belief", "Time since the agent last read the belief of a peer: the source of histories, votes and of who hears whom.").
			now("time() - "+ofPeers("max", "convex_peer_belief_read_timestamp_seconds"), "{{network}}").
			unit("s").decimals(0).plain().size(4, 4).empty("never").
			to(at("convex-peer"), runbook("ConvexPeerIsolated")),
	}
}

// troubled is the number of peers of each network with a condition, and 0 without any.
func troubled(condition string) string {
	return "count by (network) (" + seen("max", byPeer, of("convex_peer_condition", `condition="`+condition+`"`)) + ")" +
		" or 0 * " + seen("max", byNetwork, in("convex_network_order_state"))
}

func orderOverTime() *panel {
	return states("Order over time", "What the order of each network did: green advancing, blue idle, red stalled, orange receding, purple unknown. A gap: no agent was there.", orderWords).
		query(seen("max", byNetwork, orderOf("convex_network_order_state", in)), "{{network}}").
		size(14, 6).
		to(at("convex-fleet"), runbook("ConvexConsensusStalled"))
}

func networkPeers() *panel {
	made := healthCounts().size(10, 6)
	made.links = nil
	return made.to(at("convex-fleet"), runbook("ConvexMonitoringBlind"))
}

func standings() *panel {
	// Another state is worse than an outage.
	health := badness()
	badness := "10 * " + agreement() + " + " + health
	worst := func(expression string) string {
		return expression + " and on (peer, network) topk(50, " + badness + ")"
	}
	return rows("Peers", "How each watched peer compares with its network, 50 of them, those with another state first; with several agents, as the agent sees it that sees it worst. Click a name to see the peer alone.").
		value("Health", worst("("+health+")"), words(healthWords), cell(), wide(100)).
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("role", "Role", wide(90)).
		join(worst(seen("max", "peer, network, role", of("convex_peer_info")))).
		value("Order", worst(seen("max", byPeer, orderOf("convex_peer_order_state", of))), words(orderWords), cell(), wide(100)).
		value("Lag", worst(seen("max", byPeer, of("convex_peer_lag_blocks"))), unit("suffix: blocks"), missing("-")).
		value("Behind for", worst(seen("max", byPeer, of("convex_peer_lag_seconds"))), unit("s"), digits(0), missing("-")).
		value("State", worst(agreement()), words(agreementWords), lettered(), missing("-")).
		value("Compared", worst(date("max", byPeer, of("convex_peer_state_compared_timestamp_seconds"))), unit("dateTimeFromNow"), missing("never")).
		value("Differs from block", worst(seen("min", byPeer, of("convex_peer_divergence_first_block"))), missing("-")).
		value("Pending", worst(seen("max", byPeer, of("convex_peer_pending_blocks"))), unit("suffix: blocks"), missing("-")).
		value("Weight", worst(seen("max", byPeer, of("convex_stake_weight_ratio"))), unit("percentunit"), digits(1), missing("-")).
		value("Restarts (24 h)", worst(seen("max", byPeer, increase(of("convex_peer_restarts_inferred_total"), "24h"))), digits(0)).
		value("Hears", worst(seen("min", byPeer, of("convex_peer_heard_stake_ratio"))), unit("percentunit"), digits(0), missing("-")).
		value("Forked from block", worst(seen("min", byPeer, of("convex_peer_fork_first_block"))), missing("-")).
		sorted("State", true).
		size(24, 10).
		to(at("convex-peer"), runbook("ConvexStateDiverged"))
}

func headAndFinality() []*panel {
	return []*panel{
		lines("Head", "The highest block that is final for more than a third of the registered stake. A gap: the stake is unknown.").
			query(ofNetwork("max", "convex_network_head_block"), "{{network}}").
			size(8, 8).decimals(0).close().empty("Unknown: the registry of peers was not read").
			to(at("convex-fleet"), runbook("ConvexQuorumUnknown")),
		lines("Blocks a minute", "How fast the head moves. 0 on an idle network.").
			query("60 * "+seen("max", byNetwork, "deriv("+in("convex_network_head_block")+"[$__rate_interval])"), "{{network}}").
			unit("suffix:/min").size(8, 8).
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Age of finality and head", "Time since finality was last seen to grow, and since the last block of the newest state. Both grow without harm on an idle network; where blocks wait, see Order.").
			query("time() - "+ofNetwork("max", "convex_network_finality_advance_timestamp_seconds"), "{{network}} finality").
			query("time() - "+ofNetwork("max", "convex_network_head_timestamp_seconds"), "{{network}} head").
			unit("s").size(8, 8).
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		lines("Lag of the furthest behind", "Blocks from the last block that is final at a peer to the head, of the 10 peers that lag most.").
			query("topk(10, "+seen("max", byPeer, of("convex_peer_lag_blocks"))+")", "{{peer}}").
			unit("suffix: blocks").upTo(10).size(12, 8).
			to(at("convex-peer"), runbook("ConvexPeerLagging")),
		lines("Lag in time of the furthest behind", "Age of the oldest block that a peer lacks, since it was first seen final at the head, of the 10 peers that lag longest; 0 at the head.").
			query("topk(10, "+seen("max", byPeer, of("convex_peer_lag_seconds"))+")", "{{peer}}").
			unit("s").upTo(10).size(12, 8).full().
			to(at("convex-peer"), runbook("ConvexPeerLagging")),
	}
}

func comparedStates() []*panel {
	now := seen("max", byPeer, of("convex_peer_state_diverged")+" @ end()")
	return []*panel{
		lines("Stake compared over time", "Share of the registered stake whose peers were compared within three poll intervals. Below the line nobody can be found diverged. A gap: the stake is unknown.").
			query(ofNetwork("max", "convex_network_compared_stake_ratio"), "{{network}}").
			unit("percentunit").upTo(1).size(8, 8).limit("transparent", step{0.5, "orange"}).
			empty("Unknown: the registry of peers was not read").
			to(at("convex-stake"), runbook("ConvexNothingCompared"), runbook("ConvexQuorumUnknown")),
		lines("Age of comparisons", "Time since a peer last showed a block that another peer showed too, of the 10 peers with the oldest comparison.").
			query("topk(10, "+age(byPeer, of("convex_peer_state_compared_timestamp_seconds"))+")", "{{peer}}").
			unit("s").size(8, 8).empty("No peer was ever compared").
			to(at("convex-peer"), runbook("ConvexNothingCompared")),
		lines("Different states", "Different states at one block, and peers that are diverged or differ. A gap: nothing was compared.").
			query(ofNetwork("max", "convex_network_state_groups"), "{{network}} states").
			query("sum by (network) ("+seen("max", byPeer, of("convex_peer_state_diverged"))+")", "{{network}} diverged peers").
			query("count by (network) ("+seen("max", byPeer, of("convex_peer_condition", `condition="states_differ"`))+")", "{{network}} differing peers").
			size(8, 8).decimals(0).empty("Nothing was compared").
			to(at("convex-fleet"), runbook("ConvexStatesDiffer"), runbook("ConvexNetworkSplit")),
		states("States of peers", "How the states of peers compare: green equal to another peer's, purple not compared, orange another state and nobody knows which is right, red another state than more than half of the stake; 15 peers, those first that are diverged at the end of the time shown.", agreementWords).
			query(agreement()+" and on (peer, network) topk(15, "+now+" or 0 * "+seen("max", byPeer, of("convex_peer_health", `state="up"`)+" @ end()")+")", "{{peer}}").
			size(12, 8).
			to(at("convex-peer"), runbook("ConvexStateDiverged")),
		states("Order of the worst peers", "What the order of the 15 peers did that are worst at the end of the time shown: green advancing, blue idle, red stalled, orange receding, purple unknown.", orderWords).
			query(seen("max", byPeer, orderOf("convex_peer_order_state", of))+" and on (peer, network) topk(15, "+
				seen("max", byPeer, "4 * "+of("convex_peer_order_state", `state="stalled"`)+" @ end() + ignoring (state) 3 * "+of("convex_peer_order_state", `state="receding"`)+" @ end()")+")", "{{peer}}").
			size(12, 8).
			to(at("convex-peer"), runbook("ConvexConsensusStalled"), runbook("ConvexFinalityReceding")),
	}
}

func beliefs() []*panel {
	level := lines("Stake at each level", "Share of the registered stake whose signed orders have the first block after the head, by how far the block has come; of the head if no order has a later block. A block is confirmed with more than 67 %. A gap: the stake is unknown, or no orders were read.").
		unit("percentunit").upTo(1).size(8, 8).limit("transparent", step{0.67, "green"}).empty("No orders were read")
	for _, it := range []string{"block", "proposal", "consensus", "finality"} {
		level.query(seen("max", "network, level", in("convex_network_level_stake_ratio", `level="`+it+`"`)), "{{network}} {{level}}")
	}
	return []*panel{
		level.to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Stake heard", "Share of the others' stake whose newest orders the belief of a peer holds, of the 10 peers that hear least. Below the line a peer is isolated.").
			query("bottomk(10, "+seen("min", byPeer, of("convex_peer_heard_stake_ratio"))+")", "{{peer}}").
			unit("percentunit").upTo(1).size(8, 8).limit("transparent", step{0.667, "red"}).empty("No beliefs were read").
			to(at("convex-peer"), runbook("ConvexPeerIsolated"), runbook("ConvexPeerUnheard")),
		lines("Age of beliefs", "Time since the belief of a peer was last read, of the 10 peers with the oldest. Your own peers are read each consensus_interval, others at most once in ten minutes.").
			query("topk(10, "+age(byPeer, of("convex_peer_belief_read_timestamp_seconds"))+")", "{{peer}}").
			unit("s").size(8, 8).empty("No beliefs were read").
			to(at("convex-peer"), runbook("ConvexPeerIsolated")),
		lines("Histories over time", "Different histories of blocks among the signed orders. A gap: none were compared.").
			query(ofNetwork("max", "convex_network_histories"), "{{network}}").
			size(8, 8).decimals(0).upTo(2).empty("None were compared").
			to(at("convex-peer"), runbook("ConvexPeerForked"), runbook("ConvexNetworkSplit")),
		lines("First different block", "The first block at which the history of a forked peer differs from that of the majority.").
			query(seen("min", byPeer, of("convex_peer_fork_first_block")), "{{peer}}").
			size(8, 8).decimals(0).close().empty("No peer is forked").
			to(at("convex-peer"), runbook("ConvexPeerForked")),
		lines("Cut off", "Peers that do not hear the others, and that are not heard by them.").
			query(troubled("isolated"), "{{network}} isolated").
			query(troubled("unheard"), "{{network}} unheard").
			size(8, 8).decimals(0).upTo(1).
			to(at("convex-peer"), runbook("ConvexPeerIsolated"), runbook("ConvexPeerUnheard")),
	}
}

func production() []*panel {
	const none = "No blocks were read"
	return []*panel{
		lines("Age of the next block", "Age of the oldest block that is not final, when it was read, by the clock of its maker; 0 if all blocks are final. Below 0 it is dated ahead of the clock: peers do not confirm it before that time.").
			query(ofNetwork("max", "convex_network_pending_age_seconds"), "{{network}}").
			unit("s").size(6, 8).empty(none).
			to(at("convex-peer"), runbook("ConvexConsensusStalled")),
		lines("Transactions a minute", "Transactions in final blocks.").
			query("60 * "+seen("max", byNetwork, rate(in("convex_network_transactions_total"))), "{{network}}").
			unit("suffix:/min").size(6, 8).empty(none).
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Transactions a second", "Transactions over the last five minutes: in final blocks, or where these are not read, or not all of them, by the sequence numbers of all accounts.").
			query(seen("max", "network, source", in("convex_network_transactions_per_second")), "{{network}} by {{source}}").
			size(6, 8).empty("Neither blocks nor accounts were counted").
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Time to final", "From the date of a block until its maker had it final, both by the clock of the maker: of the last block whose maker's order shows it.").
			query(ofNetwork("max", "convex_network_finality_seconds"), "{{network}}").
			unit("s").size(6, 8).empty(none).
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Blocks made a minute", "Final blocks by the watched peer that made them, of the 10 that make most.").
			query("topk(10, 60 * "+seen("max", byPeer, rate(of("convex_peer_blocks_made_total")))+")", "{{peer}}").
			unit("suffix:/min").size(12, 8).empty(none).
			to(at("convex-stake"), runbook("ConvexWeightDecayed")),
		lines("Unread blocks a minute", "Final blocks that were made faster than the agent reads them. They are missing in the counts of transactions and blocks.").
			query("60 * "+seen("max", byNetwork, rate(in("convex_network_unread_blocks_total"))), "{{network}}").
			unit("suffix:/min").upTo(1).size(12, 8).empty(none).
			to(at("convex-monitor"), runbook("ConvexConsensusStalled")),
	}
}

func upgrades() []*panel {
	const none = "No upgrade is scheduled"
	readiness := lines("Weight by readiness", "The weight of the network by whether its peers say that they can execute a scheduled version of the protocol. Consensus needs more than 67 % that is ready. Choose one network to see it stack up to 100 %.").
		unit("percentunit").stacked().upTo(1).size(10, 8).empty(none)
	for _, it := range []word{{"ready", "green"}, {"unknown", "purple"}, {"unable", "red"}} {
		readiness.query(seen("max", "network, version, readiness", in("convex_network_upgrade_stake_ratio", `readiness="`+it.text+`"`)), "{{network}} {{version}} {{readiness}}").
			colored("/ "+it.text+"$/", it.color)
	}
	return []*panel{
		numbers("Next upgrade", "Time until the next scheduled version of the protocol takes effect. Below 0 it is due with the next block.").
			now("min by (network) ("+seen("min", "network, version", in("convex_network_upgrade_activation_timestamp_seconds"))+") - time()", "{{network}}").
			unit("s").decimals(0).size(4, 4).empty("none").
			steps("red", step{0, "orange"}, step{86400, "blue"}).
			to(at("convex-peer"), runbook("ConvexUpgradePending")),
		numbers("Protocol", "Version of the protocol: how many upgrades the network has applied.").
			now(ofNetwork("max", "convex_network_protocol_version"), "{{network}}").plain().size(4, 4).empty("unknown").
			to(at("convex-peer"), runbook("ConvexUpgradePending")),
		numbers("Upgrade failed", "Whether the time of an upgrade has come and the peers that can execute it stand still as well.").
			now(ofNetwork("max", "convex_network_upgrade_failed"), "{{network}}").named(faultWords).size(4, 4).empty("unknown").
			to(at("convex-peer"), runbook("ConvexUpgradeFailed")),
		readiness.to(at("convex-stake"), runbook("ConvexUpgradeAtRisk")),
		rows("What peers can execute", "The highest version of the protocol that each watched peer says it can execute, the lowest first. Peers of releases from 0.8.7 to 0.8.16 do not say, nor do those from 0.8.3 on that do not tell their release over HTTP.").
			label("peer", "Peer", linked(cellToPeer())).
			label("network", "Network").
			value("Up to version", "bottomk(50, "+seen("max", byPeer, of("convex_peer_supported_protocol_version"))+")", digits(0), missing("-")).
			sorted("Up to version", false).
			size(12, 8).empty("No peer says").
			to(at("convex-peer"), runbook("ConvexUpgradeUnsupported")),
	}
}

func quorum() []*panel {
	const unknown = "Unknown: the registry of peers was not read"
	standing := lines("Weight by standing", "The weight of the network: with the majority, in another state, down, or of peers that are not watched. Consensus needs 67 % with the majority. Choose one network to see it stack up to 100 %.").
		unit("percentunit").stacked().upTo(1).size(8, 8).empty(unknown)
	for _, it := range []word{{"majority", "green"}, {"unobserved", "purple"}, {"minority", "orange"}, {"down", "red"}} {
		standing.query(seen("max", "network, standing", in("convex_network_stake_ratio", `standing="`+it.text+`"`)), "{{network}} {{standing}}").
			colored("/ "+it.text+"$/", it.color)
	}
	return []*panel{
		standing.to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		lines("Quorum margin over time", "Weight that may still be lost before consensus stops, and what is down in maintenance. Below 0 nothing becomes final. A gap: unknown.").
			query(ofNetwork("min", "convex_network_quorum_margin_ratio"), "{{network}}").
			query(ofNetwork("max", "convex_network_maintenance_stake_ratio"), "{{network}} in maintenance").
			unit("percentunit").upTo(0.35).size(8, 8).limit("transparent", step{0, "red"}).empty(unknown).
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk"), runbook("ConvexQuorumUnknown")),
		lines("Losable peers over time", "Peers, the heaviest first, that can be lost before consensus stops: worst if all stake that nobody watches is lost already, best if it is there. A gap: unknown.").
			query(losable("worst"), "{{network}} worst").
			query(losable("best"), "{{network}} best").
			size(8, 8).decimals(0).upTo(1).empty(unknown).
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
	}
}
