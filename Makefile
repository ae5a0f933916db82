# img: everything a newcomer or CI does. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Debian packages: what the build links, and what tests and the demo run.
BUILD_PACKAGES := gcc g++ libc6-dev make pkg-config git libparted-dev libblkid-dev zlib1g-dev libzstd-dev libisal-dev libfuse3-dev libnewt-dev libsqlite3-dev
TEST_PACKAGES := util-linux fdisk gdisk parted e2fsprogs xfsprogs btrfs-progs ntfs-3g fuse3 dosfstools mtools \
	lvm2 mdadm grub-pc-bin grub2-common iproute2 nftables ethtool procps mount jq python3 python3-jsonschema curl tmux \
	busybox-static
# What initrd/build needs; what goes onto the media is in initrd/packages.txt and is unpacked, not installed.
MEDIA_PACKAGES := cpio zstd kmod binutils xorriso mtools
# The virtual machine tests: machines, firmware, PXE, the base system, file systems of the disk they make.
E2E_PACKAGES := qemu-system-x86 seabios ipxe-qemu ovmf dnsmasq-base debootstrap debian-archive-keyring exfatprogs \
	gzip
# The web console's test: a browser, and letters for its pictures.
CONSOLE_PACKAGES := chromium fonts-dejavu-core
PACKAGES := $(BUILD_PACKAGES) $(TEST_PACKAGES) $(MEDIA_PACKAGES) $(E2E_PACKAGES) $(CONSOLE_PACKAGES)

# One configuration: what is tested is what ships. An undeclared import is an error.
SWIFT_FLAGS := -c release --explicit-target-dependency-import-check error
BIN := .build/release
DESTDIR ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNIT := Sources/imgserv/Install

.PHONY: help setup toolchain build test check demo console bench bench-quick bench-stragglers bench-disk \
	bench-live bench-allocations bench-ask simulate fuzz initrd iso pxe e2e clean install install-files

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

toolchain:
	@command -v swift >/dev/null || { echo "make: no Swift toolchain on PATH: install Swift 6.2 or later from https://www.swift.org/install/linux/" >&2; exit 1; }
	@swift --version 2>/dev/null | grep -qE 'Swift version (6\.([2-9]|[1-9][0-9])|[7-9])' || { echo "make: $$(swift --version 2>/dev/null | head -1) is too old: Swift 6.2 or later is needed" >&2; exit 1; }

setup: toolchain ## install the Debian packages that are missing
	@missing=; for package in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
		echo "make: installing$$missing"; \
		[ "$$(id -u)" = 0 ] || { echo "make: installing needs root: run 'sudo apt-get install$$missing'" >&2; exit 1; }; \
		apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

build: setup ## build img and imgserv into .build/release
	swift build $(SWIFT_FLAGS)

test: setup ## build and run every test (as root: loop devices, network namespaces)
	@[ "$$(id -u)" = 0 ] || { echo "make: the tests make loop devices and network namespaces: run as root" >&2; exit 1; }
	swift build $(SWIFT_FLAGS) --build-tests
	swift test $(SWIFT_FLAGS) --skip-build --disable-xctest --skip '^ServerTests\.'
	swift test $(SWIFT_FLAGS) --skip-build --disable-xctest --filter '^ServerTests\.'
	Tests/MediaTests/settings
	Tests/MediaTests/start
	Tests/MediaTests/foundation
	Tests/MediaTests/installed $(BIN)
	IMG_BIN_DIR=$(BIN) Tests/Daemon/run
	IMG_BIN_DIR=$(BIN) Tests/Console/run
	Tests/Demo/demo selftest
	DEAF_AFTER=5 DEAF_RATE=50 Tests/Demo/deaf

check: setup ## formatting, directions of imports, forbidden imports
	swift format lint --strict -r Package.swift Sources Tests Benchmarks
	Tests/check-imports

demo: build ## image three machines on a private network and prove the outcome
	IMG_BIN_DIR=$(BIN) Tests/Demo/demo

console: build ## the web console in a headless browser, with pictures of every page in .build/console
	IMG_BIN_DIR=$(BIN) Tests/Console/run

