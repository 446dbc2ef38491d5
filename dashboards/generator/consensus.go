package main

// consensus shows whether networks agree and make progress.
func consensus() board {
	made := started("convex-consensus", "6h")
	made.annotations = []annotation{
		{"Order stalled", "red", seen("max", byNetwork, in("convex_network_order_state", `state="stalled"`)) + " == 1", "{{network}} finalises nothing"},
		{"Split", "dark-red", seen("max", byNetwork, in("convex_network_split")) + " == 1", "{{network}} is split"},
		{"States differ", "orange", ofNetwork("max", "convex_network_state_groups") + " > 1", "{{network}}: states differ"},
		{"Several histories", "dark-red", ofNetwork("max", "convex_network_histories") + " > 1", "{{network}} has several histories"},
		{"Writes failing", "red", "min by (peer, network) (" + of("convex_canary_failed_rounds") + ") >= 2", "transactions through {{peer}} are not executed"},
		{"Forked", "red", seen("max", byPeer, of("convex_peer_condition", `condition="forked"`)), "{{peer}} is forked"},
		{"State diverged", "red", seen("max", byPeer, of("convex_peer_state_diverged")) + " == 1", "{{peer}} is diverged"},
	}
	made.rows = []row{
		{panels: append(consensusNumbers(), evidence(), orderOverTime(), trouble(), standings())},
		{title: "Progress and lag", panels: progress()},
		{title: "Quorum", panels: quorum()},
		{title: "Compared states", panels: comparedStates()},
		{title: "Orders and beliefs (needs consensus_interval)", panels: beliefs(), collapsed: true},
		{title: "Blocks and transactions (needs consensus_interval)", panels: production(), collapsed: true},
		{title: "Canary (if configured)", panels: canary(), collapsed: true},
		{title: "Protocol upgrades", panels: upgrades(), collapsed: true},
	}
	return made
}

func ofNetwork(how, metric string) string { return seen(how, byNetwork, in(metric)) }

const (
	stakeUnknown = "Unknown: the registry of peers was not read"
	ordersUnread = "No orders were read"
)

func consensusNumbers() []*panel {
	return []*panel{
		numbers("Order", "Finalising: blocks become final. Idle: nothing is pending, which is healthy. Stalled: blocks are pending and none becomes final. Went back: final blocks were lost.").
			now(seen("max", byNetwork, orderOf("convex_network_order_state", in)), "{{network}}").named(orderWords).size(4, 4).empty("unknown").
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		numbers("Since last final", "Time since a block was last seen to become final on any watched peer. On an idle network it grows without harm.").
			now("time() - "+ofNetwork("max", "convex_network_finality_advance_timestamp_seconds"), "{{network}}").
			unit("s").decimals(0).plain().empty("unknown").size(4, 4).
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		numbers("Quorum margin", "Weight that can still be lost before consensus stops: 33 % while no peer is missing, below 0 nothing becomes final. Below 23 % a tenth of the weight is missing: find out which peers. With several agents the lowest.").
			now(ofNetwork("min", "convex_network_quorum_margin_ratio"), "{{network}}").unit("percentunit").decimals(1).size(4, 4).empty("unknown").
			steps(neutral, step{-1, "red"}, step{0, "orange"}, step{0.23, "green"}).
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk"), runbook("ConvexQuorumUnknown")),
		numbers("Can lose", "Number of the heaviest peers that can fail before consensus stops, if all stake that is not watched is lost already. With few peers 0 is normal.").
			now(losable("worst"), "{{network}}").
			plain().size(4, 4).empty("unknown").
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		numbers("Stake reached", "Share of the registered stake whose peers gave an agent a successful poll within two poll intervals; the agent that reaches most counts. Below 67 % no agent sees a quorum: watch more peers, or check the agents' network.").
			now(ofNetwork("max", "convex_network_reached_stake_ratio"), "{{network}}").unit("percentunit").decimals(0).size(4, 4).empty("unknown").
			steps(neutral, step{0, "orange"}, step{0.67, "green"}).
			to(at("convex-stake"), runbook("ConvexQuorumUnknown")),
		numbers("Stake compared", "Share of the registered stake whose peers showed a block within three poll intervals that another peer showed too. Below 50 % no peer can be found diverged.").
			now(ofNetwork("max", "convex_network_compared_stake_ratio"), "{{network}}").unit("percentunit").decimals(0).size(4, 4).empty("unknown").
			steps(neutral, step{0, "orange"}, step{0.5, "green"}).
			to(at("convex-stake"), runbook("ConvexNothingCompared")),
	}
}

