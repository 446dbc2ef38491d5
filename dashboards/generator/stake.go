package main

// stake shows what the chain says of stakes, balances and prices, as the majority tells it.
func stake() board {
	made := started("convex-stake", "24h")
	condition := func(name, color, condition, title string) annotation {
		return annotation{name, color, seen("max", byPeer, of("convex_peer_condition", `condition="`+condition+`"`)) + " == 1", title}
	}
	made.annotations = []annotation{
		condition("Stake low", "red", "own_stake_low", "{{peer}} is near eviction"),
		condition("Weight decayed", "orange", "weight_decayed", "{{peer}} makes no blocks"),
		condition("Unregistered", "dark-red", "unregistered", "{{peer}} is not registered"),
	}
	made.rows = []row{
		{panels: append(stakeNumbers(), stakes())},
		{"Stake of peers", peerStake()},
		{"Controllers and registry", registry()},
		{"Economy", economy()},
		{"The operator's own queries", queries()},
	}
	return made
}

func stakeNumbers() []*panel {
	return []*panel{
		numbers("Lowest eviction margin", "Own stake of the own peer with the least, above the 1000 CVM below which a peer is not heard and anybody may evict it.").
			now("min("+own(seen("min", byPeer, of("convex_stake_eviction_margin_cvm")))+")", "").unit("suffix: CVM").size(4, 4).full().
			steps(neutral, step{-1e12, "red"}, step{0, "orange"}, step{100, "green"}).
			to(at("convex-peer"), runbook("ConvexOwnStakeBelowMinimum")),
		numbers("Most decayed weight", "The part of its stake that counts, of the own peer that has lost most: it falls while a peer makes no blocks and others do.").
			now("min("+own(seen("min", byPeer, of("convex_stake_decay_ratio")))+")", "").unit("percentunit").decimals(0).size(4, 4).full().
			steps(neutral, step{0, "orange"}, step{0.5, "green"}).
			to(at("convex-peer"), runbook("ConvexWeightDecayed")),
		numbers("Lowest balance", "Coins of the poorest account that controls a watched peer. It pays for changes of stake.").
			now("min("+seen("min", "network, controller", in("convex_controller_balance_cvm"))+")", "").unit("suffix: CVM").size(4, 4).empty("-").
			steps(neutral, step{0, "red"}, step{1, "orange"}, step{10, "green"}).
			to(at("convex-fleet"), runbook("ConvexControllerBalanceLow")),
		numbers("Stake", "Coin behind all registered peers, rewards included.").
			now(ofNetwork("max", "convex_network_stake_cvm"), "{{network}}").unit("suffix: CVM").decimals(0).plain().size(4, 4).empty("unknown").
			to(at("convex-consensus"), runbook("ConvexQuorumUnknown")),
		numbers("Registered peers", "Peers registered on chain, watched or not.").
			now(ofNetwork("max", "convex_network_peers_registered"), "{{network}}").plain().size(4, 4).empty("-").
			to(at("convex-consensus")),
		numbers("Age of these figures", "Time since the registry of peers was last read. It should stay near networks[].stake_interval, a minute by default.").
			now("time() - "+ofNetwork("max", "convex_network_stake_timestamp_seconds"), "{{network}}").unit("s").decimals(0).size(4, 4).empty("never").
			steps(neutral, step{0, "green"}, step{300, "orange"}).
			to(at("convex-monitor"), runbook("ConvexQuorumUnknown")),
	}
}

func stakes() *panel {
	poorest := func(expression string) string {
		return expression + " and on (peer, network) bottomk(50, " + seen("min", byPeer, of("convex_stake_own_cvm")) + ")"
	}
	return rows("Stake by peer", "What the chain says of watched peers, the 50 with the least own stake, those nearest to eviction first. Decay is the part of the stake that counts; it falls while a peer makes no blocks and others do.").
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		value("Own", poorest(seen("max", byPeer, of("convex_stake_own_cvm"))), unit("suffix: CVM"), digits(0)).
		value("Delegated", poorest(seen("max", byPeer, of("convex_stake_delegated_cvm"))), unit("suffix: CVM"), digits(0)).
		value("Counts", poorest(seen("max", byPeer, of("convex_stake_decay_ratio"))), unit("percentunit"), digits(1),
			bythreshold(), graded("orange", step{0.5, "green"}), lettered()).
		value("Weight", poorest(seen("max", byPeer, of("convex_stake_weight_ratio"))), unit("percentunit"), digits(1), missing("-")).
		value("Above eviction", poorest(seen("min", byPeer, of("convex_stake_eviction_margin_cvm"))), unit("suffix: CVM"), digits(0),
			bythreshold(), graded("red", step{0, "orange"}, step{100, "green"}), lettered()).
		value("Last block", poorest(date("max", byPeer, of("convex_peer_last_block_timestamp_seconds"))), unit("dateTimeFromNow"), missing("never")).
		value("Expected every", poorest(seen("max", byPeer, of("convex_peer_expected_block_interval_seconds"))), unit("s"), missing("-")).
		sorted("Own", false).
		size(24, 8).
		to(at("convex-peer"), at("convex-consensus"))
}

