package main

// serviceLevel shows how much of the error budget is left; the objective is that of the rules.
func serviceLevel() board {
	made := started("convex-service-level", "24h")
	made.annotations = []annotation{
		{"Budget burns", "red", "max by (peer, network, severity) (" + firing(`alertname="ConvexErrorBudgetBurn"`, `alertstate="firing"`) + ")", "{{peer}} burns its error budget"},
		{"Down", "orange", seen("max", byPeer, own(of("convex_peer_health", `state="down"`))) + " == 1", "{{peer}} is down"},
	}
	made.rows = []row{
		{panels: append(levelNumbers(), budgets())},
		{"How fast the budget burns", burning()},
		{"Polls", levelPolls()},
		{"Latency", []*panel{ownWeek(), weekMeans()}},
	}
	return made
}

// The objective of the rules: 99.9 % of the polls of a peer are good, over 30 days.
const budget = "0.001"

// recorded selects what the rules record of a peer; it is over all vantages.
func recorded(name string) string { return of("peer:convex_peer_" + name) }

// spent is the share of bad polls within a long span, from what is recorded.
func spent(span string) string {
	return "sum_over_time(" + recorded("poll_failures:rate5m") + "[" + span + "]) / sum_over_time(" + recorded("polls:rate5m") + "[" + span + "])"
}

func levelNumbers() []*panel {
	pooled := func(span string) string {
		return "1 - " + seen("sum", "", increase(of("convex_peer_poll_failures_total"), span)) + " / " + seen("sum", "", increase(of("convex_peer_polls_total"), span))
	}
	return []*panel{
		numbers("Good polls (range)", "Share of the polls of all peers shown that were good, within the time shown, by the chosen vantages. The objective is 99.9 % of each peer.").
			now(pooled("$__range"), "").unit("percentunit").decimals(3).size(5, 4).
			steps("red", step{0.99, "orange"}, step{0.999, "green"}).
			to(at("convex-fleet"), runbook("ConvexErrorBudgetBurn")),
		numbers("Least budget left (30 d)", "What is left of the error budget of 30 days, of the own peer that has least. Below 0 the objective of 99.9 % is missed.").
			now("min("+own("(1 - ("+spent("30d")+") / "+budget+")")+")", "").unit("percentunit").decimals(0).size(5, 4).empty("-").
			steps(neutral, step{-1e9, "red"}, step{0, "orange"}, step{0.25, "green"}).
			to(at("convex-peer"), runbook("ConvexErrorBudgetBurn")),
		numbers("Peers beyond their budget", "Own peers that have failed more than 0.1 % of their polls within 30 days.").
			now("count("+own("("+spent("30d")+" > "+budget+")")+") or vector(0)", "").size(5, 4).
			steps("green", step{1, "red"}).
			to(at("convex-fleet"), runbook("ConvexErrorBudgetBurn")),
		numbers("Burning now", "Alerts of the error budget that fire: critical ones would spend it within days, warnings before the 30 days are over.").
			now("count("+firing(`alertname="ConvexErrorBudgetBurn"`, `alertstate="firing"`)+") or vector(0)", "").size(5, 4).
			steps("green", step{1, "red"}).
			to(at("convex-fleet"), runbook("ConvexErrorBudgetBurn")),
		numbers("Objective", "The share of good polls that the rules hold each peer to, over 30 days. It stands in the rules.").
			now("vector(1 - "+budget+")", "").unit("percentunit").decimals(1).plain().size(4, 4).
			to(runbook("ConvexErrorBudgetBurn")),
	}
}

