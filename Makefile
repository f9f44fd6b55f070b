# libimagine: `make run` tries it, `make check` proves it, `make help` lists the rest.
# Honours BUILD, CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, and the folders below. Everything generated goes to $(BUILD).

VERSION := $(shell sed -n 's/^.define IMAGINE_VERSION "\(.*\)"/\1/p' include/imagine.h)
SOVERSION := 0
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
BUILD ?= build
CC ?= cc
CFLAGS ?= -O2 -g
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 5

# What `deps` installs: a Debian package, and the command or pkg-config module that makes it
# superfluous (nothing behind the = leaves the question to dpkg).
PACKAGES := gcc=gcc make=make pkg-config=pkg-config libuv1-dev=libuv libcurl4-openssl-dev=libcurl \
	libcjson-dev=libcjson libssl-dev=libssl libsqlite3-dev=sqlite3 libspng-dev=spng \
	libhiredis-dev=hiredis
TEST_PACKAGES := check=check clang=clang clang-format=clang-format libclang-rt-14-dev= curl=curl \
	g++=g++ openssl=openssl nodejs=node chromium=chromium redis-server=redis-server \
	python3=python3 luajit=luajit abigail-tools=abidiff \
	mandoc=mandoc groff-base=groff man-db=man systemd=systemd-analyze \
	debhelper=dh lintian=lintian dpkg-dev=dpkg-buildpackage build-essential= python3-yaml= libglib2.0-dev=glib-2.0

# The library needs REQUIRES; the server needs libuv beside the library.
REQUIRES := libcurl libuv libcjson libssl libcrypto sqlite3 spng hiredis
# TLS to a Redis server comes with hiredis 1.0 and newer; Debian 12 has 0.14.
ifeq ($(shell pkg-config --exists hiredis_ssl 2>/dev/null && echo yes),yes)
REQUIRES += hiredis_ssl
override CPPFLAGS += -DIMI_HIREDIS_HAS_TLS
endif
DEPS_CFLAGS := $(shell pkg-config --cflags $(REQUIRES) 2>/dev/null)
DEPS_LIBS := $(shell pkg-config --libs $(REQUIRES) 2>/dev/null) -lpthread -lm
SERVER_LIBS := $(shell pkg-config --libs libuv 2>/dev/null)
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)

# What is always needed to compile us, whatever CFLAGS the caller brings. `make check` adds
# WERROR=-Werror; a stranger's newer compiler may warn without stopping the build.
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden $(WARNINGS) $(CPPFLAGS) $(CFLAGS) \
	$(DEPS_CFLAGS)
LIB_INCLUDES := -Iinclude -Ilib
TEST_INCLUDES := -Iinclude -Ilib -Itest -I.

SOURCES := $(sort $(wildcard lib/*/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) \
	$(patsubst lib/providers/catalogue.json,$(BUILD)/catalogue_data.o,$(wildcard lib/providers/catalogue.json))
HEADERS := $(sort $(wildcard include/*.h include/imagine/*.h))
SERVER_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard server/*.c)))
SUPPORT_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard test/support/*.c) \
	$(filter-out test/sim/test_%,$(wildcard test/sim/*.c))))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard test/unit/*/test_*.c test/sim/test_*.c)))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
