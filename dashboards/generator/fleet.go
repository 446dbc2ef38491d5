package main

// fleet says at one glance whether something is wrong, what and where, for two peers or two thousand.
func fleet() board {
	made := started("convex-fleet", "3h")
	made.annotations = []annotation{
		{"Pages", "red", "max by (alertname, network, peer) (" + firing(`alertstate="firing"`, `severity="critical"`) + ")", "{{alertname}} {{peer}} {{network}}"},
		agentRestarts, reloads,
	}
	made.rows = []row{
		{panels: append(fleetNumbers(), wrongNow(), alerts())},
		{"Networks", []*panel{networks()}},
		{"Peers", []*panel{peerTable(), worstHealth(), healthCounts()}},
		{"Worst of all", fleetLines()},
	}
	return made
}

// Of the agents: what they say is only as good as they are.
var (
	agentRestarts = annotation{"Agent restarts", "purple",
		told("max", "vantage", "changes(process_start_time_seconds[$__rate_interval])") + " > 0", "{{vantage}} was restarted"}
	reloads = annotation{"Reloads", "blue",
		told("max", "vantage", "changes(convex_monitor_config_last_reload_success_timestamp_seconds[$__rate_interval])") + " > 0",
		"{{vantage}} loaded a configuration"}
)

func fleetNumbers() []*panel {
	health := func(title, about, state, color string) *panel {
		series := seen("max", byPeer, of("convex_peer_health", `state="`+state+`"`))
		return numbers(title, about).size(4, 4).
			now("sum("+own(series)+")", "own").
			now("sum("+reference(series)+")", "references").
			steps("green", step{1, color}).
			// References never page: they must not look as if they did.
			override("references", property("thresholds", thresholds(neutral, nil)))
	}
	return []*panel{
		numbers("Pages", "Critical alerts of the shipped rules that fire for the peers and networks shown, and for the agents. Somebody is woken for these.").
			now("count("+firing(`alertstate="firing"`, `severity="critical"`)+") or vector(0)", "").
			steps("green", step{1, "red"}).
			to(at("convex-service-level"), runbook("ConvexPeerDown")),
		numbers("Tickets", "Warning alerts that fire: for the next working day.").
			now("count("+firing(`alertstate="firing"`, `severity="warning"`)+") or vector(0)", "").
			steps("green", step{1, "orange"}).
			to(at("convex-service-level"), runbook("ConvexPeerDegraded")),
		health("Down", "Peers that are down for at least one agent: own ones, and references, which never page.", "down", "red").
			to(at("convex-peer"), runbook("ConvexPeerDown")),
		health("Degraded", "Peers that answer while something is wrong with them: the conditions say what.", "degraded", "orange").
			to(at("convex-peer"), runbook("ConvexPeerDegraded")),
		health("Unknown", "Peers of which nothing is known: not polled often enough yet, or an agent has trouble of its own.", "unknown", "purple").
			to(at("convex-monitor"), runbook("ConvexMonitoringBlind")),
		health("Up", "Peers that answer and have nothing against them, for at least one agent.", "up", "green").
			to(at("convex-service-level")),
		numbers("Agents", "Monitoring agents that Prometheus can scrape. None: everything here is old.").size(2, 4).
			now(`count(convex_monitor_info{vantage=~"$vantage"}) or vector(0)`, "").
			steps("red", step{1, "green"}).
			to(at("convex-monitor"), runbook("ConvexMonitorDown")),
	}
}

func wrongNow() *panel {
	conditions := seen("max", "peer, network, condition", of("convex_peer_condition"))
	troubled := "topk(200, (" + badness() + ") * on (peer, network) group_right () " + conditions + " > 0)"
	bare := "topk(50, " + badness() + " > 0) unless on (peer, network) " + of("convex_peer_condition")
	role := seen("max", "peer, network, role", of("convex_peer_info"))
	// Without an agent nothing would look wrong.
	blind := `label_replace(vector(1) unless on () convex_monitor_info{vantage=~"$vantage"}, "condition", "no agent is heard", "", "")`
	return rows("What is wrong", "Each peer that is not up, and why, the worst first. A peer of which nothing is known has no condition. Empty: agents are there and find nothing wrong. Click a peer to see it alone.").
		value("Health", "("+troubled+" or "+bare+") * on (peer, network) group_left (role) "+role+" or "+blind, words(healthWords), cell(), wide(100)).
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("role", "Role", wide(90)).
		label("condition", "Condition").
		value("Since", date("min", "peer, network, condition", of("convex_peer_condition_since_timestamp_seconds"))+" and on (peer, network, condition) ("+troubled+")", unit("dateTimeFromNow"), missing("-"), wide(120)).
		sorted("Health", true).
		size(12, 9).empty("Nothing is wrong").
		to(at("convex-peer"), runbook("ConvexPeerDegraded"))
}

