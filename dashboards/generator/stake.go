package main

// stake shows stakes, balances and prices as most of the network has them on chain.
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
		{title: "Stake over time", panels: peerStake()},
		{title: "Controllers and registry", panels: registry()},
		{title: "Economy", panels: economy()},
		{title: "Custom queries (if configured)", panels: queries(), collapsed: true},
	}
	return made
}

func stakeNumbers() []*panel {
	return []*panel{
		numbers("Lowest own stake", "Of your own peers. Below 1000 CVM other peers ignore a peer, and anyone may evict it: add stake before that.").
			now("min("+own(seen("min", byPeer, of("convex_stake_own_cvm")))+")", "").unit("suffix: CVM").decimals(0).size(4, 4).empty("unknown").
			steps(neutral, step{0, "red"}, step{1000, "orange"}, step{1100, "green"}).
			to(at("convex-peer"), runbook("ConvexOwnStakeBelowMinimum")),
		numbers("Decayed weights", "Your own peers whose stake loses weight because they make no blocks while others do. Send a transaction through such a peer.").
			now("count("+own(seen("max", byPeer, of("convex_peer_condition", `condition="weight_decayed"`)))+") or vector(0)", "").size(4, 4).
			steps("green", step{1, "orange"}).
			to(at("convex-peer"), runbook("ConvexWeightDecayed")),
		numbers("Lowest balance", "Of the accounts that control watched peers. They pay for changes of stake: top up the account before it is empty.").
			now("min("+seen("min", "network, controller", in("convex_controller_balance_cvm"))+")", "").unit("suffix: CVM").size(4, 4).empty("unknown").
			steps(neutral, step{0, "red"}, step{1, "orange"}, step{10, "green"}).
			to(at("convex-fleet"), runbook("ConvexControllerBalanceLow")),
		numbers("Network stake (CVM)", "Coin staked on all registered peers, including rewards.").
			now(ofNetwork("max", "convex_network_stake_cvm"), "{{network}}").unit("short").plain().size(4, 4).empty("unknown").
			to(at("convex-consensus"), runbook("ConvexQuorumUnknown")),
		numbers("Registered peers", "Peers registered on chain, watched or not.").
			now(ofNetwork("max", "convex_network_peers_registered"), "{{network}}").plain().size(4, 4).empty("unknown").
			to(at("convex-consensus")),
		numbers("Age of the registry", "Time since the registry of peers was read, which is read every stake_interval of the network, a minute by default. Everything here is that old.").
			now("time() - "+ofNetwork("max", "convex_network_stake_timestamp_seconds"), "{{network}}").unit("s").decimals(0).size(4, 4).empty("never").
			steps(neutral, step{0, "green"}, step{300, "orange"}).
			to(at("convex-monitor"), runbook("ConvexQuorumUnknown")),
	}
}

func stakes() *panel {
	poorest := func(expression string) string {
		return expression + " and on (peer, network) bottomk(50, " + seen("min", byPeer, of("convex_stake_own_cvm")) + ")"
	}
	return rows("Stake by peer", "The 50 watched peers with the least own stake, those nearest to eviction first. Counts: the fraction of the stake that counts; it falls while a peer makes no blocks and others do. Above limit: own stake above the 1000 CVM below which a peer can be evicted.").
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		value("Own", poorest(seen("max", byPeer, of("convex_stake_own_cvm"))), unit("suffix: CVM"), digits(0)).
		value("Above limit", poorest(seen("min", byPeer, of("convex_stake_eviction_margin_cvm"))), unit("suffix: CVM"), digits(0),
			bythreshold(), graded("text", step{lowest, "red"}, step{0, "orange"}, step{100, "green"}), lettered()).
		value("Delegated", poorest(seen("max", byPeer, of("convex_stake_delegated_cvm"))), unit("suffix: CVM"), digits(0)).
		value("Counts", poorest(seen("max", byPeer, of("convex_stake_decay_ratio"))), unit("percentunit"), digits(1),
			bythreshold(), graded("text", step{0, "orange"}, step{0.5, "green"}), lettered()).
		value("Weight", poorest(seen("max", byPeer, of("convex_stake_weight_ratio"))), unit("percentunit"), digits(1)).
		value("Last block", poorest(date("max", byPeer, of("convex_peer_last_block_timestamp_seconds"))), unit("dateTimeFromNow"), missing("never")).
		value("Expected every", poorest(seen("max", byPeer, of("convex_peer_expected_block_interval_seconds"))), unit("s")).
		sorted("Own", false).
		size(24, 7).empty("No watched peer is registered, or the registry was not read").
		to(at("convex-peer"), at("convex-consensus"))
}