// evidence has a row for each network: which comparisons were made, and their results.
func evidence() *panel {
	return rows("Evidence", "What was compared, and the result. States: different states at one block; histories: different histories of blocks among the signed orders of the registered peers; 1 means that all agree. Split: no state, or no history, has more than half of the stake. Reset: all polled peers show another genesis. Nothing compared: blocks are made, but no two peers showed the same block for ten poll intervals, so a fork would not be seen.").
		label("network", "Network").
		value("States", ofNetwork("max", "convex_network_state_groups"), missing("not compared"), bythreshold(), graded("text", step{0, "green"}, step{2, "red"}), lettered()).
		value("Histories", ofNetwork("max", "convex_network_histories"), missing("not compared"), bythreshold(), graded("text", step{0, "green"}, step{2, "red"}), lettered()).
		value("Split", orUnknown(ofNetwork("max", "convex_network_split")), words(evidenceWords), lettered(), wide(90)).
		value("Reset", orUnknown(ofNetwork("max", "convex_network_reset")), words(evidenceWords), lettered(), wide(90)).
		value("Nothing compared", ofNetwork("max", "convex_network_nothing_compared"), words(faultWords), lettered(), wide(140)).
		value("Peers compared", ofNetwork("max", "convex_network_compared_peers"), wide(125)).
		value("Watched", "count by (network) ("+seen("max", byPeer, in("convex_peer_info"))+")").
		value("Registered", ofNetwork("max", "convex_network_peers_registered")).
		value("Head block", ofNetwork("max", "convex_network_head_block"), missing("unknown")).
		value("Protocol version", ofNetwork("max", "convex_network_protocol_version"), missing("unknown"), wide(125)).
		value("Next upgrade", "1000 * min by (network) ("+seen("min", "network, version", in("convex_network_upgrade_activation_timestamp_seconds"))+")", unit("dateTimeFromNow"), wide(120)).
		value("Upgrade failed", ofNetwork("max", "convex_network_upgrade_failed"), words(faultWords), lettered(), missing("unknown"), wide(120)).
		sorted("Network", false).
		size(24, 4).
		to(at("convex-fleet"), runbook("ConvexNetworkSplit"), runbook("ConvexNetworkReset"), runbook("ConvexNothingCompared"))
}

func orderOverTime() *panel {
	return states("Order over time", "State of the order of each network. A gap: no agent was running.", orderWords).
		query(seen("max", byNetwork, orderOf("convex_network_order_state", in)), "{{network}}").
		size(12, 7).
		to(at("convex-fleet"), runbook("ConvexConsensusStalled"))
}

// trouble counts the peers that are not part of the consensus of their network.
func trouble() *panel {
	return lines("Peers outside consensus", "By condition. forked: another history than the majority. isolated: the peer does not hear the others. unheard: the others do not hear it. duplicate_key: another process signs with the same key.").
		query("count by (network, condition) ("+seen("max", "peer, network, condition", of("convex_peer_condition", `condition=~"forked|isolated|unheard|duplicate_key"`))+")", "{{network}} {{condition}}").
		size(12, 7).decimals(0).upTo(1).empty("None, or no orders were read").
		to(at("convex-peer"), runbook("ConvexPeerForked"), runbook("ConvexPeerIsolated"), runbook("ConvexPeerUnheard"))
}