func budgets() *panel {
	worst := func(expression string) string {
		return "(" + expression + ") and on (peer, network) topk(50, " + spent("30d") + ")"
	}
	burn := func(window string) string { return worst(recorded("poll_failures:ratio_rate"+window) + " / " + budget) }
	burned := []string{"1h", "6h", "1d", "3d"}
	limits := []float64{14.4, 6, 3, 1}
	made := rows("Error budgets", "The 50 peers with the least budget left. A burn of 1 spends exactly the budget; the rules page at 14.4 over an hour and 6 over six, and file a ticket at 3 over a day and 1 over three. Over all vantages.").
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		value("Good polls (30 d)", worst("1 - "+spent("30d")), unit("percentunit"), digits(3),
			bythreshold(), graded("red", step{0.99, "orange"}, step{0.999, "green"}), lettered()).
		value("Budget left (30 d)", worst("1 - ("+spent("30d")+") / "+budget), unit("percentunit"), digits(0),
			bythreshold(), graded("red", step{0, "orange"}, step{0.25, "green"}), lettered())
	for i, window := range burned {
		made.value("Burn "+window, burn(window), digits(1), missing("-"), bythreshold(), graded("green", step{limits[i], "red"}), lettered())
	}
	return made.
		value("Bad polls (1 h)", worst(recorded("poll_failures:max_increase1h")), digits(0), missing("-")).
		value("Time down (range)", worst(seen("max", byPeer, "avg_over_time("+of("convex_peer_health", `state="down"`)+"[$__range]"+")")), unit("percentunit"), digits(2), missing("-")).
		sorted("Budget left (30 d)", false).
		size(24, 9).
		to(at("convex-peer"), runbook("ConvexErrorBudgetBurn"))
}

func burning() []*panel {
	burn := func(title, about, window string, limit float64, color string) *panel {
		return lines(title, about).
			query("topk(10, "+recorded("poll_failures:ratio_rate"+window)+" / "+budget+")", "{{peer}}").
			unit("suffix: ×").upTo(1.2*limit).size(12, 8).limit("transparent", step{limit, color}).
			to(at("convex-peer"), runbook("ConvexErrorBudgetBurn"))
	}
	return []*panel{
		burn("Burn over an hour", "Of the 10 peers that burn most. It pages at 14.4, when the last 5 minutes say the same.", "1h", 14.4, "red"),
		burn("Burn over 6 hours", "Of the 10 peers that burn most. It pages at 6, when the last 30 minutes say the same.", "6h", 6, "red"),
		burn("Burn over a day", "Of the 10 peers that burn most. It is a ticket at 3, when the last 2 hours say the same.", "1d", 3, "orange"),
		burn("Burn over 3 days", "Of the 10 peers that burn most. It is a ticket at 1, when the last 6 hours say the same.", "3d", 1, "orange"),
	}
}

func levelPolls() []*panel {
	return []*panel{
		lines("Good polls by vantage", "Share of good polls of the peers shown, as each agent sees them. Where one is lower, its way to the peers is worse.").
			query("1 - "+told("sum", "vantage", rate(of("convex_peer_poll_failures_total")))+" / "+told("sum", "vantage", rate(of("convex_peer_polls_total"))), "{{vantage}}").
			unit("percentunit").upTo(1).size(12, 8).
			to(at("convex-monitor"), runbook("ConvexVantagesDisagree")),
		lines("Worst peers", "Share of bad polls within 5 minutes, of the 10 peers with the most.").
			query("topk(10, "+recorded("poll_failures:ratio_rate5m")+")", "{{peer}}").
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
	return rows("Latency against the own week", "Mean latency within 30 minutes of the 50 slowest endpoints, and the median of their own last week. A ticket is filed at more than three times the median, beyond 250 ms.").
		label("peer", "Peer", linked(cellToPeer())).
		label("network", "Network").
		label("transport", "Transport", wide(100)).
		value("Now (30 min)", slowest(of(means)), unit("s"), digits(1)).
		value("Week", slowest(median), unit("s"), digits(1)).
		value("Times", slowest(of(means)+" / "+median), digits(1), bythreshold(), graded("green", step{3, "orange"}), lettered(), wide(90)).
		sorted("Now (30 min)", true).
		size(14, 8).empty("Less than 10 good polls within 30 minutes").
		to(at("convex-peer"), runbook("ConvexLatencyHigh"))
}

func weekMeans() *panel {
	return lines("Slowest endpoints", "Mean latency within 30 minutes, of the 10 slowest endpoints, as the rules record it.").
		query("topk(10, "+of(means)+")", "{{peer}} {{transport}}").
		unit("s").size(10, 8).empty("Less than 10 good polls within 30 minutes").
		to(at("convex-peer"), runbook("ConvexLatencyHigh"))
}
