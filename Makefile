.PHONY: help package release run test rehearse screenshots bench dashboards lint fmt fuzz chaos clean

help:
	@echo "make package   make a Debian package in target/"
	@echo "make release   make all that is released, in target/dist"
	@echo "make run     start two real Convex peers and the agent that watches them"
	@echo "make test    run every check"
	@echo "make rehearse FAULT=fork   play a fault and show the page that arrives; FAST=1 shortens the waiting"
	@echo "make screenshots   make the pictures in docs/images anew"
	@echo "make lint    formatting, clippy, licences, shell scripts, workflows"
	@echo "make fmt     format the code"
	@echo "make fuzz    run each fuzz target for FUZZ_SECONDS (10)"
	@echo "make chaos   run the agent while disk, clock, names, links, descriptors and clients fail (some fifteen minutes)"
	@echo "make bench   run the benchmarks; BENCH_SHORT=1 watches no large fleet"
	@echo "make dashboards  make dashboards/*.json anew from dashboards/generator"
	@echo "make clean   remove what was built"

run test rehearse release:
	@scripts/$@

package:
	@scripts/need rust cc nfpm
	cargo build --release --locked
	PATH="$(CURDIR)/target/tools/venv/bin:$$PATH" deploy/debian/package target/release/convex-peer-monitor target

lint fuzz chaos:
	@scripts/test $@

screenshots:
	@scripts/need rust cc chromium browser-tests
	@scripts/peer build
	cargo build --locked
	@scripts/in-browser screenshots

bench:
	@scripts/need rust cc blackbox-exporter
	@scripts/peer build
	cargo bench --locked

dashboards:
	@scripts/need go
	cd dashboards/generator && PATH="$(CURDIR)/target/tools/venv/bin:$$PATH" go run . generate ..

fmt:
	cargo fmt

clean:
	cargo clean
	rm -rf tests/peer/target fuzz/target
