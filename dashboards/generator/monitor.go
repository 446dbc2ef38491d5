package main

// monitor shows whether the agents work and can be trusted.
func monitor() board {
	made := started("convex-monitor", "6h")
	made.annotations = []annotation{
		agentRestarts, reloads,
		{"Self-check fails", "red", told("min", "vantage, check", "convex_monitor_self_healthy") + " == 0", "{{vantage}}: {{check}}"},
	}
	made.rows = []row{
		{panels: append(monitorNumbers(), agents(), selfChecks())},
		{title: "Scheduling", panels: scheduling()},
		{title: "Process and scrapes", panels: process()},
		{title: "Notifications by the agents (if receivers are configured)", panels: notifications(), collapsed: true},
	}
	return made
}

func ofAgent(how, series string) string { return told(how, "vantage", series) }

func monitorNumbers() []*panel {
	return []*panel{
		numbers("Agents", "Agents that Prometheus can scrape. With none, no dashboard is current.").size(4, 3).
			now(`count(convex_monitor_info{vantage=~"$vantage"}) or vector(0)`, "").steps("red", step{1, "green"}).
			to(at("convex-fleet"), runbook("ConvexMonitorDown")),
		numbers("Agents lost", "Targets that were agents within the last week and cannot be scraped now. Check whether the agent runs and Prometheus reaches it.").size(4, 3).
			now(`count((up == 0) + on (job, instance) group_right () last_over_time(convex_monitor_info{vantage=~"$vantage"}[1w])) or vector(0)`, "").
			steps("green", step{1, "red"}).
			to(at("convex-fleet"), runbook("ConvexMonitorDown")),
		numbers("Failed self-checks", "Self-checks of the agents that fail now. While one fails, polls that fail because of it do not count against a peer.").size(4, 3).
			now("count("+told("min", "vantage, check", "convex_monitor_self_healthy")+" == 0) or vector(0)", "").
			steps("green", step{1, "red"}).
			to(at("convex-fleet"), runbook("ConvexMonitorUnhealthy")),
		numbers("Wrong clocks", "Agents whose clock differs from those of most peers. Check the time synchronisation of their hosts.").size(4, 3).
			now("count("+ofAgent("max", "convex_monitor_clock_skew_seconds")+") or vector(0)", "").
			steps("green", step{1, "orange"}).
			to(at("convex-peer"), runbook("ConvexMonitorClockWrong")),
		numbers("Failed reloads", "Agents whose last reload failed. Their previous configuration stays active: fix the file and reload.").size(4, 3).
			now("count("+ofAgent("min", "convex_monitor_config_last_reload_successful")+" == 0) or vector(0)", "").
			steps("green", step{1, "orange"}).
			to(runbook("ConvexConfigReloadFailed")),
		numbers("Missed polls (1 h)", "Polls of the last hour that did not start before the next one of the same peer was due.").size(4, 3).
			now("sum("+ofAgent("sum", increase("convex_monitor_missed_polls_total", "1h"))+")", "").decimals(0).empty("unknown").
			steps("green", step{1, "orange"}).
			to(runbook("ConvexMonitorMissesPolls")),
	}
}

func agents() *panel {
	return rows("Agent list", "The agents that this Prometheus scrapes. After a failed reload the previous configuration stays active.").
		label("vantage", "Vantage").
		label("mode", "Mode", wide(90)).
		label("version", "Version", wide(90)).
		join(`max by (vantage, mode) (convex_monitor_info{vantage=~"$vantage"})`).
		join(told("max", "vantage, version", "convex_monitor_build_info")).
		value("Shard", ofAgent("max", "convex_monitor_shard"), wide(70)).
		value("of", ofAgent("max", "convex_monitor_shards"), wide(60)).
		value("Own peers", ofAgent("sum", "sum by (job, instance) ("+in("convex_monitor_targets", `role="own"`)+")")).
		value("References", ofAgent("sum", "sum by (job, instance) ("+in("convex_monitor_targets", `role="reference"`)+")")).
		value("Series", ofAgent("sum", "convex_monitor_series")).
		value("Last reload", ofAgent("min", "convex_monitor_config_last_reload_successful"), words(mapping{{"failed", "red"}, {"good", "green"}}), lettered(), wide(100)).
		value("Loaded", "1000 * "+ofAgent("max", "convex_monitor_config_last_reload_success_timestamp_seconds"), unit("dateTimeFromNow")).
		value("Started", "1000 * "+ofAgent("max", "process_start_time_seconds"), unit("dateTimeFromNow")).
		sorted("Vantage", false).
		size(24, 4).empty("No agent can be scraped").
		to(at("convex-fleet"), runbook("ConvexMonitorDown"), runbook("ConvexConfigReloadFailed"))
}

func selfChecks() *panel {
	return states("Self-checks", "Whether the self-checks of the agents pass. While one fails, polls that fail because of it do not count against a peer. A gap: no peer needs the check, or the agent was not running.", mapping{{"fails", "red"}, {"passes", "green"}}).
		query(told("min", "vantage, check", "convex_monitor_self_healthy"), "{{vantage}} {{check}}").
		size(24, 7).
		to(at("convex-fleet"), runbook("ConvexMonitoringBlind"))
}

