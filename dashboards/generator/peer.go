package main

import "github.com/grafana/grafana-foundation-sdk/go/common"

// peer shows all that is known of one peer.
func peer() board {
	made := started("convex-peer", "6h")
	condition := func(conditions string) string {
		return seen("max", "peer, network, condition", of("convex_peer_condition", `condition=~"`+conditions+`"`)) + " == 1"
	}
	made.annotations = []annotation{
		{"Down", "red", seen("max", byPeer, of("convex_peer_health", `state="down"`)) + " == 1", "{{peer}} is down"},
		{"Degraded", "orange", seen("max", byPeer, of("convex_peer_health", `state="degraded"`)) + " == 1", "{{peer}} is degraded"},
		{"Restarts", "yellow", seen("max", byPeer, increase(of("convex_peer_restarts_inferred_total"), "$__rate_interval")) + " > 0", "{{peer}} was restarted"},
		{"Identity", "dark-red", condition("identity_changed|wrong_peer|wrong_network"), "{{peer}}: {{condition}}"},
		{"Maintenance", "blue", seen("max", byPeer, of("convex_peer_maintenance")) + " == 1", "{{peer}} is in maintenance"},
		agentRestarts, reloads,
	}
	made.rows = []row{
		{panels: append(peerNumbers(), peerConditions(), peerHealth())},
		{"Polls", peerPolls()},
		{"Latency", peerLatency()},
		{"Order and state", peerOrder()},
		{"Identity and endpoints", []*panel{whoAnswers(), endpoints(), clock(), identityChanges()}},
		{"Host, by a sidecar", host()},
	}
	return made
}

func peerNumbers() []*panel {
	return []*panel{
		numbers("Health", "The verdict over polls; with several agents, of the one that sees it worst.").
			now(badness(), "").named(healthWords).
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		numbers("Bad polls (1 h)", "Share of the polls within the last hour that were not good, of all agents.").
			now(failedShare("1h"), "").unit("percentunit").decimals(2).
			steps("green", step{0.001, "orange"}, step{0.01, "red"}).
			to(at("convex-service-level"), runbook("ConvexErrorBudgetBurn")),
		numbers("Last answer", "When an endpoint last answered a poll.").
			now(date("max", byPeer, of("convex_probe_last_success_timestamp_seconds")), "").unit("dateTimeFromNow").plain().empty("never").
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		numbers("Latency (15 min)", "Mean latency of the slower endpoint.").
			now("max by (peer, network) ("+meanLatency("15m")+")", "").unit("s").decimals(1).plain().empty("-").
			to(at("convex-service-level"), runbook("ConvexLatencyHigh")),
		numbers("Order", "What the peer's order does: advancing, idle (nothing waits), stalled (blocks wait and finality stands), receding, unknown.").
			now(seen("max", byPeer, orderOf("convex_peer_order_state", of)), "").named(orderWords).
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		numbers("Lag", "Blocks from the last block that is final at the peer to the head of its network. Unknown: no other peer answers, or the registered stake is not known.").
			now(seen("max", byPeer, of("convex_peer_lag_blocks")), "").unit("suffix: blocks").empty("unknown").
			steps(neutral, step{-1e9, "green"}, step{10, "orange"}).
			to(at("convex-consensus"), runbook("ConvexPeerLagging")),
		numbers("State", "Whether the peer's state equals that of another peer at the same block. Not compared: within three poll intervals no other peer showed a block that this one showed. Differs: another peer has another state, and nobody knows which is right.").
			now(agreement(), "").empty("-").named(agreementWords).
			to(at("convex-consensus"), runbook("ConvexStateDiverged"), runbook("ConvexStatesDiffer")),
		numbers("Certificate", "Days until the certificate ends that ends first in the chain that the HTTP endpoint showed last. Whether that is soon depends on its lifetime. Empty: no TLS.").
			now("("+seen("min", byPeer, of("convex_probe_tls_not_after_timestamp_seconds"))+" - time()) / 86400", "").
			unit("suffix: days").decimals(0).empty("no TLS").steps(neutral, step{-1e5, "red"}, step{0, "green"}).
			to(at("convex-fleet"), runbook("ConvexCertificateExpiring")),
	}
}