bench: build ## the transport beside udpcast, UFTP and TCP: every case (hours), tables and plots
	status=0; IMG_BIN_DIR=$(BIN) Benchmarks/transport/run || status=$$?; Benchmarks/transport/report; exit $$status

bench-quick: build ## a few cases of `bench`, in some minutes
	IMG_BIN_DIR=$(BIN) Benchmarks/transport/run quick
	Benchmarks/transport/report check quick

bench-stragglers: build ## one participant stopped, late or killed: what it costs the others
	IMG_BIN_DIR=$(BIN) Benchmarks/transport/stragglers

bench-disk: build ## capture and restore beside partclone, zstd and dd on one disk
	IMG_BIN_DIR=$(BIN) Benchmarks/capture-restore

bench-live: build ## a live session beside the multicast of a ready image, and what each compression level costs
	status=0; IMG_BIN_DIR=$(BIN) Benchmarks/live/run || status=$$?; Benchmarks/live/run report; exit $$status

bench-allocations: build ## what a session allocates per datagram
	IMG_BIN_DIR=$(BIN) Benchmarks/allocations/run

bench-ask: build ## a thousand workstations that ask the imaging server at once
	IMG_BIN_DIR=$(BIN) Benchmarks/work/run

simulate: setup ## sessions of up to 1000 participants on a virtual clock, compared with theory and targets
	swift build $(SWIFT_FLAGS) --product simulate
	$(BIN)/simulate $(SIMULATE)
	$(if $(SIMULATE),,Benchmarks/simulation-report && $(BIN)/simulate check)

fuzz: setup ## run every fuzz target for a while
	Tests/Fuzz/run

initrd: setup ## kernel and initramfs of the boot media, into .build/media (FIRMWARE=DIRECTORY adds firmware)
	initrd/build initrd

iso: initrd ## .build/media/img.iso for CD and USB stick (any key of settings.txt: SERVERKEY=… PROXYADDR=…)
	initrd/build iso

pxe: initrd ## .build/media/pxe, the directory for network boot, with dnsmasq's configurations
	initrd/build pxe

e2e: build initrd iso pxe ## virtual machine tests: PXE and CD boot to a restored system that runs (E2E="s1 s4": a part)
	@[ "$$(id -u)" = 0 ] || { echo "make: the virtual machine tests make loop devices and a network: run as root" >&2; exit 1; }
	Tests/MediaTests/netboot
	IMG_BIN_DIR=$(BIN) Tests/E2E/run $(E2E)

# What only tests and boot media need stays out of a server.
install: PACKAGES := $(BUILD_PACKAGES)
install: setup ## install img, imgserv, its systemd unit and example configuration under $(DESTDIR)$(PREFIX)
	initrd/static img imgserv
	$(MAKE) install-files BIN=.build/static/release

# Without building: what `install` copies. A configuration that is there is kept.
install-files:
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(SYSCONFDIR)
	install -m 755 $(BIN)/img $(DESTDIR)$(PREFIX)/sbin/img
	install -m 755 $(BIN)/imgserv $(DESTDIR)$(PREFIX)/sbin/imgserv
	install -d $(addprefix $(DESTDIR)$(PREFIX)/lib/,systemd/system sysusers.d tmpfiles.d sysctl.d)
	sed 's|@SBIN@|$(PREFIX)/sbin|' $(UNIT)/imgserv.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/imgserv.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/imgserv.service
	for kind in sysusers tmpfiles; do \
		install -m 644 $(UNIT)/$$kind.conf $(DESTDIR)$(PREFIX)/lib/$$kind.d/imgserv.conf; done
	install -m 644 $(UNIT)/sysctl.conf $(DESTDIR)$(PREFIX)/lib/sysctl.d/60-imgserv.conf
	[ -e $(DESTDIR)$(SYSCONFDIR)/imgserv.conf ] || \
		install -m 644 $(UNIT)/imgserv.conf $(DESTDIR)$(SYSCONFDIR)/imgserv.conf
	@[ -n "$(DESTDIR)" ] || echo "make: now run systemd-sysusers, systemd-tmpfiles --create, and systemctl enable --now imgserv (Documentation/SERVER.md)"

clean: ## remove what was built
	rm -rf .build .build-*
