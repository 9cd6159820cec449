# SPDX-License-Identifier: GPL-3.0-or-later
# One Makefile, not recursive. Everything it makes is below build/.
#   V=1 shows commands, DEBUG=1 builds -O0 -g, SAN=address,undefined builds a sanitized tree beside the usual one.

SHELL := /bin/bash
VERSION := 0.1.0
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=

CC = gcc
CLANG ?= clang
BPFTOOL := $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)
ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
MULTIARCH := $(shell gcc -print-multiarch 2>/dev/null)

O := build$(if $(SAN),/san)$(if $(DEBUG),/debug)$(if $(filter clang%,$(CC)),/clang)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)';)

# Debian packages; `make deps` installs those that are missing and nothing else.
DEPS := gcc libc6-dev make pkg-config clang llvm bpftool libbpf-dev libelf-dev linux-libc-dev \
	protobuf-c-compiler libprotobuf-c-dev libmnl-dev libzmq3-dev libsqlite3-dev libpq-dev libyaml-dev libjansson-dev uthash-dev \
	libcurl4-openssl-dev libgraphviz-dev libcairo2-dev libpcre2-dev libxxhash-dev libseccomp-dev libcadical-dev fonts-dejavu-core
DEPS_TEST := check python3 python3-zmq python3-protobuf protobuf-compiler graphviz iproute2 util-linux procps redis-server redis-tools libbliss-dev \
	etcd-server etcd-client libclang-rt-14-dev man-db liburing-dev qemu-system-x86 busybox-static kmod nftables \
	postgresql qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
	crun python3-kubernetes python3-yaml binutils ruby rsync genisoimage \
	python3-zmq python3-protobuf python3-pycosat protobuf-compiler
# what `make bench` compares with
DEPS_BENCH := strace bpftrace
DEPS_DEB := dpkg-dev debhelper fakeroot lintian
# a Debian to install the packages in
DEPS_SOAK := $(DEPS_DEB) mmdebstrap e2fsprogs
# machines of Vagrant, and a box for them
DEPS_VAGRANT := vagrant vagrant-libvirt libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system dnsmasq-base iptables iproute2 \
	qemu-system-x86 qemu-utils rsync openssh-client mmdebstrap extlinux e2fsprogs fdisk python3

PKGS := libbpf libelf libmnl libprotobuf-c libzmq sqlite3 libpq yaml-0.1 jansson libcgraph cairo libcurl libpcre2-8 libxxhash \
	libseccomp
pkg = $(shell pkg-config --$(1) $(2) 2>/dev/null)

CFLAGS ?= $(if $(DEBUG),-O0,-O2) -g
WARN := -Wall -Wextra -Werror -Wswitch -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter \
	-Wno-missing-field-initializers -Wvla
# shadowing and pointer arithmetic on void are left to the style; generated code is built without warnings
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DBOP_VERSION='"$(VERSION)"' -I. -I$(O) $(WARN) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	$(call pkg,cflags,$(PKGS)) $(CFLAGS)
ALL_LDFLAGS = $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

