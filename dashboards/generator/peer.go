package main

// peer shows everything about one peer.
func peer() board {
	made := started("convex-peer", "6h")
	condition := func(conditions string) string {
		return seen("max", "peer, network, condition", of("convex_peer_condition", `condition=~"`+conditions+`"`)) + " == 1"
	}
	made.annotations = []annotation{
		{"Down", "red", seen("max", byPeer, of("convex_peer_health", `state="down"`)) + " == 1", "{{peer}} is down"},
		{"Degraded", "orange", seen("max", byPeer, of("convex_peer_health", `state="degraded"`)) + " == 1", "{{peer}} is degraded"},
		{"Restarts", "yellow", seen("max", byPeer, increase(of("convex_peer_restarts_inferred_total"), "$__rate_interval")) + " > 0", "{{peer}} restarted"},
		{"Identity", "dark-red", condition("identity_changed|wrong_peer|wrong_network"), "{{peer}}: {{condition}}"},
		{"Maintenance", "blue", seen("max", byPeer, of("convex_peer_maintenance")) + " == 1", "{{peer}} is in maintenance"},
		agentRestarts, reloads,
	}
	made.rows = []row{
		{panels: append(peerNumbers(), peerConditions(), peerHealth())},
		{title: "Polls", panels: peerPolls()},
		{title: "Latency", panels: peerLatency()},
		{title: "Order and state", panels: peerOrder()},
		{title: "Stake and consensus", panels: peerConsensus()},
		{title: "Identity and endpoints", panels: []*panel{whoAnswers(), endpoints(), clock(), identityChanges()}},
		{title: "Process, JVM and disk (needs a sidecar agent on the peer's host)", panels: host(), collapsed: true},
	}
	return made
}

func peerNumbers() []*panel {
	return []*panel{
		numbers("Health", "The verdict over several polls; with several agents, the worst one.").
			now(badness(), "").named(healthWords).empty("unknown").
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		numbers("Failed (1 h)", "Share of the polls of the last hour that failed, over all agents.").
			now(failedShare("1h"), "").unit("percentunit").decimals(2).empty("unknown").
			steps("green", step{0.001, "orange"}, step{0.01, "red"}).
			to(at("convex-service-level"), runbook("ConvexErrorBudgetBurn")),
		numbers("Last answer", "When an endpoint last answered a poll.").
			now(date("max", byPeer, of("convex_probe_last_success_timestamp_seconds")), "").unit("dateTimeFromNow").plain().empty("never").
			to(at("convex-fleet"), runbook("ConvexMonitorMissesPolls")),
		numbers("Latency", "Mean latency of the slower endpoint in the last 15 minutes.").
			now("max by (peer, network) ("+meanLatency("15m")+")", "").unit("s").decimals(1).plain().empty(none).
			to(at("convex-service-level"), runbook("ConvexLatencyHigh")),
		numbers("Order", "Finalising: blocks become final. Idle: nothing is pending. Stalled: blocks are pending and none becomes final. Went back: the peer lost blocks that it had.").
			now(seen("max", byPeer, orderOf("convex_peer_order_state", of)), "").named(orderWords).empty("unknown").
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		numbers("Lag", "Blocks from the last block that is final at the peer to the head of its network. Unknown while no other peer answers, or the registered stake is unknown.").
			now(seen("max", byPeer, of("convex_peer_lag_blocks")), "").unit("suffix: blocks").empty("unknown").
			steps(neutral, step{-1e9, "green"}, step{10, "orange"}).
			to(at("convex-consensus"), runbook("ConvexPeerLagging")),
		numbers("State", "Whether the peer's state equals that of another peer at the same block. Not compared: no other peer showed the same block within three poll intervals. Differs: another peer has another state, and it is unclear which is right. Diverged: most of the stake has another state.").
			now(agreement(), "").empty("not compared").named(agreementWords).
			to(at("convex-consensus"), runbook("ConvexStateDiverged"), runbook("ConvexStatesDiffer")),
		numbers("Certificate", "Time left for the certificate that expires first in the chain that the HTTP endpoint presented last. The alert depends on the certificate's lifetime.").
			now("("+seen("min", byPeer, of("convex_probe_tls_not_after_timestamp_seconds"))+" - time()) / 86400", "").
			unit("suffix: days").decimals(0).empty("no TLS").steps(neutral, step{-1e5, "red"}, step{0, "green"}).
			to(at("convex-fleet"), runbook("ConvexCertificateExpiring")),
	}
}