func peerStake() []*panel {
	return []*panel{
		lines("Weight", "The part in the weight of the network, of the 10 heaviest watched peers.").
			query("topk(10, "+seen("max", byPeer, of("convex_stake_weight_ratio"))+")", "{{peer}}").
			unit("percentunit").size(8, 8).full().
			to(at("convex-consensus"), runbook("ConvexWeightDecayed")),
		lines("Own and delegated stake", "Stake behind the 10 watched peers with the most.").
			query("topk(10, "+seen("max", byPeer, of("convex_stake_own_cvm")+" + "+of("convex_stake_delegated_cvm"))+")", "{{peer}}").
			unit("suffix: CVM").size(8, 8).
			to(at("convex-peer")),
		lines("Most decayed", "The part of the stake that counts, of the 10 peers that have lost most of it.").
			query("bottomk(10, "+seen("min", byPeer, of("convex_stake_decay_ratio"))+")", "{{peer}}").
			unit("percentunit").upTo(1).size(8, 8).full().
			to(at("convex-peer"), runbook("ConvexWeightDecayed")),
	}
}

func registry() []*panel {
	return []*panel{
		lines("Controllers' balances", "Coins of the 10 poorest accounts that control watched peers. They pay for changes of stake.").
			query("bottomk(10, "+seen("min", "network, controller", in("convex_controller_balance_cvm"))+")", "{{network}} {{controller}}").
			unit("suffix: CVM").size(8, 7).
			to(at("convex-fleet"), runbook("ConvexControllerBalanceLow")),
		lines("Stake of the network", "Coin behind all registered peers, rewards included.").
			query(ofNetwork("max", "convex_network_stake_cvm"), "{{network}}").
			unit("suffix: CVM").size(8, 7).
			to(at("convex-consensus")),
		lines("Registry", "Peers registered on chain, and whether the last question about them went unanswered (1).").
			query(ofNetwork("max", "convex_network_peers_registered"), "{{network}} registered").
			query(ofNetwork("max", "convex_network_query_error"), "{{network}} unanswered").
			size(8, 7).decimals(0).
			to(at("convex-monitor"), runbook("ConvexQuorumUnknown")),
	}
}

func economy() []*panel {
	figure := func(title, about, metric string) *panel {
		return lines(title, about).query(ofNetwork("max", metric), "{{network}}").size(8, 7).to(at("convex-consensus"))
	}
	return []*panel{
		lines("Coin supply", "Coins in existence, in millions of CVM.").
			query(ofNetwork("max", "convex_network_coin_supply_cvm")+" / 1e6", "{{network}}").
			unit("suffix: million").close().size(8, 7).
			to(at("convex-consensus")),
		figure("Fees", "Fees that are not distributed yet.", "convex_network_fees_pool_cvm").unit("suffix: CVM").upTo(1),
		figure("Accounts of the network", "Accounts in the newest state of the majority.", "convex_network_accounts").decimals(0).close(),
		figure("Price of juice", "What a unit of juice costs.", "convex_network_copper_per_juice").unit("suffix: copper"),
		figure("Price of memory", "What a byte of memory costs.", "convex_network_copper_per_memory_byte").unit("suffix: copper"),
		figure("Memory for sale", "Memory that the pool of the network has for sale.", "convex_network_memory_pool_bytes").unit("decbytes").close(),
	}
}

func queries() []*panel {
	const byQuery = "network, query"
	return []*panel{
		lines("Values", "What the operator's own queries are answered with.").
			query(seen("max", byQuery, in("convex_query_value")), "{{network}} {{query}}").
			empty("There are no queries in the configuration").
			to(at("convex-fleet")),
		rows("Queries", "Whether each query was answered with a number last time, with which, and when that was.").
			label("network", "Network").
			label("query", "Query").
			value("Value", seen("max", byQuery, in("convex_query_value")), missing("-")).
			value("Answered", seen("min", byQuery, in("convex_query_success")), words(soundWords), lettered()).
			value("Last answer", date("max", byQuery, in("convex_query_last_success_timestamp_seconds")), unit("dateTimeFromNow"), missing("never")).
			sorted("Query", false).
			size(12, 8).empty("There are no queries in the configuration").
			to(at("convex-monitor")),
	}
}