COMMAND_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard examples/imagine/*.c)))
# One of the examples is for GLib, where that is.
GLIB := $(shell pkg-config --exists glib-2.0 2>/dev/null && echo glib-2.0)
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(sort $(filter-out $(if $(GLIB),,examples/glib_%),\
	$(wildcard examples/*.c))))
BENCH := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard test/bench/*.c)))
FORMATTED := $(sort $(shell find include lib server examples test -name '*.[ch]' 2>/dev/null))

STATIC := $(BUILD)/libimagine.a
SHARED := $(BUILD)/libimagine.so.$(VERSION)
SONAME := libimagine.so.$(SOVERSION)
SERVER := $(if $(SERVER_OBJECTS),$(BUILD)/imagine-server)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all run check install uninstall format lint bench asan ubsan tsan fuzz deps deps-test clean \
	deb help unit-tests fuzzers abi-check abi-baseline FORCE

all: $(STATIC) $(BUILD)/libimagine.so $(BUILD)/libimagine.pc $(SERVER) $(BUILD)/imagine $(EXAMPLES) \
	$(BUILD)/web

help:
	@echo 'make               the library, the server and the examples, in $(BUILD)/'
	@echo 'make run           install what is missing, build, start the server (ARGS="--port 3001")'
	@echo 'make check         install what is missing, build, run every test; the last line counts them'
	@echo 'make install       to PREFIX ($(PREFIX)), below DESTDIR; make uninstall removes it again'
	@echo 'make deb           Debian packages, in $(BUILD)/deb/; server/deploy/ also has a Dockerfile'
	@echo 'make bench         measure the server against nginx: a table, and $(BUILD)/bench.json'
	@echo 'make asan          unit tests with AddressSanitizer, LeakSanitizer and UBSan (also: ubsan)'
	@echo 'make tsan          unit tests with ThreadSanitizer'
	@echo 'make fuzz          every fuzzer for FUZZ_SECONDS=$(FUZZ_SECONDS), from the kept corpus'
	@echo 'make abi-check     what linked programs rest on has not changed; abi-baseline: promise more'
	@echo 'make format, lint  apply .clang-format; complain about style'
	@echo 'make deps          install what is needed to build (Debian, apt); deps-test: and to test'
	@echo 'make clean         remove $(BUILD)/'

# ---- compiling ------------------------------------------------------------------------------------

# Other flags or another compiler than last time: compile everything again.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(LDFLAGS)' >$@

COMPILE = @mkdir -p $(@D); echo '  CC   $@'; $(CC) $(ALL_CFLAGS) $(WERROR) -MMD -MP

$(BUILD)/lib/%.o: lib/%.c $(BUILD)/flags
	$(COMPILE) $(LIB_INCLUDES) -c -o $@ $<
# The server and the examples see what `make install` installs, and nothing else.
$(BUILD)/server/%.o: server/%.c $(BUILD)/flags
	$(COMPILE) -Iinclude -c -o $@ $<
$(BUILD)/examples/%.o: examples/%.c $(BUILD)/flags
	$(COMPILE) -Iinclude $(EXAMPLE_CFLAGS) -c -o $@ $<
$(BUILD)/examples/glib_loop.o: EXAMPLE_CFLAGS = $(shell pkg-config --cflags $(GLIB) 2>/dev/null)
$(BUILD)/test/%.o: test/%.c $(BUILD)/flags
	$(COMPILE) $(TEST_INCLUDES) -c -o $@ $<

# The catalogue as a C array, so that the library needs no file at run time.
$(BUILD)/catalogue_data.c: lib/providers/catalogue.json Makefile
	@mkdir -p $(@D)
	@{ echo '/* Made from $< by the Makefile. */'; \
	   echo '#include "catalogue/data.h"'; \
	   echo 'const unsigned char imi_catalogue_data[] = {'; \
	   od -An -v -tu1 $< | sed 's/  *\([0-9][0-9]*\)/\1,/g'; \
	   echo '0};'; \
	   echo 'const size_t imi_catalogue_data_size = sizeof(imi_catalogue_data) - 1;'; } >$@
$(BUILD)/catalogue_data.o: $(BUILD)/catalogue_data.c $(BUILD)/flags
	$(COMPILE) $(LIB_INCLUDES) -c -o $@ $<

$(STATIC): $(OBJECTS)
	@echo '  AR   $@'; rm -f $@; $(AR) rcs $@ $^
$(SHARED): $(OBJECTS) lib/libimagine.map
	@echo '  LD   $@'; $(CC) -shared $(CFLAGS) -Wl,-soname,$(SONAME) \
		-Wl,--version-script=lib/libimagine.map $(NO_UNDEFINED) $(LDFLAGS) -o $@ \
		$(OBJECTS) -Wl,--as-needed $(DEPS_LIBS)
$(BUILD)/$(SONAME): $(SHARED)
	@ln -sfn $(<F) $@
$(BUILD)/libimagine.so: $(BUILD)/$(SONAME)
	@ln -sfn $(<F) $@
# A sanitizer's runtime is in the program, not in the library.
NO_UNDEFINED = $(if $(findstring -fsanitize,$(CFLAGS)),,-Wl,--no-undefined)

LINK = @mkdir -p $(@D); echo '  LD   $@'; $(CC) $(CFLAGS) $(LDFLAGS) -o $@