func alerts() *panel {
	severity := func(rank, severity string) string {
		return rank + " * max by (alertname, alertstate, peer, network, vantage) (" + firing(`severity="`+severity+`"`) + ")"
	}
	return rows("Alerts", "Alerts of the shipped rules that fire or wait for their time. ConvexWatchdog always fires: where it is missing, this Prometheus has not loaded the rules.").
		value("Severity", severity("2", "critical")+" or "+severity("1", "warning")+" or "+severity("0", "info"),
			words(mapping{{"info", "blue"}, {"warning", "orange"}, {"critical", "red"}}), cell(), wide(90)).
		label("alertname", "Alert", wide(230), linked(leading("Runbook", "https://runbooks.example/${__value.raw}.md"))).
		label("alertstate", "State", wide(75)).
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("vantage", "Vantage", wide(90)).
		sorted("Severity", true).
		size(12, 9).empty("The shipped rules are not loaded").
		to(at("convex-service-level"), runbook("ConvexWatchdog"))
}

func networks() *panel {
	of := func(how, metric string) string { return seen(how, byNetwork, in(metric)) }
	return rows("Networks", "One line for each network. Idle is healthy: nothing is pending. The quorum margin is 33 % when no peer is missing; below 0 nothing becomes final. Losable: peers, the heaviest first, that can still be lost. Stake reached: share of the registered stake of the peers that gave the best agent a good poll within two intervals.").
		label("network", "Network", linked(leading("Consensus and forks", "/d/convex-consensus?${datasource:queryparam}&var-network=${__value.raw}&${peer:queryparam}&${vantage:queryparam}&${__url_time_range}"))).
		value("Order", seen("max", byNetwork, orderOf("convex_network_order_state", in)), words(orderWords), cell(), wide(110)).
		value("Quorum margin", of("min", "convex_network_quorum_margin_ratio"),
			unit("percentunit"), digits(1), missing("unknown"), bythreshold(), graded("red", step{0, "orange"}, step{0.23, "green"}), lettered()).
		value("Losable, worst", losable("worst"), missing("-")).
		value("Losable, best", losable("best"), missing("-")).
		value("Stake reached", of("max", "convex_network_reached_stake_ratio"), unit("percentunit"), digits(0), missing("unknown")).
		value("Stake compared", of("max", "convex_network_compared_stake_ratio"), unit("percentunit"), digits(0), missing("unknown")).
		value("States", of("max", "convex_network_state_groups"), missing("not compared"), bythreshold(), graded("green", step{2, "red"}), lettered()).
		value("Split", orUnknown(of("max", "convex_network_split")), words(evidenceWords), lettered(), missing("-")).
		value("Since finality", "time() - "+of("max", "convex_network_finality_advance_timestamp_seconds"), unit("s"), digits(0), missing("-")).
		value("Head block", of("max", "convex_network_head_block"), missing("unknown")).
		value("Watched", "count by (network) ("+seen("max", byPeer, in("convex_peer_info"))+")").
		value("Registered", of("max", "convex_network_peers_registered"), missing("-")).
		sorted("Order", true).
		size(24, 5).
		to(at("convex-consensus"), runbook("ConvexConsensusStalled"))
}

func peerTable() *panel {
	return rows("Peers", "One line for each peer, the 50 worst; with several agents, as the agent sees it that sees it worst. Click a name to see that peer alone.").
		value("Health", "topk(50, "+badness()+")", words(healthWords), cell(), wide(100)).
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("role", "Role", wide(90)).
		join(worst(seen("max", "peer, network, role", of("convex_peer_info")))).
		value("Conditions", worst("count by (peer, network) ("+seen("max", "peer, network, condition", of("convex_peer_condition"))+")"),
			missing("-"), bythreshold(), graded("orange"), lettered(), wide(100)).
		value("Last answer", worst(date("max", byPeer, of("convex_probe_last_success_timestamp_seconds"))), unit("dateTimeFromNow"), missing("never")).
		value("Bad polls (1 h)", worst(failedShare("1h")),
			unit("percentunit"), digits(2), bythreshold(), graded("green", step{0.001, "orange"}, step{0.01, "red"}), lettered()).
		value("Latency (15 min)", worst("max by (peer, network) ("+meanLatency("15m")+")"), unit("s"), digits(1), missing("-")).
		value("Lag", worst(seen("max", byPeer, of("convex_peer_lag_blocks"))), unit("suffix: blocks"), missing("-")).
		value("State block", worst(seen("max", byPeer, of("convex_peer_state_block"))), missing("-")).
		value("State", worst(agreement()), words(agreementWords), lettered(), missing("-")).
		value("Certificate", worst("("+seen("min", byPeer, of("convex_probe_tls_not_after_timestamp_seconds"))+" - time()) / 86400"),
			unit("suffix: days"), digits(0), missing("no TLS"), bythreshold(), graded("red", step{0, "green"}), lettered()).
		value("Maintenance", worst(seen("max", byPeer, of("convex_peer_maintenance"))), words(mapping{{"", "text"}, {"yes", "blue"}}), missing("-"), lettered()).
		sorted("Health", true).
		size(24, 12).
		to(at("convex-peer"), at("convex-service-level"))
}

