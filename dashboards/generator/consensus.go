package main

// consensus says whether networks agree and go on.
func consensus() board {
	made := started("convex-consensus", "6h")
	made.annotations = []annotation{
		{"Order stalled", "red", seen("max", byNetwork, in("convex_network_order_state", `state="stalled"`)) + " == 1", "{{network}} finalises nothing"},
		{"Split", "dark-red", seen("max", byNetwork, in("convex_network_split")) + " == 1", "{{network}} is split"},
		{"State diverged", "orange", seen("max", byPeer, of("convex_peer_state_diverged")) + " == 1", "{{peer}} has another state"},
	}
	made.rows = []row{
		{panels: append(consensusNumbers(), orderOverTime(), networkPeers(), standings())},
		{"Head and finality", headAndFinality()},
		{"Agreement", agreement()},
	}
	return made
}

func ofNetwork(how, metric string) string { return seen(how, byNetwork, in(metric)) }

func consensusNumbers() []*panel {
	return []*panel{
		numbers("Order", "What the order of the network does: advancing, idle (nothing waits), stalled (blocks wait and finality stands), receding, unknown.").
			now(seen("max", byNetwork, orderOf("convex_network_order_state", in)), "{{network}}").named(orderWords).size(4, 4).
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		numbers("Quorum margin", "Weight that may still be lost before consensus stops, by what is proven to be absent: 33 % when nobody is missed, below 0 no quorum; below 23 % a tenth of the weight is missing. With several agents the lowest.").
			now(ofNetwork("min", "convex_network_quorum_margin_ratio"), "{{network}}").unit("percentunit").decimals(1).size(4, 4).empty("-").
			steps(neutral, step{-1, "red"}, step{0, "orange"}, step{0.23, "green"}).
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		numbers("Losable peers", "Peers, the heaviest first, that can be lost before consensus stops. With few peers 0 is what the network is, not what happened to it.").
			now(ofNetwork("min", "convex_network_losable_peers"), "{{network}}").plain().empty("-").
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		numbers("Distinct states", "Different states among the peers that are heard, at the same block. 1: all agree.").
			now(ofNetwork("max", "convex_network_state_groups"), "{{network}}").empty("-").
			steps(neutral, step{0, "green"}, step{2, "red"}).
			to(at("convex-peer"), runbook("ConvexStateDiverged")),
		numbers("Split", "Whether peers disagree and no state has more than half of the weight.").
			now(ofNetwork("max", "convex_network_split"), "{{network}}").named(faultWords).empty("-").
			to(at("convex-fleet"), runbook("ConvexNetworkSplit")),
		numbers("Since finality", "Time since finality was last seen to grow on any watched peer. It grows without harm on an idle network.").
			now("time() - "+ofNetwork("max", "convex_network_finality_advance_timestamp_seconds"), "{{network}}").
			unit("s").decimals(0).plain().empty("-").size(4, 4).
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		numbers("Head block", "The highest state block that the majority has reached.").
			now(ofNetwork("max", "convex_network_head_block"), "{{network}}").plain().empty("-").
			to(at("convex-fleet")),
	}
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
	// Another state is worse than all that an outage is.
	health := badness()
	badness := "10 * " + seen("max", byPeer, of("convex_peer_state_diverged")) + " + " + health + " or " + health
	worst := func(expression string) string {
		return expression + " and on (peer, network) topk(50, " + badness + ")"
	}
	return rows("Peers", "How each watched peer stands to its network, 50 of them, those with another state first; with several agents, as the agent sees it that sees it worst. Click a name to see the peer alone.").
		value("Health", worst("("+health+")"), words(healthWords), cell(), wide(100)).
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("role", "Role", wide(90)).
		join(worst(seen("max", "peer, network, role", of("convex_peer_info")))).
		value("Order", worst(seen("max", byPeer, orderOf("convex_peer_order_state", of))), words(orderWords), cell(), wide(100)).
		value("Lag", worst(seen("max", byPeer, of("convex_peer_lag_blocks"))), unit("suffix: blocks"), missing("-")).
		value("Behind for", worst(seen("max", byPeer, of("convex_peer_lag_seconds"))), unit("s"), digits(0), missing("-")).
		value("Other state", worst(seen("max", byPeer, of("convex_peer_state_diverged"))), words(faultWords), lettered(), missing("-")).
		value("From block", worst(seen("min", byPeer, of("convex_peer_divergence_first_block"))), missing("-")).
		value("Pending", worst(seen("max", byPeer, of("convex_peer_pending_blocks"))), unit("suffix: blocks"), missing("-")).
		value("Weight", worst(seen("max", byPeer, of("convex_stake_weight_ratio"))), unit("percentunit"), digits(1), missing("-")).
		value("Restarts (24 h)", worst(seen("max", byPeer, increase(of("convex_peer_restarts_inferred_total"), "24h"))), digits(0)).
		sorted("Other state", true).
		size(24, 10).
		to(at("convex-peer"), runbook("ConvexStateDiverged"))
}

