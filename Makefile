.PHONY: help run test rehearse rehearsals lint fmt test-slow test-docs test-ops test-deploy test-fuzz test-browser \
	test-release test-oldest-rust chaos bench book package release dashboards screenshots clean

help:
	@echo "Try it:"
	@echo "  make run               start two real Convex peers and an agent that monitors them"
	@echo "  make test              unit, integration and end-to-end tests (20 minutes on two cores)"
	@echo "  make rehearse FAULT=fork   inject a fault and show the alert that arrives; FAST=1 shortens the waits"
	@echo "  make rehearsals        play all rehearsals and write docs/rehearsals.md (50 minutes)"
	@echo ""
	@echo "Change it:"
	@echo "  make fmt               format the code"
	@echo "  make lint              formatting, clippy, licences, shell scripts, workflows, API documentation"
	@echo "  make test-slow         end-to-end tests and rehearsals that wait for minutes (13 minutes)"
	@echo "  make test-docs         the documents as a site, and all links in it"
	@echo "  make test-ops          alert rules, dashboards, service unit, manual pages, Helm chart"
	@echo "  make test-deploy       container image, Debian package and compose stack, built and run"
	@echo "  make test-fuzz         each fuzz target for FUZZ_SECONDS (10)"
	@echo "  make test-browser      the web pages in Chromium"
	@echo "  make chaos             the agent while disk, clock, DNS, links, descriptors and clients fail (30 minutes)"
	@echo "  make test-release      build a release twice, compare, install and run it (25 minutes)"
	@echo "  make test-oldest-rust  compile with the oldest supported Rust (3 minutes)"
	@echo "  make bench             run the benchmarks; BENCH_SHORT=1 skips the large fleets"
	@echo ""
	@echo "Build it:"
	@echo "  make book              build the documents as a site in target/book/html"
	@echo "  make package           build a Debian package for this machine in target/"
	@echo "  make release           build all release files for x86_64 and aarch64 in target/dist"
	@echo "  make dashboards        regenerate dashboards/*.json from dashboards/generator"
	@echo "  make screenshots       regenerate the pictures in docs/images"
	@echo "  make clean             remove everything that was built"

run rehearse release:
	@scripts/$@

rehearsals:
	@scripts/rehearse --record

test lint chaos:
	@scripts/test $@

test-slow test-docs test-ops test-deploy test-fuzz test-browser test-release test-oldest-rust:
	@scripts/test $(@:test-%=%)

fmt:
	cargo fmt --all

book:
	@scripts/need book
	PATH="$(CURDIR)/target/tools/venv/bin:$$PATH" scripts/book

package:
	@scripts/need rust cc nfpm
	cargo build --release --locked
	PATH="$(CURDIR)/target/tools/venv/bin:$$PATH" deploy/packages/make deb target/release/convex-peer-monitor target/convex-peer-monitor.deb

screenshots:
	@scripts/need rust cc chromium browser-tests
	@scripts/peer build cargo build --locked
	@scripts/in-browser screenshots

bench:
	@scripts/need rust cc blackbox-exporter
	@scripts/peer build
	cargo bench --locked

dashboards:
	@scripts/need go
	cd dashboards/generator && PATH="$(CURDIR)/target/tools/venv/bin:$$PATH" go run . generate ..

clean:
	cargo clean
	rm -rf tests/peer/target fuzz/target