PROTO := $(wildcard proto/*.proto)
GEN := $(PROTO:%.proto=$(O)/%.pb-c.c)
GEN_H := $(PROTO:%.proto=$(O)/%.pb-c.h)
CONTENT := $(wildcard bpf/content*.bpf.c)
FAULT := bpf/fault_packet.bpf.c
GATE := bpf/fault_gate.bpf.c
SYN := bpf/syn.bpf.c
BPF := $(filter-out $(CONTENT) $(FAULT) $(GATE) $(SYN),$(wildcard bpf/*.bpf.c))
SKEL := $(patsubst %,$(O)/bpf/%.skel.h,tracer content fault gate syn)

# objects live in a folder of their own: build/tfj is the program
obj = $(patsubst %.c,$(O)/obj/%.o,$(wildcard $(1)/*.c))
OBJ_LIB := $(call obj,lib)
OBJ_PROTO := $(call obj,proto) $(GEN:.c=.o)
OBJ_GRAPH := $(call obj,graph)
OBJ_LDFI := $(call obj,ldfi)
OBJ_LIBBOP := $(call obj,libbop)
# the library for other programs: what it is made of, in position-independent code
PIC_LIBBOP := $(patsubst %,$(O)/pic/%.o,$(basename $(wildcard libbop/*.c)) lib/error lib/key lib/place proto/api.pb-c)
SONAME := libbop.so.0
UNITS := bop-serve.service tfj.service
OBJ_COLLECTOR := $(call obj,collector)
OBJ_TFJ := $(call obj,tfj)
comma := ,
not_main = $(filter-out %/main.o,$(1))

# controller-c is for others: it is built with an installed libbop
EXAMPLES := $(patsubst %.c,$(O)/%,$(filter-out examples/controller-c/%,$(wildcard examples/*/*.c)))
UNIT := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))
# what they share beside headers: random executions
OBJ_UNIT := $(patsubst %.c,$(O)/obj/%.o,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))
KERNEL := $(patsubst %.c,$(O)/%,$(wildcard tests/kernel/*.c))
LOAD := $(patsubst %.c,$(O)/%,$(wildcard tests/load/*.c))
GUEST := $(patsubst %.c,$(O)/%,$(wildcard tests/vm/*.c))
FUZZ := $(patsubst %.c,$(O)/%,$(wildcard tests/fuzz/*.c))
BENCH := $(patsubst %.c,$(O)/%,$(wildcard tests/bench/*.c))
TORTURE := $(O)/tests/torture/torture

LIBS_BOP = $(call pkg,libs,libprotobuf-c libzmq sqlite3 libpq yaml-0.1 jansson libcgraph cairo libpcre2-8 libxxhash) \
	-lcadical -lstdc++ -lm -lpthread
LIBS_TFJ = $(call pkg,libs,jansson libbpf libelf libmnl libprotobuf-c libzmq libpcre2-8 libseccomp) -lm -lpthread

.PHONY: all examples deps deps-test deps-bench deps-vagrant demo deb test check-built test-vm vagrant-check soak bench fuzz fuzz-built fuzz-programs install uninstall clean help
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(O)/bop $(O)/tfj $(O)/libbop.so.$(VERSION) $(O)/libbop.a $(EXAMPLES) ## build bop, tfj, libbop and the example programs into build/

$(O)/bop: $(OBJ_COLLECTOR) $(OBJ_LDFI) $(OBJ_GRAPH) $(OBJ_LIBBOP) $(OBJ_PROTO) $(OBJ_LIB)
	$(call say,LINK,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_BOP)

$(O)/tfj: $(OBJ_TFJ) $(OBJ_PROTO) $(OBJ_LIB)
	$(call say,LINK,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_TFJ)

$(O)/libbop.so.$(VERSION): $(PIC_LIBBOP) libbop/libbop.map
	$(call say,LINK,$@) $(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=libbop/libbop.map \
		$(if $(SAN),,-Wl$(comma)-z$(comma)defs) $(ALL_LDFLAGS) -o $@ $(PIC_LIBBOP) $(call pkg,libs,libprotobuf-c libzmq)

# one object, of which only what is for others can be seen
$(O)/libbop.a: $(PIC_LIBBOP)
	$(call say,AR,$@) ld -r -o $(O)/libbop.o $^ && objcopy --localize-hidden $(O)/libbop.o && rm -f $@ && ar rcs $@ $(O)/libbop.o

$(O)/pic/%.o: %.c | $(GEN_H)
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

$(O)/pic/%.pb-c.o: $(O)/%.pb-c.c
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -fPIC -w -MMD -MP -c -o $@ $<

$(O)/obj/%.o: %.c | $(GEN_H)
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/%.pb-c.o: $(O)/%.pb-c.c
	$(call say,CC,$<) $(CC) $(ALL_CFLAGS) -w -MMD -MP -c -o $@ $<

$(O)/proto/%.pb-c.c $(O)/proto/%.pb-c.h: proto/%.proto
	$(call say,PROTO,$<) mkdir -p $(@D) && protoc-c --c_out=$(O) $<

# CO-RE: no vmlinux.h, kernel headers or BTF of the building machine; only the UAPI headers of the C library.
$(O)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<) mkdir -p $(@D) && $(CLANG) -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror \
		-Wno-unused-parameter -D__TARGET_ARCH_$(ARCH) -I. -I/usr/include/$(MULTIARCH) -MMD -MP -c -o $@ $<

$(O)/bpf/tracer.o: $(BPF:%.c=$(O)/%.o)
	$(call say,BPFLINK,$@) $(BPFTOOL) gen object $@ $^

# Loaded beside the others, and only when they are asked for.
$(O)/bpf/content.o: $(CONTENT:%.c=$(O)/%.o) $(O)/bpf/maps.bpf.o
$(O)/bpf/fault.o: $(FAULT:%.c=$(O)/%.o) $(O)/bpf/maps.bpf.o
$(O)/bpf/gate.o: $(GATE:%.c=$(O)/%.o) $(O)/bpf/maps.bpf.o
$(O)/bpf/syn.o: $(SYN:%.c=$(O)/%.o) $(O)/bpf/maps.bpf.o
$(O)/bpf/content.o $(O)/bpf/fault.o $(O)/bpf/gate.o $(O)/bpf/syn.o:
	$(call say,BPFLINK,$@) $(BPFTOOL) gen object $@ $^

$(O)/bpf/%.skel.h: $(O)/bpf/%.o
	$(call say,SKEL,$@) $(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(OBJ_TFJ) $(O)/obj/tests/kernel/test_tracer_lanes.o: | $(SKEL)

# Example programs stand alone: plain C and sockets, nothing of ours.
$(O)/examples/%: examples/%.c $(wildcard examples/*.h examples/*/*.h)
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) $(LDFLAGS) -o $@ $< -lpthread

