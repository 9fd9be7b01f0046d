# annoy: nearest-neighbor indexes for PostgreSQL
#
#   make                     build against the pg_config on the PATH
#   make install             (PG_CONFIG=/path/to/pg_config for another server)
#   make installcheck        tests against a running server that has it installed
#   make unit                tests of the arithmetic, without a server
#   test/run                 everything, in a private server

EXTENSION = annoy
MODULE_big = annoy
PGFILEDESC = "annoy - nearest-neighbor indexes"

# Where this file is, for builds in another directory (make -f).
top := $(dir $(lastword $(MAKEFILE_LIST)))

DATA = $(patsubst $(top)%,%,$(sort $(wildcard $(top)sql/annoy--*.sql)))
OBJS = $(patsubst $(top)%.c,%.o,$(sort $(wildcard $(top)src/*.c $(top)src/*/*.c)))

# -ffp-contract=off: all kernels must round alike, see src/arith/kernel.h.
# -fvisibility=hidden: extensions share one symbol space in the server.
PG_CPPFLAGS = -I$(top)src
PG_CFLAGS = -std=gnu11 -ffp-contract=off -fvisibility=hidden

# No bitcode for JIT compilation: functions inlined from it would be compiled
# without the options above, and would refer to symbols that are hidden.  It
# also spares users the very version of clang that their server was built with.
override with_llvm = no

REGRESS = $(basename $(notdir $(sort $(wildcard $(top)test/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(srcdir)/test

ISOLATION = $(basename $(notdir $(sort $(wildcard $(top)test/isolation/specs/*.spec))))
ISOLATION_OPTS = --inputdir=$(srcdir)/test/isolation

ifneq ($(wildcard $(top)test/t/*.pl),)
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl
endif

# Nothing to run is not an empty run for pg_regress.
ifeq ($(REGRESS),)
undefine REGRESS
endif
ifeq ($(ISOLATION),)
undefine ISOLATION
endif

EXTRA_CLEAN = src/*.gcda src/*.gcno src/*/*.gcda src/*/*.gcno

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Modules of the TAP tests, which run in the folder of this file.
PG_PROVE_FLAGS += -I test/perl

# Arithmetic is loops to be unrolled and vectorized.  In front of the user's
# own flags, so that those win.
$(filter src/arith/%.o,$(OBJS)): override CFLAGS := -O3 $(filter-out -O2,$(CFLAGS))

# Many servers are built without dependency tracking.
$(OBJS): $(wildcard $(top)src/*.h $(top)src/*/*.h) | $(sort $(dir $(OBJS)))
$(sort $(dir $(OBJS))):
	$(MKDIR_P) $@

unit:
	$(MAKE) -C $(top)test/unit check

.PHONY: unit