func peerConditions() *panel {
	return rows("Active conditions", "What is wrong with the peer now, since when, as far back as its polls show, and how many agents find it so.").
		label("condition", "Condition").
		value("Since", date("min", "condition", of("convex_peer_condition_since_timestamp_seconds")), unit("dateTimeFromNow"), missing("-"), wide(120)).
		value("Agents", "count by (condition) ("+of("convex_peer_condition")+` and on (job, instance) convex_monitor_info{vantage=~"$vantage"})`, wide(80)).
		sorted("Condition", false).
		size(8, 6).empty("None is known").
		to(at("convex-fleet"), runbook("ConvexPeerDegraded"))
}

func peerHealth() *panel {
	return states("Health by vantage", "The verdict of each agent that polls the peer. Where they differ, the path between is broken. A gap: the agent was not there.", healthWords).
		query(told("max", "vantage", "("+badnessOf()+")"), "{{vantage}}").
		size(16, 6).
		to(at("convex-monitor"), runbook("ConvexVantagesDisagree"))
}

func peerPolls() []*panel {
	perMinute := func(metric, labels string) string { return "60 * " + seen("sum", labels, rate(of(metric))) }
	return []*panel{
		lines("Failed polls", "Polls a minute that were not good, by vantage. At an interval of 15 s 4 a minute is every poll.").
			query("60 * "+told("sum", "vantage", rate(of("convex_peer_poll_failures_total"))), "{{vantage}}").
			unit("suffix:/min").upTo(1).size(8, 8).
			to(at("convex-service-level"), runbook("ConvexPeerDown")),
		lines("Failures of endpoints", "Failures a minute of each endpoint, by reason where metrics.detail is full: refused and timeout are the peer or the way to it, query_hangs is a peer that answers its status only, monitor is the agent's own trouble.").
			query(perMinute("convex_probe_failures_total", "transport, reason")+" > 0", "{{transport}} {{reason}}").
			unit("suffix:/min").size(8, 8).empty("No failed poll is known").
			to(at("convex-service-level"), runbook("ConvexQueriesHang")),
		lines("Polls of endpoints", "Polls a minute of each endpoint, by all agents: a line that falls is an agent that no longer keeps its rhythm, or a peer that stays down and is polled less often.").
			query(perMinute("convex_probe_attempts_total", "transport"), "{{transport}}").
			unit("suffix:/min").size(8, 8).
			to(at("convex-monitor"), runbook("ConvexMonitorMissesPolls")),
		lines("Retries, reconnects, ignored messages", "A minute: tries beyond the first of a poll, kept connections found dead and replaced, those that the agent replaced by itself, and messages that nobody waited for.").
			query(perMinute("convex_probe_retries_total", "transport"), "{{transport}} retries").
			query(perMinute("convex_probe_reconnects_total", "transport"), "{{transport}} reconnects").
			query(perMinute("convex_probe_connections_replaced_total", "transport"), "{{transport}} replaced").
			query(perMinute("convex_probe_ignored_messages_total", "transport"), "{{transport}} ignored").
			unit("suffix:/min").upTo(1).full().
			to(at("convex-service-level"), runbook("ConvexPeerDown")),
		lines("Changes of health and restarts", "How often within an hour the peer became down or degraded, and how often it was lost and has answered again. Many: it flaps.").
			query(seen("sum", "state", increase(of("convex_peer_health_transitions_total", `state=~"down|degraded"`), "1h")), "became {{state}}").
			query(seen("max", byPeer, increase(of("convex_peer_restarts_inferred_total"), "1h")), "restarts").
			decimals(0).upTo(1).
			to(at("convex-service-level"), runbook("ConvexPeerDegraded")),
	}
}

