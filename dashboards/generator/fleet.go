package main

// fleet shows at a glance whether something is wrong, what and where, for two peers or two thousand.
func fleet() board {
	made := started("convex-fleet", "3h")
	made.annotations = []annotation{
		{"Critical alerts", "red", "max by (alertname, network, peer) (" + firing(`alertstate="firing"`, `severity="critical"`) + ")", "{{alertname}} {{peer}} {{network}}"},
		agentRestarts, reloads,
	}
	made.rows = []row{
		{panels: append(append(fleetNumbers(), alerts()...), wrongNow())},
		{title: "Networks", panels: []*panel{networks()}},
		{title: "Peers", panels: []*panel{peerTable(), worstHealth(), healthCounts()}},
		{title: "Failures and lag", panels: fleetFailures()},
		{title: "Latency", panels: fleetLatency()},
	}
	return made
}

// Of the agents, whose restarts and reloads can explain gaps.
var (
	agentRestarts = annotation{"Agent restarts", "purple",
		told("max", "vantage", "changes(process_start_time_seconds[$__rate_interval])") + " > 0", "{{vantage}} restarted"}
	reloads = annotation{"Reloads", "blue",
		told("max", "vantage", "changes(convex_monitor_config_last_reload_success_timestamp_seconds[$__rate_interval])") + " > 0",
		"{{vantage}} loaded a configuration"}
)

func fleetNumbers() []*panel {
	health := func(title, about, state, color string, width uint32) *panel {
		series := seen("max", byPeer, of("convex_peer_health", `state="`+state+`"`))
		return numbers(title, about).size(width, 4).
			now("sum("+own(series)+")", "own").
			now("sum("+reference(series)+")", "reference").
			steps("green", step{1, color}).empty(none).
			// References never alert: they must not look as if they did.
			override("reference", property("thresholds", thresholds(neutral, nil)))
	}
	return []*panel{
		numbers("Critical", "Critical alerts that fire for the chosen peers and networks, and for the agents. Act now: the table below names them and links to their runbooks.").size(3, 4).
			now("count("+firing(`alertstate="firing"`, `severity="critical"`)+") or vector(0)", "").
			steps("green", step{1, "red"}).
			to(at("convex-service-level"), runbook("ConvexPeerDown")),
		numbers("Warnings", "Warning alerts that fire. Look at them on the next working day.").size(3, 4).
			now("count("+firing(`alertstate="firing"`, `severity="warning"`)+") or vector(0)", "").
			steps("green", step{1, "orange"}).
			to(at("convex-service-level"), runbook("ConvexPeerDegraded")),
		health("Down", "Peers that at least one agent finds down: your own, and references, which never alert.", "down", "red", 4).
			to(at("convex-peer"), runbook("ConvexPeerDown")),
		health("Degraded", "Peers that answer but have a problem. Their conditions name it.", "degraded", "orange", 4).
			to(at("convex-peer"), runbook("ConvexPeerDegraded")),
		health("Unknown", "Peers without a verdict: not polled often enough yet, or the agent has a problem of its own.", "unknown", "purple", 4).
			to(at("convex-monitor"), runbook("ConvexMonitoringBlind")),
		health("Up", "Peers that answer without problems, for at least one agent.", "up", "green", 3).
			to(at("convex-service-level")),
		numbers("Agents", "Monitoring agents that Prometheus can scrape. With none, nothing on this dashboard is current.").size(3, 4).
			now(`count(convex_monitor_info{vantage=~"$vantage"}) or vector(0)`, "").
			steps("red", step{1, "green"}).
			to(at("convex-monitor"), runbook("ConvexMonitorDown")),
	}
}