func headAndFinality() []*panel {
	return []*panel{
		lines("Head", "The highest state block that the majority has reached.").
			query(ofNetwork("max", "convex_network_head_block"), "{{network}}").
			size(8, 8).decimals(0).close().
			to(at("convex-fleet")),
		lines("Blocks a minute", "How fast the head moves. 0 on an idle network.").
			query("60 * "+seen("max", byNetwork, "deriv("+in("convex_network_head_block")+"[$__rate_interval])"), "{{network}}").
			unit("suffix:/min").size(8, 8).
			to(at("convex-stake"), runbook("ConvexConsensusStalled")),
		lines("Age of finality and head", "Time since finality was last seen to grow, and since the last block of the newest state. Both grow without harm on an idle network; where blocks wait, see Order.").
			query("time() - "+ofNetwork("max", "convex_network_finality_advance_timestamp_seconds"), "{{network}} finality").
			query("time() - "+ofNetwork("max", "convex_network_head_timestamp_seconds"), "{{network}} head").
			unit("s").size(8, 8).
			to(at("convex-fleet"), runbook("ConvexConsensusStalled")),
		lines("Lag of the furthest behind", "Blocks from the state of a peer to the head, at the instant of its answer, of the 10 peers that lag most.").
			query("topk(10, "+seen("max", byPeer, of("convex_peer_lag_blocks"))+")", "{{peer}}").
			unit("suffix: blocks").upTo(10).size(12, 8).
			to(at("convex-peer"), runbook("ConvexPeerLagging")),
		lines("Lag in time of the furthest behind", "Time since the head was first seen beyond the state of the peer, 0 when level, of the 10 peers that lag longest.").
			query("topk(10, "+seen("max", byPeer, of("convex_peer_lag_seconds"))+")", "{{peer}}").
			unit("s").upTo(10).size(12, 8).full().
			to(at("convex-peer"), runbook("ConvexPeerLagging")),
	}
}

func agreement() []*panel {
	standing := lines("Weight by standing", "The weight of the network: with the majority, in another state, down, or of peers that nobody watches. Consensus needs 67 % with the majority. Choose one network to see it stack up to 100 %.").
		unit("percentunit").stacked().upTo(1).size(8, 8)
	for _, it := range []word{{"majority", "green"}, {"unobserved", "purple"}, {"minority", "orange"}, {"down", "red"}} {
		standing.query(seen("max", "network, standing", in("convex_network_stake_ratio", `standing="`+it.text+`"`)), "{{network}} {{standing}}").
			colored("/ "+it.text+"$/", it.color)
	}
	now := seen("max", byPeer, of("convex_peer_state_diverged")+" @ end()")
	return []*panel{
		standing.to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		lines("Quorum margin over time", "Weight that may still be lost before consensus stops. Below 0 nothing becomes final.").
			query(ofNetwork("min", "convex_network_quorum_margin_ratio"), "{{network}}").
			unit("percentunit").upTo(0.35).size(8, 8).limit("transparent", step{0, "red"}).
			to(at("convex-stake"), runbook("ConvexQuorumAtRisk")),
		lines("States and diverged peers", "Distinct states among the peers that are heard, and peers whose state is another one than the majority's.").
			query(ofNetwork("max", "convex_network_state_groups"), "{{network}} states").
			query("sum by (network) ("+seen("max", byPeer, of("convex_peer_state_diverged"))+")", "{{network}} diverged peers").
			size(8, 8).decimals(0).
			to(at("convex-fleet"), runbook("ConvexNetworkSplit")),
		states("Order of the worst peers", "What the order of the 15 peers did that are worst at the end of the time shown: green advancing, blue idle, red stalled, orange receding, purple unknown.", orderWords).
			query(seen("max", byPeer, orderOf("convex_peer_order_state", of))+" and on (peer, network) topk(15, "+
				seen("max", byPeer, "4 * "+of("convex_peer_order_state", `state="stalled"`)+" @ end() + ignoring (state) 3 * "+of("convex_peer_order_state", `state="receding"`)+" @ end()")+")", "{{peer}}").
			size(12, 8).
			to(at("convex-peer"), runbook("ConvexConsensusStalled")),
		states("Divergence of peers", "Whether the state of a peer is the majority's: green the same, red another one; 15 peers, those first that have another at the end of the time shown. A gap: no block to compare at.", mapping{{"same", "green"}, {"diverged", "red"}}).
			query(seen("max", byPeer, of("convex_peer_state_diverged"))+" and on (peer, network) topk(15, "+now+")", "{{peer}}").
			size(12, 8).
			to(at("convex-peer"), runbook("ConvexStateDiverged")),
	}
}