$(BUILD)/imagine-server: $(SERVER_OBJECTS) $(BUILD)/libimagine.so
	$(LINK) $(SERVER_OBJECTS) -L$(BUILD) -limagine $(SERVER_LIBS) -Wl,-rpath,'$$ORIGIN'
$(BUILD)/install/imagine-server: $(SERVER_OBJECTS) $(BUILD)/libimagine.so $(BUILD)/install/places
	$(LINK) $(SERVER_OBJECTS) -L$(BUILD) -limagine $(SERVER_LIBS) $(INSTALL_RPATH)
$(BUILD)/imagine: $(COMMAND_OBJECTS) $(BUILD)/libimagine.so
	$(LINK) $(COMMAND_OBJECTS) -L$(BUILD) -limagine -Wl,-rpath,'$$ORIGIN'
$(BUILD)/install/imagine: $(COMMAND_OBJECTS) $(BUILD)/libimagine.so $(BUILD)/install/places
	$(LINK) $(COMMAND_OBJECTS) -L$(BUILD) -limagine $(INSTALL_RPATH)
$(BUILD)/examples/%: $(BUILD)/examples/%.o $(BUILD)/libimagine.so
	$(LINK) $< -L$(BUILD) -limagine -Wl,--as-needed $(SERVER_LIBS) $(EXAMPLE_LIBS) -lpthread -lm \
		-Wl,-rpath,'$$ORIGIN/..'
$(BUILD)/examples/glib_loop: EXAMPLE_LIBS = $(shell pkg-config --libs $(GLIB))
$(BUILD)/test/support.a: $(SUPPORT_OBJECTS)
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/test/unit/%: $(BUILD)/test/unit/%.o $(BUILD)/test/support.a $(STATIC)
	$(LINK) $^ $(CHECK_LIBS) $(DEPS_LIBS)
$(BUILD)/test/sim/%: $(BUILD)/test/sim/%.o $(BUILD)/test/support.a $(STATIC)
	$(LINK) $^ $(CHECK_LIBS) $(DEPS_LIBS)
$(BUILD)/test/fuzz/%: $(BUILD)/test/fuzz/%.o $(BUILD)/test/support.a $(STATIC)
	$(LINK) $^ -fsanitize=fuzzer $(DEPS_LIBS)
$(BUILD)/test/bench/inprocess: $(BUILD)/test/bench/inprocess.o $(BUILD)/libimagine.so
	$(LINK) $< -L$(BUILD) -limagine $(SERVER_LIBS) -lcjson -Wl,-rpath,'$$ORIGIN/../..'
$(BUILD)/test/bench/%: $(BUILD)/test/bench/%.o
	$(LINK) $< -Wl,--as-needed $(SERVER_LIBS) -lpthread -lm

$(BUILD)/libimagine.pc: pkgconfig/libimagine.pc.in FORCE # PREFIX may be another one each time
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
		-e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' \
		-e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(DEPS_LIBS)|' $< >$@
# The server looks for its page beside itself; the build tree shows it the sources.
$(BUILD)/web:
	@mkdir -p $(@D); ln -sfn $(CURDIR)/server/web $@

-include $(shell find $(BUILD) -path '$(BUILD)/deb' -prune -o -type f -name '*.d' -print 2>/dev/null)

# ---- trying ---------------------------------------------------------------------------------------

run: deps
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@$(BUILD)/imagine-server $(ARGS)

# ---- installing -----------------------------------------------------------------------------------