func scheduling() []*panel {
	delay := func(quantile string) string {
		return "histogram_quantile(" + quantile + ", " + told("sum", "le, vantage", rate("convex_monitor_schedule_delay_seconds_bucket")) + ")"
	}
	return []*panel{
		lines("Schedule delay", "From when a poll was due to when it started. It should be far below the poll interval; otherwise the limits of the configuration are too low, or the host lacks CPU.").
			query(delay("0.5"), "{{vantage}} median").
			query(delay("0.99"), "{{vantage}} p99").
			unit("s").size(8, 8).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Polls", "Polls that started, and polls that did not start before the next one of the same peer was due.").
			query("60 * "+ofAgent("sum", rate("convex_monitor_schedule_delay_seconds_count")), "{{vantage}} started").
			query("60 * "+ofAgent("sum", rate("convex_monitor_missed_polls_total")), "{{vantage}} missed").
			unit("suffix:/min").size(8, 8).
			to(at("convex-service-level"), runbook("ConvexMonitorMissesPolls")),
		lines("Polls in progress", "At the time of the scrape. Near limits.max_inflight polls wait for each other.").
			query(ofAgent("sum", "convex_monitor_inflight_polls"), "{{vantage}}").
			size(8, 8).decimals(0).upTo(1).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Poll capacity", "Polls at once if each takes its full timeout, in relation to the limit: max_inflight for all peers, per_host_inflight for those of the busiest host. Above 100 % polls can be missed: raise the limit.").
			query(told("max", "vantage, limit", "convex_monitor_poll_capacity_ratio"), "{{vantage}} {{limit}}").
			unit("percentunit").upTo(1).size(8, 8).limit("transparent", step{1, "orange"}).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Polls that waited", "Polls and queries that waited for others, by the limit of the configuration that made them wait.").
			query("60 * "+told("sum", "vantage, limit", rate("convex_monitor_poll_waits_total")), "{{vantage}} {{limit}}").
			unit("suffix:/min").upTo(1).size(8, 8).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Agent clock skew", "The agent's clock minus that of most peers. agent_wrong: the agent's clock is wrong. disputed: its host says that it is synchronised. Meanwhile no peer has clock_skew.").
			query(told("max", "vantage, verdict", "convex_monitor_clock_skew_seconds"), "{{vantage}} {{verdict}}").
			unit("s").size(8, 8).empty("The clocks of agents and peers agree").
			to(at("convex-peer"), runbook("ConvexMonitorClockWrong")),
		lines("Other agents", "Whether each agent has a recent opinion of the other ones in its vantages: 1 or 0. Without one it judges alone.").
			query(told("max", "vantage, other_vantage", "convex_monitor_vantage_up"), "{{vantage}} of {{other_vantage}}").
			decimals(0).upTo(1).size(12, 8).empty("No agent reads another one").
			to(at("convex-fleet"), runbook("ConvexVantagesDisagree")),
		lines("Age of opinions", "How long ago each agent requested the last opinion that another one gave. It counts for 12 seconds.").
			query("time() - "+told("max", "vantage, other_vantage", "convex_monitor_vantage_opinion_timestamp_seconds"), "{{vantage}} of {{other_vantage}}").
			unit("s").size(12, 8).empty("No agent reads another one").
			to(at("convex-fleet"), runbook("ConvexVantagesDisagree")),
	}
}

func process() []*panel {
	return []*panel{
		lines("CPU", "CPU time of the agent's process. 100 % is one core.").
			query(ofAgent("sum", rate("process_cpu_seconds_total")), "{{vantage}}").
			unit("percentunit").upTo(0.1).size(8, 8).
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		lines("Memory", "Resident memory of the agent's process.").
			query(ofAgent("sum", "process_resident_memory_bytes"), "{{vantage}}").
			unit("bytes").size(8, 8).
			to(at("convex-fleet")),
		lines("File descriptors", "Open file descriptors as a share of the limit. Each peer takes one or two. Near 100 % raise the limit of the service.").
			query(ofAgent("max", "process_open_fds / process_max_fds"), "{{vantage}}").
			unit("percentunit").upTo(0.1).size(8, 8).
			to(at("convex-fleet"), runbook("ConvexMonitoringBlind")),
		lines("Threads", "Threads of the agent's process. The number is steady.").
			query(ofAgent("sum", "process_threads"), "{{vantage}}").
			size(8, 8).decimals(0).
			to(at("convex-fleet")),
		lines("Scrape duration", "How long Prometheus takes to scrape each agent. It must stay below the scrape timeout.").
			query(ofAgent("max", "scrape_duration_seconds"), "{{vantage}}").
			unit("s").size(8, 8).
			to(at("convex-fleet"), runbook("ConvexMonitorDown")),
		lines("Lost log lines", "Log lines that could not be written, or were dropped because too many waited: the log is not read, or its disk is full.").
			query("60 * "+ofAgent("sum", rate("convex_monitor_log_lines_dropped_total")), "{{vantage}}").
			unit("suffix:/min").upTo(1).size(8, 8).
			to(at("convex-fleet")),
	}
}

func notifications() []*panel {
	const byReceiver, unconfigured = "vantage, receiver", "No receivers are configured"
	requests, failures := "convex_monitor_notifications_total", "convex_monitor_notification_failures_total"
	return []*panel{
		lines("Notifications", "Requests that the agents sent to each of their receivers, including failed ones.").
			query("3600 * "+told("sum", byReceiver, rate(requests)), "{{vantage}} {{receiver}}").
			unit("suffix:/h").upTo(1).size(12, 8).empty(unconfigured).
			to(at("convex-fleet"), runbook("ConvexNotificationsFailing")),
		lines("Failed notifications (1 h)", "Requests within an hour that failed. They are retried, so a few are harmless. If all fail, check the address and the credentials of the receiver.").
			query(told("sum", byReceiver, increase(failures, "1h")), "{{vantage}} {{receiver}}").
			decimals(0).upTo(1).size(12, 8).empty(unconfigured).
			to(at("convex-fleet"), runbook("ConvexNotificationsFailing")),
	}
}