func peerStake() []*panel {
	const unread = "Registry not read, or metrics.detail is lean"
	return []*panel{
		lines("Own and delegated stake", "Of the 10 watched peers with the most. A step down: stake was withdrawn.").
			query(ten(byPeer, seen("max", byPeer, of("convex_stake_own_cvm")+" + "+of("convex_stake_delegated_cvm")), seen("max", byPeer, inRange("max_over_time", of("convex_stake_own_cvm"))+" + "+inRange("max_over_time", of("convex_stake_delegated_cvm")))), "{{peer}}").
			unit("suffix: CVM").size(8, 9).empty("Registry not read, or only references in lean detail").
			to(at("convex-peer")),
		lines("Weight", "Share of the network's weight, of the 10 heaviest watched peers.").
			query(ten(byPeer, seen("max", byPeer, of("convex_stake_weight_ratio")), seen("max", byPeer, inRange("max_over_time", of("convex_stake_weight_ratio")))), "{{peer}}").
			unit("percentunit").size(8, 9).empty(unread).
			to(at("convex-consensus"), runbook("ConvexWeightDecayed")),
		lines("Stake that counts", "Fraction of the stake that counts, of the 10 peers that have lost most. It falls while a peer makes no blocks and others do.").
			query(tenLowest(byPeer, seen("min", byPeer, of("convex_stake_decay_ratio")), seen("min", byPeer, inRange("min_over_time", of("convex_stake_decay_ratio")))), "{{peer}}").
			unit("percentunit").upTo(1).size(8, 9).empty(unread).
			to(at("convex-peer"), runbook("ConvexWeightDecayed")),
	}
}

func registry() []*panel {
	return []*panel{
		lines("Balances of controllers", "Of the 10 poorest accounts that control watched peers. They pay for changes of stake.").
			query(tenLowest("network, controller", seen("min", "network, controller", in("convex_controller_balance_cvm")), seen("min", "network, controller", inRange("min_over_time", in("convex_controller_balance_cvm")))), "{{network}} {{controller}}").
			unit("suffix: CVM").size(12, 8).empty("Unknown: no controller's balance was read").
			to(at("convex-fleet"), runbook("ConvexControllerBalanceLow")),
		lines("Network stake over time (CVM)", "Coin staked on all registered peers, including rewards.").
			query(ofNetwork("max", "convex_network_stake_cvm"), "{{network}}").
			unit("short").close().size(12, 8).empty(stakeUnknown).
			to(at("convex-consensus")),
		lines("Registered peers over time", "Peers registered on chain, watched or not.").
			query(ofNetwork("max", "convex_network_peers_registered"), "{{network}}").
			size(12, 8).decimals(0).empty(stakeUnknown).
			to(at("convex-consensus")),
		states("Registry queries", "Whether the registry of peers could be read. While it fails, stake, head, lag and quorum become unknown: check which peers answer queries.", mapping{{"answered", "green"}, {"failed", "red"}}).
			query(ofNetwork("max", "convex_network_query_error"), "{{network}}").
			size(12, 8).empty("Not queried yet").
			to(at("convex-monitor"), runbook("ConvexQuorumUnknown")),
	}
}

func economy() []*panel {
	figure := func(title, about, metric string) *panel {
		return lines(title, about).query(ofNetwork("max", metric), "{{network}}").size(8, 8).empty("Unknown: no peer answered the query").to(at("convex-consensus"))
	}
	return []*panel{
		figure("Coin supply (CVM)", "Coins in existence.", "convex_network_coin_supply_cvm").unit("short").close(),
		figure("Fees", "Fees that are not yet distributed.", "convex_network_fees_pool_cvm").unit("suffix: CVM").upTo(1),
		figure("Accounts", "Accounts in the newest state of the majority.", "convex_network_accounts").decimals(0).close(),
		figure("Price of juice", "Of one unit.", "convex_network_copper_per_juice").unit("suffix: copper"),
		figure("Price of memory", "Of one byte.", "convex_network_copper_per_memory_byte").unit("suffix: copper"),
		figure("Memory for sale", "In the memory pool of the network.", "convex_network_memory_pool_bytes").unit("decbytes").close(),
	}
}

func queries() []*panel {
	const byQuery, unconfigured = "network, query", "No queries are configured"
	return []*panel{
		lines("Query results", "Results of the queries in the configuration.").
			query(seen("max", byQuery, in("convex_query_value")), "{{network}} {{query}}").
			empty(unconfigured).
			to(at("convex-fleet")),
		rows("Queries", "The last result of each query, whether the last execution returned a number, and when one last did. If it fails, run the query by hand on a peer.").
			label("network", "Network").
			label("query", "Query").
			value("Result", seen("max", byQuery, in("convex_query_value"))).
			value("Successful", seen("min", byQuery, in("convex_query_success")), words(soundWords), lettered()).
			value("Last success", date("max", byQuery, in("convex_query_last_success_timestamp_seconds")), unit("dateTimeFromNow"), missing("never")).
			sorted("Query", false).
			size(12, 8).empty(unconfigured).
			to(at("convex-monitor")),
	}
}
