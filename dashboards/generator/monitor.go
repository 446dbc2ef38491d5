package main

// monitor says whether the agents can be believed.
func monitor() board {
	made := started("convex-monitor", "6h")
	made.annotations = []annotation{
		agentRestarts, reloads,
		{"Own check fails", "red", told("min", "vantage, check", "convex_monitor_self_healthy") + " == 0", "{{vantage}}: {{check}}"},
	}
	made.rows = []row{
		{panels: append(monitorNumbers(), agents(), ownChecks())},
		{"Rhythm", rhythm()},
		{"Notifications", notifications()},
		{"Process", process()},
	}
	return made
}

func ofAgent(how, series string) string { return told(how, "vantage", series) }

func monitorNumbers() []*panel {
	return []*panel{
		numbers("Agents", "Monitoring agents that Prometheus can scrape.").size(4, 4).
			now(`count(convex_monitor_info{vantage=~"$vantage"}) or vector(0)`, "").steps("red", step{1, "green"}).
			to(at("convex-fleet"), runbook("ConvexMonitorDown")),
		numbers("Agents lost", "Targets that were agents within the last week and cannot be scraped now.").size(4, 4).
			now(`count((up == 0) + on (job, instance) group_right () last_over_time(convex_monitor_info{vantage=~"$vantage"}[1w])) or vector(0)`, "").
			steps("green", step{1, "red"}).
			to(at("convex-fleet"), runbook("ConvexAgentDown")),
		numbers("Failed checks", "Checks of the agents' own health that fail now.").size(4, 4).
			now("count("+told("min", "vantage, check", "convex_monitor_self_healthy")+" == 0) or vector(0)", "").
			steps("green", step{1, "red"}).
			to(at("convex-fleet"), runbook("ConvexMonitoringBlind")),
		numbers("Old configurations", "Agents whose last reload failed: the configuration before it stays in force.").size(4, 4).
			now("count("+ofAgent("min", "convex_monitor_config_last_reload_successful")+" == 0) or vector(0)", "").
			steps("green", step{1, "orange"}).
			to(runbook("ConvexConfigReloadFailed")),
		numbers("Missed polls (1 h)", "Polls within the last hour that did not begin before the next one of the same peer was due.").size(4, 4).
			now("sum("+ofAgent("sum", increase("convex_monitor_missed_polls_total", "1h"))+")", "").decimals(0).
			steps("green", step{1, "orange"}).
			to(runbook("ConvexMonitorMissesPolls")),
		numbers("Unknown peers", "Peers of which an agent knows nothing, in all networks.").size(4, 4).
			now("sum("+seen("max", byPeer, in("convex_peer_health", `state="unknown"`))+")", "").
			steps("green", step{1, "purple"}).
			to(at("convex-fleet"), runbook("ConvexMonitoringBlind")),
	}
}

func agents() *panel {
	return rows("Agent list", "The agents that this Prometheus scrapes. A failed reload leaves the configuration before it in force.").
		label("vantage", "Vantage").
		label("mode", "Mode", wide(90)).
		label("version", "Version", wide(90)).
		join(`max by (vantage, mode) (convex_monitor_info{vantage=~"$vantage"})`).
		join(told("max", "vantage, version", "convex_monitor_build_info")).
		value("Shard", ofAgent("max", "convex_monitor_shard"), wide(80)).
		value("of", ofAgent("max", "convex_monitor_shards"), wide(60)).
		value("Peers", ofAgent("sum", "sum by (job, instance) ("+in("convex_monitor_targets")+")")).
		value("Series", ofAgent("sum", "convex_monitor_series")).
		value("Reload", ofAgent("min", "convex_monitor_config_last_reload_successful"), words(mapping{{"failed", "red"}, {"good", "green"}}), lettered(), wide(90)).
		value("Loaded", "1000 * "+ofAgent("max", "convex_monitor_config_last_reload_success_timestamp_seconds"), unit("dateTimeFromNow")).
		value("Started", "1000 * "+ofAgent("max", "process_start_time_seconds"), unit("dateTimeFromNow")).
		sorted("Vantage", false).
		size(24, 5).empty("No agent can be scraped").
		to(at("convex-fleet"), runbook("ConvexAgentDown"), runbook("ConvexConfigReloadFailed"))
}

func ownChecks() *panel {
	return states("Own checks", "Whether the agents' own checks are sound: green sound, red not. While a check fails, polls that fail by it count against no peer. A gap: no peer needs the check.", mapping{{"fails", "red"}, {"sound", "green"}}).
		query(told("min", "vantage, check", "convex_monitor_self_healthy"), "{{vantage}} {{check}}").
		size(24, 6).
		to(at("convex-fleet"), runbook("ConvexMonitoringBlind"))
}