func standings() *panel {
	// Another state is worse than an outage; not compared is no better than agreeing.
	health := badness()
	badness := "10 * clamp_min(" + agreement() + ", 1) + " + health
	worst := func(expression string) string {
		return expression + " and on (peer, network) topk(50, " + badness + ")"
	}
	return rows("Peers", "How each watched peer compares with its network, the 50 worst; with several agents, the worst verdict counts. Hears: share of the others' stake whose newest orders the peer holds. Click a peer to see it alone.").
		value("Health", worst("("+health+")"), words(healthWords), cell(), wide(95)).
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network", wide(90)).
		label("role", "Role", wide(90)).
		join(worst(seen("max", "peer, network, role", of("convex_peer_info")))).
		value("Order", worst(seen("max", byPeer, orderOf("convex_peer_order_state", of))), words(orderWords), cell(), wide(100)).
		value("State", worst(agreement()), words(agreementWords), lettered(), wide(110)).
		value("Lag", worst(seen("max", byPeer, of("convex_peer_lag_blocks"))), unit("suffix: blocks"), wide(95)).
		value("Behind for", worst(seen("max", byPeer, of("convex_peer_lag_seconds"))), unit("s"), digits(0), wide(95)).
		value("Pending", worst(seen("max", byPeer, of("convex_peer_pending_blocks"))), unit("suffix: blocks"), wide(95)).
		value("Compared", worst(date("max", byPeer, of("convex_peer_state_compared_timestamp_seconds"))), unit("dateTimeFromNow"), missing("never"), wide(140)).
		value("Differs from block", worst(seen("min", byPeer, of("convex_peer_divergence_first_block"))), wide(135)).
		value("Forked from block", worst(seen("min", byPeer, of("convex_peer_fork_first_block"))), wide(135)).
		value("Hears", worst(seen("min", byPeer, of("convex_peer_heard_stake_ratio"))), unit("percentunit"), digits(0), wide(75)).
		value("Weight", worst(seen("max", byPeer, of("convex_stake_weight_ratio"))), unit("percentunit"), digits(1), wide(75)).
		sorted("Health", true).
		size(24, 8).
		to(at("convex-peer"), runbook("ConvexStateDiverged"))
}

func progress() []*panel {
	return []*panel{
		lines("Block rate", "Blocks that become final. 0 on an idle network.").
			query("60 * "+seen("max", byNetwork, "deriv("+in("convex_network_head_block")+"[$__rate_interval])"), "{{network}}").
			unit("suffix:/min").size(12, 8).empty("Unknown: no head").
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Time since progress", "Since a block last became final on any watched peer, and since the date of the last block in the newest state. On an idle network both grow, which is no fault; if blocks are pending, see Order.").
			query("time() - "+ofNetwork("max", "convex_network_finality_advance_timestamp_seconds"), "{{network}} final").
			query("time() - "+ofNetwork("max", "convex_network_head_timestamp_seconds"), "{{network}} newest state").
			unit("s").size(12, 8).
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		lines("Lag", "Blocks from the last block that is final at a peer to the head, of the 10 peers that lag most. 0 at the head.").
			query(ten(byPeer, seen("max", byPeer, of("convex_peer_lag_blocks")), seen("max", byPeer, inRange("max_over_time", of("convex_peer_lag_blocks")))), "{{peer}}").
			unit("suffix: blocks").upTo(10).size(12, 9).empty("Unknown: no head, or no peer answers").
			to(at("convex-peer"), runbook("ConvexPeerLagging")),
		lines("Lag in time", "For how long the oldest block that a peer lacks has been final at the head, of the 10 peers that lag longest.").
			query(ten(byPeer, seen("max", byPeer, of("convex_peer_lag_seconds")), seen("max", byPeer, inRange("max_over_time", of("convex_peer_lag_seconds")))), "{{peer}}").
			unit("s").upTo(10).size(12, 9).empty("Unknown: no head, no peer answers, or metrics.detail is lean").
			to(at("convex-peer"), runbook("ConvexPeerLagging")),
	}
}