func peerConditions() *panel {
	return rows("Active conditions", "The peer's problems, since when, and how many agents see each. The runbook of the health names the steps for each condition.").
		label("condition", "Condition").
		value("Since", date("min", "condition", of("convex_peer_condition_since_timestamp_seconds")), unit("dateTimeFromNow"), wide(140)).
		value("Agents", "count by (condition) ("+of("convex_peer_condition")+` and on (job, instance) convex_monitor_info{vantage=~"$vantage"})`, wide(80)).
		sorted("Condition", false).
		size(8, 6).empty("No active conditions").
		to(at("convex-fleet"), runbook("ConvexPeerDegraded"))
}

func peerHealth() *panel {
	return states("Health by vantage", "The verdict of each agent that polls the peer. If they differ, check the path between the peer and the agent that sees it worse. A gap: the agent was not running.", healthWords).
		query(told("max", "vantage", "("+badnessOf()+")"), "{{vantage}}").
		size(16, 6).
		to(at("convex-monitor"), runbook("ConvexVantagesDisagree"))
}

func peerPolls() []*panel {
	perMinute := func(metric, labels string) string { return "60 * " + seen("sum", labels, rate(of(metric))) }
	return []*panel{
		lines("Failed polls", "By vantage. At an interval of 15 s, 4 a minute is every poll.").
			query("60 * "+told("sum", "vantage", rate(of("convex_peer_poll_failures_total"))), "{{vantage}}").
			unit("suffix:/min").upTo(1).size(8, 8).
			to(at("convex-service-level"), runbook("ConvexPeerDown")),
		lines("Failures by reason", "Of each endpoint; without reasons if metrics.detail is lean. refused and timeout: the peer or the path to it. query_hangs: the peer answers STATUS but no query. monitor: a problem of the agent itself.").
			query(perMinute("convex_probe_failures_total", "transport, reason")+" > 0", "{{transport}} {{reason}}").
			unit("suffix:/min").size(8, 8).empty("No failed polls").
			to(at("convex-service-level"), runbook("ConvexQueriesHang")),
		lines("Polls", "Of each endpoint, by all agents. A line falls if an agent misses polls, or if the peer stays down and is polled less often.").
			query(perMinute("convex_probe_attempts_total", "transport"), "{{transport}}").
			unit("suffix:/min").size(8, 8).
			to(at("convex-monitor"), runbook("ConvexMonitorMissesPolls")),
		lines("Retries and reconnects", "Retries: attempts after the first one of a poll. Reconnects: kept connections that were found dead. Replaced: connections that the agent replaced by itself. Ignored: messages that no request was waiting for.").
			query(perMinute("convex_probe_retries_total", "transport"), "{{transport}} retries").
			query(perMinute("convex_probe_reconnects_total", "transport"), "{{transport}} reconnects").
			query(perMinute("convex_probe_connections_replaced_total", "transport"), "{{transport}} replaced").
			query(perMinute("convex_probe_ignored_messages_total", "transport"), "{{transport}} ignored").
			unit("suffix:/min").upTo(1).empty("Not polled in this time range, or metrics.detail is lean").
			to(at("convex-service-level"), runbook("ConvexPeerDown")),
		lines("Health changes and restarts (1 h)", "How often the peer became down or degraded within an hour, and how often it restarted. Many changes: it flaps.").
			query(seen("sum", "state", increase(of("convex_peer_health_transitions_total", `state=~"down|degraded"`), "1h")), "became {{state}}").
			query(seen("max", byPeer, increase(of("convex_peer_restarts_inferred_total"), "1h")), "restarts").
			decimals(0).upTo(1).
			to(at("convex-service-level"), runbook("ConvexPeerDegraded")),
	}
}