// alerts lists critical alerts, and beside them all others.
func alerts() []*panel {
	const labels = "alertname, peer, network, vantage"
	active := func(severity, state string) string {
		return "max by (" + labels + ") (" + firing(severity, `alertname!="ConvexWatchdog"`, `alertstate="`+state+`"`) + ")"
	}
	list := func(title, about, severities, states string, named mapping) *grid {
		return rows(title, about).
			value("State", states, words(named), cell(), wide(80)).
			label("alertname", "Alert", wide(232), linked(leading("Runbook", "https://runbooks.example/${__value.raw}.md"))).
			label("peer", "Peer", linked(cellToPeer())).
			label("network", "Network", wide(80)).
			label("vantage", "Vantage", wide(75)).
			value("Since", "1000 * max by ("+labels+") ("+activeSince(severities, `alertname!="ConvexWatchdog"`)+")", unit("dateTimeFromNow"), wide(130))
	}
	const critical, warning, info = `severity="critical"`, `severity="warning"`, `severity="info"`
	// Without the rules no alert would be active and all would look well.
	unloaded := `label_replace(vector(3) unless on () ALERTS{alertname="ConvexWatchdog"}, "alertname", "ConvexWatchdog", "", "")`
	return []*panel{
		list("Critical alerts", "Critical alerts that fire, or that are pending: true, but not for long enough yet. Click an alert for its runbook. ConvexWatchdog is missing if this Prometheus has not loaded the alert rules.",
			critical, "2 * "+active(critical, "firing")+" or "+active(critical, "pending")+" or "+unloaded,
			mapping{{"", "text"}, {"pending", "yellow"}, {"firing", "red"}, {"missing", "red"}}).
			sorted("State", true).
			size(12, 6).empty("No critical alerts").
			to(at("convex-service-level"), runbook("ConvexWatchdog")),
		list("Warning alerts", "Warnings that fire or are pending, and alerts for information. Click an alert for its runbook.",
			`severity=~"warning|info"`, "3 * "+active(warning, "firing")+" or 2 * "+active(info, "firing")+" or "+active(`severity=~"warning|info"`, "pending"),
			mapping{{"", "text"}, {"pending", "yellow"}, {"info", "blue"}, {"firing", "orange"}}).
			sorted("State", true).
			size(12, 6).empty("No warnings, or the alert rules are not loaded").
			to(at("convex-service-level"), runbook("ConvexPeerDegraded")),
	}
}

func wrongNow() *panel {
	conditions := seen("max", "peer, network, condition", of("convex_peer_condition"))
	troubled := "topk(200, (" + badness() + ") * on (peer, network) group_right () " + conditions + " > 0)"
	bare := "topk(50, " + badness() + " > 0) unless on (peer, network) " + of("convex_peer_condition")
	role := seen("max", "peer, network, role", of("convex_peer_info"))
	// Without an agent nothing would look wrong.
	blind := `label_replace(vector(1) unless on () convex_monitor_info{vantage=~"$vantage"}, "condition", "no agent can be scraped", "", "")`
	return rows("Problems", "Each peer that is not up, with each active condition, the worst first. A peer without a verdict has no condition. Click a peer to see it alone.").
		value("Health", "("+troubled+" or "+bare+") * on (peer, network) group_left (role) "+role+" or "+blind, words(healthWords), cell(), wide(100)).
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("role", "Role", wide(100)).
		label("condition", "Condition").
		value("Since", date("min", "peer, network, condition", of("convex_peer_condition_since_timestamp_seconds"))+" and on (peer, network, condition) ("+troubled+")", unit("dateTimeFromNow")).
		sorted("Health", true).
		size(24, 6).empty("No problems").
		to(at("convex-peer"), runbook("ConvexPeerDegraded"))
}