func quorum() []*panel {
	standing := lines("Weight by standing", "Where the network's weight stands: with the majority, in another state, down, or not watched. Consensus needs 67 % with the majority. Choose one network to see it add up to 100 %.").
		unit("percentunit").stacked().upTo(1).size(12, 9).empty(stakeUnknown)
	for _, it := range []word{{"majority", "green"}, {"unobserved", "purple"}, {"minority", "orange"}, {"down", "red"}} {
		standing.query(seen("max", "network, standing", in("convex_network_stake_ratio", `standing="`+it.text+`"`)), "{{network}} {{standing}}").
			colored("/ "+it.text+"$/", it.color)
	}
	return []*panel{
		standing.to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		lines("Quorum margin over time", "Weight that can still be lost before consensus stops, and the weight that is down in maintenance. Below the line nothing becomes final. A gap: unknown.").
			query(ofNetwork("min", "convex_network_quorum_margin_ratio"), "{{network}}").
			query(ofNetwork("max", "convex_network_maintenance_stake_ratio"), "{{network}} in maintenance").
			unit("percentunit").upTo(0.35).size(12, 9).limit("transparent", step{0, "red"}).empty(stakeUnknown).
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk"), runbook("ConvexQuorumUnknown")),
		lines("Peers that can be lost", "Number of the heaviest peers that can fail before consensus stops. Worst: all stake that is not watched is lost already. Best: it is there. A gap: unknown.").
			query(losable("worst"), "{{network}} worst").
			query(losable("best"), "{{network}} best").
			size(12, 8).decimals(0).upTo(1).empty(stakeUnknown).
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		lines("Stake reached by vantage", "Share of the registered stake whose peers gave each agent a successful poll within two poll intervals. If it falls for one agent only, check that agent's network. Below the line the agent sees no quorum.").
			query(told("max", "vantage, network", in("convex_network_reached_stake_ratio")), "{{vantage}} {{network}}").
			unit("percentunit").upTo(1).size(12, 8).limit("transparent", step{0.67, "orange"}).empty(stakeUnknown).
			to(at("convex-monitor"), runbook("ConvexMonitoringBlind")),
	}
}

func comparedStates() []*panel {
	now := seen("max", byPeer, of("convex_peer_state_diverged")+" @ end()")
	return []*panel{
		lines("Stake compared over time", "Share of the registered stake whose peers were compared within three poll intervals. Below the line no peer can be found diverged. A gap: the stake is unknown.").
			query(ofNetwork("max", "convex_network_compared_stake_ratio"), "{{network}}").
			unit("percentunit").upTo(1).size(8, 8).limit("transparent", step{0.5, "orange"}).empty(stakeUnknown).
			to(at("convex-stake"), runbook("ConvexNothingCompared"), runbook("ConvexQuorumUnknown")),
		lines("Time since comparison", "Since a peer last showed a block that another peer showed too, of the 10 peers with the oldest comparison.").
			query(tenLowest(byPeer, age(byPeer, of("convex_peer_state_compared_timestamp_seconds")), seen("max", byPeer, inRange("last_over_time", of("convex_peer_state_compared_timestamp_seconds")))), "{{peer}}").
			unit("s").size(8, 8).empty("Never compared").
			to(at("convex-peer"), runbook("ConvexNothingCompared")),
		lines("Different states", "Different states at one block, and the peers that diverged or differ. A gap: nothing was compared.").
			query(ofNetwork("max", "convex_network_state_groups"), "{{network}} states").
			query("sum by (network) ("+seen("max", byPeer, of("convex_peer_state_diverged"))+")", "{{network}} diverged peers").
			query("count by (network) ("+seen("max", byPeer, of("convex_peer_condition", `condition="states_differ"`))+")", "{{network}} differing peers").
			size(8, 8).decimals(0).upTo(2).empty("Nothing was compared").
			to(at("convex-fleet"), runbook("ConvexStatesDiffer"), runbook("ConvexNetworkSplit")),
		states("State by peer", "Agrees: equal to another peer's state. Differs: another peer has another state, and it is unclear which is right. Diverged: more than half of the stake has another state. 15 peers, those first that are diverged at the end of the time range.", agreementWords).
			query(agreement()+" and on (peer, network) topk(15, "+now+" or 0 * "+seen("max", byPeer, of("convex_peer_health", `state="up"`)+" @ end()")+")", "{{peer}}").
			size(12, 9).
			to(at("convex-peer"), runbook("ConvexStateDiverged")),
		states("Order by peer", "State of the order of the 15 peers that are worst at the end of the time range.", orderWords).
			query(seen("max", byPeer, orderOf("convex_peer_order_state", of))+" and on (peer, network) topk(15, "+
				seen("max", byPeer, "4 * "+of("convex_peer_order_state", `state="stalled"`)+" @ end() + ignoring (state) 3 * "+of("convex_peer_order_state", `state="receding"`)+" @ end()")+")", "{{peer}}").
			size(12, 9).
			to(at("convex-peer"), runbook("ConvexConsensusStalled"), runbook("ConvexFinalityReceding")),
	}
}