func peerLatency() []*panel {
	const noAnswer = "No successful polls, or metrics.detail is lean"
	percentile := func(quantile string) string {
		return "histogram_quantile(" + quantile + ", " + seen("sum", "le, transport", rate(of("convex_probe_duration_seconds_bucket"))) + ")"
	}
	heatMap := func(title, transport string) *panel {
		return heat(title, "Polls a minute by how long they took. Compare with the heat map of all peers on the dashboard Fleet overview.").
			buckets(latencyBuckets(of, "convex_probe_duration_seconds_bucket", transport)).
			size(12, 8).empty(noAnswer).
			to(at("convex-fleet"), runbook("ConvexLatencyHigh"))
	}
	return []*panel{
		lines("Mean latency", "From the first byte of the request to the last byte of the answers of successful polls, without connecting.").
			query(meanLatency("$__rate_interval"), "{{transport}}").
			unit("s").size(8, 8).empty("No successful polls").
			to(at("convex-service-level"), runbook("ConvexLatencyHigh")),
		lines("Latency percentiles", "Median and 99th percentile of each endpoint.").
			query(percentile("0.5"), "{{transport}} median").
			query(percentile("0.99"), "{{transport}} p99").
			unit("s").size(8, 8).empty(noAnswer).
			to(at("convex-service-level"), runbook("ConvexLatencyHigh")),
		lines("Latency by request", "Of the last status, ping and query. A query that takes much longer than the status: the peer's query queue is full.").
			query(seen("max", "transport, request", of("convex_probe_request_duration_seconds")), "{{transport}} {{request}}").
			unit("s").size(8, 8).full().
			to(at("convex-fleet"), runbook("ConvexQueriesHang")),
		heatMap("Latency over TCP", "tcp"),
		heatMap("Latency over HTTP", "http"),
		lines("Connection phases", "How long resolve, connect and TLS took in the last poll that made a connection. Empty while connections are reused, as they normally are.").
			query(seen("max", "transport, phase", of("convex_probe_phase_duration_seconds")), "{{transport}} {{phase}}").
			unit("s").dots().size(24, 7).empty("No new connection in this time range, or metrics.detail is lean").
			to(at("convex-fleet"), runbook("ConvexLatencyHigh")),
	}
}

func peerOrder() []*panel {
	level := func(level string) string { return of("convex_peer_order_blocks", `level="`+level+`"`) }
	aboveFinal := func(of string) string {
		return seen("max", byPeer, level(of)+" - ignoring (level) "+level("finality"))
	}
	head := "on (network) group_left () max by (network) (" + in("convex_network_head_block") + ")"
	return []*panel{
		lines("Lag over time", "Blocks to the head of the network: of the last block that is final at the peer, and of the last block that its state includes. Lines that rise: the peer falls behind.").
			query(seen("max", byPeer, of("convex_peer_lag_blocks")), "final").
			query("clamp_min(-1 * ("+seen("max", byPeer, of("convex_peer_state_block"))+" - "+head+"), 0)", "executed").
			unit("suffix: blocks").size(8, 8).decimals(0).upTo(10).empty("Unknown: no answer from the peer, or no head").
			to(at("convex-consensus"), runbook("ConvexPeerLagging")),
		lines("Blocks that are not final", "Blocks of the peer's order beyond its finality point, and how far they have come. All lines return to 0 while consensus works. Lines that stay above 0: consensus stands still.").
			query(seen("max", byPeer, of("convex_peer_pending_blocks")), "pending").
			query(aboveFinal("proposal"), "proposed").
			query(aboveFinal("consensus"), "in consensus").
			unit("suffix: blocks").size(8, 8).decimals(0).upTo(1).full().
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		lines("Time since progress", "Since each level of the order last grew, and since the last block in the state. Without transactions all of them grow, which is no fault.").
			query("time() - "+seen("max", "level", of("convex_peer_order_advance_timestamp_seconds")), "{{level}}").
			query(age(byPeer, of("convex_peer_state_timestamp_seconds")), "last block in the state").
			unit("s").size(8, 8).full().
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		states("Order over time", "State of the peer's order. A gap: no agent was running.", orderWords).
			query(seen("max", byPeer, orderOf("convex_peer_order_state", of)), "{{peer}}").
			size(8, 6).
			to(at("convex-consensus"), runbook("ConvexConsensusStalled")),
		states("State over time", "Agrees: equal to another peer's state at the same block. Differs: another peer has another state, and it is unclear which is right. Diverged: more than half of the stake has another state.", agreementWords).
			query(agreement(), "{{peer}}").
			size(8, 6).empty("Not compared").
			to(at("convex-consensus"), runbook("ConvexStateDiverged"), runbook("ConvexStatesDiffer")),
		lines("Time since comparison", "Since the peer last showed a block that another peer showed too. Agreement expires after three poll intervals.").
			query(age(byPeer, of("convex_peer_state_compared_timestamp_seconds")), "{{peer}}").
			unit("s").size(8, 6).empty("Never compared").
			to(at("convex-consensus"), runbook("ConvexNothingCompared")),
	}
}