func worstHealth() *panel {
	now := seen("max", byPeer, "3 * "+of("convex_peer_health", `state="down"`)+" @ end()"+
		" + ignoring (state) 2 * "+of("convex_peer_health", `state="degraded"`)+" @ end()"+
		" + ignoring (state) "+of("convex_peer_health", `state="unknown"`)+" @ end()")
	return states("Health of the worst", "The verdict over polls of the 15 peers that are worst at the end of the time shown. A gap: no agent was there.", healthWords).
		query(badness()+" and on (peer, network) topk(15, "+now+")", "{{peer}}").
		size(14, 9).
		to(at("convex-peer"), runbook("ConvexPeerDegraded"))
}

func healthCounts() *panel {
	made := lines("Peers by health", "Watched peers of the networks shown, whatever peer is chosen: own ones and references. One that two agents judge differently counts twice.").
		query("sum by (state) ("+seen("max", byPeer+", state", in("convex_peer_health"))+")", "{{state}}").
		stacked().size(10, 9).decimals(0).
		to(at("convex-consensus"), at("convex-monitor"))
	for _, it := range healthWords {
		made.colored(it.text, it.color)
	}
	return made
}

func fleetLines() []*panel {
	return []*panel{
		lines("Failed polls, the worst", "Polls a minute that were not good, of the 10 peers with the most, as all agents saw them. For one agent 4 a minute is every poll at an interval of 15 s.").
			query("topk(10, 60 * "+seen("sum", byPeer, rate(of("convex_peer_poll_failures_total")))+" > 0)", "{{peer}}").
			unit("suffix:/min").upTo(1).size(8, 8).empty("No failed poll is known").
			to(at("convex-service-level"), runbook("ConvexErrorBudgetBurn")),
		lines("Why endpoints fail", "Failures a minute of the endpoints of all peers of the networks shown, whatever peer is chosen: refused and timeout are the peer or the way to it, query_hangs is a peer that answers its status only, monitor is an agent's own trouble.").
			query("60 * "+seen("sum", "transport, reason", rate(in("convex_network_probe_failures_total")))+" > 0", "{{transport}} {{reason}}").
			unit("suffix:/min").size(8, 8).empty("No failed poll is known").
			to(at("convex-peer"), runbook("ConvexPeerDown")),
		lines("Slowest peers", "Mean time from the first byte of the request to the last byte of the answers, of good polls, of the 10 slowest endpoints. Connecting is not in it.").
			query("topk(10, "+meanLatency("$__rate_interval")+")", "{{peer}} {{transport}}").
			unit("s").size(8, 8).
			to(at("convex-peer"), runbook("ConvexLatencyHigh")),
		lines("Latency of the networks", "Median and 99th percentile over all peers of a network, whatever peer is chosen. When both rise for all, look at the agent's host and its network first.").
			query("histogram_quantile(0.5, "+seen("sum", "le, network, transport", rate(in("convex_network_probe_duration_seconds_bucket")))+")", "{{network}} {{transport}} median").
			query("histogram_quantile(0.99, "+seen("sum", "le, network, transport", rate(in("convex_network_probe_duration_seconds_bucket")))+")", "{{network}} {{transport}} p99").
			unit("s").size(12, 8).
			to(at("convex-monitor"), runbook("ConvexLatencyHigh")),
		lines("Furthest behind", "Blocks from the last block that is final at a peer to the head of its network, of the 10 peers that lag most; 0 at the head.").
			query("topk(10, "+seen("max", byPeer, of("convex_peer_lag_blocks"))+")", "{{peer}}").
			unit("suffix: blocks").upTo(10).size(12, 8).
			to(at("convex-consensus"), runbook("ConvexPeerLagging")),
	}
}