func rhythm() []*panel {
	delay := func(quantile string) string {
		return "histogram_quantile(" + quantile + ", " + told("sum", "le, vantage", rate("convex_monitor_schedule_delay_seconds_bucket")) + ")"
	}
	return []*panel{
		lines("Schedule delay", "From the time a poll was due to the time it began: median and 99th percentile. It should be far below the poll interval.").
			query(delay("0.5"), "{{vantage}} median").
			query(delay("0.99"), "{{vantage}} p99").
			unit("s").size(8, 8).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Polls", "Polls a minute that began, and those that did not begin before the next one was due.").
			query("60 * "+ofAgent("sum", rate("convex_monitor_schedule_delay_seconds_count")), "{{vantage}} begun").
			query("60 * "+ofAgent("sum", rate("convex_monitor_missed_polls_total")), "{{vantage}} missed").
			unit("suffix:/min").size(8, 8).
			to(at("convex-service-level"), runbook("ConvexMonitorMissesPolls")),
		lines("Polls under way", "Polls under way at the time of the scrape. Near limits.max_inflight they wait for each other.").
			query(ofAgent("sum", "convex_monitor_inflight_polls"), "{{vantage}}").
			size(8, 8).decimals(0).upTo(1).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Watched peers", "Peers that each agent polls, by network and role.").
			query(told("sum", "vantage, network, role", in("convex_monitor_targets")), "{{vantage}} {{network}} {{role}}").
			size(8, 7).decimals(0).
			to(at("convex-fleet")),
		lines("Series", "Series in each agent's exposition. metrics.detail decides how many a peer has.").
			query(ofAgent("sum", "convex_monitor_series"), "{{vantage}}").
			size(8, 7).decimals(0).
			to(at("convex-fleet")),
		lines("Time of a scrape", "How long Prometheus takes to scrape each agent.").
			query(ofAgent("max", "scrape_duration_seconds"), "{{vantage}}").
			unit("s").size(8, 7).
			to(at("convex-fleet"), runbook("ConvexMonitorDown")),
		lines("Poll capacity", "Polls at once if each takes its full timeout, in relation to the limit of the configuration: max_inflight for all peers, per_host_inflight for those at the busiest host. Above 100 % polls can be missed.").
			query(told("max", "vantage, limit", "convex_monitor_poll_capacity_ratio"), "{{vantage}} {{limit}}").
			unit("percentunit").size(8, 7).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Polls that waited", "Polls and queries a minute that waited for others, by the limit of the configuration.").
			query("60 * "+told("sum", "vantage, limit", rate("convex_monitor_poll_waits_total")), "{{vantage}} {{limit}}").
			unit("suffix:/min").size(8, 7).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Clock against peers", "By how much each agent's clock is ahead of those of most of its peers: agent_wrong where its own is wrong, disputed where its host says that it is synchronised. Meanwhile no peer's clock is called wrong.").
			query(told("max", "vantage, verdict", "convex_monitor_clock_skew_seconds"), "{{vantage}} {{verdict}}").
			unit("s").size(8, 7).empty("The clocks of agents and peers agree").
			to(at("convex-peer"), runbook("ConvexMonitorClockWrong")),
		lines("Other agents", "Whether each agent has a recent opinion of the other ones in its vantages: 1 or 0. Without one it judges alone.").
			query(told("max", "vantage, other_vantage", "convex_monitor_vantage_up"), "{{vantage}} of {{other_vantage}}").
			decimals(0).upTo(1).size(8, 7).empty("No agent reads another one").
			to(at("convex-fleet"), runbook("ConvexVantagesDisagree")),
		lines("Age of opinions", "How long ago each agent requested the last opinion that another one gave. It counts for 12 seconds.").
			query("time() - "+told("max", "vantage, other_vantage", "convex_monitor_vantage_opinion_timestamp_seconds"), "{{vantage}} of {{other_vantage}}").
			unit("s").size(8, 7).empty("No agent reads another one").
			to(at("convex-fleet"), runbook("ConvexVantagesDisagree")),
		lines("Log lines lost", "Log lines a minute that could not be written, or were dropped because too many waited: nobody reads the log, or its disk is full.").
			query("60 * "+ofAgent("sum", rate("convex_monitor_log_lines_dropped_total")), "{{vantage}}").
			unit("suffix:/min").size(8, 7).
			to(at("convex-fleet")),
	}
}

func process() []*panel {
	return []*panel{
		lines("CPU", "Use of one core by the agent's process.").
			query(ofAgent("sum", rate("process_cpu_seconds_total")), "{{vantage}}").
			unit("percentunit").upTo(0.1).size(6, 7).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Memory", "Resident memory of the agent's process.").
			query(ofAgent("sum", "process_resident_memory_bytes"), "{{vantage}}").
			unit("bytes").size(6, 7).
			to(at("convex-fleet")),
		lines("Descriptors in use", "Open file descriptors as a share of the limit: each peer takes one or two.").
			query(ofAgent("max", "process_open_fds / process_max_fds"), "{{vantage}}").
			unit("percentunit").upTo(0.1).size(6, 7).
			to(at("convex-fleet"), runbook("ConvexMonitoringBlind")),
		lines("Threads", "Threads of the agent's process. It is steady.").
			query(ofAgent("sum", "process_threads"), "{{vantage}}").
			size(6, 7).decimals(0).
			to(at("convex-fleet")),
	}
}

func notifications() []*panel {
	const byReceiver = "vantage, receiver"
	requests, failures := "convex_monitor_notifications_total", "convex_monitor_notification_failures_total"
	return []*panel{
		lines("Notifications", "Requests an hour by which an agent itself tells of alerts, to each of its receivers, failed ones included.").
			query("3600 * "+told("sum", byReceiver, rate(requests)), "{{vantage}} {{receiver}}").
			unit("suffix:/h").upTo(1).size(12, 7).empty("No receivers in the configuration").
			to(at("convex-fleet"), runbook("ConvexNotificationsFailing")),
		lines("Failed notifications", "Requests within an hour that were not delivered. They are tried again, so a few say little.").
			query(told("sum", byReceiver, increase(failures, "1h")), "{{vantage}} {{receiver}}").
			decimals(0).upTo(1).size(12, 7).empty("No receivers in the configuration").
			to(at("convex-fleet"), runbook("ConvexNotificationsFailing")),
	}
}