// peerConsensus shows what keeps a peer in consensus: its stake, and that it hears the others and makes blocks.
func peerConsensus() []*panel {
	const noStake = "Not registered, or the registry was not read"
	return []*panel{
		lines("Stake", "Of the peer itself and delegated by others. Below an own stake of 1000 CVM other peers ignore the peer, and anyone may evict it.").
			query(seen("max", byPeer, of("convex_stake_own_cvm")), "own").
			query(seen("max", byPeer, of("convex_stake_delegated_cvm")), "delegated").
			unit("suffix: CVM").size(6, 8).limit("transparent", step{1000, "red"}).
			empty(noStake+", or a reference in lean detail").
			to(at("convex-stake"), runbook("ConvexOwnStakeBelowMinimum")),
		lines("Weight", "The peer's share of the network's weight, and the fraction of its stake that counts. The fraction falls while the peer makes no blocks and others do: send a transaction through the peer.").
			query(seen("max", byPeer, of("convex_stake_weight_ratio")), "share of the network").
			query(seen("max", byPeer, of("convex_stake_decay_ratio")), "stake that counts").
			unit("percentunit").upTo(1).size(6, 8).empty(noStake+", or metrics.detail is lean").
			to(at("convex-stake"), runbook("ConvexWeightDecayed")),
		lines("Blocks made", "Final blocks that the peer made.").
			query("60 * "+seen("max", byPeer, rate(of("convex_peer_blocks_made_total"))), "{{peer}}").
			unit("suffix:/min").upTo(1).size(6, 8).empty("No blocks read, key unknown, or a reference in lean detail").
			to(at("convex-consensus"), runbook("ConvexWeightDecayed")),
		lines("Stake heard", "Share of the other peers' stake whose newest orders the peer holds. Below the line it is isolated: check its connections to other peers.").
			query(seen("min", byPeer, of("convex_peer_heard_stake_ratio")), "{{peer}}").
			unit("percentunit").upTo(1).size(6, 8).limit("transparent", step{0.667, "red"}).
			empty("Belief not read, or stake unknown").
			to(at("convex-consensus"), runbook("ConvexPeerIsolated")),
	}
}

func whoAnswers() *panel {
	match := func(check string) string {
		return seen("min", byPeer, of("convex_peer_identity_match", `check="`+check+`"`))
	}
	return rows("Identity", "The key and the genesis that the peer shows, and whether they match the pinned or learned ones. Key proof: the answer to a challenge is signed by the key. API: the oldest release with the interface that the peer has. Release: what the peer reports over HTTP.").
		label("role", "Role", wide(100)).
		label("api", "API", wide(80)).
		label("release", "Release", wide(130)).
		label("peer_key", "Peer key").
		label("genesis", "Genesis").
		join(seen("max", "peer, network, role, api, release, peer_key, genesis", of("convex_peer_info"))).
		value("Key matches", match("peer_key"), words(soundWords), lettered(), wide(105)).
		value("Key proof", match("key_proof"), words(soundWords), lettered(), wide(90)).
		value("Genesis matches", match("genesis"), words(soundWords), lettered(), wide(125)).
		value("Endpoints agree", match("transports_agree"), words(soundWords), lettered(), wide(125)).
		value("URL on chain", match("advertised_url"), words(soundWords), lettered(), wide(110)).
		hide("peer", "network").
		sorted("Peer key", false).
		size(24, 4).
		to(at("convex-fleet"), runbook("ConvexPeerIdentityChanged"), runbook("ConvexPeerWrongNetwork"))
}

