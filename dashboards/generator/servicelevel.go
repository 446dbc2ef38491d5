package main

// serviceLevel shows how much of the error budgets of services and peers is left.
func serviceLevel() board {
	made := started("convex-service-level", "24h")
	made.annotations = []annotation{
		{"Budget burns", "red", "max by (peer, network, service, severity) (" + firing(`alertname="ConvexErrorBudgetBurn"`, `alertstate="firing"`) + ")", "{{service}}{{peer}} burns its error budget"},
		{"Down", "orange", seen("max", byPeer, own(of("convex_peer_health", `state="down"`))) + " == 1", "{{peer}} is down"},
	}
	made.rows = []row{
		{panels: append(levelNumbers(), services())},
		{title: "Services over time", panels: serviceTimes()},
		{title: "Error budgets of peers", panels: append(burning(), budgets())},
		{title: "Polls", panels: levelPolls()},
		{title: "Latency", panels: []*panel{ownWeek(), weekMeans()}},
	}
	return made
}

const byService = "network, service"

// joined selects a recorded series of services; it is over all vantages and shards.
func joined(name string) string { return in("service:convex_service_" + name) }

// unserved is the share of a long span's known time in which a service was bad.
func unserved(span string) string {
	return "sum_over_time(" + joined("bad_seconds:rate5m") + "[" + span + "]) / sum_over_time(" + joined("seconds:rate5m") + "[" + span + "])"
}

// configured is a setting of the service level of each service.
func configured(metric string) string { return "max by (" + byService + ") (" + in(metric) + ")" }

// spentBudget is how many times the error budget of each service was spent within 30 days.
func spentBudget() string {
	return "(" + unserved("30d") + ") / on (" + byService + ") (1 - " + configured("convex_service_objective_ratio") + ")"
}

// badSeconds is how long a service was bad within the last hour: the rules record once a minute.
func badSeconds() string { return "60 * sum_over_time(" + joined("bad_seconds:rate5m") + "[1h])" }

// hourly is the share of the budget that was spent within the last hour.
func hourly() string {
	return badSeconds() + " / on (" + byService + ") ((1 - " + configured("convex_service_objective_ratio") + ") * " + configured("convex_service_window_seconds") + ")"
}

// A spent budget has no percentage left: it is exhausted, some times over.
var (
	exhausted = words(mapping{{"exhausted", "red"}})
	timesOver = unit("suffix: times over")
)

func levelNumbers() []*panel {
	const legend = "{{network}} {{service}}"
	return []*panel{
		numbers("Availability (30 d)", "Share of the known time in which enough of your own peers of each service were up.").
			now("1 - "+unserved("30d"), legend).unit("percentunit").decimals(3).size(6, 4).empty(none).
			steps("red", step{0.99, "orange"}, step{0.999, "green"}).
			to(at("convex-fleet"), runbook("ConvexErrorBudgetBurn")),
		numbers("Error budget left (30 d)", "Share of each service's error budget that is left. With little left, postpone risky changes.").
			now("1 - "+spentBudget()+" >= 0", legend+" left").
			now(spentBudget()+" > 1", legend+" exhausted").
			unit("percentunit").decimals(0).titled().size(8, 4).empty(none).
			steps(neutral, step{0, "orange"}, step{0.25, "green"}).
			colored("/ exhausted$/", "red").override("/ exhausted$/", timesOver).
			to(at("convex-peer"), runbook("ConvexErrorBudgetBurn")),
		numbers("Budget alerts", "Alerts about error budgets that fire: critical for a service that spends more than 5 % of its budget within an hour, warnings for single peers.").
			now("count("+firing(`alertname="ConvexErrorBudgetBurn"`, `alertstate="firing"`)+") or vector(0)", "").size(5, 4).
			steps("green", step{1, "red"}).
			to(at("convex-fleet"), runbook("ConvexErrorBudgetBurn")),
		numbers("Objective", "Required availability of each service: slo.objective.").
			now(configured("convex_service_objective_ratio"), legend).unit("percentunit").decimals(3).plain().size(5, 4).empty(none).
			to(runbook("ConvexErrorBudgetBurn")),
	}
}