func beliefs() []*panel {
	level := lines("Stake at each level", "Share of the registered stake whose signed orders have the first block after the head at each level; of the head if no order has a later block. A block needs more than 67 % at a level to reach the next. A gap: the stake is unknown, or no orders were read.").
		unit("percentunit").upTo(1).size(12, 9).limit("transparent", step{0.67, "green"}).empty(ordersUnread)
	for _, it := range []string{"block", "proposal", "consensus", "finality"} {
		level.query(seen("max", "network, level", in("convex_network_level_stake_ratio", `level="`+it+`"`)), "{{network}} {{level}}")
	}
	return []*panel{
		level.to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Stake heard", "Share of the others' stake whose newest orders a peer holds, of the 10 peers that hear least. Below the line a peer is isolated: check its connections to other peers.").
			query(tenLowest(byPeer, seen("min", byPeer, of("convex_peer_heard_stake_ratio")), seen("min", byPeer, inRange("min_over_time", of("convex_peer_heard_stake_ratio")))), "{{peer}}").
			unit("percentunit").upTo(1).size(12, 9).limit("transparent", step{0.667, "red"}).empty("No beliefs were read, or the stake is unknown").
			to(at("convex-peer"), runbook("ConvexPeerIsolated"), runbook("ConvexPeerUnheard")),
		lines("Histories", "Different histories of blocks among the signed orders of the registered peers. More than 1: some peers are forked; the agent's page of the network names the first different block. A gap: none were compared.").
			query(ofNetwork("max", "convex_network_histories"), "{{network}}").
			size(8, 8).decimals(0).upTo(2).empty("None were compared").
			to(at("convex-peer"), runbook("ConvexPeerForked"), runbook("ConvexNetworkSplit")),
		lines("First different block", "First block at which the history of a forked peer differs from that of the majority.").
			query(seen("min", byPeer, of("convex_peer_fork_first_block")), "{{peer}}").
			size(8, 8).decimals(0).close().empty("No peer is forked, or no orders were read").
			to(at("convex-peer"), runbook("ConvexPeerForked")),
		lines("Age of beliefs", "Time since the belief of a peer was last read, of the 10 peers with the oldest. Your own peers are read every consensus_interval, others at most every ten minutes.").
			query(tenLowest(byPeer, age(byPeer, of("convex_peer_belief_read_timestamp_seconds")), seen("max", byPeer, inRange("last_over_time", of("convex_peer_belief_read_timestamp_seconds")))), "{{peer}}").
			unit("s").size(8, 8).empty("No beliefs were read").
			to(at("convex-peer"), runbook("ConvexPeerIsolated")),
	}
}

