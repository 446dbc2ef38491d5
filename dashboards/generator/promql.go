package main

import (
	"fmt"
	"strings"
)

// of selects the series of the chosen peers.
func of(metric string, matchers ...string) string {
	return metric + "{" + strings.Join(append(matchers, `network=~"$network"`, `peer=~"$peer"`), ", ") + "}"
}

// in selects the series of the chosen networks.
func in(metric string, matchers ...string) string {
	return metric + "{" + strings.Join(append(matchers, `network=~"$network"`), ", ") + "}"
}

const (
	byPeer      = "peer, network"
	byTransport = "peer, network, transport"
	byNetwork   = "network"
)

// seen aggregates the series of the chosen agents.
func seen(how, labels, expression string) string {
	return fmt.Sprintf(`%s by (%s) (%s and on (job, instance) convex_monitor_info{vantage=~"$vantage"})`, how, labels, expression)
}

// told is like seen, with the agent's name as another label.
func told(how, labels, expression string) string {
	return fmt.Sprintf(`%s by (%s) (%s * on (job, instance) group_left (vantage) convex_monitor_info{vantage=~"$vantage"})`, how, labels, expression)
}

func rate(series string) string { return "rate(" + series + "[$__rate_interval])" }

func increase(series, span string) string { return "increase(" + series + "[" + span + "])" }

// own keeps the series of your own peers.
func own(expression string) string {
	return expression + ` and on (peer, network) convex_peer_info{role="own"}`
}

// reference keeps the series of peers that never alert.
func reference(expression string) string {
	return expression + ` and on (peer, network) convex_peer_info{role="reference"}`
}

// worst keeps the 50 peers with the worst health.
func worst(expression string) string {
	return expression + " and on (peer, network) topk(50, " + badness() + ")"
}

// badness is 3 down, 2 degraded, 1 unknown, 0 up; with several agents the worst counts.
func badness() string { return seen("max", byPeer, badnessOf()) }

func badnessOf() string {
	return "3 * " + of("convex_peer_health", `state="down"`) +
		" + ignoring (state) 2 * " + of("convex_peer_health", `state="degraded"`) +
		" + ignoring (state) " + of("convex_peer_health", `state="unknown"`)
}

var healthWords = mapping{{"up", "green"}, {"unknown", "purple"}, {"degraded", "orange"}, {"down", "red"}}

// orderOf is 4 stalled, 3 receding, 2 unknown, 1 idle, 0 advancing; orderWords has the words of the
// agent's pages for them.
func orderOf(metric string, selected func(string, ...string) string) string {
	state := func(state string) string { return selected(metric, `state="`+state+`"`) }
	return "4 * " + state("stalled") +
		" + ignoring (state) 3 * " + state("receding") +
		" + ignoring (state) 2 * " + state("unknown") +
		" + ignoring (state) " + state("idle")
}

var orderWords = mapping{{"finalising", "green"}, {"idle", "blue"}, {"unknown", "purple"}, {"went back", "orange"}, {"stalled", "red"}}

// agreement is 3 diverged, 2 differs, 1 agrees, 0 not compared. The evidence of one agent counts more
// than the lack of evidence of another.
func agreement() string {
	const same = " or on (peer, network, job, instance) "
	return seen("max", byPeer, "(3 * "+of("convex_peer_state_diverged")+" > 0"+
		same+"2 * "+of("convex_peer_condition", `condition="states_differ"`)+
		same+"1 + "+of("convex_peer_state_diverged")+
		same+"0 * "+of("convex_peer_health", `state="up"`)+")")
}

var agreementWords = mapping{{"not compared", "purple"}, {"agrees", "green"}, {"differs", "orange"}, {"diverged", "red"}}

// orUnknown is 1 more than the value of each network, and 0 for those that have none.
func orUnknown(expression string) string {
	return "1 + " + expression + " or 0 * " + seen("max", byNetwork, in("convex_network_order_state"))
}

// evidenceWords are for orUnknown where 1 is bad.
var evidenceWords = mapping{{"unknown", "purple"}, {"no", "green"}, {"yes", "red"}}

// losable is the number of peers that a network can lose in the best or the worst case.
func losable(which string) string {
	return seen("min", byNetwork, in("convex_network_losable_peers", `case="`+which+`"`))
}

// Where 1 is bad, and where 1 is good.
var (
	faultWords = mapping{{"no", "green"}, {"yes", "red"}}
	soundWords = mapping{{"no", "red"}, {"yes", "green"}}
)

// meanLatency is the mean latency of the polls within a span; it works with lean detail.
func meanLatency(span string) string {
	return seen("sum", byTransport, "rate("+of("convex_probe_duration_seconds_sum")+"["+span+"])") +
		" / " + seen("sum", byTransport, "rate("+of("convex_probe_duration_seconds_count")+"["+span+"])") + " > 0"
}

// failedShare is the share of failed polls within a span; the recorded ratios lack the vantage.
func failedShare(span string) string {
	return seen("sum", byPeer, increase(of("convex_peer_poll_failures_total"), span)) +
		" / " + seen("sum", byPeer, increase(of("convex_peer_polls_total"), span))
}

// age is the time since a timestamp; with several agents the newest counts.
func age(labels, series string) string { return "time() - " + seen("max", labels, series) }

// date is a timestamp in milliseconds, which Grafana's date units need.
func date(how, labels, series string) string { return "1000 * " + seen(how, labels, series) }

// firing selects alerts; those about networks have no peer, those about agents no network.
func firing(matchers ...string) string { return alertSeries("ALERTS", matchers...) }

// activeSince selects when alerts became active, in seconds since the epoch.
func activeSince(matchers ...string) string { return alertSeries("ALERTS_FOR_STATE", matchers...) }

func alertSeries(metric string, matchers ...string) string {
	return metric + "{" + strings.Join(append([]string{`alertname=~"Convex.+"`}, append(matchers, `network=~"$network|"`, `peer=~"$peer|"`)...), ", ") + "}"
}

// latencyBuckets is the number of polls a minute in each bucket of a latency histogram. It has all
// buckets or none: none without polls, and with lean detail, which leaves only the infinite bucket.
// The bound has a point where the agent was scraped as OpenMetrics.
func latencyBuckets(selected func(string, ...string) string, metric, transport string) string {
	transport = `transport="` + transport + `"`
	return "60 * " + seen("sum", "le", rate(selected(metric, transport))) +
		" and on () " + seen("sum", "", rate(selected(metric, transport, `le=~"10|10.0"`))) + " > 0"
}

// ten keeps the 10 peers that are first in a ranking. The ranking is over the whole time range:
// one at each step would draw pieces of many more lines.
func ten(labels, expression, ranking string) string {
	return expression + " and on (" + labels + ") topk(10, " + ranking + ")"
}

// tenLowest is like ten, for the last in a ranking.
func tenLowest(labels, expression, ranking string) string {
	return expression + " and on (" + labels + ") bottomk(10, " + ranking + ")"
}

// inRange applies a function to the samples of the whole time range.
func inRange(function, series string) string { return function + "(" + series + "[$__range] @ end())" }