# One row for each file, MODE:SOURCE:TARGET, or link:WHERE_IT_LEADS:TARGET.
MANDIR := $(DATADIR)/man
BASH_DIR := $(DATADIR)/bash-completion/completions
ZSH_DIR := $(DATADIR)/zsh/site-functions
FISH_DIR := $(DATADIR)/fish/vendor_completions.d
PAREN := (
FUNCTIONS = $(shell sed -nE 's/^IMAGINE_API [^$(PAREN)]*[ *](imagine_[a-z0-9_]+)[$(PAREN)].*/\1/p' $(HEADERS))
INSTALLED = 755:$(BUILD)/install/imagine-server:$(BINDIR)/imagine-server \
	755:$(BUILD)/install/imagine:$(BINDIR)/imagine \
	644:$(STATIC):$(LIBDIR)/libimagine.a \
	644:$(SHARED):$(LIBDIR)/$(notdir $(SHARED)) \
	link:$(notdir $(SHARED)):$(LIBDIR)/$(SONAME) \
	link:$(SONAME):$(LIBDIR)/libimagine.so \
	644:$(BUILD)/libimagine.pc:$(LIBDIR)/pkgconfig/libimagine.pc \
	$(foreach header,$(HEADERS),644:$(header):$(header:include/%=$(INCLUDEDIR)/%)) \
	644:lib/providers/CATALOGUE.md:$(DATADIR)/imagine/CATALOGUE.md \
	644:lib/providers/catalogue.json:$(DATADIR)/imagine/catalogue.json \
	644:server/deploy/imagine.env:$(DATADIR)/imagine/imagine.env \
	$(foreach file,$(wildcard server/web/*),644:$(file):$(file:server/%=$(DATADIR)/imagine/%)) \
	644:$(BUILD)/install/imagine-server.service:$(UNITDIR)/imagine-server.service \
	644:$(BUILD)/install/imagine-server.8:$(MANDIR)/man8/imagine-server.8 \
	644:$(BUILD)/install/libimagine.3:$(MANDIR)/man3/libimagine.3 \
	$(foreach name,$(FUNCTIONS),link:libimagine.3:$(MANDIR)/man3/$(name).3) \
	644:server/completions/imagine-server.bash:$(BASH_DIR)/imagine-server \
	644:server/completions/_imagine-server:$(ZSH_DIR)/_imagine-server \
	644:server/completions/imagine-server.fish:$(FISH_DIR)/imagine-server.fish \
	644:examples/imagine/imagine.1:$(MANDIR)/man1/imagine.1 \
	644:examples/imagine/completions/imagine.bash:$(BASH_DIR)/imagine \
	644:examples/imagine/completions/_imagine:$(ZSH_DIR)/_imagine \
	644:examples/imagine/completions/imagine.fish:$(FISH_DIR)/imagine.fish
# What make uninstall takes away: a line for each file, and for each folder that was not there.
MANIFEST := $(DATADIR)/imagine/installed

# The programs find the library beside them wherever the prefix is moved to; in the system's own
# folders they need no such help.
INSTALL_RPATH = $(if $(filter /usr,$(PREFIX)),,-Wl,-rpath,'$$ORIGIN/$(patsubst $(PREFIX)/%,../%,$(LIBDIR))')
$(BUILD)/install/places: FORCE
	@mkdir -p $(@D)
	@echo '$(PREFIX) $(BINDIR) $(LIBDIR)' | cmp -s - $@ || echo '$(PREFIX) $(BINDIR) $(LIBDIR)' >$@
$(BUILD)/install/imagine-server.service: server/deploy/imagine-server.service $(BUILD)/install/places
	@sed 's|^ExecStart=/usr/bin/|ExecStart=$(BINDIR)/|' $< >$@
$(BUILD)/install/imagine-server.8: server/imagine-server.8 server/settings.awk $(SERVER)
	@mkdir -p $(@D)
	@$(BUILD)/imagine-server --help >$@.help
	@awk -f server/settings.awk $@.help >$@.settings
	@sed -e '/@SETTINGS@/{r $@.settings' -e 'd}' $< >$@
# Of the day that the other page is of.
$(BUILD)/install/libimagine.3: lib/libimagine.3.awk $(HEADERS) server/imagine-server.8
	@mkdir -p $(@D)
	@awk -v version=$(VERSION) -v date="$$(sed -n 's/^\.TH [^ ]* 8 "\([^"]*\)".*/\1/p' \
		server/imagine-server.8)" -f $< $(HEADERS) >$@

install: all $(addprefix $(BUILD)/install/,imagine-server imagine imagine-server.service \
		imagine-server.8 libimagine.3)
	@set -e; new=; manifest='$(DESTDIR)$(MANIFEST)'; \
	trap '[ ! -d "$${manifest%/*}" ] || printf "$$new" >>"$$manifest"' EXIT; \
	make_folder() { \
		[ -z "$$1" ] || [ -d '$(DESTDIR)'"$$1" ] || { \
			make_folder "$${1%/*}"; mkdir -p -m 755 '$(DESTDIR)'"$$1"; new="$${new}folder $$1\n"; }; \
	}; \
	for row in $(INSTALLED); do \
		mode=$${row%%:*}; row=$${row#*:}; source=$${row%%:*}; target=$${row#*:}; \
		make_folder "$${target%/*}"; \
		if [ $$mode = link ]; then ln -sfn "$$source" '$(DESTDIR)'"$$target"; \
		else install -m $$mode "$$source" '$(DESTDIR)'"$$target"; fi; \
		grep -qsxF "file $$target" "$$manifest" || new="$${new}file $$target\n"; \
	done
	@echo '  INSTALLED below $(DESTDIR)$(PREFIX)'
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

uninstall:
	@[ -f '$(DESTDIR)$(MANIFEST)' ] || { echo 'Nothing is installed below $(DESTDIR)$(PREFIX).'; exit 1; }
	@list=$$(sort -r '$(DESTDIR)$(MANIFEST)'); rm '$(DESTDIR)$(MANIFEST)'; \
	echo "$$list" | sed -n 's/^file //p' | while read -r path; do rm -f '$(DESTDIR)'"$$path"; done; \
	echo "$$list" | sed -n 's/^folder //p' | while read -r path; do \
		rmdir --ignore-fail-on-non-empty '$(DESTDIR)'"$$path"; \
	done
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

# Debian packages, in $(BUILD)/deb/, of a copy of the tree: debian/ has its place there.
DEB := $(abspath $(BUILD))/deb
deb:
	@rm -rf $(DEB); mkdir -p $(DEB)/libimagine
	@cp -r Makefile README.md LICENSE lib include server examples pkgconfig $(DEB)/libimagine/
	@cp -r server/deploy/debian $(DEB)/libimagine/debian
	@cd $(DEB)/libimagine && [ "$$(dpkg-parsechangelog -S Version)" = '$(VERSION)' ] || \
		{ echo 'server/deploy/debian/changelog has no entry for $(VERSION)'; exit 1; }
	@cd $(DEB)/libimagine && env -u MAKEFLAGS -u MAKELEVEL -u BUILD -u CC -u CFLAGS -u LDFLAGS -u PREFIX \
		DEB_BUILD_OPTIONS='nocheck parallel=$(JOBS)' dpkg-buildpackage --no-sign --build=binary
	@lintian --allow-root --fail-on error,warning $(DEB)/*.changes
	@rm -rf $(DEB)/libimagine; ls $(DEB)/*.deb

# Installs what is missing, and leaves apt alone when nothing is.
define INSTALL_MISSING
missing=; \
for entry in $(1); do \
	package=$${entry%%=*}; probe=$${entry#*=}; \
	[ -n "$$probe" ] && { command -v $$probe || pkg-config --exists $$probe; } >/dev/null 2>&1 || \
		dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || \
		missing="$$missing $$package"; \
done; \
[ -n "$$missing" ] || exit 0; \
echo "Installing:$$missing"; \
command -v apt-get >/dev/null || { echo 'There is no apt-get here: install them by hand.'; exit 1; }; \
sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
$$sudo apt-get update -qq && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing
endef

deps:
	@$(call INSTALL_MISSING,$(PACKAGES))
deps-test:
	@$(call INSTALL_MISSING,$(PACKAGES) $(TEST_PACKAGES))

clean:
	rm -rf $(BUILD)

# ---- testing --------------------------------------------------------------------------------------

# Beside the release build, the unit tests run with each sanitizer in a build directory of its own;
# these builds also stop where an IMI_ASSERT (lib/wire/assert.h) does not hold.
# ThreadSanitizer runs those that start threads; the rest of the library has a single one.
ASAN_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
	-DIMI_ASSERTS
UBSAN_FLAGS := -O1 -g -fsanitize=undefined -fno-sanitize-recover=all -DIMI_ASSERTS
TSAN_FLAGS := -O1 -g -fsanitize=thread -DIMI_ASSERTS
FUZZ_FLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
	-DIMI_ASSERTS
UNIT_NAMES := $(UNIT_TESTS:$(BUILD)/%=%)
TSAN_NAMES := $(filter test/unit/uv/% test/unit/storage/% test/unit/core/%,$(UNIT_NAMES))
FUZZ_NAMES := $(FUZZERS:$(BUILD)/%=%)
SUBMAKE := env -u MAKEFLAGS -u MAKELEVEL $(MAKE) --no-print-directory -j$(JOBS)
# The server's end and what callers do in between: these end-to-end tests run with ASan, too.
ASAN_E2E := drain gemini imagine jobs limits openai providers routes workers
ASAN_MAKE := $(SUBMAKE) BUILD=$(BUILD)/asan CC=clang CFLAGS='$(ASAN_FLAGS)'
UBSAN_MAKE := $(SUBMAKE) BUILD=$(BUILD)/ubsan CC=clang CFLAGS='$(UBSAN_FLAGS)'
TSAN_MAKE := $(SUBMAKE) BUILD=$(BUILD)/tsan CC=clang CFLAGS='$(TSAN_FLAGS)'
FUZZ_MAKE := $(SUBMAKE) BUILD=$(BUILD)/fuzz CC=clang CFLAGS='$(FUZZ_FLAGS)'
# New inputs go to a scratch corpus; the kept one in test/fuzz/corpus/<name>/ is only read.
FUZZ_RUNS = $(foreach name,$(FUZZ_NAMES),"test/fuzz/run.sh $(BUILD)/fuzz/$(name) $(FUZZ_SECONDS)")

unit-tests: $(UNIT_TESTS)
fuzzers: $(FUZZERS)

# One program after the other in the order written, and one sum at the very end: test/run.sh.
check: deps-test
	@LOGS=$(BUILD)/logs test/run.sh \
		-t 900 "$(SUBMAKE) WERROR=-Werror all unit-tests" \
		-j $(JOBS) -t 600 $(UNIT_TESTS) \
		-j 1 -t 300 "$(SUBMAKE) lint" "$(SUBMAKE) abi-check" test/abi/test_abi.sh \
		-t 600 $(foreach file,$(sort $(wildcard test/e2e/*.mjs)),"node --test $(file)") \
		-t 900 "$(ASAN_MAKE) all unit-tests" -j $(JOBS) -t 900 $(addprefix $(BUILD)/asan/,$(UNIT_NAMES)) \
		-j 1 -t 600 $(foreach name,$(ASAN_E2E),"env BUILD=$(BUILD)/asan node --test test/e2e/$(name).test.mjs") \
		-j 1 -t 900 "$(TSAN_MAKE) unit-tests" -j $(JOBS) -t 600 $(addprefix $(BUILD)/tsan/,$(TSAN_NAMES)) \
		-j 1 -t 900 "$(FUZZ_MAKE) fuzzers" -j $(JOBS) -t 120 $(FUZZ_RUNS)

check tsan: export TSAN_OPTIONS ?= suppressions=$(CURDIR)/test/tsan.supp
asan ubsan: export UBSAN_OPTIONS ?= print_stacktrace=1
asan:
	@LOGS=$(BUILD)/logs test/run.sh -t 900 "$(ASAN_MAKE) unit-tests" \
		-j $(JOBS) -t 300 $(addprefix $(BUILD)/asan/,$(UNIT_NAMES))
ubsan:
	@LOGS=$(BUILD)/logs test/run.sh -t 900 "$(UBSAN_MAKE) unit-tests" \
		-j $(JOBS) -t 300 $(addprefix $(BUILD)/ubsan/,$(UNIT_NAMES))
tsan:
	@LOGS=$(BUILD)/logs test/run.sh -t 900 "$(TSAN_MAKE) unit-tests" \
		-j $(JOBS) -t 300 $(addprefix $(BUILD)/tsan/,$(UNIT_NAMES))
fuzz:
	@LOGS=$(BUILD)/logs test/run.sh -t 900 "$(FUZZ_MAKE) fuzzers" \
		-j $(JOBS) -t $$(($(FUZZ_SECONDS) + 120)) $(FUZZ_RUNS)

bench: all $(BENCH)
	@node test/bench/run.mjs $(BUILD)

format:
	clang-format -i $(FORMATTED)
# Behind an addition to the headers: `make abi-baseline` promises it, too. See test/abi/abi.sh.
abi-check: $(BUILD)/libimagine.so
	@CC=$(CC) test/abi/abi.sh check $(SHARED)
abi-baseline:
	@CC=$(CC) test/abi/abi.sh baseline
lint: $(BUILD)/libimagine.so
	@BUILD=$(BUILD) CC=$(CC) test/taste.sh