func endpoints() *panel {
	return rows("Endpoints", "The addresses that are polled, and the result. Failures in a row: since the last successful poll.").
		label("transport", "Transport", wide(100)).
		label("url", "URL").
		join(seen("max", "peer, network, transport, url", of("convex_probe_endpoint_info"))).
		value("Failures in a row", seen("max", byTransport, of("convex_probe_consecutive_failures")),
			bythreshold(), graded("text", step{0, "green"}, step{1, "red"}), lettered(), wide(130)).
		value("Last poll", date("max", byTransport, of("convex_probe_last_attempt_timestamp_seconds")), unit("dateTimeFromNow")).
		value("Last answer", date("max", byTransport, of("convex_probe_last_success_timestamp_seconds")), unit("dateTimeFromNow"), missing("never")).
		value("Latency (15 min)", meanLatency("15m"), unit("s"), digits(1), wide(130)).
		value("Response size", seen("max", byTransport, of("convex_probe_response_bytes")), unit("decbytes"), digits(1), wide(120)).
		hide("peer", "network").
		sorted("Transport", false).
		size(24, 4).
		to(at("convex-fleet"), runbook("ConvexPeerDegraded"))
}

func clock() *panel {
	skew := of("convex_peer_clock_skew_seconds")
	uncertainty := of("convex_peer_clock_skew_uncertainty_seconds")
	return lines("Clock skew", "The peer's clock minus the agent's, and the bounds of the measurement: PING is exact to half the round trip, the HTTP Date header to half a second. Fix the peer's time synchronisation before the skew reaches 15 s, where peers stop agreeing.").
		query(seen("max", byPeer, skew), "skew").
		query(seen("max", byPeer, skew+" + "+uncertainty), "at most").
		query(seen("min", byPeer, skew+" - "+uncertainty), "at least").
		unit("s").full().size(12, 7).
		colored("skew", "blue").colored("at most", "light-blue").colored("at least", "light-blue").
		to(at("convex-monitor"), runbook("ConvexClockSkew"))
}

func identityChanges() *panel {
	return lines("Identity changes", "How often the genesis, the peer key or the URL on chain changed since the agent first saw the peer. A change that you did not make: another process answers.").
		query(seen("max", "check", of("convex_peer_identity_changes_total")), "{{check}}").
		decimals(0).upTo(1).size(12, 7).full().
		to(at("convex-fleet"), runbook("ConvexPeerIdentityChanged"))
}