func production() []*panel {
	return []*panel{
		lines("Time to final", "From the date of the last block until its maker had it final, both by the clock of the maker.").
			query(ofNetwork("max", "convex_network_finality_seconds"), "{{network}}").
			unit("s").size(8, 8).empty(ordersUnread).
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Age of the next block", "Age of the oldest block that is not final, by the clock of its maker; 0 if all blocks are final. Below 0 it is dated ahead of the agent's clock: peers do not confirm it before that time, so fix the maker's clock.").
			query(ofNetwork("max", "convex_network_pending_age_seconds"), "{{network}}").
			unit("s").size(8, 8).empty(ordersUnread).
			to(at("convex-peer"), runbook("ConvexConsensusStalled")),
		lines("Transactions", "Transactions in final blocks: over the last five minutes, and as the agent reads them. Where blocks are not read, or not all of them, the sequence numbers of all accounts are counted instead.").
			query(seen("max", "network, source", in("convex_network_transactions_per_second")), "{{network}} by {{source}}").
			query(seen("max", byNetwork, rate(in("convex_network_transactions_total"))), "{{network}} as read").
			unit("suffix:/s").size(8, 8).empty(ordersUnread).
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Blocks made", "Final blocks by the watched peer that made them, of the 10 that make most. An own peer with 0 loses weight.").
			query(ten(byPeer, "60 * "+seen("max", byPeer, rate(of("convex_peer_blocks_made_total"))), seen("max", byPeer, inRange("increase", of("convex_peer_blocks_made_total")))), "{{peer}}").
			unit("suffix:/min").size(12, 9).empty("No blocks were read").
			to(at("convex-stake"), runbook("ConvexWeightDecayed")),
		lines("Unread blocks", "Final blocks that the agent did not read, because they were made faster than it reads. They are missing in the numbers of blocks and transactions.").
			query("60 * "+seen("max", byNetwork, rate(in("convex_network_unread_blocks_total"))), "{{network}}").
			unit("suffix:/min").upTo(1).size(12, 9).empty("No blocks were read").
			to(at("convex-monitor"), runbook("ConvexConsensusStalled")),
	}
}

func upgrades() []*panel {
	readiness := lines("Weight by readiness", "The network's weight by whether its peers say that they can execute a scheduled version of the protocol. Consensus needs more than 67 % that is ready: ask the operators of the others to upgrade. Choose one network to see it add up to 100 %.").
		unit("percentunit").stacked().upTo(1).size(12, 9).empty("No upgrade is scheduled")
	for _, it := range []word{{"ready", "green"}, {"unknown", "purple"}, {"unable", "red"}} {
		readiness.query(seen("max", "network, version, readiness", in("convex_network_upgrade_stake_ratio", `readiness="`+it.text+`"`)), "{{network}} {{version}} {{readiness}}").
			colored("/ "+it.text+"$/", it.color)
	}
	return []*panel{
		readiness.to(at("convex-stake"), runbook("ConvexUpgradeAtRisk"), runbook("ConvexUpgradeFailed")),
		rows("Supported version by peer", "Highest version of the protocol that each watched peer says it can execute, the lowest first. Peers of releases from 0.8.3 to 0.8.16 do not say.").
			label("peer", "Peer", linked(cellToPeer())).
			label("network", "Network").
			value("Up to version", "bottomk(50, "+seen("max", byPeer, of("convex_peer_supported_protocol_version"))+")", digits(0)).
			sorted("Up to version", false).
			size(12, 9).empty("No peer says which version it can execute").
			to(at("convex-peer"), runbook("ConvexUpgradeUnsupported")),
	}
}

const noCanary = "No canary is configured"