func services() *panel {
	up := "count by (" + byService + ") (max by (peer, network, service) (convex_peer_service_info) and on (peer, network) " + of("convex_peer_health", `state=~"up|degraded"`) + " == 1)"
	return rows("Services", "Your own peers of each network, or those with the same service. With several agents the one that saw least downtime counts.").
		label("service", "Service").
		label("network", "Network").
		value("Availability (30 d)", "1 - "+unserved("30d"), unit("percentunit"), digits(3)).
		value("Budget left (30 d)", "clamp_min(1 - "+spentBudget()+", 0)", unit("percentunit"), digits(0), exhausted,
			bythreshold(), graded("text", step{lowest, "red"}, step{0, "orange"}, step{0.25, "green"}), lettered()).
		value("Exhausted", spentBudget()+" > 1", timesOver, digits(0)).
		value("Downtime (1 h)", badSeconds(), unit("s"), digits(0)).
		value("Budget spent (1 h)", hourly(), unit("percentunit"), digits(1),
			bythreshold(), graded("text", step{0, "green"}, step{0.05, "red"}), lettered()).
		value("Peers", "count by ("+byService+") (max by (peer, network, service) ("+of("convex_peer_service_info")+"))", digits(0)).
		value("Up", up+" or 0 * "+configured("convex_service_objective_ratio"), digits(0)).
		sorted("Budget left (30 d)", false).
		size(24, 4).empty("No own peers, or the recording rules are not loaded").
		to(at("convex-peer"), runbook("ConvexErrorBudgetBurn"))
}

func serviceTimes() []*panel {
	const legend = "{{vantage}} {{network}} {{service}}"
	return []*panel{
		lines("Budget spent (1 h)", "Share of each service's whole error budget that was spent within an hour. Above the line a critical alert fires, if the service is still down and no critical alert about its peers explains it.").
			query(hourly(), "{{network}} {{service}}").
			unit("percentunit").upTo(0.06).size(8, 8).limit("transparent", step{0.05, "red"}).empty("No own peers, or the recording rules are not loaded").
			to(at("convex-peer"), runbook("ConvexErrorBudgetBurn")),
		lines("Downtime by vantage", "Share of the time in which too few peers of a service were up, as each agent sees it. If only one agent sees it, check that agent's network.").
			query("clamp_max("+told("max", "vantage, "+byService, rate(in("convex_service_bad_seconds_total")))+", 1)", legend).
			unit("percentunit").upTo(1).size(8, 8).empty("No own peers").
			to(at("convex-monitor"), runbook("ConvexVantagesDisagree")),
		lines("Known time by vantage", "Share of the time in which each agent knows whether enough peers of a service are up. Below the line the agent does not count.").
			query("clamp_max("+told("min", "vantage, "+byService, rate(in("convex_service_seconds_total")))+", 1)", legend).
			unit("percentunit").upTo(1).size(8, 8).limit("transparent", step{0.5, "orange"}).empty("No own peers").
			to(at("convex-monitor"), runbook("ConvexOwnPeersUnknown")),
	}
}

// The objective of a single peer: 99.9 % of its polls succeed, over 30 days.
const budget = "0.001"

// recorded selects a recorded series of peers; it is over all vantages.
func recorded(name string) string { return of("peer:convex_peer_" + name) }

// spent is the share of failed polls within a long span, from recorded series.
func spent(span string) string {
	return "sum_over_time(" + recorded("poll_failures:rate5m") + "[" + span + "]) / sum_over_time(" + recorded("polls:rate5m") + "[" + span + "])"
}