// host shows what an agent on the peer's host reads about its process and its store.
func host() []*panel {
	const (
		absent       = "Needs a sidecar agent on the peer's host"
		absentOrLean = absent + " and metrics.detail: full"
		noJVM        = absent + " that may read the JVM's counters"
	)
	return []*panel{
		states("Process", "Whether the peer's process runs. A gap: unknown, or no sidecar agent.", mapping{{"not running", "red"}, {"running", "green"}}).
			query(seen("min", byPeer, of("convex_peer_process_up")), "{{peer}}").
			size(8, 8).empty(absent).
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		lines("Memory", "Only anonymous memory counts against the limit; at the limit the system kills the process. Resident memory includes the mapped store and grows by design.").
			query(seen("max", byPeer, of("convex_peer_process_anonymous_memory_bytes")), "anonymous").
			query(seen("max", byPeer, of("convex_peer_process_resident_memory_bytes")), "resident").
			query(seen("min", byPeer, of("convex_peer_process_memory_limit_bytes")), "limit").
			unit("bytes").size(8, 8).empty(absent).colored("limit", "red").
			to(at("convex-fleet"), runbook("ConvexProcessMemoryGrowing")),
		lines("Process starts and OOM kills (1 h)", "Starts of the process within an hour, and processes of its cgroup that the OOM killer killed.").
			query(seen("max", byPeer, "changes("+of("convex_peer_process_start_time_seconds")+"[1h])"), "starts").
			query(seen("max", byPeer, increase(of("convex_peer_process_oom_kills_total"), "1h")), "OOM kills").
			size(8, 8).decimals(0).upTo(1).empty(absent).
			to(at("convex-service-level"), runbook("ConvexProcessMemoryGrowing")),
		lines("JVM heap", "Used: what objects take, including those that the next collection frees. If it stays near the limit after collections, give the JVM a larger heap.").
			query(seen("max", byPeer, of("convex_peer_jvm_heap_used_bytes")), "used").
			query(seen("max", byPeer, of("convex_peer_jvm_heap_capacity_bytes")), "reserved").
			query(seen("min", byPeer, of("convex_peer_jvm_heap_max_bytes")), "limit").
			unit("bytes").size(8, 8).empty(noJVM).colored("limit", "red").
			to(at("convex-fleet"), runbook("ConvexJvmHeapFilling")),
		lines("Garbage collections", "How often each collector ran.").
			query(seen("max", "collector", "60 * "+rate(of("convex_peer_jvm_gc_collections_total"))), "{{collector}}").
			unit("suffix:/min").size(8, 8).upTo(1).empty(noJVM).
			to(at("convex-fleet"), runbook("ConvexJvmHeapFilling")),
		lines("Garbage collection pauses", "Share of the time in which the peer stands still for collections. Above 10 % the heap is too small.").
			query(seen("max", "collector", rate(of("convex_peer_jvm_gc_pause_seconds_total"))), "{{collector}}").
			unit("percentunit").size(8, 8).upTo(0.1).empty(noJVM+", and metrics.detail: full").
			to(at("convex-fleet"), runbook("ConvexJvmHeapFilling")),
		lines("CPU", "CPU time of the process. 100 % is one core.").
			query(seen("max", byPeer, rate(of("convex_peer_process_cpu_seconds_total"))), "{{peer}}").
			unit("percentunit").size(6, 8).upTo(1).empty(absentOrLean).
			to(at("convex-fleet"), runbook("ConvexLatencyHigh")),
		lines("File descriptors", "Open file descriptors as a share of their limit. At the limit the peer accepts no more connections.").
			query(seen("max", byPeer, of("convex_peer_process_open_fds")+" / "+of("convex_peer_process_max_fds")), "{{peer}}").
			unit("percentunit").size(6, 8).upTo(1).empty(absentOrLean).
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		lines("Threads", "Threads of the process. A steady rise is a leak: restart the peer in time.").
			query(seen("max", byPeer, of("convex_peer_process_threads")), "{{peer}}").
			size(6, 8).decimals(0).empty(absentOrLean).
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		lines("Connections", "Established connections to each port on which the process listens.").
			query(seen("max", "port", of("convex_peer_connections")), "port {{port}}").
			size(6, 8).decimals(0).empty(absentOrLean).
			to(at("convex-fleet"), runbook("ConvexPeerDown")),
		lines("Store size", "Disk space that the store takes. Before release 0.8.17 it only grows; later releases remove garbage while they run.").
			query(seen("max", byPeer, of("convex_peer_store_bytes")), "{{peer}}").
			unit("bytes").size(12, 8).empty(absentOrLean).
			to(at("convex-fleet"), runbook("ConvexStoreDiskFilling")),
		lines("Free disk space", "Share of the store's file system that is free. A peer that cannot write stops: make room before the line is crossed.").
			query(seen("min", byPeer, of("convex_peer_store_filesystem_available_bytes")+" / "+of("convex_peer_store_filesystem_size_bytes")), "{{peer}}").
			unit("percentunit").size(12, 8).upTo(1).limit("transparent", step{0.1, "red"}).empty(absent).
			to(at("convex-fleet"), runbook("ConvexStoreDiskFilling")),
	}
}