func peerLatency() []*panel {
	percentile := func(quantile string) string {
		return "histogram_quantile(" + quantile + ", " + seen("sum", "le, transport", rate(of("convex_probe_duration_seconds_bucket"))) + ")"
	}
	return []*panel{
		lines("Mean latency", "From the first byte of the request to the last byte of the answers, of good polls, by endpoint. Connecting is not in it.").
			query(meanLatency("$__rate_interval"), "{{transport}}").
			unit("s").size(8, 8).
			to(at("convex-service-level"), runbook("ConvexLatencyHigh")),
		lines("Percentiles of latency", "Median and 99th percentile by endpoint. With metrics.detail lean a histogram has no buckets, and only the mean is left.").
			query(percentile("0.5"), "{{transport}} median").
			query(percentile("0.99"), "{{transport}} p99").
			unit("s").size(8, 8).full().
			to(at("convex-service-level"), runbook("ConvexLatencyHigh")),
		lines("Requests", "How long the last status, ping and query took. A query that is much slower than the status: the peer's query queue is full.").
			query(seen("max", "transport, request", of("convex_probe_request_duration_seconds")), "{{transport}} {{request}}").
			unit("s").size(8, 8).full().
			to(at("convex-fleet"), runbook("ConvexQueriesHang")),
		lines("Parts of connecting", "How long resolving, connecting and TLS took in the last poll that made a connection. Nothing is drawn where the connection was kept.").
			query(seen("max", "transport, phase", of("convex_probe_phase_duration_seconds")), "{{transport}} {{phase}}").
			unit("s").empty("No connection was made, or metrics.detail is lean").
			to(at("convex-fleet"), runbook("ConvexLatencyHigh")),
		lines("Size of answers", "Bytes of the answers to the last good poll of each endpoint.").
			query(seen("max", "transport", of("convex_probe_response_bytes")), "{{transport}}").
			unit("decbytes").full().
			to(at("convex-fleet")),
	}
}

func peerOrder() []*panel {
	return []*panel{
		lines("Order levels", "Blocks at each level of the order. On a quiet network all stand still together; block ahead of finality that does not move is trouble.").
			query(seen("max", "level", of("convex_peer_order_blocks")), "{{level}}").
			size(8, 8).decimals(0).close().full().
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		lines("Pending blocks", "Blocks in the order that are not final. It returns to 0 where consensus works.").
			query(seen("max", byPeer, of("convex_peer_pending_blocks")), "pending").
			size(8, 8).decimals(0).upTo(1).full().
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		lines("State and head", "Index of the last block that the peer's state includes, and the head of its network. Lines that part: the peer is behind. A line that ends: nothing was heard for three poll intervals.").
			query(seen("max", byPeer, of("convex_peer_state_block")), "{{peer}}").
			query(seen("max", byNetwork, "convex_network_head_block and on (network) "+of("convex_peer_info")), "head").
			size(8, 8).decimals(0).close().
			to(at("convex-consensus"), runbook("ConvexPeerLagging")),
		states("State compared with peers", "Green: equal to another peer's at the same block. Purple: not compared. Orange: another peer has another state, and nobody knows which is right. Red: more than half of the stake has another state.", agreementWords).
			query(agreement(), "{{peer}}").
			size(12, 6).
			to(at("convex-consensus"), runbook("ConvexStateDiverged"), runbook("ConvexStatesDiffer")),
		lines("Age of the comparison", "Time since the peer last showed a block that another peer showed too. Agreement expires after three poll intervals.").
			query(age(byPeer, of("convex_peer_state_compared_timestamp_seconds")), "{{peer}}").
			unit("s").size(12, 6).empty("Never compared").
			to(at("convex-consensus"), runbook("ConvexNothingCompared")),
		states("Order over time", "What the peer's order did: green advancing, blue idle, red stalled, orange receding, purple unknown.", orderWords).
			query(seen("max", byPeer, orderOf("convex_peer_order_state", of)), "{{peer}}").
			size(8, 6).
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		lines("Time since levels advanced", "Since when each level of the order stands still. On a network without transactions this grows and is no fault.").
			query("time() - "+seen("max", "level", of("convex_peer_order_advance_timestamp_seconds")), "{{level}}").
			unit("s").size(8, 6).full().
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		lines("Age of the state", "Time since the last block in the peer's state, by the clock of whoever made the block. It grows on a quiet network.").
			query(age(byPeer, of("convex_peer_state_timestamp_seconds")), "state").
			unit("s").size(8, 6).full().
			to(at("convex-consensus"), runbook("ConvexPeerLagging")),
		lines("Accounts", "Accounts in the peer's state.").
			query(seen("max", byPeer, of("convex_peer_accounts")), "accounts").
			size(12, 6).decimals(0).close().full().
			to(at("convex-stake")),
		lines("Memory pool", "Memory that the pool in the peer's state has for sale.").
			query(seen("max", byPeer, of("convex_peer_memory_pool_bytes")), "pool").
			unit("decbytes").size(12, 6).close().full().
			to(at("convex-stake")),
	}
}

