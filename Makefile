# libimagine: `make run` tries it, `make check` proves it, `make help` lists the rest.
# Honours CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR. Everything generated goes to $(BUILD).

VERSION := $(shell sed -n 's/^.define IMAGINE_VERSION "\(.*\)"/\1/p' include/imagine.h)
SOVERSION := 0
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
CC ?= cc
CFLAGS ?= -O2 -g

PACKAGES := libuv1-dev libcurl4-openssl-dev libcjson-dev libhiredis-dev libssl-dev \
	libsqlite3-dev libmicrohttpd-dev libspng-dev
BUILD_PACKAGES := gcc make pkg-config
TEST_PACKAGES := check clang clang-format libclang-rt-14-dev curl openssl nodejs redis-server

REQUIRES := libcurl libuv libcjson libcrypto sqlite3
DEPS_CFLAGS := $(shell pkg-config --cflags $(REQUIRES) 2>/dev/null)
DEPS_LIBS := $(shell pkg-config --libs $(REQUIRES) 2>/dev/null) -lspng -lpthread -lm

# What is always needed to compile us, whatever CFLAGS the caller brings.
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden $(WARNINGS) $(CFLAGS) \
	-Iinclude -Ilib -I$(BUILD) $(DEPS_CFLAGS) -MMD -MP

SOURCES := $(sort $(wildcard lib/*/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/catalogue_data.o
HEADERS := $(sort $(wildcard include/*.h include/imagine/*.h))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard test/unit/*/test_*.c test/sim/test_*.c)))
FUZZERS := $(patsubst test/fuzz/fuzz_%.c,$(BUILD)/fuzz/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard examples/*.c)))

STATIC := $(BUILD)/libimagine.a
SHARED := $(BUILD)/libimagine.so.$(VERSION)
SONAME := libimagine.so.$(SOVERSION)