// canary shows the transactions that prove that transactions are executed.
func canary() []*panel {
	return []*panel{
		lines("Duration of transactions", "Time from sending a transaction that does nothing until the peer answers with its result, and until another peer has executed it too. The objective is for nine of ten results. A gap: the last transaction failed or is old.").
			query(seen("max", "peer, network, stage", of("convex_canary_duration_seconds")), "{{peer}} {{stage}}").
			query(ofNetwork("max", "convex_canary_result_p90_seconds"), "{{network}} 90 % of six hours").
			query(ofNetwork("min", "convex_canary_objective_seconds"), "{{network}} objective").
			unit("s").size(12, 9).empty(noCanary).
			to(at("convex-peer"), runbook("ConvexCanarySlow")),
		lines("Failed transactions", "Transactions that were not executed, by peer and reason. sequence and funds are faults of the account; all others mean that clients cannot write through the peer either.").
			query("sum by (peer, reason) ("+seen("max", "peer, network, reason", increase(of("convex_canary_failures_total"), "1h"))+") > 0", "{{peer}} {{reason}}").
			unit("suffix:/h").upTo(1).size(12, 9).empty("None failed, or no canary is configured").
			to(at("convex-peer"), runbook("ConvexWritesFailing")),
		rows("Canary by peer", "What came of the transactions through each own peer. Rounds failed: in a row, since the last that was executed; two are an alert.").
			label("peer", "Peer", linked(cellToPeer())).
			label("network", "Network").
			value("Rounds failed", "min by (peer, network) ("+of("convex_canary_failed_rounds")+")", digits(0), bythreshold(), graded("text", step{0, "green"}, step{1, "orange"}, step{2, "red"}), lettered()).
			value("Failing since", date("min", byPeer, of("convex_canary_failing_since_timestamp_seconds")), unit("dateTimeFromNow"), missing("not failing"), wide(140)).
			value("Executed", seen("max", byPeer, of("convex_canary_executed_total")), digits(0)).
			sorted("Rounds failed", true).
			size(12, 8).empty(noCanary).
			to(at("convex-peer"), runbook("ConvexWritesFailing")),
		lines("Skipped transactions", "Transactions that were due and not sent, by reason. idle: nobody else makes blocks, and the canary alone would take the weight of the others.").
			query("sum by (network, reason) ("+seen("max", "network, reason", increase(in("convex_canary_skipped_total"), "1h"))+") > 0", "{{network}} {{reason}}").
			unit("suffix:/h").upTo(1).size(12, 8).empty("None was skipped, or no canary is configured").
			to(runbook("ConvexCanaryFunds")),
		lines("Account of the canary", "Balance of the account, and for how long it lasts at the present cost.").
			query(ofNetwork("min", "convex_canary_balance_cvm"), "{{network}} balance").
			unit("suffix: CVM").size(8, 8).empty(noCanary).
			to(at("convex-stake"), runbook("ConvexCanaryFunds")),
		lines("Coins last for", "Time for which the balance lasts at what the last transaction cost. Below three days an alert fires.").
			query(ofNetwork("min", "convex_canary_funds_seconds"), "{{network}}").
			unit("s").size(8, 8).limit("transparent", step{259200, "green"}).empty(noCanary).
			to(at("convex-stake"), runbook("ConvexCanaryFunds")),
		lines("Coins spent", "Spent since midnight UTC, the budget of a day, and what was spent within the last day. A problem with the account counts 1.").
			query(ofNetwork("max", "convex_canary_spent_today_cvm"), "{{network}} today").
			query(ofNetwork("min", "convex_canary_daily_budget_cvm"), "{{network}} budget").
			query(seen("max", byNetwork, increase(in("convex_canary_spent_cvm_total"), "1d")), "{{network}} in a day").
			query(seen("max", "network, problem", in("convex_canary_problem")), "{{network}} problem {{problem}}").
			unit("suffix: CVM").size(8, 8).empty(noCanary).
			to(at("convex-stake"), runbook("ConvexCanaryFunds")),
	}
}