func networks() *panel {
	of := func(how, metric string) string { return seen(how, byNetwork, in(metric)) }
	return rows("Networks", "One line per network. Idle is healthy: nothing is pending. The quorum margin is 33 % while no peer is missing; below 0 nothing becomes final. Can lose: the number of the heaviest peers that can still fail, if all stake that is not watched is lost already. Stake reached: the share of the registered stake whose peers gave the best agent a good poll within two intervals. Stake compared: the share whose states were compared.").
		label("network", "Network", linked(leading("Consensus and forks", "/d/convex-consensus?${datasource:queryparam}&var-network=${__value.raw}&${peer:queryparam}&${vantage:queryparam}&${__url_time_range}"))).
		value("Order", seen("max", byNetwork, orderOf("convex_network_order_state", in)), words(orderWords), cell(), wide(110)).
		value("Last final", "1000 * "+of("max", "convex_network_finality_advance_timestamp_seconds"), unit("dateTimeFromNow"), missing("unknown"), wide(140)).
		value("Head block", of("max", "convex_network_head_block"), missing("unknown")).
		value("Quorum margin", of("min", "convex_network_quorum_margin_ratio"),
			unit("percentunit"), digits(1), missing("unknown"), wide(125), bythreshold(), graded("text", step{lowest, "red"}, step{0, "orange"}, step{0.23, "green"}), lettered()).
		value("Can lose", losable("worst"), missing("unknown")).
		value("Stake reached", of("max", "convex_network_reached_stake_ratio"), unit("percentunit"), digits(0), missing("unknown"), wide(120)).
		value("Stake compared", of("max", "convex_network_compared_stake_ratio"), unit("percentunit"), digits(0), missing("unknown"), wide(130)).
		value("States", of("max", "convex_network_state_groups"), missing("not compared"), bythreshold(), graded("text", step{0, "green"}, step{2, "red"}), lettered()).
		value("Watched", "count by (network) ("+seen("max", byPeer, in("convex_peer_info"))+")").
		value("Registered", of("max", "convex_network_peers_registered")).
		value("Next upgrade", "1000 * min by (network) ("+seen("min", "network, version", in("convex_network_upgrade_activation_timestamp_seconds"))+")", unit("dateTimeFromNow"), wide(120)).
		sorted("Order", true).
		size(24, 4).
		to(at("convex-consensus"), runbook("ConvexConsensusStalled"))
}

func peerTable() *panel {
	return rows("Peers", "One line per peer, the 50 worst; with several agents, the worst verdict counts. Click a peer to see it alone.").
		value("Health", "topk(50, "+badness()+")", words(healthWords), cell(), wide(100)).
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("role", "Role", wide(90)).
		join(worst(seen("max", "peer, network, role", of("convex_peer_info")))).
		value("Conditions", worst("count by (peer, network) ("+seen("max", "peer, network, condition", of("convex_peer_condition"))+")"),
			bythreshold(), graded("text", step{1, "orange"}), lettered(), wide(95)).
		value("Last answer", worst(date("max", byPeer, of("convex_probe_last_success_timestamp_seconds"))), unit("dateTimeFromNow"), missing("never"), wide(140)).
		value("Failed polls (1 h)", worst(failedShare("1h")),
			unit("percentunit"), digits(2), wide(130), bythreshold(), graded("text", step{0, "green"}, step{0.001, "orange"}, step{0.01, "red"}), lettered()).
		value("Latency (15 min)", worst("max by (peer, network) ("+meanLatency("15m")+")"), unit("s"), digits(1), wide(125)).
		value("Lag", worst(seen("max", byPeer, of("convex_peer_lag_blocks"))), unit("suffix: blocks"), wide(90)).
		value("State", worst(agreement()), words(agreementWords), lettered(), wide(110)).
		value("Certificate", worst("("+seen("min", byPeer, of("convex_probe_tls_not_after_timestamp_seconds"))+" - time()) / 86400"),
			unit("suffix: days"), digits(0), missing("no TLS"), wide(95), bythreshold(), graded("text", step{lowest, "red"}, step{0, "green"}), lettered()).
		value("Maintenance", worst(seen("max", byPeer, of("convex_peer_maintenance"))), words(mapping{{"", "text"}, {"yes", "blue"}}), lettered(), wide(105)).
		sorted("Health", true).
		size(24, 8).
		to(at("convex-peer"), at("convex-service-level"))
}

func worstHealth() *panel {
	now := seen("max", byPeer, "3 * "+of("convex_peer_health", `state="down"`)+" @ end()"+
		" + ignoring (state) 2 * "+of("convex_peer_health", `state="degraded"`)+" @ end()"+
		" + ignoring (state) "+of("convex_peer_health", `state="unknown"`)+" @ end()")
	return states("Health over time", "Health of the 15 peers that are worst at the end of the time range. A gap: no agent was running.", healthWords).
		query(badness()+" and on (peer, network) topk(15, "+now+")", "{{peer}}").
		size(14, 9).
		to(at("convex-peer"), runbook("ConvexPeerDegraded"))
}