func budgets() *panel {
	worst := func(expression string) string {
		return "(" + expression + ") and on (peer, network) topk(50, " + spent("30d") + ")"
	}
	burn := func(window string) string { return worst(recorded("poll_failures:ratio_rate"+window) + " / " + budget) }
	spentTimes := "(" + spent("30d") + ") / " + budget
	return rows("Error budgets", "The 50 peers with the least budget left, over all vantages. A burn rate of 1 spends exactly the budget of 30 days; the rules warn above 3 over a day, and above 1 over three days.").
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		value("Successful polls (30 d)", worst("1 - "+spent("30d")), unit("percentunit"), digits(3), wide(170),
			bythreshold(), graded("text", step{lowest, "red"}, step{0.99, "orange"}, step{0.999, "green"}), lettered()).
		value("Budget left (30 d)", worst("clamp_min(1 - "+spentTimes+", 0)"), unit("percentunit"), digits(0), exhausted,
			bythreshold(), graded("text", step{lowest, "red"}, step{0, "orange"}, step{0.25, "green"}), lettered()).
		value("Exhausted", worst(spentTimes+" > 1"), timesOver, digits(0), missing(none)).
		value("Burn rate (1 d)", burn("1d"), digits(1), missing(none), bythreshold(), graded("text", step{0, "green"}, step{3, "red"}), lettered()).
		value("Burn rate (3 d)", burn("3d"), digits(1), missing(none), bythreshold(), graded("text", step{0, "green"}, step{1, "red"}), lettered()).
		value("Failed polls (1 h)", worst(recorded("poll_failures:max_increase1h")), digits(0), missing(none)).
		value("Time down", worst(seen("max", byPeer, "avg_over_time("+of("convex_peer_health", `state="down"`)+"[$__range]"+")")), unit("percentunit"), digits(2), missing(none)).
		sorted("Budget left (30 d)", false).
		size(24, 7).
		to(at("convex-peer"), runbook("ConvexErrorBudgetBurn"))
}

func burning() []*panel {
	burn := func(title, about, window string, limit float64) *panel {
		return lines(title, about).
			query(ten(byPeer, recorded("poll_failures:ratio_rate"+window)+" / "+budget, inRange("max_over_time", recorded("poll_failures:ratio_rate"+window))), "{{peer}}").
			unit("suffix: ×").upTo(1.2*limit).size(12, 8).limit("transparent", step{limit, "orange"}).
			to(at("convex-peer"), runbook("ConvexErrorBudgetBurn"))
	}
	return []*panel{
		burn("Burn rate over a day", "Of the 10 peers with the highest. Above the line a warning fires, if the last 2 hours are above it too.", "1d", 3),
		burn("Burn rate over 3 days", "Of the 10 peers with the highest. Above the line a warning fires, if the last 6 hours are above it too.", "3d", 1),
	}
}

func levelPolls() []*panel {
	return []*panel{
		lines("Successful polls by vantage", "Of the chosen peers. If one agent's share is lower, check the path between that agent and the peers.").
			query("1 - "+told("sum", "vantage", rate(of("convex_peer_poll_failures_total")))+" / "+told("sum", "vantage", rate(of("convex_peer_polls_total"))), "{{vantage}}").
			unit("percentunit").upTo(1).size(12, 8).
			to(at("convex-monitor"), runbook("ConvexVantagesDisagree")),
		lines("Failed polls (5 min)", "Share of failed polls, of the 10 peers with the most.").
			query(ten(byPeer, recorded("poll_failures:ratio_rate5m"), inRange("max_over_time", recorded("poll_failures:ratio_rate5m"))), "{{peer}}").
			unit("percentunit").upTo(0.01).size(12, 8).
			to(at("convex-peer"), runbook("ConvexErrorBudgetBurn")),
	}
}

const means = "peer_transport:convex_probe_duration_seconds:mean30m"

func ownWeek() *panel {
	slowest := func(expression string) string {
		return expression + " and on (peer, network, transport) topk(50, " + of(means) + ")"
	}
	median := "quantile_over_time(0.5, " + of(means) + "[1w])"
	return rows("Latency vs. last week", "Mean latency of the last 30 minutes of the 50 slowest endpoints, and the median of their last week. A warning fires above three times the median, if the latency is above 250 ms too.").
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("transport", "Transport", wide(100)).
		value("Now (30 min)", slowest(of(means)), unit("s"), digits(1)).
		value("Last week", slowest(median), unit("s"), digits(1)).
		value("Ratio", slowest(of(means)+" / "+median), digits(1), bythreshold(), graded("text", step{0, "green"}, step{3, "orange"}), lettered(), wide(90)).
		sorted("Now (30 min)", true).
		size(14, 8).empty("Fewer than 10 successful polls within 30 minutes").
		to(at("convex-peer"), runbook("ConvexLatencyHigh"))
}

func weekMeans() *panel {
	return lines("Slowest endpoints", "Mean latency over 30 minutes, of the 10 slowest endpoints.").
		query(ten(byTransport, of(means), inRange("max_over_time", of(means))), "{{peer}} {{transport}}").
		unit("s").size(10, 8).empty("Fewer than 10 successful polls within 30 minutes").
		to(at("convex-peer"), runbook("ConvexLatencyHigh"))
}