func whoAnswers() *panel {
	match := func(check string) string {
		return seen("min", byPeer, of("convex_peer_identity_match", `check="`+check+`"`))
	}
	return rows("Who answers", "The peer key and the genesis that the peer shows, and whether they are the pinned or learned ones, and proven by a challenge. Empty: not known. API is the oldest release with the interface that the peer shows, Release what it tells over HTTP.").
		label("role", "Role", wide(90)).
		label("api", "API", wide(80)).
		label("release", "Release", wide(140)).
		label("peer_key", "Peer key").
		label("genesis", "Genesis").
		join(seen("max", "peer, network, role, api, release, peer_key, genesis", of("convex_peer_info"))).
		value("Key", match("peer_key"), words(soundWords), lettered(), missing("-"), wide(70)).
		value("Proven", match("key_proof"), words(soundWords), lettered(), missing("-"), wide(80)).
		value("Network is", match("genesis"), words(soundWords), lettered(), missing("-"), wide(100)).
		value("One peer", match("transports_agree"), words(soundWords), lettered(), missing("-"), wide(90)).
		value("URL on chain", match("advertised_url"), words(soundWords), lettered(), missing("-"), wide(110)).
		hide("peer", "network").
		sorted("Peer key", false).
		size(24, 4).
		to(at("convex-fleet"), runbook("ConvexPeerIdentityChanged"), runbook("ConvexPeerWrongNetwork"))
}

func endpoints() *panel {
	return rows("Endpoints", "Where the peer is asked, and how that went. Failures count since the last good poll of the endpoint.").
		label("transport", "Transport", wide(100)).
		label("url", "URL").
		join(seen("max", "peer, network, transport, url", of("convex_probe_endpoint_info"))).
		value("Failures running", seen("max", byTransport, of("convex_probe_consecutive_failures")),
			missing("-"), bythreshold(), graded("green", step{1, "red"}), lettered()).
		value("Last poll", date("max", byTransport, of("convex_probe_last_attempt_timestamp_seconds")), unit("dateTimeFromNow")).
		value("Last answer", date("max", byTransport, of("convex_probe_last_success_timestamp_seconds")), unit("dateTimeFromNow"), missing("never")).
		value("Latency (15 min)", meanLatency("15m"), unit("s"), digits(1), missing("-")).
		hide("peer", "network").
		sorted("Transport", false).
		size(24, 4).
		to(at("convex-fleet"), runbook("ConvexPeerDegraded"))
}

func clock() *panel {
	skew := of("convex_peer_clock_skew_seconds")
	uncertainty := of("convex_peer_clock_skew_uncertainty_seconds")
	return lines("Clock", "The peer's clock minus the agent's: by PING where the peer answers it, else by HTTP's Date, which is exact to half a second. The truth lies between the thin lines. Beyond 15 s a peer stops agreeing.").
		query(seen("max", byPeer, skew), "skew").
		query(seen("max", byPeer, skew+" + "+uncertainty), "at most").
		query(seen("min", byPeer, skew+" - "+uncertainty), "at least").
		unit("s").full().size(12, 7).
		colored("skew", "blue").colored("at most", "light-blue").colored("at least", "light-blue").
		to(at("convex-monitor"), runbook("ConvexClockSkew"))
}

func identityChanges() *panel {
	return lines("Changes of identity", "How often another genesis or peer key answered than before, or another URL stood on chain, since the agent first saw the peer.").
		query(seen("max", "check", of("convex_peer_identity_changes_total")), "{{check}}").
		full().decimals(0).upTo(1).size(12, 7).
		to(at("convex-fleet"), runbook("ConvexPeerIdentityChanged"))
}

