.PHONY: run test

run:
	cargo run --release

test:
	cargo test