func healthCounts() *panel {
	made := lines("Peers by health", "All watched peers of the chosen networks, your own and references. A peer that two agents judge differently counts twice.").
		query("sum by (state) ("+seen("max", byPeer+", state", in("convex_peer_health"))+")", "{{state}}").
		stacked().size(10, 9).decimals(0).
		to(at("convex-consensus"), at("convex-monitor"))
	for _, it := range healthWords {
		made.colored(it.text, it.color)
	}
	return made
}

func fleetFailures() []*panel {
	const noFailure = "No failed polls"
	return []*panel{
		lines("Failed polls", "Of the 10 peers with the most, over all agents. One agent with an interval of 15 s makes 4 polls a minute.").
			query(ten(byPeer, "60 * "+seen("sum", byPeer, rate(of("convex_peer_poll_failures_total")))+" > 0", seen("sum", byPeer, inRange("increase", of("convex_peer_poll_failures_total")))), "{{peer}}").
			unit("suffix:/min").upTo(1).size(8, 9).empty(noFailure).
			to(at("convex-service-level"), runbook("ConvexErrorBudgetBurn")),
		lines("Failures by reason", "Failed polls of endpoints, over all peers of the chosen networks. refused and timeout: the peer or the path to it. query_hangs: the peer answers STATUS but no query. monitor: a problem of the agent itself.").
			query("60 * "+seen("sum", "transport, reason", rate(in("convex_network_probe_failures_total")))+" > 0", "{{transport}} {{reason}}").
			unit("suffix:/min").size(8, 9).empty(noFailure).
			to(at("convex-peer"), runbook("ConvexPeerDown")),
		lines("Lag", "Blocks from the last block that is final at a peer to the head of its network, of the 10 peers that lag most. 0 at the head.").
			query(ten(byPeer, seen("max", byPeer, of("convex_peer_lag_blocks")), seen("max", byPeer, inRange("max_over_time", of("convex_peer_lag_blocks")))), "{{peer}}").
			unit("suffix: blocks").upTo(10).size(8, 9).empty("Unknown: no head, or no peer answers").
			to(at("convex-consensus"), runbook("ConvexPeerLagging")),
	}
}

func fleetLatency() []*panel {
	heatMap := func(title, transport string) *panel {
		return heat(title, "Polls a minute by how long they took, over all peers of the chosen networks. A second band: some peers are slower than the rest. If the whole band rises, check the agent's host and its network first.").
			buckets(latencyBuckets(in, "convex_network_probe_duration_seconds_bucket", transport)).
			size(12, 8).empty("No successful polls over this transport").
			to(at("convex-monitor"), runbook("ConvexLatencyHigh"))
	}
	percentile := func(quantile string) string {
		return "histogram_quantile(" + quantile + ", " + seen("sum", "le, network, transport", rate(in("convex_network_probe_duration_seconds_bucket"))) + ")"
	}
	return []*panel{
		heatMap("Latency over TCP", "tcp"),
		heatMap("Latency over HTTP", "http"),
		lines("Latency by network", "Median and 99th percentile over all peers of a network.").
			query(percentile("0.5"), "{{network}} {{transport}} median").
			query(percentile("0.99"), "{{network}} {{transport}} p99").
			unit("s").size(12, 9).
			to(at("convex-monitor"), runbook("ConvexLatencyHigh")),
		lines("Slowest endpoints", "Mean latency of the 10 slowest endpoints: from the first byte of the request to the last byte of the answers of successful polls, without connecting.").
			query(ten(byTransport, meanLatency("$__rate_interval"), seen("sum", byTransport, inRange("increase", of("convex_probe_duration_seconds_sum")))+
				" / "+seen("sum", byTransport, inRange("increase", of("convex_probe_duration_seconds_count")))+" > 0"), "{{peer}} {{transport}}").
			unit("s").size(12, 9).
			to(at("convex-peer"), runbook("ConvexLatencyHigh")),
	}
}