// host is what an agent beside the peer sees of its process and its store.
func host() []*panel {
	const none, noneOrLean = "Told by a sidecar on the peer's host", "Told by a sidecar on the peer's host, with metrics.detail: full"
	return []*panel{
		states("Process", "Whether the peer's process is there. A gap: that cannot be told, or no sidecar is.", mapping{{"gone", "red"}, {"there", "green"}}).
			query(seen("min", byPeer, of("convex_peer_process_up")), "{{peer}}").
			size(8, 7).empty(none).
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		lines("Memory against the limit", "The process grows with its mapped store, by design; what counts against the limit is the anonymous part. At the limit the system kills the process.").
			query(seen("max", byPeer, of("convex_peer_process_anonymous_memory_bytes")), "anonymous").
			query(seen("max", byPeer, of("convex_peer_process_resident_memory_bytes")), "resident").
			query(seen("min", byPeer, of("convex_peer_process_memory_limit_bytes")), "limit").
			unit("bytes").size(8, 7).empty(none).colored("limit", "red").
			to(at("convex-fleet"), runbook("ConvexProcessMemoryGrowing")),
		lines("Starts and OOM kills", "How often within an hour the process was started anew, and processes of its cgroup were killed for want of memory, where that is counted.").
			query(seen("max", byPeer, "changes("+of("convex_peer_process_start_time_seconds")+"[1h])"), "starts").
			query(seen("max", byPeer, increase(of("convex_peer_process_oom_kills_total"), "1h")), "OOM kills").
			size(8, 7).decimals(0).upTo(1).empty(none).
			to(at("convex-service-level"), runbook("ConvexProcessMemoryGrowing")),
		lines("Processor time", "Use of cores by the process; 100 % is one core.").
			query(seen("max", byPeer, rate(of("convex_peer_process_cpu_seconds_total"))), "cores").
			unit("percentunit").size(6, 7).upTo(1).empty(noneOrLean).
			to(at("convex-fleet"), runbook("ConvexLatencyHigh")),
		lines("Descriptors and threads", "Open descriptors as a share of their limit, where this agent may count them.").
			query(seen("max", byPeer, of("convex_peer_process_open_fds")+" / "+of("convex_peer_process_max_fds")), "descriptors").
			query(seen("max", byPeer, of("convex_peer_process_threads")), "threads").
			override("descriptors", unit("percentunit"), property("custom.axisPlacement", common.AxisPlacementRight)).
			size(6, 7).empty(noneOrLean).
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		lines("Heap of the JVM", "What objects take of the heap, those included that the next collection frees, and the most that it can grow to. What stays after collections of the whole heap is what the peer needs.").
			query(seen("max", byPeer, of("convex_peer_jvm_heap_used_bytes")), "used").
			query(seen("max", byPeer, of("convex_peer_jvm_heap_capacity_bytes")), "reserved").
			query(seen("min", byPeer, of("convex_peer_jvm_heap_max_bytes")), "limit").
			query(seen("max", byPeer, "sum by (job, instance, peer, network) (60 * "+rate(of("convex_peer_jvm_gc_collections_total"))+")"), "collections a minute").
			override("collections a minute", unit("none"), property("custom.axisPlacement", common.AxisPlacementRight)).
			unit("bytes").size(8, 7).empty(none).colored("limit", "red").
			to(at("convex-fleet"), runbook("ConvexJvmHeapFilling")),
		lines("Garbage collection", "Share of the time in which the peer stands still for collections. Above a tenth the heap is too small.").
			query(seen("max", "collector", rate(of("convex_peer_jvm_gc_pause_seconds_total"))), "{{collector}}").
			unit("percentunit").size(8, 7).upTo(0.1).empty(noneOrLean).
			to(at("convex-fleet"), runbook("ConvexJvmHeapFilling")),
		lines("Connections", "Established connections on each port on which the process listens.").
			query(seen("max", "port", of("convex_peer_connections")), "port {{port}}").
			size(8, 7).decimals(0).empty(noneOrLean).
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		lines("Size of the store", "What the store's file occupies on disk. Before release 0.8.17 it only grows; later releases remove garbage while they run.").
			query(seen("max", byPeer, of("convex_peer_store_bytes")), "store").
			unit("bytes").size(6, 7).empty(noneOrLean).
			to(at("convex-fleet"), runbook("ConvexStoreDiskFilling")),
		lines("Disk of the store", "What is left of the file system that holds the store. A peer that cannot write stops.").
			query(seen("min", byPeer, of("convex_peer_store_filesystem_available_bytes")+" / "+of("convex_peer_store_filesystem_size_bytes")), "free").
			unit("percentunit").size(6, 7).upTo(1).limit("transparent", step{0, "red"}, step{0.1, "transparent"}).empty(none).
			to(at("convex-fleet"), runbook("ConvexStoreDiskFilling")),
	}
}