$(O)/tests/vm/%: tests/vm/%.c
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -o $@ $<

$(O)/tests/load/%: tests/load/%.c $(wildcard tests/load/*.h)
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -o $@ $<

examples: $(EXAMPLES) ## build only the example programs

$(O)/tests/unit/%: $(O)/obj/tests/unit/%.o $(OBJ_UNIT) $(call not_main,$(OBJ_COLLECTOR)) $(OBJ_LDFI) $(OBJ_GRAPH) $(OBJ_LIBBOP) $(OBJ_PROTO) $(OBJ_LIB)
	$(call say,LINK,$@) mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_BOP) $(call pkg,libs,check) $(LIBS_ORACLE)
$(O)/tests/unit/test_print_property: LIBS_ORACLE = -lbliss

$(O)/tests/kernel/%: $(O)/obj/tests/kernel/%.o $(call not_main,$(OBJ_TFJ)) $(OBJ_PROTO) $(OBJ_LIB)
	$(call say,LINK,$@) mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_TFJ) $(call pkg,libs,check) -lpthread

$(O)/tests/bench/%: $(O)/obj/tests/bench/%.o $(call not_main,$(OBJ_COLLECTOR)) $(OBJ_LDFI) $(OBJ_GRAPH) $(OBJ_LIBBOP) $(OBJ_PROTO) $(OBJ_LIB)
	$(call say,LINK,$@) mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_BOP)

# Only in a tree of clang with SAN=fuzzer-no-link,...: see fuzz.
$(O)/tests/fuzz/%: $(O)/obj/tests/fuzz/%.o $(call not_main,$(OBJ_COLLECTOR)) $(OBJ_LDFI) $(OBJ_GRAPH) $(OBJ_LIBBOP) $(OBJ_PROTO) $(OBJ_LIB)
	$(call say,LINK,$@) mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) $(if $(filter fuzz_%,$(*F)),-fsanitize=fuzzer) -o $@ $^ $(LIBS_BOP)
$(O)/tests/fuzz/seeds: $(OBJ_UNIT)

# Stands alone, like the examples.
$(TORTURE): $(patsubst %.c,$(O)/obj/%.o,$(wildcard tests/torture/*.c))
	$(call say,LINK,$@) mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread -luring

# dpkg-query asks nothing and needs no network; apt runs only when something is missing. No server that is installed on
# the way is started: policy-rc.d says no, as long as apt runs; and PostgreSQL's makes no cluster, which would start with the machine.
define install-missing
	@missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	[ -z "$$missing" ] && exit 0; \
	[ "$$(id -u)" = 0 ] || { echo "make deps: these packages are missing and installing needs root:" $$missing >&2; exit 1; }; \
	echo "installing:" $$missing; \
	export DEBIAN_FRONTEND=noninteractive; policy=/usr/sbin/policy-rc.d; cluster=/etc/postgresql-common/createcluster.conf; ours=; \
	trap 'rm -f $$ours' EXIT; \
	[ -e $$policy ] || { ours=$$policy; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; }; \
	case " $$missing " in *" postgresql "*) [ -e $$cluster ] || { ours="$$ours $$cluster"; mkdir -p $${cluster%/*}; \
		echo 'create_main_cluster = false' >$$cluster; };; esac; \
	apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends $$missing >$${TMPDIR:-/tmp}/bop-deps.log 2>&1 || \
	{ tail -n 20 $${TMPDIR:-/tmp}/bop-deps.log >&2; echo "make deps: apt could not install them; its log is $${TMPDIR:-/tmp}/bop-deps.log" >&2; exit 1; }
endef

deps: ## install the Debian packages that are missing (as root; asks nothing)
	$(call install-missing,$(DEPS))

deps-test: deps
	$(call install-missing,$(DEPS_TEST))

demo: deps ## install what is missing, build, run the quorum example, draw it
	@$(MAKE) --no-print-directory all
	@O=$(O) tests/demo

deps-bench: deps-test
	$(call install-missing,$(DEPS_BENCH))

test: deps-test ## install what is missing, build, run every test
	@$(MAKE) --no-print-directory check-built

check-built:
	@$(MAKE) --no-print-directory all $(UNIT) $(KERNEL) $(LOAD) $(TORTURE) $(GUEST)
	@O=$(O) tests/run

test-vm: deps-test ## boot Debian's kernels 6.1 and 6.12 in qemu, run the kernel tests there under each backend
	@$(MAKE) --no-print-directory all $(KERNEL) $(GUEST)
	@O=$(O) tests/run vm/

deps-vagrant: ## install what vagrant/ needs on the machine that makes its machines (libvirt)
	$(call install-missing,$(DEPS_VAGRANT))

vagrant-check: deps deps-vagrant ## make machines with Vagrant, run an experiment on them, compare what was counted, destroy them
	$(call install-missing,$(DEPS_DEB))
	@O=$(O) vagrant/check

soak: deps-test ## the long matrices in tests/soak/: hours
	$(call install-missing,$(DEPS_SOAK))
	@$(MAKE) --no-print-directory all $(UNIT) $(KERNEL) $(LOAD) $(TORTURE) $(GUEST)
	@O=$(O) tests/run --soak

bench: deps-bench ## measure: the table of goals beside what this machine does
	@$(MAKE) --no-print-directory all $(BENCH) $(addprefix $(O)/tests/kernel/bench_,cost fault stream)
	@O=$(O) tests/bench/run

fuzz: deps-test ## give each parser of foreign input random bytes for FUZZ_SECONDS=60; fails on a finding
	@$(MAKE) --no-print-directory fuzz-built
	@O=$(O)/fuzz tests/fuzz/run $(TARGETS)

fuzz-built:
	@$(MAKE) --no-print-directory O=$(O)/fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzz-programs

fuzz-programs: $(FUZZ)

install: all ## install into $(DESTDIR)$(PREFIX)
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin share/doc/bop/docs share/man/man1 share/bash-completion/completions)
	install -m 755 $(O)/bop $(O)/tfj $(DESTDIR)$(PREFIX)/bin/
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,include/bop/proto share/man/man3 lib/bop/examples)
	install -m 755 $(EXAMPLES) $(DESTDIR)$(PREFIX)/lib/bop/examples/
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(UNITDIR)
	install -m 644 libbop/bop.h $(DESTDIR)$(PREFIX)/include/bop/
	install -m 644 $(O)/proto/api.pb-c.h proto/api.proto $(DESTDIR)$(PREFIX)/include/bop/proto/
	install -m 755 $(O)/libbop.so.$(VERSION) $(DESTDIR)$(LIBDIR)/
	install -m 644 $(O)/libbop.a $(DESTDIR)$(LIBDIR)/
	ln -sf libbop.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libbop.so
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|; s|@VERSION@|$(VERSION)|' libbop/libbop.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/libbop.pc
	install -m 644 docs/man/libbop.3 $(DESTDIR)$(PREFIX)/share/man/man3/
	[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true
	for unit in $(UNITS); do sed 's|@PREFIX@|$(PREFIX)|' systemd/$$unit >$(DESTDIR)$(UNITDIR)/$$unit; done
	install -m 644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/bop/
	install -m 644 docs/*.* $(DESTDIR)$(PREFIX)/share/doc/bop/docs/
	install -m 644 docs/man/bop.1 docs/man/tfj.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 docs/completion/bop.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bop
	install -m 644 docs/completion/bop.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tfj

# Packages are built from a copy, in which debian/control says what DEPS says.
DEB := $(O)/deb/box-of-pain-$(VERSION)

deb: deps ## build Debian packages (bop, tfj, bop-examples, libbop0, libbop-dev) into build/deb/
	$(call install-missing,$(DEPS_DEB))
	@[ "$$(dpkg-parsechangelog -S Version)" = $(VERSION) ] || { echo "make deb: debian/changelog is not of version $(VERSION)" >&2; exit 1; }
	@rm -rf $(O)/deb && mkdir -p $(DEB)
	@tar --exclude=./build --exclude=./.git -cf - . | tar -xf - -C $(DEB)
	@sed "s|^@BUILD_DEPENDS@|$$(printf ' %s,\\n' $(DEPS))|" debian/control.in >$(DEB)/debian/control
	@cd $(DEB) && dpkg-buildpackage -b -uc -us >../build.log 2>&1 || { tail -n 30 ../build.log >&2; echo "make deb: failed; see $(O)/deb/build.log" >&2; exit 1; }
	@rm -rf $(DEB) && mkdir $(O)/deb/tmp
	@TMPDIR=$(abspath $(O))/deb/tmp lintian --allow-root --fail-on error,warning $(O)/deb/*.changes
	@rm -rf $(O)/deb/tmp
	@ls $(O)/deb/*.deb

uninstall: ## remove what install put there
	rm -f $(foreach p,bop tfj,$(addprefix $(DESTDIR)$(PREFIX)/,bin/$(p) share/man/man1/$(p).1 share/bash-completion/completions/$(p)))
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libbop.so.$(VERSION) $(SONAME) libbop.so libbop.a pkgconfig/libbop.pc) \
		$(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS)) $(DESTDIR)$(PREFIX)/share/man/man3/libbop.3
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/,share/doc/bop include/bop lib/bop)

clean: ## remove build/
	rm -rf build

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed 's/:[^#]*## /\t/' | expand -t 16

-include $(shell find $(O) -path $(O)/vm -prune -o -type f -name '*.d' -print 2>/dev/null)
